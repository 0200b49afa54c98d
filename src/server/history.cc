// Texts about the histories of the databases. Everything is read from the stats of the open timelines; nothing is kept here.
#include "server/history.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/clock.h"
#include "text/moment.h"

namespace cairn::server {
namespace {

/// Bytes of all lines, and what the history itself, the main line, has.
struct Sums {
  std::uint64_t bytes = 0;
  std::uint64_t saves = 0;
  Stamp oldest = {};
};
Sums sums_of(const TimelineStats& stats) {
  Sums sums;
  for (const LineStats& line : stats.lines) sums.bytes += line.bytes;
  const LineStats& main = stats.lines.front();
  sums.saves = main.saves;
  if (main.saves != 0) sums.oldest = main.first;
  return sums;
}

const char* name_of(Expired policy) { return policy == Expired::kPersist ? "persist" : "drop"; }

void log_history(int number, const TimelineStats& stats) {
  const Sums sums = sums_of(stats);
  if (stats.timeout.count() == 0) {
    spdlog::info(
        "event=history database={} timeout=never bytes={} note=\"every save is kept for ever; the setting timeline_timeout "
        "gives the history an end\"",
        number, sums.bytes);
    return;
  }
  const Time now(std::chrono::milliseconds(system_clock().wall_ms()));
  const Time begins = now - stats.timeout;
  const char* const then =
      stats.expired == Expired::kPersist ? "the last save of each key stays" : "keys end with their last save";
  std::string ends;
  if (sums.saves != 0 && sums.oldest.time() <= begins) {
    ends = fmt::format("saves from {} to {} leave the history now; ", format_time(sums.oldest.time()), format_time(begins));
  } else if (sums.saves != 0) {
    ends = fmt::format("the oldest save leaves the history at {}; ", format_time(sums.oldest.time() + stats.timeout));
  }
  spdlog::log(ends.ends_with("now; ") ? spdlog::level::warn : spdlog::level::info,
              "event=history database={} timeout=\"{}\" policy={} bytes={} note=\"{}{}\"", number,
              words_for_ms(stats.timeout.count()), name_of(stats.expired), sums.bytes, ends, then);
}

/// "N=VALUE" of each database that exists, with commas between.
template <typename ValueOf>
std::string of_each(const Databases& databases, ValueOf value_of) {
  std::string text;
  for (int number = 0; number < kDatabases; ++number) {
    const Timeline* const timeline = databases.find(number);
    if (timeline != nullptr) text += fmt::format("{}{}={}", text.empty() ? "" : ",", number, value_of(timeline->stats()));
  }
  return text;
}

}  // namespace

std::string timeouts_now(const Databases& databases) {
  return of_each(databases, [](const TimelineStats& stats) { return duration_text(stats.timeout.count()); });
}

std::string policies_now(const Databases& databases) {
  return of_each(databases, [](const TimelineStats& stats) { return name_of(stats.expired); });
}

void log_histories(const Databases& databases) {
  for (int number = 0; number < kDatabases; ++number) {
    if (const Timeline* const timeline = databases.find(number)) log_history(number, timeline->stats());
  }
}

std::string info_histories(const Databases& databases) {
  std::string text;
  for (int number = 0; number < kDatabases; ++number) {
    const Timeline* const timeline = databases.find(number);
    if (timeline == nullptr) continue;
    const TimelineStats stats = timeline->stats();
    const Sums sums = sums_of(stats);
    text += fmt::format("history_db{}:timeout_ms={},policy={},bytes={},saves={},oldest_ms={}\r\n", number, stats.timeout.count(),
                        name_of(stats.expired), sums.bytes, sums.saves, sums.oldest.time().time_since_epoch().count());
  }
  return text;
}

}  // namespace cairn::server
