// The time of the wall clock, as all engines take and give it.
#pragma once
#include <chrono>

namespace cairn {

/// Milliseconds since 1970, UTC.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

}  // namespace cairn
