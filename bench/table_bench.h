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
  std::uint64_t large_value_bytes = 0;  // Of one value in a hundred.
  double seconds = 0;                   // Ends a workload after so long, whatever n; 0: does not.
  std::uint64_t rate = 0;               // Operations that begin each second, all threads together; 0: as fast as they go.
  std::uint64_t memory_bytes = 0;       // What the process may take, page cache included, if that is limited.
  bool settled = false;
  bool json = true;
  std::string dir = "build/bench";
};

using OpenStore = std::unique_ptr<Store> (*)(const StoreOptions&);
/// By name.
const std::map<std::string, OpenStore>& engines();

/// Runs it and returns the JSON object of its figures.
std::string run(const TableBench& bench);

/// Prints what differs between two files of tools/bench_table.py; whether nothing got worse.
bool compare(const std::string& before, const std::string& after);

}  // namespace cairn::bench
