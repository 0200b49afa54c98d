// Opening, closing and stats of a table. Opening costs what is unsealed: runs are mapped, logs replayed.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "storage/bus_error.h"
#include "table/scan_impl.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

bool older(const Layer& a, const Layer& b) { return a.version_first() < b.version_first(); }

Result<void> check_apart(const std::vector<Layer>& layers) {
  for (std::size_t i = 1; i < layers.size(); ++i) {
    if (layers[i].version_first() <= layers[i - 1].version_last()) {
      return corruption("layers of a table overlap in their versions", layers[i].file_name());
    }
  }
  return {};
}

}  // namespace

TableImpl::TableImpl(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry, const TableOptions& options,
                     const Tuning& tuning)
    : directory_(std::move(directory)),
      environment_(directory_->environment()),
      entry_(std::move(entry)),
      options_(options),
      tuning_(tuning),
      active_(std::make_shared<Memtable>(environment_.memory)),
      next_segment_bytes_(tuning.segment_bytes_first),
      line_up_(std::make_shared<LineUp>(LineUp{.layers = {}, .active = active_})) {}

TableImpl::~TableImpl() { (void)close(); }

Result<std::shared_ptr<TableImpl>> TableImpl::open(std::shared_ptr<directory::Directory> directory, std::uint16_t number,
                                                   const TableOptions& options, const Tuning& tuning) {
  if (options.memtable_bytes_max == 0) return fail(ErrorCode::kInvalidArgument, "memtable_bytes_max is 0");
  directory::Manifest manifest = directory->manifest();
  std::shared_ptr<TableImpl> table(new TableImpl(std::move(directory), manifest.view(number), options, tuning));
  CAIRN_TRY_VOID(table->load());
  return table;
}

Result<void> TableImpl::load() {
  std::vector<Layer> layers;
  const directory::FamilyEntry& family = entry_.families[0];
  for (const directory::RunEntry& entry : family.runs) {
    const std::string& name = entry.files[0];
    Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(name);
    if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", name);
    CAIRN_TRY_VOID(map);
    CAIRN_TRY(reader, sealed::SealedReader::open(*map, {.database = directory_->database_id(),
                                                        .number = directory::FileName::parse(name)->number,
                                                        .view = entry_.number,
                                                        .family = family.number}));
    auto run = std::make_shared<Run>();
    run->file = directory_->live(*map);
    run->reader = reader;
    run->entry = entry;
    layers.push_back({.run = run, .memtable = nullptr});
  }
  std::sort(layers.begin(), layers.end(), older);
  CAIRN_TRY_VOID(check_apart(layers));
  {
    const MutexLock lock(commit_mutex_);
    // A table without layers has only the versions that are still to come.
    raise_versions(layers.empty() ? 0 : layers.back().version_last());
    line_up_.set(std::make_shared<LineUp>(LineUp{.layers = std::move(layers), .active = active_}));
  }
  CAIRN_TRY_VOID(replay());
  {
    const MutexLock lock(state_mutex_);
    loaded_ = true;
  }
  if (unsealed_bytes_.load() > options_.memtable_bytes_max || entry_.log.size() > tuning_.unsealed_segments_at_close_max) {
    schedule_flush();
  }
  schedule_compaction();
  return {};
}

/// Indexes the unsealed segments, which have all ended, in memtables of the usual size. A full one is flushed while the
/// next is filled, so that opening takes no more memory than running did.
Result<void> TableImpl::replay() {
  std::shared_ptr<Memtable> memtable;
  WriteVersion last_version = 0;
  for (const directory::SegmentEntry& segment : entry_.log) {
    Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(segment.file);
    if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", segment.file);
    CAIRN_TRY_VOID(map);
    CAIRN_TRY(reader, segment::SegmentReader::open(*map, directory_->database_id(),
                                                   directory::FileName::parse(segment.file)->number, entry_.number));
    if (memtable && memtable->log_bytes() >= options_.memtable_bytes_max) {
      CAIRN_TRY_VOID(add_replayed(memtable));
      schedule_flush();
      wait_until_below_bound();
      memtable = nullptr;
    }
    if (!memtable) memtable = std::make_shared<Memtable>(environment_.memory);
    memtable->add_source({directory_->live(*map), 0});
    CAIRN_TRY_VOID(reader.replay(segment.end, [&](const segment::RecordView& record) -> Result<void> {
      if (record.header.write_version <= last_version) {
        return corruption("write version does not ascend from segment to segment", segment.file, record.offset);
      }
      if (record.header.family != entry_.families[0].number) {
        return fail(ErrorCode::kUnsupported, "record of another family needs a newer Cairn", segment.file, record.offset);
      }
      if (record.key.empty()) return corruption("record without a key", segment.file, record.offset);
      last_version = record.header.write_version;
      memtable->insert((*map)->data() + record.offset, record);
      return {};
    }));
  }
  if (!memtable) return {};
  if (!memtable->empty()) return add_replayed(memtable);
  // Segments without a record: they go with the first flush.
  const MutexLock lock(commit_mutex_);
  for (const Memtable::Source& source : memtable->sources()) active_->add_source(source);
  return {};
}

/// Puts a replayed memtable in its place in the line-up: a job may have sealed newer logs before it.
Result<void> TableImpl::add_replayed(const std::shared_ptr<Memtable>& memtable) {
  const MutexLock commit_lock(commit_mutex_);
  const MutexLock lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  const Layer layer{.run = nullptr, .memtable = memtable};
  next->layers.insert(std::upper_bound(next->layers.begin(), next->layers.end(), layer, older), layer);
  CAIRN_TRY_VOID(check_apart(next->layers));
  unsealed_bytes_.fetch_add(memtable->log_bytes(), std::memory_order_relaxed);
  raise_versions(memtable->version_last());
  line_up_.set(std::move(next));
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
  if (job) (void)environment_.jobs.wait(job);
}

