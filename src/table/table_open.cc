// Opening, closing and stats of a table. Opening costs what is unsealed: runs are mapped, logs replayed.
#include <algorithm>

#include "base/error.h"
#include "base/handle.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "storage/bus_error.h"
#include "table/scan.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

bool older(const Layer& a, const Layer& b) { return a.version_first() < b.version_first(); }

/// The manifest's runs are in order; whether memtables fit between them is seen only now.
Result<void> check_apart(const std::vector<Layer>& layers) {
  for (std::size_t i = 1; i < layers.size(); ++i) {
    const bool both_runs = layers[i].run && layers[i - 1].run;
    if (!both_runs && layers[i].version_first() <= layers[i - 1].version_last()) {
      return corruption("layers of a table overlap in their versions", layers[i].files().front());
    }
  }
  return {};
}

/// A segment never holds more than a memtable takes.
directory::LogTuning log_tuning(const TableOptions& options, directory::LogTuning tuning) {
  tuning.segment_bytes_max = std::min(tuning.segment_bytes_max, options.memtable_bytes_max);
  return tuning;
}

std::atomic<std::uint64_t> next_id{1};

}  // namespace

TableImpl::TableImpl(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry, const TableOptions& options,
                     const Tuning& tuning)
    : id_(next_id.fetch_add(1)),
      directory_(std::move(directory)),
      environment_(directory_->environment()),
      entry_(std::move(entry)),
      options_(options),
      tuning_(tuning),
      log_(directory_, entry_.number, entry_.name, log_tuning(options_, tuning_)) {}

// A destructor cannot report; every acknowledged write is in the log, which the next open replays.
TableImpl::~TableImpl() { close(true).ignore_error(); }

Result<std::shared_ptr<TableImpl>> TableImpl::open(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry,
                                                   const TableOptions& options, const Tuning& tuning) {
  if (options.memtable_bytes_max == 0) return fail(ErrorCode::kInvalidArgument, "memtable_bytes_max is 0");
  std::shared_ptr<TableImpl> table = share_at_home(new TableImpl(std::move(directory), std::move(entry), options, tuning));
  CAIRN_TRY_VOID(table->load());
  return table;
}

Result<void> TableImpl::load() {
  auto line_up = std::make_shared<LineUp>();
  WriteVersion last = 0;  // A table without layers has only the versions that are still to come.
  for (const directory::FamilyEntry& entry : entry_.families) {
    CAIRN_TRY(family, Family::from(entry));
    if (!family->indexes.empty()) has_indexes_ = true;
    std::vector<Layer> layers;
    for (const directory::RunEntry& run : entry.runs) {
      CAIRN_TRY(opened, Run::open(*directory_, run, entry_.number, entry.number));
      layers.emplace_back(opened);
      last = std::max(last, run.version_last);
    }
    line_up->families.push_back(
        {.family = family, .layers = std::move(layers), .dead = std::make_shared<DeadRanges>(tuning_.dead_keys_min)});
  }
  auto large = std::make_shared<LargeValues>();
  for (const directory::LargeEntry& entry : entry_.large) {
    CAIRN_TRY(value, LargeValue::open(*directory_, entry, entry_.number));
    large->emplace(directory::FileName::parse(entry.file)->number, value);
  }
  line_up->large = std::move(large);
  {
    const MutexLock lock(log_.mutex);
    active_ = new_memtable(*line_up);
    for (const LineUp::OfFamily& each : line_up->families) dead_.push_back(each.dead);
    line_up->active = Layer(active_);
    log_.raise_versions(last);
    runs_ = settled_runs(*line_up);
    set_line_up(line_up);
  }
  CAIRN_TRY_VOID(replay());
  report_extractor_failures();
  {
    const MutexLock lock(state_mutex_);
    loaded_ = true;
  }
  if (unsealed_bytes_.load() > options_.memtable_bytes_max || entry_.log.size() > tuning_.unsealed_segments_at_close_max) {
    schedule_flush();
  }
  schedule_compaction();
  // A Model has a family for each of its classes: other tables are not asked.
  if (entry_.families.size() > 1) {
    CAIRN_TRY(of_model, get(0, kModelKey, kNow));
    const MutexLock lock(log_.mutex);
    of_model_ = of_model.has_value();
  }
  return {};
}

