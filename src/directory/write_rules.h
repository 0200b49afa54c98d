// What every view asks of its writes.
#pragma once
#include <cstdint>

#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn::directory {

/// kInvalidArgument: a key or a value is over its limit.
Result<void> check_record(ByteView key, ByteView value);

/// The account a key names by itself: "{17}…" belongs to account 17; 0: none.
std::uint64_t account_of(ByteView key);

}  // namespace cairn::directory
