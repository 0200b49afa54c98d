// CONFIG: settings as Redis names them. CONFIG SET sets all that it is given, or nothing.
#include <set>

#include "base/error.h"
#include "server/glob.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}
/// As Redis names how often its log is synced.
std::string sync_name(const Config& config) {
  if (config.durability == Durability::kDisk) return "always";
  return config.sync_interval_ms != 0 ? "everysec" : "no";
}

/// Checks a value, and stores it if `store` is true. Why it cannot be set, as Redis says it; empty: it can.
using Set = std::string (*)(Service&, ByteView value, bool store);

struct Setting {
  const char* name;
  std::string (*get)(Service&);
  Set set;  // None: only the value that it has may be "set".
};

std::string set_count(std::atomic<std::int64_t>& value, ByteView text, std::int64_t least, std::int64_t most, bool store) {
  std::int64_t given = 0;
  if (!parse_integer(text, given)) return "argument couldn't be parsed into an integer";
  if (given < least || given > most) {
    return "argument must be between " + std::to_string(least) + " and " + std::to_string(most) + " inclusive";
  }
  if (store) value = given;
  return "";
}

std::string set_clients_max(Service& service, ByteView text, bool store) {
  std::int64_t given = 0;
  const std::int64_t most = service.clients_possible();
  if (parse_integer(text, given) && given > most && given <= kClientsMost) {
    return "the limit on open files allows " + std::to_string(most) + " clients";
  }
  return set_count(service.live().clients_max, text, 1, kClientsMost, store);
}

std::string set_flush(Service& service, ByteView text, bool store) {
  if (!same_word(text, "yes") && !same_word(text, "no")) return "argument must be 'yes' or 'no'";
  if (store) service.live().allow_flush = same_word(text, "yes");
  return "";
}

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

const Setting kSettings[] = {
    {"allow-flush", [](Service& s) { return std::string(s.live().allow_flush ? "yes" : "no"); }, set_flush},
    {"appendfsync", [](Service& s) { return sync_name(s.config()); }, nullptr},
    {"appendonly", [](Service&) { return std::string("yes"); }, nullptr},
    {"bind", [](Service& s) { return joined(s.config().bind); }, nullptr},
    {"client-memory-max", [](Service& s) { return std::to_string(s.config().client_memory_max); }, nullptr},
    {"daemonize", [](Service&) { return std::string("no"); }, nullptr},
    {"databases", [](Service&) { return std::to_string(kDatabases); }, nullptr},
    {"dir", [](Service& s) { return s.config().dir; }, nullptr},
    {"durability", [](Service& s) { return durability_name(s.config()); }, nullptr},
    {"http-hosts", [](Service& s) { return joined(s.config().http_hosts); }, nullptr},
    {"maxclients", [](Service& s) { return std::to_string(s.live().clients_max.load()); }, set_clients_max},
    {"maxmemory", [](Service&) { return std::string("0"); }, nullptr},
    {"maxmemory-clients", [](Service&) { return std::string("0"); }, nullptr},
    {"maxmemory-policy", [](Service&) { return std::string("noeviction"); }, nullptr},
    {"maxmemory-samples", [](Service&) { return std::string("5"); }, nullptr},
    {"port", [](Service& s) { return std::to_string(s.config().port); }, nullptr},
    {"proto-max-bulk-len", [](Service&) { return std::to_string(512 * kMiB); }, nullptr},
    {"read-threads", [](Service& s) { return std::to_string(s.config().read_threads); }, nullptr},
    {"replicaof", [](Service&) { return std::string(); }, nullptr},
    {"save", [](Service&) { return std::string(); }, nullptr},
    {"script-time-ms", [](Service& s) { return std::to_string(s.scripts().time_ms_max.load()); },
     [](Service& s, ByteView text, bool store) {
       return set_count(s.scripts().time_ms_max, text, 1, std::int64_t{1} << 31, store);
     }},
    {"slaveof", [](Service&) { return std::string(); }, nullptr},
    {"slowlog-log-slower-than", [](Service& s) { return std::to_string(s.slow_log().slower_than_us.load()); },
     [](Service& s, ByteView text, bool store) { return set_count(s.slow_log().slower_than_us, text, -1, kAny, store); }},
    {"slowlog-max-len", [](Service& s) { return std::to_string(s.slow_log().entries_max.load()); },
     [](Service& s, ByteView text, bool store) { return set_count(s.slow_log().entries_max, text, 0, 1'000'000, store); }},
    {"timeout", [](Service& s) { return std::to_string(s.live().idle_timeout_s.load()); },
     [](Service& s, ByteView text, bool store) {
       return set_count(s.live().idle_timeout_s, text, 0, std::int64_t{1} << 31, store);
     }},
};

const Setting* setting_named(ByteView name) {
  for (const Setting& setting : kSettings) {
    if (same_word(setting.name, name)) return &setting;
  }
  return nullptr;
}

Result<void> config_get(Context& c) {
  std::vector<const Setting*> found;
  for (const Setting& setting : kSettings) {
    for (const ByteView pattern : c.arguments.subspan(2)) {
      if (!glob_match(pattern, setting.name, true)) continue;
      found.push_back(&setting);
      break;
    }
  }
  c.reply.map(found.size());
  for (const Setting* setting : found) {
    c.reply.bulk(ByteView(setting->name));
    c.reply.bulk(ByteView(setting->get(c.service)));
  }
  return {};
}

/// Why `value` cannot be set; empty: it can.
std::string objection(Service& service, const Setting& setting, ByteView value) {
  if (setting.set != nullptr) return setting.set(service, value, false);
  return setting.get(service) == value ? "" : "can't set immutable config";
}

Result<void> config_set(Context& c) {
  if (c.size() % 2 != 0) return refuse_syntax();
  const auto failed = [](ByteView name, const std::string& why) {
    return refuse("ERR CONFIG SET failed (possibly related to argument '" + std::string(name) + "') - " + why);
  };
  std::set<const Setting*> named;
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const Setting* const setting = setting_named(c[i]);
    if (setting == nullptr) {
      return refuse("ERR Unknown option or number of arguments for CONFIG SET - '" + std::string(up_to_zero(c[i])) + "'");
    }
    if (!named.insert(setting).second) return failed(c[i], "duplicate parameter");
  }
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const std::string why = objection(c.service, *setting_named(c[i]), c[i + 1]);
    if (!why.empty()) return failed(c[i], why);
  }
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const Setting& setting = *setting_named(c[i]);
    if (setting.set != nullptr) setting.set(c.service, c[i + 1], true);
  }
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
