// CONFIG: settings as Redis names them. CONFIG SET sets all that it is given, or nothing.
#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "server/glob.h"
#include "server/history.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

/// The value that a setting has now, as Redis prints it.
std::string redis_text(Service& service, const Setting& setting) {
  const bool is_switch = std::holds_alternative<SwitchForm>(setting.form);
  if (setting.live != nullptr) {
    const std::int64_t value = service.live().*setting.live;
    return is_switch ? (value != 0 ? "yes" : "no") : std::to_string(value);
  }
  const Config& config = service.config();
  if (const auto* const text = std::get_if<TextForm>(&setting.form)) return config.*text->at;
  if (const auto* const custom = std::get_if<CustomForm>(&setting.form)) return custom->get(config);
  if (const auto* const list = std::get_if<ListForm>(&setting.form)) {
    std::string joined;
    for (const std::string& word : config.*list->at) joined += (joined.empty() ? "" : " ") + word;
    return joined;
  }
  return setting.value(config);
}

/// How often the log is synced, in the words of Redis.
std::string sync_name(const Config& config) {
  if (config.durability == Durability::kDisk) return "always";
  return config.sync_interval_ms != 0 ? "everysec" : "no";
}

/// Settings of Redis that clients ask for, with the only value that they have here.
const std::map<std::string, std::string>& fixed_values() {
  static const std::map<std::string, std::string> values{{"appendonly", "yes"},
                                                         {"daemonize", "no"},
                                                         {"databases", std::to_string(kDatabases)},
                                                         {"maxmemory", "0"},
                                                         {"maxmemory-clients", "0"},
                                                         {"maxmemory-policy", "noeviction"},
                                                         {"maxmemory-samples", "5"},
                                                         {"proto-max-bulk-len", std::to_string(512 * kMiB)},
                                                         {"replicaof", ""},
                                                         {"save", ""},
                                                         {"slaveof", ""}};
  return values;
}
constexpr const char* kSync = "appendfsync";  // Follows from the durability.

/// All names of CONFIG, in order; nullptr: the value is fixed.
const std::map<std::string, const Setting*>& known_names() {
  static const auto names = [] {
    std::map<std::string, const Setting*> all{{kSync, nullptr}};
    for (const auto& [name, value] : fixed_values()) all[name] = nullptr;
    for (const Setting& setting : settings()) all[setting.config_name()] = &setting;
    return all;
  }();
  return names;
}

/// The name in CONFIG of a setting that a client calls `text`. A client may write capitals and '_', and may use the name that the
/// setting has in a file.
std::string name_of(ByteView text) {
  std::string name = small_letters(text);
  std::ranges::replace(name, '_', '-');
  for (const Setting& setting : settings()) {
    if (setting.flag().starts_with("--" + name + ",")) return setting.config_name();
  }
  return name;
}

std::string value_of(Service& service, const std::string& name, const Setting* setting) {
  if (name == "timeline-timeout") return timeouts_now(service.databases());
  if (name == "timeline-policy") return policies_now(service.databases());
  if (setting != nullptr) return redis_text(service, *setting);
  return name == kSync ? sync_name(service.config()) : fixed_values().at(name);
}

Result<void> config_get(Context& c) {
  std::map<std::string, std::string> found;
  for (const auto& [name, setting] : known_names()) {
    for (const ByteView pattern : c.arguments.subspan(2)) {
      if (glob_match(pattern, name, true) || name_of(pattern) == name) found[name] = value_of(c.service, name, setting);
    }
  }
  c.reply.map(found.size());
  for (const auto& [name, value] : found) {
    c.reply.bulk(ByteView(name));
    c.reply.bulk(ByteView(value));
  }
  return {};
}

/// Reads `text` as a value of `setting`, one that CONFIG SET can change. Returns the reason why it cannot, in the words of Redis;
/// empty: `value` has it.
std::string take(Service& service, const Setting& setting, ByteView text, std::int64_t& value) {
  const auto* const form = std::get_if<NumberForm>(&setting.form);
  if (form == nullptr) {
    bool on = false;
    if (!parse_switch(text, on)) return "argument must be 'yes' or 'no'";
    value = on ? 1 : 0;
    return "";
  }
  if (!parse_integer(text, value)) return "argument couldn't be parsed into an integer";
  if (value < form->least || value > form->most) {
    return "argument must be between " + std::to_string(form->least) + " and " + std::to_string(form->most) + " inclusive";
  }
  const std::int64_t possible = service.clients_possible();
  if (setting.live == &LiveConfig::clients_max && value > possible) {
    return "the limit on open files allows " + std::to_string(possible) + " clients";
  }
  return "";
}

Result<void> config_set(Context& c) {
  if (c.size() % 2 != 0) return refuse_syntax();
  const auto failed = [](ByteView name, const std::string& why) {
    return refuse("ERR CONFIG SET failed (possibly related to argument '" + std::string(name) + "') - " + why);
  };
  std::set<std::string> named;
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const std::string name = name_of(c[i]);
    if (!known_names().contains(name)) {
      return refuse("ERR Unknown option or number of arguments for CONFIG SET - '" + std::string(up_to_zero(c[i])) + "'");
    }
    if (!named.insert(name).second) return failed(c[i], "duplicate parameter");
  }
  std::vector<std::pair<std::atomic<std::int64_t>*, std::int64_t>> taken;
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const auto& [name, setting] = *known_names().find(name_of(c[i]));
    if (setting != nullptr && setting->live != nullptr) {
      std::int64_t value = 0;
      const std::string why = take(c.service, *setting, c[i + 1], value);
      if (!why.empty()) return failed(c[i], why);
      taken.emplace_back(&(c.service.live().*setting->live), value);
    } else if (value_of(c.service, name, setting) != c[i + 1]) {
      return failed(c[i], "can't set immutable config");
    }
  }
  for (const auto& [live, value] : taken) *live = value;
  c.reply.ok();
  return {};
}

Result<void> config_resetstat(Context& c) {
  Counters& counters = c.service.counters();
  for (auto* counter :
       {&counters.connections, &counters.rejected, &counters.cut_off, &counters.reader_commands, &counters.writer_commands,
        &counters.writer_rounds, &counters.input_bytes, &counters.output_bytes, &counters.hits, &counters.misses}) {
    *counter = 0;
  }
  c.reply.ok();
  return {};
}

constexpr const char* kGroup = "server";

constexpr CommandInfo kCommands[] = {
    {"CONFIG GET", -3, Where::kReader, kAdmin, 0, 0, 0, config_get, kGroup, "2.0.0", "Get the values of configuration parameters",
     "parameter [parameter ...]"},
    {"CONFIG HELP", 2, Where::kReader, kAdmin, 0, 0, 0, subcommand_help, kGroup, "5.0.0",
     "Show helpful text about the different subcommands", ""},
    {"CONFIG RESETSTAT", 2, Where::kReader, kAdmin, 0, 0, 0, config_resetstat, kGroup, "2.0.0",
     "Reset the stats returned by INFO", ""},
    {"CONFIG SET", -4, Where::kReader, kAdmin, 0, 0, 0, config_set, kGroup, "2.0.0",
     "Set configuration parameters to the given values", "parameter value [parameter value ...]"},
};

}  // namespace

std::span<const CommandInfo> config_commands() { return kCommands; }

}  // namespace cairn::server
