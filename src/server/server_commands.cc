// The server: what it is, does and is told.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "server/glob.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

Result<void> time_now(Context& c) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  c.reply.array(2);
  c.reply.bulk(ByteView(std::to_string(us / 1'000'000)));
  c.reply.bulk(ByteView(std::to_string(us % 1'000'000)));
  return {};
}

/// Bytes of this process that lie in memory: all, and those that are no file's.
struct Resident {
  std::uint64_t all = 0;
  std::uint64_t anonymous = 0;
};
Resident resident() {
  Resident resident;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "VmRSS: %lu", &kib) == 1) resident.all = kib * kKiB;          // NOLINT: a number or nothing.
    if (std::sscanf(line.c_str(), "RssAnon: %lu", &kib) == 1) resident.anonymous = kib * kKiB;  // NOLINT
  }
  return resident;
}

using Section = std::string (*)(Service&);

std::string info_server(Service& service) {
  const std::int64_t up_s = (service.boot_ms() - service.started_boot_ms()) / 1000;
  return fmt::format(
      "redis_version:7.0.15\r\nredis_mode:standalone\r\ncairn_version:{}\r\nos:Linux\r\narch_bits:64\r\nprocess_id:{}\r\nrun_id:{"
      "}\r\n"
      "tcp_port:{}\r\nuptime_in_seconds:{}\r\nuptime_in_days:{}\r\nread_threads:{}\r\n",
      CAIRN_VERSION, getpid(), service.run_id(), service.config().port, up_s, up_s / 86'400, service.config().read_threads);
}

std::string info_clients(Service& service) {
  return fmt::format("connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\n", service.client_count(),
                     service.live().clients_max.load());
}

std::string info_memory(Service& service) {
  const Resident now = resident();
  return fmt::format(
      "used_memory:{}\r\nused_memory_rss:{}\r\nanonymous_memory:{}\r\nclients_memory:{}\r\nclients_memory_max:{}\r\nmaxmemory:"
      "0\r\n"
      "maxmemory_policy:noeviction\r\n",
      now.anonymous, now.all, now.anonymous, service.client_memory(), service.config().client_memory_max);
}

std::string info_persistence(Service& service) {
  std::string state;
  std::string errors;
  if (Timeline* const main = service.databases().find(0)) {
    const TimelineStats stats = main->stats();
    state = stats.write_state;
    for (const std::string& error : stats.job_errors) errors += (errors.empty() ? "" : "; ") + error;
  }
  return fmt::format(
      "loading:0\r\ndurability:{}\r\nwrite_state:{}\r\njob_errors:{}\r\naof_enabled:1\r\naof_last_write_status:{}\r\n",
      durability_name(service.config()), state.empty() ? "ok" : state, errors, state.empty() ? "ok" : "err");
}

std::string info_stats(Service& service) {
  const Counters& counters = service.counters();
  return fmt::format(
      "total_connections_received:{}\r\nrejected_connections:{}\r\nconnections_cut_off:{}\r\ntotal_commands_processed:{}\r\n"
      "reader_commands:{}\r\nwriter_commands:{}\r\nwriter_rounds:{}\r\ntotal_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\n",
      counters.connections.load(), counters.rejected.load(), counters.cut_off.load(),
      counters.reader_commands.load() + counters.writer_commands.load(), counters.reader_commands.load(),
      counters.writer_commands.load(), counters.writer_rounds.load(), counters.input_bytes.load(), counters.output_bytes.load());
}

std::string info_replication(Service& /*service*/) { return "role:master\r\nconnected_slaves:0\r\n"; }

std::string info_cpu(Service& /*service*/) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return fmt::format("used_cpu_sys:{}.{:06}\r\nused_cpu_user:{}.{:06}\r\n", usage.ru_stime.tv_sec, usage.ru_stime.tv_usec,
                     usage.ru_utime.tv_sec, usage.ru_utime.tv_usec);
}

/// Without counts of keys: to count them is a walk over all (DBSIZE).
std::string info_keyspace(Service& service) {
  std::string text;
  for (int number = 0; number < kDatabases; ++number) {
    Timeline* const timeline = service.databases().find(number);
    if (timeline == nullptr) continue;
    const TimelineStats stats = timeline->stats();
    std::uint64_t saves = 0;
    for (const LineStats& line : stats.lines) saves += line.saves;
    if (saves != 0)
      text +=
          fmt::format("db{}:timeline={},saves={},blocks={}\r\n", number, Databases::name_of(number), saves, stats.blocks.size());
  }
  return text;
}

struct NamedSection {
  const char* name;
  Section section;
};
constexpr NamedSection kSections[] = {
    {"Server", info_server}, {"Clients", info_clients},         {"Memory", info_memory}, {"Persistence", info_persistence},
    {"Stats", info_stats},   {"Replication", info_replication}, {"CPU", info_cpu},       {"Keyspace", info_keyspace},
};

