// cairn list: what a database holds, with the options of each part. It opens every part, as any other command does, and changes
// nothing.
#include <fmt/format.h>

#include <algorithm>

#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/source.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

struct Part {
  std::string text;
  Json json;
};

/// The stats of a row.
template <typename Stats>
Result<Stats> stats_of(std::span<const ByteView> row) {
  return decode_part<Stats>(row, 2);
}

Result<Part> list_table(const std::string& name, std::span<const ByteView> row) {
  CAIRN_TRY(stats, stats_of<TableStats>(row));
  std::uint64_t bytes = stats.large_bytes;
  for (const LayerStats& layer : stats.layers) bytes += layer.bytes;
  Part part;
  part.text = fmt::format("table {}, {}\n", name, counted(bytes, "byte"));
  Json families = Json::array();
  for (const FamilyStats& family : stats.families) {
    part.text += fmt::format("  family {}, compression {}, time to live {}, {}\n", family.name, name_of(family.compression),
                             time_to_live_text(family.ttl), counted(family.indexes.size(), "term index", "term indexes"));
    families.push_back(to_json(family));
  }
  part.json = {{"name", name}, {"bytes", bytes}, {"families", families}};
  return part;
}

Result<Part> list_timeline(const std::string& name, std::span<const ByteView> row) {
  CAIRN_TRY(stats, stats_of<TimelineStats>(row));
  std::uint64_t bytes = 0;
  std::uint64_t saves = 0;
  for (const LineStats& line : stats.lines) {
    bytes += line.bytes;
    saves += line.saves;
  }
  const char* const policy = stats.expired == Expired::kDrop ? "drop" : "persist";
  Part part;
  part.text = fmt::format("timeline {}, {}, {}, timeout {}, policy {}", name, counted(bytes, "byte"), counted(saves, "save"),
                          time_to_live_text(stats.timeout), policy);
  CAIRN_TRY(last, decode_part<Stamp>(row, 3));
  if (saves != 0) part.text += ", last save " + format_time(last.time());
  part.text += "\n";
  part.json = {{"name", name}, {"bytes", bytes}, {"saves", saves}, {"timeout_ms", stats.timeout.count()}, {"policy", policy}};
  part.json["last"] = nullptr;
  if (saves != 0) part.json["last"] = last.to_string();
  return part;
}

Result<Part> list_fork_store(const std::string& name, std::span<const ByteView> row) {
  CAIRN_TRY(stats, stats_of<ForkStoreStats>(row));
  Part part;
  part.text = fmt::format("fork store {}, {}, {}, {}\n", name, counted(stats.segment_bytes, "byte"),
                          counted(stats.accounts, "account"), counted(stats.forks.size(), "fork"));
  part.json = {
      {"name", name}, {"bytes", stats.segment_bytes}, {"accounts", stats.accounts}, {"forks", std::uint64_t{stats.forks.size()}}};
  return part;
}

struct Kind {
  const char* name;   // In a row.
  const char* words;  // For people,
  const char* field;  // and in JSON.
  Result<Part> (*list)(const std::string& name, std::span<const ByteView> row);
};
constexpr Kind kKinds[] = {{"table", "table", "tables", list_table},
                           {"timeline", "timeline", "timelines", list_timeline},
                           {"forks", "fork store", "fork_stores", list_fork_store}};

Result<int> list(const Common& common) {
  CAIRN_TRY(source, Source::open(common.dir));
  std::string text;
  Json json;
  for (const Kind& kind : kKinds) json[kind.field] = Json::array();
  const auto add = [&](std::span<const ByteView> row) -> Result<void> {
    const auto* const kind = std::ranges::find(kKinds, row[0], &Kind::name);
    if (kind == std::end(kKinds)) return {};
    const std::string name(row[1]);
    if (row[2].empty()) {
      text += fmt::format("{} {}, not used by the process that owns the directory since it started\n", kind->words, name);
      json[kind->field].push_back({{"name", name}});
      return {};
    }
    CAIRN_TRY(part, kind->list(name, row));
    text += part.text;
    json[kind->field].push_back(part.json);
    return {};
  };
  CAIRN_TRY_VOID(source.call({.call = database::Request::Call::kList}, add));
  CAIRN_TRY_VOID(source.close());
  if (text.empty()) text = "no tables, timelines or fork stores\n";
  CAIRN_TRY_VOID(print(common.json ? to_line(json) : text));
  return 0;
}

}  // namespace

void add_list(const Command& app) {
  Common& common = app.make_arguments<Common>();
  const Command command = app.add_command("list", "List the tables, timelines and fork stores of DIR, with options and sizes");
  add_directory(command, common.dir);
  command.add_flag("--json", common.json, "Print JSON");
  set_action(command, common, [&common] { return list(common); });
}

}  // namespace cairn::cli
