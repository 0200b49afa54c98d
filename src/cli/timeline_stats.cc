// cairn timeline stats: a picture of the three lines.
#include <fmt/format.h>

#include <algorithm>

#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/source.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

Json to_json(const TimelineStats& stats) {
  Json object{{"timeout_ms", stats.timeout.count()}, {"policy", stats.expired == Expired::kDrop ? "drop" : "persist"}};
  object["lines"] = Json::array();
  for (const LineStats& line : stats.lines) {
    object["lines"].push_back({{"name", line.name},
                               {"blocks", line.blocks},
                               {"bytes", line.bytes},
                               {"saves", line.saves},
                               {"live_saves_max", line.live_saves_max},
                               {"first_stamp", line.first.to_string()},
                               {"last_stamp", line.last.to_string()}});
  }
  object["blocks"] = Json::array();
  for (const BlockStats& block : stats.blocks) {
    object["blocks"].push_back({{"line", block.line},
                                {"file", block.file},
                                {"state", block.state},
                                {"bytes", block.bytes},
                                {"saves", block.saves},
                                {"first_stamp", block.first.to_string()},
                                {"last_stamp", block.last.to_string()}});
  }
  object["rollbacks"] = Json::array();
  for (const RollbackStats& rollback : stats.rollbacks) {
    object["rollbacks"].push_back({{"to_stamp", rollback.to.to_string()},
                                   {"until_stamp", rollback.until.to_string()},
                                   {"undoable", rollback.undoable},
                                   {"undo_until_ms", rollback.undo_until.time_since_epoch().count()}});
  }
  object["index_files"] = stats.index_files;
  object["index_bytes"] = stats.index_bytes;
  object["index_probes"] = stats.index_probes;
  object["lookups"] = stats.lookups;
  object["blocks_touched"] = stats.blocks_touched;
  object["writes"] = stats.writes;
  object["written_bytes"] = stats.written_bytes;
  object["log_bytes"] = stats.log_bytes;
  object["index_bytes_written"] = stats.index_bytes_written;
  object["blocks_closed"] = stats.blocks_closed;
  object["blocks_expired"] = stats.blocks_expired;
  object["cycles"] = stats.cycles;
  object["cycle_under_way"] = stats.cycle_under_way;
  object["syncs"] = stats.syncs;
  object["memory_bytes"] = stats.memory_bytes;
  object["oldest_held"] = nullptr;
  if (stats.oldest_held) {
    object["oldest_held"] = {{"id", stats.oldest_held->id},
                             {"age_ms", stats.oldest_held->age_ms},
                             {"bytes", stats.oldest_held->bytes},
                             {"memory_bytes", stats.oldest_held->memory_bytes}};
  }
  object["jobs"] = jobs_to_json(stats.jobs);
  object["open_reports"] = stats.open_reports;
  object["write_state"] = stats.write_state;
  object["job_errors"] = stats.job_errors;
  return object;
}

constexpr std::size_t kPictureColumns = 64;

/// The blocks of a line on an axis of time that all lines share.
std::string picture_of(const TimelineStats& stats, const std::string& line) {
  std::string row(kPictureColumns, ' ');
  const std::uint64_t begin = stats.blocks.front().first.value;
  const double span = static_cast<double>(stats.blocks.back().last.value - begin) + 1;
  const auto column = [&](Stamp stamp) {
    const double at = static_cast<double>(stamp.value - begin) / span * static_cast<double>(kPictureColumns);
    return std::min(kPictureColumns - 1, static_cast<std::size_t>(at));
  };
  for (const BlockStats& block : stats.blocks) {
    if (block.line != line) continue;
    const char mark = block.state == "active" ? '>' : block.state == "ended" ? '+' : '=';
    for (std::size_t i = column(block.first); i <= column(block.last); ++i) row[i] = mark;
    row[column(block.first)] = '[';
  }
  return row;
}

std::string to_text(const TimelineStats& stats) {
  std::string text = "saves stay for ever\n";
  if (stats.timeout.count() != 0) {
    text = fmt::format("saves stay {} s; then they are {}\n", static_cast<double>(stats.timeout.count()) / 1000.0,
                       stats.expired == Expired::kDrop ? "dropped" : "persisted: the last one of each key stays");
  }
  if (!stats.blocks.empty()) {
    text += fmt::format("{:<12} {}  to  {}\n", "", format_time(stats.blocks.front().first.time()),
                        format_time(stats.blocks.back().last.time()));
  }
  for (auto line = stats.lines.rbegin(); line != stats.lines.rend(); ++line) {
    if (line->blocks == 0) continue;
    text += fmt::format("{:<12} {}\n", line->name, picture_of(stats, line->name));
  }
  for (const LineStats& line : stats.lines) {
    if (line.blocks == 0) continue;
    text += fmt::format("{:<12} {:>6} blocks  {:>12} bytes  {:>10} saves, at most {} of them live\n", line.name, line.blocks,
                        line.bytes, line.saves, line.live_saves_max);
  }
  for (const RollbackStats& rollback : stats.rollbacks) {
    text += fmt::format("rolled back to {}{}\n", format_time(rollback.to.time()),
                        rollback.undoable ? ", can be undone until " + format_time(rollback.undo_until) : "");
  }
  text += fmt::format("indexes      {:>6} files   {:>12} bytes\n", stats.index_files, stats.index_bytes);
  if (stats.cycle_under_way) text += "a cycle of the persistent line is under way\n";
  for (const JobStats& job : stats.jobs)
    text += fmt::format("job {}: {} of {} bytes\n", job.name, job.bytes_done, job.bytes_total);
  for (const std::string& report : stats.open_reports) text += report + "\n";
  if (!stats.write_state.empty()) text += stats.write_state + "\n";
  for (const std::string& error : stats.job_errors) text += error + "\n";
  return text;
}

}  // namespace

void add_timeline_stats(const Command& timeline) {
  TimelineCommon& common = timeline.make_arguments<TimelineCommon>();
  const Command command = timeline.add_command("stats", "Draw the lines and their blocks: [=== closed, +++ ended, >>> active");
  add_common(command, common);
  set_action(command, common, [&common]() -> Result<int> {
    CAIRN_TRY(source, Source::open(common.dir));
    CAIRN_TRY(stats, source.ask<TimelineStats>({.call = database::Request::Call::kTimelineStats, .view = common.timeline}));
    CAIRN_TRY_VOID(source.close());
    CAIRN_TRY_VOID(print(common.json ? to_line(to_json(stats)) : to_text(stats)));
    return 0;
  });
}

}  // namespace cairn::cli
