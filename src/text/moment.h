// Times as people write and read them, in the command and in the server.
#pragma once
#include <chrono>
#include <optional>
#include <string>

#include "cairn/result.h"
#include "cairn/timeline.h"
#include "text/json.h"

namespace cairn {

/// RFC 3339 with a zone, milliseconds since 1970, or a stamp as it is printed. kInvalidArgument: the text is none of these, or
/// a number before 1973 (which is likely to be in seconds) or after the year 9999.
Result<Moment> parse_moment(ByteView text);
/// The same, of a save: not before 1970, and not after the last stamp, in the year 4199.
Result<Time> parse_save_time(ByteView text);
/// Puts the members "time" (milliseconds since 1970) and "stamp" into `object`.
void put_stamp(Json& object, Stamp stamp);
/// RFC 3339 in UTC, with milliseconds.
std::string format_time(Time time);
/// A whole number and ms, s, m, h or d, such as "30s"; nullopt: the text is none, 0, or more than 2^30 of its unit.
std::optional<std::chrono::milliseconds> parse_duration(ByteView text);
/// As parse_duration() reads it, in the greatest unit of which it is a whole number; "never" for 0.
std::string duration_text(std::int64_t ms);

}  // namespace cairn
