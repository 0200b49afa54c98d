#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace cairn::bench {

/// A fork store with more accounts than fit into memory.
struct ForksDeviceBench {
  std::uint64_t data_bytes = std::uint64_t{4} << 30;  // Of values.
  std::uint64_t value_bytes = 1000;
  unsigned seconds = 4;  // For each figure.
  std::string dir = "build/bench";
};

/// Each figure in a process of its own that may have a quarter of the data in memory, nothing of it cached at first; prints a
/// table as Markdown, and returns the figures. Needs the right to make a control group.
nlohmann::ordered_json run(const ForksDeviceBench& bench);

}  // namespace cairn::bench