Result<void> TableImpl::attach_model() {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(check_open());
  if (model_open_) return fail(ErrorCode::kBusy, "table '" + entry_.name + "' is used by another Model of this process");
  if (ingests_ > 0) return fail(ErrorCode::kBusy, "an ingest into table '" + entry_.name + "' is under way");
  model_open_ = true;
  of_model_ = true;
  return {};
}

void TableImpl::detach_model(bool keeps_objects) {
  const MutexLock lock(log_.mutex);
  model_open_ = false;
  of_model_ = keeps_objects;
}

/// Indexes the unsealed segments, which have all ended, in memtables of the usual size. A full one is flushed while the
/// next is filled, so that opening takes no more memory than running did.
Result<void> TableImpl::replay() {
  std::shared_ptr<Memtable> memtable = new_memtable(*line_up_.get());
  const auto next_memtable = [&]() -> Result<void> {
    CAIRN_TRY_VOID(add_replayed(memtable));
    memtable = new_memtable(*line_up_.get());
    return {};
  };
  WriteVersion last_version = 0;
  std::set<std::uint64_t> referenced;  // Numbers of large values.
  for (const directory::SegmentEntry& segment : entry_.log) {
    Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(segment.file);
    if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", segment.file);
    CAIRN_TRY_VOID(map);
    CAIRN_TRY(reader, segment::SegmentReader::open(*map, directory_->database_id(),
                                                   directory::FileName::parse(segment.file)->number, entry_.number));
    // Range tombstones are cut at each other anew for each write: those of another segment belong to another memtable.
    if (memtable->log_bytes() >= options_.memtable_bytes_max || memtable->range_tombstone_count() != 0) {
      CAIRN_TRY_VOID(next_memtable());
      schedule_flush();
      wait_until_below_bound();
    }
    const Memtable::Source source{directory_->live(*map), 0};
    bool first = true;
    std::uint64_t stamp = 0;  // Stamp of the write being replayed: only the records of one batch share a stamp.
    CAIRN_TRY_VOID(reader.replay(segment.end, [&](const segment::RecordView& record) -> Result<void> {
      if (record.header.write_version <= last_version) {
        return corruption("write version does not ascend from segment to segment", segment.file, record.offset);
      }
      if (!memtable->has(record.header.family)) return corruption("record of no family", segment.file, record.offset);
      if (record.key.empty() && record.kind() != RecordKind::kRangeTombstone) {
        return corruption("record without a key", segment.file, record.offset);
      }
      if (first) {
        // A log between this one and the one before may have been sealed already: its run belongs between them.
        if (run_between(last_version, record.header.write_version)) CAIRN_TRY_VOID(next_memtable());
        memtable->add_source(source);
        first = false;
      }
      last_version = record.header.write_version;
      if (record.header.stamp != stamp) memtable->end_write();
      stamp = record.header.stamp;
      const Family& family = memtable->family(record.header.family);
      ByteView indexed = record.value;
      if (record.kind() == RecordKind::kReference) {
        const sealed::Entry reference{.key = record.key, .value = record.value, .kind = RecordKind::kReference};
        CAIRN_TRY(at, LargeReference::of(reference));
        CAIRN_TRY(large, line_up_.get()->large_value(reference));
        referenced.insert(at.file);
        if (!family.indexes.empty()) {
          CAIRN_TRY(value, large->value(reference));
          indexed = value;
        }
      }
      const bool has_terms = is_value(record.kind()) && !family.indexes.empty();
      memtable->note((*map)->data() + record.offset, record,
                     has_terms ? family.terms_or_none(indexed, counters_.extractor_failures) : Terms());
      return {};
    }));
    memtable->end_write();
    if (!first) continue;
    // A segment without a record goes with the next flush.
    const MutexLock lock(log_.mutex);
    active_->add_source(source);
  }
  CAIRN_TRY_VOID(add_replayed(memtable));
  return drop_unreferenced(referenced);
}

/// Whether a run has versions between the two.
bool TableImpl::run_between(WriteVersion after, WriteVersion before) const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  return std::any_of(now->families.begin(), now->families.end(), [&](const LineUp::OfFamily& family) {
    return std::any_of(family.layers.begin(), family.layers.end(), [&](const Layer& layer) {
      return layer.run && layer.version_first() > after && layer.version_first() < before;
    });
  });
}

