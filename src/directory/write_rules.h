// What every view asks of its writes.
#pragma once
#include <cstdint>

#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn::directory {

/// Times are milliseconds since 1970 and never above this, which is in the year 6429: what lasts longer lasts for ever.
inline constexpr std::int64_t kTimeMsMost = (std::int64_t{1} << 47) - 1;

/// `ms` after `now_ms`, both as a clock and a user may give them, without overflow.
constexpr std::int64_t time_after(std::int64_t now_ms, std::int64_t ms) {
  if (ms >= kTimeMsMost || now_ms >= kTimeMsMost - ms) return kTimeMsMost;
  return now_ms + ms;
}

/// kInvalidArgument: a key or a value is over its limit.
Result<void> check_record(ByteView key, ByteView value);

/// The account a key names by itself: "{17}…" belongs to account 17; 0: none.
std::uint64_t account_of(ByteView key);

}  // namespace cairn::directory
