// What is counted, for Prometheus.
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "server/http_api.h"

namespace cairn::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  void add(const char* name, const char* help, MetricType type, double value, std::vector<ClientMetric::Label> labels = {}) {
    if (families_.empty() || families_.back().name != name) families_.push_back({name, help, type, {}});
    ClientMetric metric;
    metric.label = std::move(labels);
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    families_.back().metric.push_back(std::move(metric));
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

struct OfTimeline {
  const char* name;
  const char* help;
  MetricType type;
  std::uint64_t (*value)(const TimelineStats&);
};
constexpr OfTimeline kOfTimelines[] = {
    {"cairn_timeline_lookups_total", "Lookups of keys", MetricType::Counter, [](const TimelineStats& s) { return s.lookups; }},
    {"cairn_timeline_index_probes_total", "Looks into an index", MetricType::Counter,
     [](const TimelineStats& s) { return s.index_probes; }},
    {"cairn_timeline_writes_total", "Writes", MetricType::Counter, [](const TimelineStats& s) { return s.writes; }},
    {"cairn_timeline_written_bytes_total", "Bytes of keys and data", MetricType::Counter,
     [](const TimelineStats& s) { return s.written_bytes; }},
    {"cairn_timeline_log_bytes_total", "Bytes of log", MetricType::Counter, [](const TimelineStats& s) { return s.log_bytes; }},
    {"cairn_timeline_syncs_total", "Syncs of the log", MetricType::Counter, [](const TimelineStats& s) { return s.syncs; }},
    {"cairn_timeline_blocks_closed_total", "Blocks that were closed", MetricType::Counter,
     [](const TimelineStats& s) { return s.blocks_closed; }},
    {"cairn_timeline_blocks_expired_total", "Blocks that left the main line", MetricType::Counter,
     [](const TimelineStats& s) { return s.blocks_expired; }},
    {"cairn_timeline_memory_bytes", "Indexes in memory", MetricType::Gauge,
     [](const TimelineStats& s) { return s.memory_bytes; }},
    {"cairn_timeline_index_bytes", "Indexes on disk", MetricType::Gauge, [](const TimelineStats& s) { return s.index_bytes; }},
    {"cairn_timeline_index_files", "Index files", MetricType::Gauge, [](const TimelineStats& s) { return s.index_files; }},
    {"cairn_timeline_timeout_seconds", "How long a save stays in the history, rounded up; 0: for ever", MetricType::Gauge,
     [](const TimelineStats& s) {
       return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(s.timeout).count());
     }},
    {"cairn_timeline_writable", "1: saves are taken", MetricType::Gauge,
     [](const TimelineStats& s) { return std::uint64_t{s.write_state.empty()}; }},
    {"cairn_timeline_job_errors", "Kinds of background work that stand still", MetricType::Gauge,
     [](const TimelineStats& s) { return std::uint64_t{s.job_errors.size()}; }},
};

void add_server(Families& families, Service& service) {
  const Counters& counters = service.counters();
  const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
    families.add(name, help, MetricType::Counter, static_cast<double>(value));
  };
  const auto gauge = [&](const char* name, const char* help, std::uint64_t value) {
    families.add(name, help, MetricType::Gauge, static_cast<double>(value));
  };
  counter("cairn_connections_total", "Connections that were made", counters.connections);
  counter("cairn_connections_rejected_total", "Connections that were one too many", counters.rejected);
  counter("cairn_connections_cut_off_total", "Connections that took nothing, or had too much in memory", counters.cut_off);
  counter("cairn_reader_commands_total", "Commands run by read threads", counters.reader_commands);
  counter("cairn_writer_commands_total", "Commands run by the writer", counters.writer_commands);
  counter("cairn_writer_rounds_total", "Rounds of the writer, each acknowledged together", counters.writer_rounds);
  counter("cairn_received_bytes_total", "Bytes from clients", counters.input_bytes);
  counter("cairn_sent_bytes_total", "Bytes to clients", counters.output_bytes);
  gauge("cairn_clients", "Connections now", service.client_count());
  gauge("cairn_disk_free_bytes", "Room left on the disk of the database", service.disk().free_bytes());
  gauge("cairn_disk_bytes", "Size of that disk", service.disk().total_bytes());
  gauge("cairn_disk_nearly_full", "1: less than 10 % and less than 10 GiB are free", service.disk().nearly_full() ? 1 : 0);
  const Backups::Status backup = service.backups().status();
  gauge("cairn_backup_last_success_timestamp_seconds", "When the last copy that is whole was begun; 0: there is none",
        static_cast<std::uint64_t>(backup.last_ms / 1000));
  gauge("cairn_backup_failed", "1: the last copy failed", backup.error.empty() ? 0 : 1);
  gauge("cairn_client_memory_bytes", "What clients have in memory", service.client_memory());
}

}  // namespace

std::string metrics_text(Service& service) {
  Families families;
  add_server(families, service);
  std::vector<std::pair<std::string, TimelineStats>> all;
  for (int number = 0; number < kDatabases; ++number) {
    if (const Timeline* const timeline = service.databases().find(number))
      all.emplace_back(std::to_string(number), timeline->stats());
  }
  for (const OfTimeline& each : kOfTimelines) {
    for (const auto& [number, stats] : all) {
      families.add(each.name, each.help, each.type, static_cast<double>(each.value(stats)), {{"db", number}});
    }
  }
  for (const auto& [number, stats] : all) {
    for (const LineStats& line : stats.lines) {
      families.add("cairn_timeline_line_bytes", "Bytes of the blocks of a line", MetricType::Gauge,
                   static_cast<double>(line.bytes), {{"db", number}, {"line", line.name}});
    }
  }
  return families.text();
}

}  // namespace cairn::server