/// Puts a replayed memtable in its place in the line-up: a job may have sealed newer logs before it.
Result<void> TableImpl::add_replayed(const std::shared_ptr<Memtable>& memtable) {
  if (memtable->empty()) return {};
  memtable->insert_noted(environment_.jobs);
  for (const Memtable::Source& source : memtable->sources()) CAIRN_TRY_VOID(source.file->map()->status());
  const MutexLock commit_lock(log_.mutex);
  const MutexLock lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  const Layer layer(memtable);
  for (LineUp::OfFamily& family : next->families) {
    family.layers.insert(std::upper_bound(family.layers.begin(), family.layers.end(), layer, older), layer);
    CAIRN_TRY_VOID(check_apart(family.layers));
  }
  unsealed_bytes_.fetch_add(memtable->log_bytes(), std::memory_order_relaxed);
  log_.raise_versions(memtable->version_last());
  set_line_up(next);
  return {};
}

/// Replay keeps to the bound that writes keep to, unless nothing can be flushed now: reads come first.
void TableImpl::wait_until_below_bound() {
  if (unsealed_bytes_.load() <= unsealed_bytes_max()) return;
  CAIRN_REACHED("replay waited for a flush");
  std::shared_ptr<directory::Job> job;
  {
    const MutexLock lock(state_mutex_);
    job = flush_job_;
  }
  // A flush that fails is retried by its job; replay then goes on above the bound.
  if (job) environment_.jobs.wait(job).ignore_error();
}

/// Another active memtable in the place of one in which nothing is.
void TableImpl::renew_memtable(LineUp& next) {
  CAIRN_ASSERT(active_->empty());
  const std::vector<Memtable::Source> sources = active_->sources();
  active_ = new_memtable(next);
  for (const Memtable::Source& source : sources) active_->add_source(source);
  next.active = Layer(active_);
}

void TableImpl::report_extractor_failures() {
  if (const std::uint64_t failures = counters_.extractor_failures.load(); failures != 0) {
    open_reports_.push_back("table '" + entry_.name + "': extractors threw for " + std::to_string(failures) +
                            " terms of records in its log; find() does not see these records by them");
  }
}

Result<void> TableImpl::check_open() const {
  if (log_.closed()) return fail(ErrorCode::kUnavailable, "the table is closed");
  CAIRN_TRY_VOID(log_.check_not_short());
  return directory_->state();
}

/// Up to the log being ended everything may be called again after an error; what follows cannot fail any more.
Result<void> TableImpl::close(bool for_good) {
  Result<void> result;
  {
    const MutexLock lock(log_.mutex);
    if (closed_) return {};
    log_.begin_close();       // An ingest ends.
    if (!active_) return {};  // It was never loaded.
    while (ingests_ != 0) log_.wait();
    if (directory_->state()) {
      result = freeze_and_wait_until_idle();
      if (result) result = log_.drop_next();
      log_.notify();
      if (!result && directory_->state() && !for_good) return result;
    }
    closed_ = true;
  }
  std::size_t segments = 0;
  for (const auto& memtable : line_up_.get()->frozen()) segments += memtable->sources().size();
  const bool much =
      segments > tuning_.unsealed_segments_at_close_max || unsealed_bytes_.load() > tuning_.unsealed_bytes_at_close_max;
  if (result && directory_->state() && much) schedule_flush();
  log_.cancel_timers();
  environment_.syncs.cancel(this);
  std::shared_ptr<directory::Job> compaction;
  std::shared_ptr<directory::Job> flush;
  {
    const MutexLock lock(state_mutex_);
    stop_jobs_ = true;
    compaction = compaction_job_;
    flush = last_flush_job_;  // Even if it has done its work, it may not have come to its end yet.
  }
  if (compaction) {
    compaction->cancel();
    environment_.jobs.wait(compaction).ignore_error();  // Cancelled; the next open schedules it again.
  }
  // If the flush fails, nothing is lost: the next open replays the logs.
  if (flush) environment_.jobs.wait(flush).ignore_error();
  environment_.syncs.cancel(this);
  return result;
}

