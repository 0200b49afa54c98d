// Taking in sealed files made outside. Their records are copied into a run of the family's own, with its indexes, its hash
// seed and nothing taken on trust, while reads and writes go on. Only then the version is known that all of them are
// written at: above what is in the log, which ends there, and below what comes next. So the run says its version in its
// preambles, which are written last, and writers wait for no more than that.
#include <algorithm>

#include "base/error.h"
#include "base/handle.h"
#include "base/reached.h"
#include "directory/write_rules.h"
#include "storage/posix_storage.h"
#include "table/run_writer.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

Result<std::vector<std::shared_ptr<const sealed::SealedReader>>> open_all(
    const std::vector<std::shared_ptr<const storage::MappedFile>>& files) {
  std::vector<std::shared_ptr<const sealed::SealedReader>> readers;
  for (const auto& file : files) {
    CAIRN_TRY(reader, sealed::SealedReader::open(file, {}));  // Of no database.
    if (reader->preamble().range_tombstone_count != 0) {
      return fail(ErrorCode::kUnsupported, "range tombstones cannot be ingested", file->name());
    }
    readers.push_back(reader);
  }
  return readers;
}

/// Of what will be written. Every record may get an account and an expiry.
sealed::SealedBounds bounds_of(const std::vector<std::shared_ptr<const sealed::SealedReader>>& readers) {
  sealed::SealedBounds bounds;
  for (const auto& reader : readers) {
    const sealed::Preamble& preamble = reader->preamble();
    bounds.add({.records = preamble.record_count,
                .object_bytes = preamble.raw_object_bytes + 16 * preamble.record_count,
                .key_bytes_max = preamble.key_bytes_max});
  }
  return bounds;
}

}  // namespace

Result<WriteVersion> TableImpl::ingest(std::uint16_t family, const std::vector<std::shared_ptr<const storage::MappedFile>>& files,
                                       const Progress& progress) {
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
    CAIRN_TRY_VOID(check_writer(Writer::kAnyone));
    ++ingests_;
  }
  const auto ended = [this] {
    const MutexLock lock(log_.mutex);
    --ingests_;
    log_.notify();
  };
  try {
    Result<WriteVersion> version = ingest_files(family, files, progress);
    ended();
    return version;
  } catch (...) {  // `progress` threw.
    ended();
    throw;
  }
}

Result<WriteVersion> TableImpl::ingest_files(std::uint16_t family,
                                             const std::vector<std::shared_ptr<const storage::MappedFile>>& files,
                                             const Progress& progress) {
  CAIRN_TRY(readers, open_all(files));
  Ingested ingested;
  ingested.progress = progress;
  RunTarget target{.view = entry_.number,
                   .view_name = entry_.name,
                   .family = line_up_.get()->families[family].family,
                   .one_version = true,
                   .replaces = {},
                   .from = {},
                   .file_bytes_max = tuning_.sealed_bytes_max,
                   .bounds = bounds_of(readers),
                   .range_tombstones = {},
                   .large_value = [&](const sealed::Entry& entry) { return ingested.large.back().value->value(entry); },
                   .extractor_failures = nullptr};
  const std::uint64_t bytes = target.bounds.object_bytes;
  if (debt() > 0) put_off(bytes, environment_.clock.boot_ms());
  ingested.expiry_ms = expiry_of({.kind = RecordKind::kPut}, line_up_.get()->families[family].family->ttl_ms);
  RunWriter writer(*directory_, std::move(target), [&](std::shared_ptr<const RunFile> file) -> Result<void> {
    ingested.files.push_back(std::move(file));
    return {};
  });
  const auto copy = [&](directory::Job& job) -> Result<void> {
    job.set_bytes_total(bytes);
    for (const auto& reader : readers) CAIRN_TRY_VOID(copy_ingested(job, family, *reader, writer, ingested));
    return writer.finish();
  };
  const Result<void> copied = environment_.jobs.run_here("ingest " + entry_.name, copy, options_.job_bytes_per_s_max);
  if (copied && ingested.records == 0) return log_.visible_version();
  Result<WriteVersion> version = copied ? install_ingested(family, writer, ingested) : std::unexpected(copied.error());
  if (!version && directory_->state()) {
    for (const auto& file : ingested.files) directory_->abandon(file->name());
    for (const LargeWritten& written : ingested.large) directory_->abandon(written.entry.file);
  }
  if (!line_up_.get()->frozen().empty()) schedule_flush();
  if (version) schedule_compaction();
  if (ingested.thrown) std::rethrow_exception(ingested.thrown);
  return version;
}

/// An exception of `progress` ends the copy as a failure does, and is thrown on once everything is as it was.
Result<void> TableImpl::Ingested::report(const directory::Job& job) {
  try {
    if (!progress || progress(job.bytes_done(), job.bytes_total())) return {};
  } catch (...) {
    thrown = std::current_exception();
  }
  return fail(ErrorCode::kUnavailable, "cancelled");
}

