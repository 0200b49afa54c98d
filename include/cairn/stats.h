// What the stats of every view have in common.
#pragma once
#include <cstdint>
#include <string>

namespace cairn {

struct JobStats {
  std::string name;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  ///< 0: not known yet.
};

}  // namespace cairn
