// Times as people write and read them, in the command and in the server.
#include "text/moment.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>

#include <charconv>
#include <chrono>

#include "base/error.h"
#include "text/rfc3339.h"

namespace cairn {
namespace {

constexpr std::int64_t kLeastMs = 100'000'000'000;     // 1973-03-03: a smaller number counts seconds, surely.
constexpr std::int64_t kMostMs = 253'402'300'799'999;  // The end of the year 9999.

constexpr std::array<std::pair<ByteView, std::int64_t>, 5> kUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

std::unexpected<Error> wrong(ByteView text, const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, "'" + std::string(text.substr(0, 64)) + "' " + why);
}

}  // namespace

Result<Moment> parse_moment(ByteView text) {
  if (const auto stamp = Stamp::parse(text)) {
    const std::int64_t stamp_ms = stamp->time().time_since_epoch().count();
    if (stamp_ms >= kLeastMs && stamp_ms <= kMostMs) return Moment(*stamp);
    return wrong(text, "as a stamp is of " + std::to_string(stamp_ms) +
                           " ms since 1970, which is before 1973 or after 9999: a stamp is written MS-SEQ, as it is printed "
                           "(1795802203465-3), a day as RFC 3339 (2026-11-22T00:00:00Z)");
  }
  if (const auto time = parse_rfc3339(text)) return Moment(*time);
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == ByteView::npos;
  if (!digits) {
    return wrong(text, "is no time: give RFC 3339 (2026-11-22T18:30:00Z), milliseconds since 1970, or a stamp (1795802203465-3)");
  }
  std::int64_t ms = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc{} || ms > kMostMs) {
    return wrong(text, "ms since 1970 is after the year 9999; a stamp is written MS-SEQ, as it is printed: 1795802203465-3");
  }
  if (ms >= kLeastMs) return Moment(Time(std::chrono::milliseconds(ms)));
  return wrong(text, "ms since 1970 is before 1973: numbers are milliseconds, not seconds; write " +
                         (ms == 0 ? "1970-01-01T00:00:00Z" : std::string(text) + "000") +
                         " if that is meant, or an early time as RFC 3339");
}

Result<Time> parse_save_time(ByteView text) {
  CAIRN_TRY(moment, parse_moment(text));
  const auto time = parse_rfc3339(text);
  if (time && *time != moment.first().time()) {
    return wrong(text, time->time_since_epoch().count() < 0 ? "is before 1970: no save can have this time"
                                                            : "is after the year 4199: no save can have this time");
  }
  return moment.first().time();
}

std::string duration_text(std::int64_t ms) {
  if (ms == 0) return "never";
  const auto* const unit = std::ranges::find_if(kUnits, [&](const auto& each) { return ms % each.second == 0; });
  return fmt::format("{}{}", ms / unit->second, unit->first);
}

std::optional<std::chrono::milliseconds> parse_duration(ByteView text) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // Of days: far beyond any date, far below overflow.
  std::int64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  const auto* const unit = std::ranges::find(kUnits, ByteView(rest, end), &std::pair<ByteView, std::int64_t>::first);
  if (error != std::errc{} || unit == kUnits.end() || count <= 0 || count > kMost) return std::nullopt;
  return std::chrono::milliseconds(count * unit->second);
}

void put_stamp(Json& object, Stamp stamp) {
  object["time"] = stamp.time().time_since_epoch().count();
  object["stamp"] = stamp.to_string();
}

std::string format_time(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

}  // namespace cairn
