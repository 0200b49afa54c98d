// Expiries as commands are given them.
#pragma once
#include <optional>

#include "cairn/result.h"
#include "cairn/timeline.h"

namespace cairn::server {

/// In what EX, PX, EXAT and PXAT count.
enum class ExpiryUnit : std::uint8_t { kSeconds, kMilliseconds, kAtSecond, kAtMillisecond };
struct ExpiryArgument {
  ExpiryUnit unit;
  ByteView text;
};

/// nullopt: `word` is none of the four.
std::optional<ExpiryUnit> expiry_unit(ByteView word);
/// When it is; refused as Redis does in `command` if it is not positive or lies thousands of years ahead.
Result<Time> future_time(const ExpiryArgument& argument, const char* command);
/// The same for EXPIRE and its kin, which take times that are over too: those before 1970 as 1970.
Result<Time> any_time(const ExpiryArgument& argument, const char* command);

/// A moment as TL commands take it: as parse_moment(), or "-" and "+", the beginning and the end.
Result<Moment> moment_argument(ByteView text);
}  // namespace cairn::server
