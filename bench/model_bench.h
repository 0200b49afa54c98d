#pragma once
#include <cstdint>
#include <string>

namespace cairn::bench {

struct ModelBench {
  std::uint64_t n = 1'000'000;  // Objects.
  unsigned rounds = 3;
  bool json = true;
};

/// Runs all of it, each round in a process of its own; prints a table as Markdown, and returns the JSON object of its figures.
std::string run(const ModelBench& bench);

}  // namespace cairn::bench
