// What the stats of every view have in common.
#pragma once
#include <cstdint>
#include <string>

#include "cairn/export.h"

namespace cairn {

struct CAIRN_API JobStats {
  std::string name = {};
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  ///< 0: not known yet.
};

}  // namespace cairn