Result<void> info(Context& c) {
  std::string text;
  for (const NamedSection& each : kSections) {
    bool wanted = c.size() == 1;
    for (const ByteView word : c.arguments.subspan(1)) {
      wanted |=
          same_word(word, each.name) || same_word(word, "all") || same_word(word, "default") || same_word(word, "everything");
    }
    if (!wanted) continue;
    text += (text.empty() ? "# " : "\r\n# ") + std::string(each.name) + "\r\n" + each.section(c.service);
  }
  c.reply.verbatim(text);
  return {};
}

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

struct Setting {
  const char* name;
  std::string (*get)(Service&);
  /// None: it cannot be changed while the server runs.
  bool (*set)(Service&, ByteView);
};

bool set_count(std::atomic<std::int64_t>& value, ByteView text, std::int64_t least, std::int64_t most) {
  std::int64_t given = 0;
  if (!parse_integer(text, given) || given < least || given > most) return false;
  value = given;
  return true;
}

const Setting kSettings[] = {
    {"allow-flush", [](Service& s) { return std::string(s.live().allow_flush ? "yes" : "no"); },
     [](Service& s, ByteView text) {
       if (!same_word(text, "yes") && !same_word(text, "no")) return false;
       s.live().allow_flush = same_word(text, "yes");
       return true;
     }},
    {"appendfsync", [](Service& s) { return sync_name(s.config()); }, nullptr},
    {"appendonly", [](Service&) { return std::string("yes"); }, nullptr},
    {"bind", [](Service& s) { return joined(s.config().bind); }, nullptr},
    {"client-memory-max", [](Service& s) { return std::to_string(s.config().client_memory_max); }, nullptr},
    {"databases", [](Service&) { return std::to_string(kDatabases); }, nullptr},
    {"dir", [](Service& s) { return s.config().dir; }, nullptr},
    {"durability", [](Service& s) { return durability_name(s.config()); }, nullptr},
    {"maxclients", [](Service& s) { return std::to_string(s.live().clients_max.load()); },
     [](Service& s, ByteView text) { return set_count(s.live().clients_max, text, 1, 1'000'000); }},
    {"maxmemory", [](Service&) { return std::string("0"); }, nullptr},
    {"maxmemory-policy", [](Service&) { return std::string("noeviction"); }, nullptr},
    {"port", [](Service& s) { return std::to_string(s.config().port); }, nullptr},
    {"proto-max-bulk-len", [](Service&) { return std::to_string(512 * kMiB); }, nullptr},
    {"read-threads", [](Service& s) { return std::to_string(s.config().read_threads); }, nullptr},
    {"save", [](Service&) { return std::string(); }, nullptr},
    {"timeout", [](Service& s) { return std::to_string(s.live().idle_timeout_s.load()); },
     [](Service& s, ByteView text) { return set_count(s.live().idle_timeout_s, text, 0, std::int64_t{1} << 31); }},
};

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

Result<void> config_set(Context& c) {
  if (c.size() % 2 != 0) return refuse("ERR wrong number of arguments for 'config|set' command");
  for (std::size_t i = 2; i < c.size(); i += 2) {
    const Setting* found = nullptr;
    for (const Setting& setting : kSettings) {
      if (same_word(setting.name, c[i])) found = &setting;
    }
    const std::string name(c[i]);
    if (found == nullptr) return refuse("ERR Unknown option or number of arguments for CONFIG SET - '" + name + "'");
    if (found->set == nullptr)
      return refuse("ERR CONFIG SET failed (possibly related to argument '" + name + "') - can't set immutable config");
    if (!found->set(c.service, c[i + 1])) {
      return refuse("ERR CONFIG SET failed (possibly related to argument '" + name +
                    "') - argument couldn't be parsed or is out of range");
    }
  }
  c.reply.ok();
  return {};
}

Result<void> config_resetstat(Context& c) {
  Counters& counters = c.service.counters();
  for (auto* counter : {&counters.connections, &counters.rejected, &counters.cut_off, &counters.reader_commands,
                        &counters.writer_commands, &counters.writer_rounds, &counters.input_bytes, &counters.output_bytes}) {
    *counter = 0;
  }
  c.reply.ok();
  return {};
}

bool is_subcommand(const CommandInfo& info) { return ByteView(info.name).find(' ') != ByteView::npos; }

