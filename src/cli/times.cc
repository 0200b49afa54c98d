// Times as people write them.
#include <fmt/format.h>

#include <charconv>

#include "base/rfc3339.h"
#include "cli/cli.h"

namespace cairn::cli {
Time parse_time(const std::string& text) {
  std::int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error == std::errc{} && end == text.data() + text.size() && ms >= 0) return Time(std::chrono::milliseconds(ms));
  if (const auto time = parse_rfc3339(text)) return *time;
  throw CLI::ValidationError("'" + text + "' is no time such as 2026-11-22T18:30:00Z, nor milliseconds since 1970");
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
