#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::bench {

struct ForksBench {
  std::vector<std::uint64_t> n = {1'000'000, 10'000'000};  // Accounts.
  unsigned rounds = 3;
  bool json = true;
  std::string dir = "build/bench";
};

/// Runs all of it, each store in a process of its own; prints tables as Markdown, and returns the JSON object of its figures.
std::string run(const ForksBench& bench);

}  // namespace cairn::bench