/// What was read from the directory is durable, applied and visible.
void TableImpl::raise_versions(WriteVersion version) {
  applied_version_ = std::max(applied_version_, version);
  synced_version_ = applied_version_;
  visible_version_ = applied_version_;
}

Result<void> TableImpl::close() {
  Result<void> result;
  {
    const MutexLock lock(commit_mutex_);
    if (closed_) return {};
    while (busy_ || syncing_) changed_.wait(commit_mutex_);
    closed_ = true;  // end_segment gives unused room back.
    const bool usable = directory_->state().has_value();
    if (usable) result = end_segment();
    if (usable && result) freeze_memtable();
    changed_.notify_all();
  }
  std::size_t unsealed = 0;
  for (const Layer& layer : line_up_.get()->layers) {
    if (layer.memtable) unsealed += layer.memtable->sources().size();
  }
  if (result && directory_->state() && unsealed > tuning_.unsealed_segments_at_close_max) schedule_flush();
  environment_.syncs.cancel(this);
  std::vector<std::shared_ptr<directory::Job>> jobs;
  {
    const MutexLock lock(state_mutex_);
    stop_jobs_ = true;
    if (compaction_job_) {
      compaction_job_->cancel();
      jobs.push_back(compaction_job_);
    }
    if (flush_job_) jobs.push_back(flush_job_);
  }
  for (const auto& job : jobs) {
    const Result<void> done = environment_.jobs.wait(job);
    const bool flush = job->name().starts_with("flush");
    if (flush && !done && result && directory_->state()) result = done;
  }
  environment_.syncs.cancel(this);
  return result;
}

TableStats TableImpl::stats() const {
  TableStats stats;
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const auto add_memtable = [&](const Memtable& memtable, const char* kind, bool with_files) {
    LayerStats layer{.kind = kind,
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
  for (const Layer& layer : now->layers) {
    if (layer.memtable) {
      add_memtable(*layer.memtable, "memory, read-only", true);
    } else {
      stats.layers.push_back({.kind = "sealed",
                              .files = layer.run->entry.files,
                              .bytes = layer.bytes(),
                              .records = layer.run->reader->preamble().record_count,
                              .version_first = layer.version_first(),
                              .version_last = layer.version_last()});
    }
  }
  {
    const MutexLock lock(commit_mutex_);
    add_memtable(*active_, "memory, writable", active_ == now->active);
  }
  stats.visible_version = visible_version_.load();
  stats.unsealed_bytes = unsealed_bytes_.load();
  stats.unsealed_bytes_max = unsealed_bytes_max();
  stats.stalls = counters_.stalls.load();
  stats.writes = counters_.writes.load();
  stats.written_bytes = counters_.written_bytes.load();
  stats.log_bytes = counters_.log_bytes.load();
  stats.sealed_bytes_written = counters_.sealed_bytes.load();
  stats.syncs = counters_.syncs.load();
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
    stats.oldest_pin = PinStats{pin.label, pin.write_version, pin.age_ms};
  }
  for (const auto& job : environment_.jobs.list()) stats.jobs.push_back({job->name(), job->bytes_done(), job->bytes_total()});
  stats.open_reports = directory_->reports();
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

Scan::Scan(std::unique_ptr<table::ScanImpl> impl) : impl_(std::move(impl)) {}
Scan::Scan(Scan&&) noexcept = default;
Scan& Scan::operator=(Scan&&) noexcept = default;
Scan::~Scan() = default;
bool Scan::valid() const { return impl_->valid(); }
Scan::Entry Scan::entry() const { return impl_->entry(); }
void Scan::next() { impl_->next(); }
Result<void> Scan::status() const { return impl_->status(); }

Result<WriteVersion> Table::put(ByteView key, ByteView value, const WriteOptions& options) {
  const table::WriteRef write{key, value, false};
  return impl_->write({&write, 1}, options);
}

Result<WriteVersion> Table::erase(ByteView key, const WriteOptions& options) {
  const table::WriteRef write{key, {}, true};
  return impl_->write({&write, 1}, options);
}

Result<WriteVersion> Table::write(const Batch& batch, const WriteOptions& options) {
  std::vector<table::WriteRef> writes;
  writes.reserve(batch.size());
  for (const Batch::Write& write : batch.writes()) writes.push_back({write.key, write.value, write.is_erase});
  return impl_->write(writes, options);
}

Result<std::optional<Pinned>> Table::get(ByteView key, const Snapshot& snapshot) const { return impl_->get(key, snapshot); }

Result<std::vector<std::optional<Pinned>>> Table::multi_get(std::span<const ByteView> keys, const Snapshot& snapshot) const {
  return impl_->multi_get(keys, snapshot);
}

Scan Table::scan(const Range& range, Direction direction, std::uint64_t limit, const Snapshot& snapshot) const {
  return Scan(impl_->scan(range, direction, limit, snapshot));
}

Snapshot Table::snapshot(const std::string& label) const { return impl_->snapshot(label); }
Result<void> Table::flush() { return impl_->flush(); }
Result<void> Table::compact() { return impl_->compact(); }
TableStats Table::stats() const { return impl_->stats(); }

}  // namespace cairn
