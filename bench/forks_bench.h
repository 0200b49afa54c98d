#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::bench {

struct ForksBench {
  std::vector<std::uint64_t> n = {1'000'000, 10'000'000};  // Accounts.
  std::uint64_t accounts = 2'000'000;                      // In the stores.
  std::uint64_t append_bytes = std::uint64_t{2} << 30;
  std::uint64_t device_bytes = std::uint64_t{4} << 30;  // Of accounts, with memory for a quarter.
  std::string only;                                     // "index", "store" or "device"; empty: the first two.
  unsigned seconds = 4;                                 // For each figure of that run.
  unsigned rounds = 3;
  bool json = true;
  std::string dir = "build/bench";
};

/// Runs all of it, each store in a process of its own; prints tables as Markdown, and returns the JSON object of its figures.
std::string run(const ForksBench& bench);

}  // namespace cairn::bench
