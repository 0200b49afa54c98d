// Times as people write them and as the command prints them.
#include <fmt/format.h>

#include <charconv>

#include "base/rfc3339.h"
#include "cli/cli.h"

namespace cairn::cli {
namespace {

constexpr std::int64_t kLeastMs = 100'000'000'000;     // 1973-03-03: a smaller number counts seconds, surely.
constexpr std::int64_t kMostMs = 253'402'300'799'999;  // The end of the year 9999.

}  // namespace

Moment parse_moment(const std::string& text) {
  if (const auto stamp = Stamp::parse(text)) {
    const std::int64_t stamp_ms = stamp->time().time_since_epoch().count();
    if (stamp_ms >= kLeastMs && stamp_ms <= kMostMs) return *stamp;
    throw CLI::ValidationError("'" + text + "' as a stamp is of " + std::to_string(stamp_ms) +
                               " ms since 1970, which is before 1973 or after 9999: a stamp is written MS-SEQ, as it is printed "
                               "(1795802203465-3), a day as RFC 3339 (2026-11-22T00:00:00Z)");
  }
  if (const auto time = parse_rfc3339(text)) return *time;
  std::int64_t ms = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, ms);
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits && error == std::errc{} && rest == end && ms >= kLeastMs && ms <= kMostMs)
    return Time(std::chrono::milliseconds(ms));
  if (digits && (error != std::errc{} || ms > kMostMs)) {
    throw CLI::ValidationError(
        "'" + text + "' ms since 1970 is after the year 9999; a stamp is written MS-SEQ, as it is printed: 1795802203465-3");
  }
  if (digits) {
    throw CLI::ValidationError("'" + text + "' ms since 1970 is before 1973: numbers are milliseconds, not seconds; write " +
                               (ms == 0 ? "1970-01-01T00:00:00Z" : text + "000") +
                               " if that is meant, or an early time as RFC 3339");
  }
  throw CLI::ValidationError(
      "'" + text + "' is no time: give RFC 3339 (2026-11-22T18:30:00Z), milliseconds since 1970, or a stamp (1795802203465-3)");
}

std::string format_time(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

}  // namespace cairn::cli