Result<std::uint16_t> TableImpl::family(const std::string& name, const FamilyOptions& options, Writer writer) {
  const auto find = [&]() -> std::optional<std::uint16_t> {
    const std::shared_ptr<const LineUp> now = line_up_.get();
    for (const LineUp::OfFamily& each : now->families) {
      if (each.family->name == name) return each.family->number;
    }
    return std::nullopt;
  };
  const auto checked = [&](std::uint16_t number) -> Result<std::uint16_t> {
    if (gives_anything(options)) CAIRN_TRY_VOID(check_same(entry_.name, family_in_manifest(number), options));
    return number;
  };
  if (const auto found = find()) return checked(*found);
  if (!options.create_if_missing) return fail(ErrorCode::kNotFound, "table '" + entry_.name + "' has no family '" + name + "'");
  CAIRN_TRY(entry, family_entry(name, options));
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
    CAIRN_TRY_VOID(check_writer(writer));
    while (log_.changing()) log_.wait();
    if (!find()) return add_family(entry);
  }
  // Another thread was faster. checked() reads the manifest, whose mutex comes before that of the log.
  return checked(*find());
}

directory::FamilyEntry TableImpl::family_in_manifest(std::uint16_t number) const {
  directory::Manifest manifest = directory_->manifest();
  return manifest.edit_view(entry_.number).families[number];
}

Result<void> TableImpl::alter(const std::string& name, const FamilyOptions& options) {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(check_open());
  if (options.ttl) CAIRN_TRY_VOID(check_writer(Writer::kAnyone));  // Objects of a Model do not expire.
  while (log_.changing()) log_.wait();
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const LineUp::OfFamily& each : now->families) {
    const Family& family = *each.family;
    if (family.name != name) continue;
    directory::FamilyEntry after;
    // Without the mutex of the log: that of the manifest comes before it.
    CAIRN_TRY_VOID(log_.exclusively([&]() -> Result<void> {
      const directory::FamilyEntry before = family_in_manifest(family.number);
      CAIRN_TRY(changed, altered(entry_.name, before, options));
      after = changed;
      if (after == before) return {};
      return directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
        directory::FamilyEntry& entry = manifest.edit_view(entry_.number).families[family.number];
        entry.ttl_ms = after.ttl_ms;
        entry.compression = after.compression;
        return {};
      });
    }));
    // After the switch of the manifest: what a write or a job is told by these is what the next open reads.
    family.ttl_ms = after.ttl_ms;
    family.compression = after.compression;
    return {};
  }
  return fail(ErrorCode::kNotFound, "table '" + entry_.name + "' has no family '" + name + "'");
}

/// The log goes on in its segment: a new family costs a switch of the manifest and nothing else. Records of it can stand in the
/// log only after the manifest has it.
Result<std::uint16_t> TableImpl::add_family(directory::FamilyEntry& entry) {
  entry.number = static_cast<std::uint16_t>(line_up_.get()->families.size());
  if (entry.number >= kFamiliesMax) {
    return fail(ErrorCode::kInvalidArgument, "a table has at most " + std::to_string(kFamiliesMax) + " families");
  }
  CAIRN_TRY(family, Family::from(entry));
  CAIRN_TRY_VOID(log_.exclusively([&] {
    return directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
      manifest.edit_view(entry_.number).families.push_back(entry);
      return {};
    });
  }));
  if (!family->indexes.empty()) has_indexes_ = true;
  const MutexLock state_lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  std::vector<Layer> layers;
  for (const auto& memtable : next->frozen()) layers.emplace_back(memtable);
  next->families.push_back(
      {.family = family, .layers = std::move(layers), .dead = std::make_shared<DeadRanges>(tuning_.dead_keys_min)});
  dead_.push_back(next->families.back().dead);
  active_->add_family(family);
  set_line_up(next);
  return entry.number;
}

std::vector<std::string> TableImpl::families() const {
  std::vector<std::string> names;
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const LineUp::OfFamily& each : now->families) names.push_back(each.family->name);
  return names;
}

