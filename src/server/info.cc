// INFO: what the server is and does.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "server/client.h"
#include "server/history.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

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

using Section = std::string (*)(Context&);

bool hides_totals(const Context& c) { return c.who != nullptr && c.who->hides_totals; }

std::string info_server(Context& c) {
  Service& service = c.service;
  const std::int64_t up_s = (service.boot_ms() - service.started_boot_ms()) / 1000;
  return fmt::format(
      "redis_version:7.0.15\r\nredis_mode:standalone\r\ncairn_version:{}\r\nos:Linux\r\narch_bits:64\r\nprocess_id:{}\r\nrun_id:{"
      "}\r\n"
      "tcp_port:{}\r\nuptime_in_seconds:{}\r\nuptime_in_days:{}\r\nread_threads:{}\r\n",
      CAIRN_VERSION, getpid(), service.run_id(), service.config().port, up_s, up_s / 86'400, service.config().read_threads);
}

std::string info_clients(Context& c) {
  Service& service = c.service;
  return fmt::format("connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\n", service.client_count(),
                     service.live().clients_max.load());
}

std::string info_memory(Context& c) {
  Service& service = c.service;
  const Resident now = resident();
  return fmt::format(
      "used_memory:{}\r\nused_memory_rss:{}\r\nanonymous_memory:{}\r\nclients_memory:{}\r\nclients_memory_max:{}\r\nmaxmemory:"
      "0\r\n"
      "maxmemory_policy:noeviction\r\nmem_allocator:libc\r\nused_memory_lua:{}\r\nnumber_of_cached_scripts:{}\r\n",
      now.anonymous, now.all, now.anonymous, service.client_memory(),
      service.config().client_memory_mib * static_cast<std::int64_t>(kMiB), service.scripts().memory.load(),
      service.scripts().cached.load());
}

std::string info_backups(Service& service) {
  const Backups::Status status = service.backups().status();
  const auto seconds = [](std::int64_t ms) { return ms / 1000; };
  return fmt::format(
      "rdb_bgsave_in_progress:{}\r\nrdb_last_save_time:{}\r\nrdb_last_bgsave_status:{}\r\nrdb_last_bgsave_time_sec:{}\r\n"
      "rdb_current_bgsave_time_sec:{}\r\nbackup_last_name:{}\r\nbackup_last_error:{}\r\nbackup_next_time:{}\r\n"
      "backup_copies:{}\r\n",
      status.running ? 1 : 0, service.last_save_s(), status.error.empty() ? "ok" : "err",
      status.last_took_ms == 0 ? -1 : seconds(status.last_took_ms),
      status.running ? seconds(system_clock().wall_ms() - status.running_since_ms) : -1, status.last_name, status.error,
      seconds(status.next_ms), status.copies);
}

std::string info_persistence(Context& c) {
  Service& service = c.service;
  std::string state;
  std::string errors;
  if (Timeline* const main = service.databases().find(0)) {
    const TimelineStats stats = main->stats();
    state = stats.write_state;
    for (const std::string& error : stats.job_errors) errors += (errors.empty() ? "" : "; ") + error;
  }
  return fmt::format(
      "loading:0\r\ndurability:{}\r\nwrite_state:{}\r\njob_errors:{}\r\naof_enabled:1\r\naof_last_write_status:{}\r\n"
      "disk_free_bytes:{}\r\ndisk_total_bytes:{}\r\ndisk_state:{}\r\n{}{}",
      durability_name(service.config()), state.empty() ? "ok" : state, errors, state.empty() ? "ok" : "err",
      service.disk().free_bytes(), service.disk().total_bytes(), service.disk().nearly_full() ? "nearly full" : "ok",
      info_backups(service), hides_totals(c) ? "" : info_histories(service.databases()));
}

/// nullopt: nothing was ever saved in the database, or it is damaged, which `cairn verify` explains.
std::optional<KeyCounts> counts_of(const Service& service, int number) {
  const Timeline* const timeline = service.databases().find(number);
  if (timeline == nullptr) return std::nullopt;
  const Result<KeyCounts> counts = timeline->key_counts();
  return counts ? std::optional(*counts) : std::nullopt;
}

std::string info_stats(Context& c) {
  Service& service = c.service;
  const Counters& counters = service.counters();
  std::uint64_t expired = 0;
  for (int number = 0; number < kDatabases; ++number) expired += counts_of(service, number).value_or(KeyCounts{}).expired;
  return fmt::format(
      "total_connections_received:{}\r\nrejected_connections:{}\r\nconnections_cut_off:{}\r\ntotal_commands_processed:{}\r\n"
      "instantaneous_ops_per_sec:{}\r\nexpired_keys:{}\r\nevicted_keys:0\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n"
      "reader_commands:{}\r\nwriter_commands:{}\r\nwriter_rounds:{}\r\ntotal_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\n",
      counters.connections.load(), counters.rejected.load(), counters.cut_off.load(), counters.commands(),
      counters.commands_per_s.load(), expired, counters.hits.load(), counters.misses.load(), counters.reader_commands.load(),
      counters.writer_commands.load(), counters.writer_rounds.load(), counters.input_bytes.load(), counters.output_bytes.load());
}

std::string info_replication(Context& /*c*/) { return "role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n"; }

std::string info_cpu(Context& /*c*/) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return fmt::format("used_cpu_sys:{}.{:06}\r\nused_cpu_user:{}.{:06}\r\n", usage.ru_stime.tv_sec, usage.ru_stime.tv_usec,
                     usage.ru_utime.tv_sec, usage.ru_utime.tv_usec);
}

std::string info_keyspace(Context& c) {
  std::string text;
  if (hides_totals(c)) return text;
  for (int number = 0; number < kDatabases; ++number) {
    const std::optional<KeyCounts> counts = counts_of(c.service, number);
    if (!counts || counts->keys == 0) continue;
    text += fmt::format("db{}:keys={},expires={},avg_ttl=0\r\n", number, counts->keys, counts->expiring);
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

}  // namespace

Result<void> info(Context& c) {
  std::string text;
  for (const NamedSection& each : kSections) {
    bool wanted = c.size() == 1;
    for (const ByteView word : c.arguments.subspan(1)) {
      wanted |=
          same_word(word, each.name) || same_word(word, "all") || same_word(word, "default") || same_word(word, "everything");
    }
    if (!wanted) continue;
    text += (text.empty() ? "# " : "\r\n# ") + std::string(each.name) + "\r\n" + each.section(c);
  }
  c.reply.verbatim(text);
  return {};
}

}  // namespace cairn::server
