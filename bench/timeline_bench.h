#pragma once
#include <cstdint>
#include <string>

namespace cairn::bench {

struct TimelineBench {
  std::uint64_t n = 2'000'000;  // Objects.
  unsigned rounds = 3;
  double seconds = 5;  // For which readers are watched, without jobs and beside them.
  bool json = true;
  std::string dir = "build/bench";
};

/// Runs all of it, each store in a process of its own; prints a table as Markdown, and returns the JSON object of its figures.
std::string run(const TimelineBench& bench);

}  // namespace cairn::bench