TableStats TableImpl::stats() const {
  TableStats stats;
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const auto add_memtable = [&](const Memtable& memtable, const char* kind, bool with_files) {
    LayerStats layer{.family = {},
                     .kind = kind,
                     .files = {},
                     .bytes = memtable.log_bytes(),
                     .records = memtable.record_count(),
                     .version_first = memtable.version_first(),
                     .version_last = memtable.version_last()};
    if (with_files) {
      for (const Memtable::Source& source : memtable.sources()) layer.files.push_back(source.file->map()->name());
    }
    stats.memory_bytes += memtable.memory_bytes();
    stats.layers.push_back(std::move(layer));
  };
  for (const LineUp::OfFamily& family : now->families) {
    stats.families.push_back(family.family->stats());
    for (const Layer& layer : family.layers) {
      if (!layer.run) continue;
      for (const auto& file : layer.run->files()) stats.memory_bytes += file->range_tombstones.memory_bytes();
      stats.layers.push_back({.family = family.family->name,
                              .kind = "sealed",
                              .files = layer.files(),
                              .bytes = layer.bytes(),
                              .records = layer.run->record_count(),
                              .version_first = layer.version_first(),
                              .version_last = layer.version_last()});
    }
  }
  for (const auto& memtable : now->frozen()) add_memtable(*memtable, "memory, read-only", true);
  {
    const MutexLock lock(log_.mutex);
    add_memtable(*active_, "memory, writable", active_ == now->active.memtable);
  }
  stats.visible_version = log_.visible_version();
  stats.unsealed_bytes = unsealed_bytes_.load();
  stats.unsealed_bytes_max = unsealed_bytes_max();
  stats.runs_max = tuning_.sealed_runs_max;
  stats.large_values = now->large->size();
  for (const auto& [number, value] : *now->large) stats.large_bytes += value->bytes();
  stats.debt = debt();
  stats.write_rate_max = pacing_.rate(stats.debt);
  stats.write_wait_ms_max = tuning_.write_wait_ms_max;
  stats.longest_wait_ms = counters_.longest_wait_ms.load();
  stats.delays = counters_.delays.load();
  stats.delayed_ms = counters_.delayed_ms.load();
  stats.stalls = counters_.stalls.load();
  stats.writes = counters_.writes.load();
  stats.written_bytes = counters_.written_bytes.load();
  stats.log_bytes = log_.written_bytes() + counters_.large_bytes.load();
  stats.sealed_bytes_written = counters_.sealed_bytes.load();
  stats.syncs = log_.syncs();
  stats.extractor_failures = counters_.extractor_failures.load();
  stats.flushes = counters_.flushes.load();
  stats.compactions = counters_.compactions.load();
  if (stats.written_bytes != 0) {
    stats.write_amplification =
        static_cast<double>(stats.log_bytes + stats.sealed_bytes_written) / static_cast<double>(stats.written_bytes);
  }
  stats.maps_open = storage::maps_open();
  stats.maps_max = storage::kMapsMax;
  for (const directory::PinInfo& pin : directory_->pins()) {
    if (pin.view != entry_.number || (stats.oldest_pin && stats.oldest_pin->write_version <= pin.write_version)) continue;
    stats.oldest_pin = PinStats{.id = pin.id,
                                .label = pin.label,
                                .write_version = pin.write_version,
                                .age_ms = pin.age_ms,
                                .written_bytes_since = stats.written_bytes - pin.written_bytes};
  }
  for (const auto& job : environment_.jobs.list()) stats.jobs.push_back({job->name(), job->bytes_done(), job->bytes_total()});
  stats.open_reports = directory_->reports();
  stats.open_reports.insert(stats.open_reports.end(), open_reports_.begin(), open_reports_.end());
  if (const Result<void> state = directory_->state(); !state) stats.write_state = state.error().to_string();
  return stats;
}

}  // namespace cairn::table

namespace cairn {

WriteVersion Snapshot::write_version() const { return pin_ ? pin_->write_version() : ~WriteVersion{0}; }

Range prefix(ByteView bytes) {
  Range range{Bytes(bytes), Bytes(bytes)};
  // The first key after all of them: the last byte that can grow, grown.
  while (!range.to.empty() && static_cast<unsigned char>(range.to.back()) == 0xff) range.to.pop_back();
  if (!range.to.empty()) range.to.back() = static_cast<char>(static_cast<unsigned char>(range.to.back()) + 1);
  return range;
}

Scan::Scan(std::unique_ptr<table::EntrySource> impl) : impl_(share_at_home(impl.release())) {}
Scan::Scan(Scan&&) noexcept = default;
Scan& Scan::operator=(Scan&&) noexcept = default;
Scan::~Scan() = default;
bool Scan::valid() const { return is_usable(impl_) && impl_->valid(); }
Scan::Entry Scan::entry() const { return impl_->entry(); }
void Scan::next() {
  if (is_usable(impl_) && impl_->valid()) impl_->next();
}
Result<void> Scan::status() const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->status();
}

