#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "bench/data.h"
#include "bench/engine.h"

namespace cairn::bench {

struct TableBench {
  std::string workload = "fillrandom";
  std::string engine = "cairn";
  std::string compression = "none";
  Keys keys = Keys::kRandom16;
  bool disk = false;
  std::uint64_t n = 1'000'000;
  std::uint64_t value_bytes = 100;
  std::uint64_t batch = 1;
  unsigned threads = 1;
  double seconds = 0;  // Ends a workload of writes after so long, whatever n; 0: does not.
  bool settled = false;
  bool json = true;
  std::string dir = "build/bench";
};

using OpenStore = std::unique_ptr<Store> (*)(const StoreOptions&);
/// By name.
const std::map<std::string, OpenStore>& engines();

/// Runs it and returns the JSON object of its figures.
std::string run(const TableBench& bench);

}  // namespace cairn::bench