void describe(Reply& reply, const CommandInfo& info) {
  reply.array(10);
  reply.bulk(ByteView(full_name(info)));
  reply.integer(info.arity);
  std::vector<const char*> flags;
  if ((info.flags & kWrites) != 0) flags.push_back("write");
  if ((info.flags & kWrites) == 0 && (info.flags & kReads) != 0) flags.push_back("readonly");
  if ((info.flags & kAdmin) != 0) flags.push_back("admin");
  if ((info.flags & kNoAuth) != 0) flags.push_back("no_auth");
  if ((info.flags & kFast) != 0) flags.push_back("fast");
  reply.set(flags.size());
  for (const char* flag : flags) reply.simple(flag);
  reply.integer(info.first_key);
  reply.integer(info.last_key);
  reply.integer(info.key_step);
  reply.set(1);
  reply.simple(std::string("@") + info.group);
  for (int i = 0; i < 3; ++i) reply.array(0);  // Tips, key specifications, subcommands.
}

Result<void> command(Context& c) {
  c.reply.array(all_commands().size());
  for (const CommandInfo* info : all_commands()) describe(c.reply, *info);
  return {};
}

Result<void> command_count(Context& c) {
  c.reply.integer(static_cast<std::int64_t>(all_commands().size()));
  return {};
}

Result<void> command_info(Context& c) {
  if (c.size() == 2) return command(c);
  c.reply.array(c.size() - 2);
  for (const ByteView name : c.arguments.subspan(2)) {
    const CommandInfo* const found = command_named(name);
    found == nullptr ? c.reply.null_array() : describe(c.reply, *found);
  }
  return {};
}

Result<void> command_list(Context& c) {
  c.reply.array(all_commands().size());
  for (const CommandInfo* info : all_commands()) c.reply.bulk(ByteView(full_name(*info)));
  return {};
}

/// The names of what a syntax line takes, as redis-cli shows them behind what is typed.
void describe_arguments(Reply& reply, ByteView syntax) {
  reply.array(1);
  reply.map(2);
  reply.bulk(ByteView("name"));
  reply.bulk(syntax);
  reply.bulk(ByteView("type"));
  reply.bulk(ByteView("string"));
}

void document(Reply& reply, const CommandInfo& info) {
  const bool has_arguments = *info.syntax != '\0';
  reply.map(has_arguments ? 4 : 3);
  const auto pair = [&](const char* key, const char* value) {
    reply.bulk(ByteView(key));
    reply.bulk(ByteView(value));
  };
  pair("summary", info.summary);
  pair("since", info.since);
  pair("group", info.group);
  if (!has_arguments) return;
  reply.bulk(ByteView("arguments"));
  describe_arguments(reply, info.syntax);
}

Result<void> command_docs(Context& c) {
  std::vector<const CommandInfo*> wanted;
  if (c.size() == 2) {
    for (const CommandInfo* info : all_commands()) {
      if (!is_subcommand(*info)) wanted.push_back(info);
    }
  }
  for (const ByteView name : c.arguments.subspan(2)) {
    if (const CommandInfo* const found = command_named(name)) wanted.push_back(found);
  }
  c.reply.map(wanted.size());
  for (const CommandInfo* info : wanted) {
    c.reply.bulk(ByteView(full_name(*info)));
    document(c.reply, *info);
  }
  return {};
}

constexpr const char* kGroup = "server";

constexpr CommandInfo kCommands[] = {
    {"COMMAND", 1, Where::kReader, 0, 0, 0, 0, command, kGroup, "2.8.13", "Get array of command details", ""},
    {"COMMAND COUNT", 2, Where::kReader, 0, 0, 0, 0, command_count, kGroup, "2.8.13", "Get total number of commands", ""},
    {"COMMAND DOCS", -2, Where::kReader, 0, 0, 0, 0, command_docs, kGroup, "7.0.0", "Get documentation of commands",
     "[command-name [command-name ...]]"},
    {"COMMAND INFO", -2, Where::kReader, 0, 0, 0, 0, command_info, kGroup, "2.8.13", "Get array of specific command details",
     "[command-name [command-name ...]]"},
    {"COMMAND LIST", 2, Where::kReader, 0, 0, 0, 0, command_list, kGroup, "7.0.0", "Get the names of all commands", ""},
    {"CONFIG GET", -3, Where::kReader, kAdmin, 0, 0, 0, config_get, kGroup, "2.0.0", "Get the values of configuration parameters",
     "parameter [parameter ...]"},
    {"CONFIG RESETSTAT", 2, Where::kReader, kAdmin, 0, 0, 0, config_resetstat, kGroup, "2.0.0",
     "Reset the stats returned by INFO", ""},
    {"CONFIG SET", -4, Where::kReader, kAdmin, 0, 0, 0, config_set, kGroup, "2.0.0",
     "Set configuration parameters to the given values", "parameter value [parameter value ...]"},
    {"INFO", -1, Where::kReader, 0, 0, 0, 0, info, kGroup, "1.0.0", "Get information and statistics about the server",
     "[section [section ...]]"},
    {"TIME", 1, Where::kReader, kFast, 0, 0, 0, time_now, kGroup, "2.6.0", "Return the current server time", ""},
};

}  // namespace

std::span<const CommandInfo> server_commands() { return kCommands; }

}  // namespace cairn::server
