// cairn table stats.
#include <fmt/format.h>

#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/source.h"

namespace cairn::cli {
namespace {

Json to_json(const TableStats& stats) {
  Json object;
  object["families"] = Json::array();
  for (const FamilyStats& family : stats.families) object["families"].push_back(cli::to_json(family));
  object["layers"] = Json::array();
  for (const LayerStats& layer : stats.layers) {
    object["layers"].push_back({{"family", layer.family},
                                {"kind", layer.kind},
                                {"files", layer.files},
                                {"bytes", layer.bytes},
                                {"records", layer.records},
                                {"version_first", layer.version_first},
                                {"version_last", layer.version_last}});
  }
  object["visible_version"] = stats.visible_version;
  object["large_values"] = stats.large_values;
  object["large_bytes"] = stats.large_bytes;
  object["unsealed_bytes"] = stats.unsealed_bytes;
  object["unsealed_bytes_max"] = stats.unsealed_bytes_max;
  object["runs_max"] = stats.runs_max;
  object["debt"] = stats.debt;
  object["write_rate_max"] = stats.write_rate_max;
  object["write_wait_ms_max"] = stats.write_wait_ms_max;
  object["longest_wait_ms"] = stats.longest_wait_ms;
  object["delays"] = stats.delays;
  object["delayed_ms"] = stats.delayed_ms;
  object["stalls"] = stats.stalls;
  object["writes"] = stats.writes;
  object["written_bytes"] = stats.written_bytes;
  object["log_bytes"] = stats.log_bytes;
  object["sealed_bytes_written"] = stats.sealed_bytes_written;
  object["syncs"] = stats.syncs;
  object["flushes"] = stats.flushes;
  object["compactions"] = stats.compactions;
  object["write_amplification"] = stats.write_amplification;
  object["memory_bytes"] = stats.memory_bytes;
  object["maps_open"] = stats.maps_open;
  object["maps_max"] = stats.maps_max;
  object["oldest_pin"] = nullptr;
  if (stats.oldest_pin) {
    object["oldest_pin"] = {{"id", stats.oldest_pin->id},
                            {"label", stats.oldest_pin->label},
                            {"write_version", stats.oldest_pin->write_version},
                            {"age_ms", stats.oldest_pin->age_ms},
                            {"written_bytes_since", stats.oldest_pin->written_bytes_since}};
  }
  object["jobs"] = jobs_to_json(stats.jobs);
  object["open_reports"] = stats.open_reports;
  object["write_state"] = stats.write_state;
  return object;
}

std::string words_for(const std::vector<IndexOptions>& indexes) {
  std::string words;
  for (const IndexOptions& index : indexes) {
    words += fmt::format("{}{}:{}:{}", words.empty() ? "" : " ", index.name, index.term_bytes, index.extractor);
  }
  return words.empty() ? "none" : words;
}

std::string to_text(const TableStats& stats) {
  std::string text;
  text += fmt::format("{:<24} {:<12} {:<12} {}\n", "family", "compression", "ttl", "indexes");
  for (const FamilyStats& family : stats.families) {
    text += fmt::format("{:<24} {:<12} {:<12} {}\n", family.name, name_of(family.compression), time_to_live_text(family.ttl),
                        words_for(family.indexes));
  }
  text += fmt::format("{:>3}  {:<18} {:<12} {:>12} {:>12}  {}\n", "", "layer", "family", "records", "bytes", "files");
  for (std::size_t i = 0; i < stats.layers.size(); ++i) {
    const LayerStats& layer = stats.layers[i];
    text += fmt::format("{:>3}  {:<18} {:<12} {:>12} {:>12}  {}\n", i, layer.kind, layer.family, layer.records, layer.bytes,
                        fmt::join(layer.files, " "));
  }
  text += fmt::format("visible version     {}\n", stats.visible_version);
  text += fmt::format("unsealed            {} bytes (writes wait at {}, at most {} ms)\n", stats.unsealed_bytes,
                      stats.unsealed_bytes_max, stats.write_wait_ms_max);
  text += fmt::format("debt                {:.0f} %", 100 * stats.debt);
  if (stats.write_rate_max != 0) text += fmt::format(", writes limited to {} bytes a second", stats.write_rate_max);
  text += "\n";
  text += fmt::format("memory              {} bytes of indexes\n", stats.memory_bytes);
  text += fmt::format("maps                {} of at most {}\n", stats.maps_open, stats.maps_max);
  if (stats.oldest_pin) {
    text += fmt::format("oldest pin          {}, {} ms old, holds back what {} bytes written since replaced\n",
                        stats.oldest_pin->label, stats.oldest_pin->age_ms, stats.oldest_pin->written_bytes_since);
  }
  for (const JobStats& job : stats.jobs)
    text += fmt::format("job                 {}: {} of {} bytes\n", job.name, job.bytes_done, job.bytes_total);
  for (const std::string& report : stats.open_reports) text += fmt::format("report              {}\n", report);
  if (!stats.write_state.empty()) text += fmt::format("writing             {}\n", stats.write_state);
  return text;
}

Result<int> stats(const Common& common) {
  CAIRN_TRY(source, Source::open(common.dir));
  CAIRN_TRY(stats, source.ask<TableStats>(
                       {.call = database::Request::Call::kTableStats, .view = common.table, .family = common.family}));
  CAIRN_TRY_VOID(source.close());
  CAIRN_TRY_VOID(print(common.json ? to_line(to_json(stats)) : to_text(stats)));
  return 0;
}

}  // namespace

void add_stats(const Command& table) {
  Common& common = table.make_arguments<Common>();
  const Command command = table.add_command("stats", "Print layers, bytes, pins and jobs");
  add_common(command, common);
  set_action(command, common, [&common] { return stats(common); });
}

}  // namespace cairn::cli