/// Copies what one file holds, checked: it is input, and its bytes may change while they are read.
Result<void> TableImpl::copy_ingested(directory::Job& job, std::uint16_t family, const sealed::SealedReader& reader,
                                      RunWriter& to, Ingested& into) {
  const std::string& file = reader.file()->name();
  std::uint64_t uncounted = 0;
  std::uint64_t records = 0;
  Bytes key;
  const std::unique_ptr<sealed::Cursor> at = reader.cursor();
  CAIRN_TRY_VOID(at->seek_first());
  for (; at->valid(); ++records) {
    key.assign(at->entry().key);
    sealed::Entry entry{.key = key, .value = at->entry().value, .kind = at->entry().kind, .account = directory::account_of(key)};
    if (entry.kind != RecordKind::kPut && entry.kind != RecordKind::kTombstone) {
      return fail(ErrorCode::kUnsupported, "record " + std::to_string(records + 1) + " is neither a put nor a tombstone", file);
    }
    if (key <= into.last_key) {
      return fail(ErrorCode::kInvalidArgument,
                  "key of record " + std::to_string(records + 1) + " does not come after the one before: keys must ascend", file);
    }
    if (records == reader.preamble().record_count || entry.value.size() > kValueBytesMax) {
      return corruption("there is more in it than its preamble says, or may be", file);
    }
    const WriteRef write{.family = family, .kind = entry.kind, .key = key, .value = entry.value};
    if (is_value(entry.kind)) entry.expiry_ms = into.expiry_ms;
    into.bytes += key.size() + entry.value.size();
    uncounted += sealed::object_bytes(key.size(), entry.value.size(), 0);
    if (is_large(write)) {
      CAIRN_REACHED("large value ingested");
      CAIRN_TRY(written, write_large_value(write, {}));
      into.large.push_back(std::move(written));
      entry.kind = RecordKind::kReference;
      entry.value = into.large.back().reference;
    }
    CAIRN_TRY_VOID(to.add({&entry, 1}));
    std::swap(into.last_key, key);
    CAIRN_TRY_VOID(at->next());
    if (uncounted < kProgressBytes) continue;
    CAIRN_TRY_VOID(job.progress(uncounted));
    uncounted = 0;
    CAIRN_TRY_VOID(into.report(job));
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
  }
  CAIRN_TRY_VOID(reader.file()->status());
  if (records != reader.preamble().record_count) {
    return corruption(
        "sealed file holds " + std::to_string(records) + " records, not " + std::to_string(reader.preamble().record_count), file);
  }
  into.records += records;
  return job.progress(uncounted);
}

/// Between two writes.
Result<WriteVersion> TableImpl::install_ingested(std::uint16_t family, RunWriter& writer, Ingested& ingested) {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(freeze_and_wait_until_idle());
  CAIRN_TRY_VOID(check_open());
  const Result<std::shared_ptr<const Run>> run = log_.exclusively([&] { return publish_ingested(family, writer, ingested); });
  CAIRN_TRY_VOID(run);
  show_ingested(family, *run, ingested);
  return (*run)->version_last();
}

/// Puts the run into the manifest, at a version of its own.
Result<std::shared_ptr<const Run>> TableImpl::publish_ingested(std::uint16_t family, RunWriter& writer, Ingested& ingested) {
  std::optional<directory::Directory::Stamped> stamped;
  while (!stamped) {
    CAIRN_TRY_VOID(directory_->prepare_versions(1));
    stamped = directory_->reserve_versions(1);
  }
  CAIRN_TRY_VOID(writer.publish(stamped->write_version, stamped->stamp));
  CAIRN_TRY(run, Run::make(ingested.files, stamped->write_version, stamped->write_version));
  const Result<void> done = directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    directory::ViewEntry& view = manifest.edit_view(entry_.number);
    view.families[family].runs.push_back(run->entry());
    for (LargeWritten& written : ingested.large) {
      written.entry.pending = false;
      view.large.push_back(written.entry);
    }
    return {};
  });
  if (!done) CAIRN_TRY_VOID(directory_->state());  // Whether it is there nobody knows now.
  CAIRN_TRY_VOID(done);
  return run;
}

/// The run becomes the newest layer, over which a new memtable begins: who knows one knows the other.
void TableImpl::show_ingested(std::uint16_t family, const std::shared_ptr<const Run>& run, const Ingested& ingested) {
  {
    const MutexLock lock(state_mutex_);
    auto next = std::make_shared<LineUp>(*line_up_.get());
    next->families[family].layers.emplace_back(run);
    add_large(*next, ingested.large);
    renew_memtable(*next);
    runs_ = settled_runs(*next);
    set_line_up(next);
  }
  dead_[family]->clear();
  log_.raise_versions(run->version_last());
  add_alone(counters_.writes, 1);
  add_alone(counters_.written_bytes, ingested.bytes);
  for (const auto& file : run->files()) {
    counters_.sealed_bytes.fetch_add(file->preamble().file_bytes, std::memory_order_relaxed);
  }
}

}  // namespace cairn::table

namespace cairn {

Result<WriteVersion> Table::ingest(std::span<const std::string> files, const Progress& progress) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  std::vector<std::shared_ptr<const storage::MappedFile>> maps;
  for (const std::string& path : files) {
    CAIRN_TRY(file, storage::PosixStorage::open_around(path));
    CAIRN_TRY(map, file.storage->open(file.name));
    maps.push_back(map);
  }
  return impl_->ingest(family_, maps, progress);
}

}  // namespace cairn
