// cairn list: what a database holds, with the options of each part. It opens every part, as any other command does, and changes
// nothing.
#include <fmt/format.h>

#include "cli/cli.h"
#include "cli/json_lines.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

struct Part {
  std::string text;
  Json json;
};

Result<Part> list_table(Database& database, const std::string& name) {
  CAIRN_TRY(table, database.table(name, {.create_if_missing = false}));
  const TableStats stats = table.stats();
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

Result<Part> list_timeline(Database& database, const std::string& name) {
  CAIRN_TRY(timeline, database.timeline(name, {.create_if_missing = false}));
  const TimelineStats stats = timeline.stats();
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
  const Stamp last = timeline.last();
  if (saves != 0) part.text += ", last save " + format_time(last.time());
  part.text += "\n";
  part.json = {{"name", name}, {"bytes", bytes}, {"saves", saves}, {"timeout_ms", stats.timeout.count()}, {"policy", policy}};
  part.json["last"] = nullptr;
  if (saves != 0) part.json["last"] = last.to_string();
  return part;
}

Result<Part> list_fork_store(Database& database, const std::string& name) {
  CAIRN_TRY(store, database.forks(name, {.create_if_missing = false}));
  const ForkStoreStats stats = store.stats();
  Part part;
  part.text = fmt::format("fork store {}, {}, {}, {}\n", name, counted(stats.segment_bytes, "byte"),
                          counted(stats.accounts, "account"), counted(stats.forks.size(), "fork"));
  part.json = {
      {"name", name}, {"bytes", stats.segment_bytes}, {"accounts", stats.accounts}, {"forks", std::uint64_t{stats.forks.size()}}};
  return part;
}

Result<int> list(const Common& common) {
  CAIRN_TRY(database, open_database(common.dir, IfMissing::kFail));
  std::string text;
  Json json;
  const auto add = [&](const char* field, const std::vector<std::string>& names, const auto& list_one) -> Result<void> {
    json[field] = Json::array();
    for (const std::string& name : names) {
      CAIRN_TRY(part, list_one(database, name));
      text += part.text;
      json[field].push_back(part.json);
    }
    return {};
  };
  CAIRN_TRY_VOID(add("tables", database.tables(), list_table));
  CAIRN_TRY_VOID(add("timelines", database.timelines(), list_timeline));
  CAIRN_TRY_VOID(add("fork_stores", database.fork_stores(), list_fork_store));
  CAIRN_TRY_VOID(database.close());
  if (text.empty()) text = "no tables, timelines or fork stores\n";
  CAIRN_TRY_VOID(print(common.json ? to_line(json) : text));
  return 0;
}

}  // namespace

void add_list(const Command& app) {
  static Common common;
  const Command command = app.add_command("list", "List the tables, timelines and fork stores of DIR, with options and sizes");
  command.add_option("DIR", common.dir, "Directory of the database").required();
  command.add_flag("--json", common.json, "Print JSON");
  set_action(command, common, [] { return list(common); });
}

}  // namespace cairn::cli
