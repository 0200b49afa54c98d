#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace cairn::bench {

struct ForksStoreBench {
  std::uint64_t accounts = 2'000'000;
  std::uint64_t value_bytes = 200;
  std::uint64_t append_bytes = std::uint64_t{2} << 30;
  unsigned rounds = 3;
  std::string dir = "build/bench";
};

/// Each run in a process of its own; prints tables as Markdown, and returns the figures.
nlohmann::ordered_json run(const ForksStoreBench& bench);

}  // namespace cairn::bench