void Batch::add_owned(const Table* into, Kind kind, ByteView key, Bytes&& value) {
  constexpr std::uint64_t kNone = ~std::uint64_t{0};
  const std::uint64_t table = into == nullptr ? 0 : into->impl_ == nullptr ? kNone : into->impl_->id();
  bytes_ += key.size() + value.size();
  writes_.push_back({table, into == nullptr ? std::uint16_t{0} : into->family_, kind, Bytes(key), std::move(value)});
}

Result<Table> Table::family(const std::string& name, const FamilyOptions& options) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(number, impl_->family(name, options));
  return Table(impl_, number);
}

Result<void> Table::alter(const std::string& name, const FamilyOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->alter(name, options);
}

std::vector<std::string> Table::families() const {
  if (!is_usable(impl_)) return {};
  return impl_->families();
}

Result<WriteVersion> Table::put(ByteView key, ByteView value, const WriteOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  const table::WriteRef write{family_, RecordKind::kPut, key, value};
  return impl_->write({&write, 1}, options);
}

Result<WriteVersion> Table::erase(ByteView key, const WriteOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  const table::WriteRef write{family_, RecordKind::kTombstone, key, {}};
  return impl_->write({&write, 1}, options);
}

Result<WriteVersion> Table::erase_range(const Range& range, const WriteOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  const table::WriteRef write{family_, RecordKind::kRangeTombstone, range.from, range.to};
  return impl_->write({&write, 1}, options);
}

Result<WriteVersion> Table::write(const Batch& batch, const WriteOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  constexpr RecordKind kKinds[] = {RecordKind::kPut, RecordKind::kTombstone, RecordKind::kRangeTombstone};
  std::vector<table::WriteRef> writes;
  writes.reserve(batch.size());
  for (const Batch::Write& write : batch.writes_) {
    if (write.table != 0 && write.table != impl_->id()) {
      return fail(ErrorCode::kInvalidArgument, "a batch is for one table: a write of this one is for another");
    }
    writes.push_back(
        {write.table == 0 ? family_ : write.family, kKinds[static_cast<std::size_t>(write.kind)], write.key, write.value});
  }
  return impl_->write(writes, options);
}

Result<std::optional<Pinned>> Table::get(ByteView key, const Snapshot& snapshot) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->get(family_, key, snapshot);
}

Result<std::vector<std::optional<Pinned>>> Table::multi_get(std::span<const ByteView> keys, const Snapshot& snapshot) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->multi_get(family_, keys, snapshot);
}

Scan Table::scan(const Range& range, Direction direction, std::uint64_t limit, const Snapshot& snapshot) const {
  if (!is_usable(impl_)) return Scan(std::make_unique<table::NoEntries>(why_unusable(impl_).error()));
  return Scan(impl_->scan(family_, range, direction, limit, snapshot));
}

Scan Table::find(const std::string& index, ByteView term, const Snapshot& snapshot) const {
  if (!is_usable(impl_)) return Scan(std::make_unique<table::NoEntries>(why_unusable(impl_).error()));
  return Scan(impl_->find(family_, index, term, snapshot));
}

Snapshot Table::snapshot(const std::string& label) const {
  if (!is_usable(impl_)) return Snapshot::of_nothing();
  return impl_->snapshot(label);
}
Result<void> Table::flush() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->flush();
}
Result<void> Table::compact(const Progress& progress) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->compact(progress);
}
Result<std::vector<KeyVersion>> Table::explain(ByteView key, const Snapshot& snapshot) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->explain(family_, key, snapshot);
}
Result<void> Table::end_pin(std::uint64_t id) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->end_pin(id);
}
TableStats Table::stats() const {
  if (!is_usable(impl_)) return {};
  return impl_->stats();
}

}  // namespace cairn
