// Flush and compaction are one thing: some neighbouring read-only layers become one sealed file. The order of its steps
// is what makes a crash harmless: file complete and durable, then its name, then the manifest, then readers, and only
// then do the old files go.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "directory/liveness.h"
#include "table/merge.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

sealed::SealedBounds bounds_of(const std::vector<Layer>& layers) {
  sealed::SealedBounds bounds;
  for (const Layer& layer : layers) {
    if (layer.run) {
      const sealed::Preamble& preamble = layer.run->reader->preamble();
      bounds.records += preamble.record_count;
      bounds.object_bytes += preamble.raw_object_bytes;
      bounds.key_bytes_max = std::max<std::uint64_t>(bounds.key_bytes_max, preamble.key_bytes_max);
      bounds.replaces += 1;
    } else {
      bounds.records += layer.memtable->record_count();
      bounds.object_bytes += layer.memtable->object_bytes();
      bounds.key_bytes_max = std::max(bounds.key_bytes_max, layer.memtable->key_bytes_max());
      bounds.replaces += layer.memtable->sources().size();
    }
  }
  return bounds;
}

std::vector<std::string> files_of(const std::vector<Layer>& layers) {
  std::vector<std::string> names;
  for (const Layer& layer : layers) {
    if (layer.run) {
      names.insert(names.end(), layer.run->entry.files.begin(), layer.run->entry.files.end());
    } else {
      for (const Memtable::Source& source : layer.memtable->sources()) names.push_back(source.file->map()->name());
    }
  }
  return names;
}

/// Copies what is live from `from` to `to`, key by key.
Result<void> copy_live(sealed::Cursor& from, sealed::SealedWriter& to, const directory::Visibility& visibility, bool oldest,
                       directory::Job& job) {
  struct Version {
    sealed::Entry entry;
    std::shared_ptr<const void> hold;  // The cursor moves on while the versions of a key are collected.
  };
  std::vector<Version> versions;
  std::vector<directory::StoredVersion> stored;
  std::uint64_t uncounted = 0;
  CAIRN_TRY_VOID(from.seek_first());
  while (from.valid()) {
    versions.clear();
    stored.clear();
    do {
      const sealed::Entry& entry = from.entry();
      versions.push_back({entry, from.hold()});
      stored.push_back({entry.write_version, entry.kind == RecordKind::kTombstone});
      uncounted += sealed::object_bytes(entry.key.size(), entry.value.size(), entry.flags());
      CAIRN_TRY_VOID(from.next());
    } while (from.valid() && from.entry().key == versions.front().entry.key);
    const std::vector<bool> live = directory::live_versions(stored, visibility, oldest);
    for (std::size_t i = 0; i < versions.size(); ++i) {
      if (live[i]) to.add(versions[i].entry);
    }
    if (uncounted >= 256 * kKiB) {
      CAIRN_TRY_VOID(job.progress(uncounted));
      uncounted = 0;
    }
  }
  return job.progress(uncounted);
}

}  // namespace

/// Takes `count` layers from `first` for one job; none if any is in a job already or is not there.
std::vector<Layer> TableImpl::claim(std::size_t first, std::size_t count, bool& oldest) {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> now = line_up_.get();
  if (count == 0 || first + count > now->layers.size()) return {};
  const auto begin = now->layers.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<Layer> layers(begin, begin + static_cast<std::ptrdiff_t>(count));
  for (const Layer& layer : layers) {
    if (claimed_.contains(layer.identity())) return {};
  }
  for (const Layer& layer : layers) claimed_.insert(layer.identity());
  oldest = first == 0;
  return layers;
}

/// Takes the oldest group of neighbouring frozen memtables that no job has.
std::vector<Layer> TableImpl::claim_frozen(bool& oldest) {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> now = line_up_.get();
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < now->layers.size(); ++i) {
    const Layer& layer = now->layers[i];
    const bool free = layer.memtable && !claimed_.contains(layer.identity());
    if (!free && !layers.empty()) break;
    if (!free) continue;
    if (layers.empty()) oldest = i == 0;
    layers.push_back(layer);
  }
  for (const Layer& layer : layers) claimed_.insert(layer.identity());
  return layers;
}

void TableImpl::unclaim(const std::vector<Layer>& layers) {
  const MutexLock lock(state_mutex_);
  for (const Layer& layer : layers) claimed_.erase(layer.identity());
}

/// Writes the live part of `layers` into a sealed file; nullptr if nothing of them lives.
Result<std::shared_ptr<Run>> TableImpl::write_run(directory::Job& job, const std::vector<Layer>& layers, bool oldest) {
  const directory::Visibility visibility = directory_->visibility(entry_.number, visible_version_);
  sealed::SealedIdentity identity{.view = entry_.number,
                                  .family = entry_.families[0].number,
                                  .version_first = layers.front().version_first(),
                                  .version_last = layers.back().version_last(),
                                  .replaces = {}};
  const std::vector<std::string> inputs = files_of(layers);
  identity.replaces.reserve(inputs.size());
  for (const std::string& input : inputs) identity.replaces.push_back(directory::FileName::parse(input)->number);
  const sealed::SealedBounds bounds = bounds_of(layers);
  job.set_bytes_total(bounds.object_bytes);

  CAIRN_TRY(file, directory_->new_sealed(identity, sealed::sealed_bytes_max(bounds)));
  const std::string name = file->name();
  const directory::MemoryUse memory(environment_.memory, bounds.records * sealed::SealedWriter::kMemoryBytesPerRecord);
  sealed::SealedWriter writer(std::move(file), identity, {.compression = entry_.families[0].compression});
  std::vector<std::unique_ptr<sealed::Cursor>> cursors;
  cursors.reserve(layers.size());
  for (const Layer& layer : layers) cursors.push_back(layer.cursor());
  MergeCursor merged(std::move(cursors));
  Result<void> done = copy_live(merged, writer, visibility, oldest, job);
  if (done && writer.record_count() == 0) {
    CAIRN_REACHED("nothing of the merged layers lives");
    directory_->abandon(name);
    return nullptr;
  }
  if (done) {
    const Result<std::uint64_t> bytes = writer.finish();
    if (bytes) counters_.sealed_bytes.fetch_add(*bytes, std::memory_order_relaxed);
    done = bytes ? directory_->storage().sync_names() : std::unexpected(bytes.error());
  }
  if (!done) {
    directory_->abandon(name);
    return std::unexpected(done.error());
  }
  auto run = std::make_shared<Run>();
  CAIRN_TRY(map, directory_->storage().open(name));
  CAIRN_TRY(
      reader,
      sealed::SealedReader::open(
          map, {.database = identity.database, .number = identity.number, .view = identity.view, .family = identity.family}));
  run->file = directory_->live(map);
  run->reader = reader;
  run->entry = {.files = {name}, .version_first = identity.version_first, .version_last = identity.version_last};
  return run;
}

/// Puts `run` in the place of `layers`: first durably, then for readers.
Result<void> TableImpl::install(const std::vector<Layer>& layers, const std::shared_ptr<Run>& run) {
  const std::vector<std::string> gone = files_of(layers);
  const auto is_gone = [&](const std::string& name) { return std::find(gone.begin(), gone.end(), name) != gone.end(); };
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    directory::ViewEntry& view = manifest.view(entry_.number);
    std::erase_if(view.log, [&](const directory::SegmentEntry& segment) { return is_gone(segment.file); });
    std::vector<directory::RunEntry>& runs = view.families[0].runs;
    std::erase_if(runs, [&](const directory::RunEntry& entry) { return is_gone(entry.files[0]); });
    if (run) {
      const auto place = std::find_if(runs.begin(), runs.end(), [&](const directory::RunEntry& entry) {
        return entry.version_first > run->entry.version_last;
      });
      runs.insert(place, run->entry);
    }
    return {};
  }));
  {
    const MutexLock lock(state_mutex_);
    auto next = std::make_shared<LineUp>(*line_up_.get());
    const auto place = std::find_if(next->layers.begin(), next->layers.end(),
                                    [&](const Layer& layer) { return layer.identity() == layers.front().identity(); });
    const auto after = next->layers.erase(place, place + static_cast<std::ptrdiff_t>(layers.size()));
    if (run) next->layers.insert(after, {.run = run, .memtable = nullptr});
    line_up_.set(std::move(next));
  }
  for (const Layer& layer : layers) {
    if (layer.run) {
      layer.run->file->set_obsolete();
    } else {
      for (const Memtable::Source& source : layer.memtable->sources()) source.file->set_obsolete(source.recyclable_bytes);
      unsealed_bytes_.fetch_sub(layer.memtable->log_bytes(), std::memory_order_relaxed);
    }
  }
  return {};
}

Result<void> TableImpl::merge_claimed(directory::Job& job, const std::vector<Layer>& layers, bool oldest) {
  Result<std::shared_ptr<Run>> run = write_run(job, layers, oldest);
  Result<void> done = run ? install(layers, *run) : std::unexpected(run.error());
  // A manifest that was not written lists no new file; one that may have been ended writing, and then nothing goes.
  if (run && *run && !done && directory_->state()) directory_->abandon((*run)->entry.files[0]);
  unclaim(layers);
  return done;
}

Result<void> TableImpl::flush_all(directory::Job& job) {
  while (true) {
    bool oldest = false;
    const std::vector<Layer> layers = claim_frozen(oldest);
    if (layers.empty()) break;
    CAIRN_TRY_VOID(merge_claimed(job, layers, oldest));
    counters_.flushes.fetch_add(1, std::memory_order_relaxed);
  }
  directory_->reclaim();
  return {};
}

bool TableImpl::frozen_unclaimed() const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const Layer& layer : now->layers) {
    if (layer.memtable && !claimed_.contains(layer.identity())) return true;
  }
  return false;
}

/// Starts a flush of what is frozen, unless one is under way.
void TableImpl::schedule_flush() {
  const MutexLock lock(state_mutex_);
  if (flush_job_ || stop_jobs_) return;
  const auto work = [this](directory::Job& job) {
    const Result<void> done = flush_all(job);
    bool again = false;
    {
      const MutexLock job_lock(state_mutex_);
      flush_job_.reset();
      again = !stop_jobs_ && frozen_unclaimed();
    }
    if (done && again) schedule_flush();  // Frozen between our last look and now.
    if (!done && again && directory_->state()) {
      CAIRN_REACHED("flush failed and is tried again");
      environment_.syncs.after(kFlushRetryMs, this, [this] { schedule_flush(); });
    }
    if (done) schedule_compaction();
    return done;
  };
  flush_job_ = environment_.jobs.submit("flush " + entry_.name, directory::JobRunner::Urgency::kUrgent, work,
                                        options_.job_bytes_per_s_max);
}

/// The neighbouring runs that are cheapest to merge, if there are too many: {first, count}.
std::optional<std::pair<std::size_t, std::size_t>> TableImpl::pick_compaction() const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  std::size_t runs = 0;
  while (runs < now->layers.size() && now->layers[runs].run) ++runs;
  if (runs <= tuning_.sealed_runs_max) return std::nullopt;
  // Bytes to move for each run that goes away.
  std::pair<std::size_t, std::size_t> best{0, runs};
  double best_cost = -1;
  for (std::size_t first = 0; first + 1 < runs; ++first) {
    std::uint64_t bytes = now->layers[first].bytes();
    for (std::size_t last = first + 1; last < runs; ++last) {
      bytes += now->layers[last].bytes();
      const double cost = static_cast<double>(bytes) / static_cast<double>(last - first);
      if (best_cost >= 0 && cost >= best_cost) continue;
      best_cost = cost;
      best = {first, last - first + 1};
    }
  }
  return best;
}

void TableImpl::schedule_compaction() {
  if (!tuning_.compact_by_itself || !pick_compaction()) return;
  const MutexLock lock(state_mutex_);
  if (compaction_job_ || stop_jobs_ || !loaded_) return;
  const auto work = [this](directory::Job& job) {
    Result<void> done;
    if (const auto picked = pick_compaction()) {
      bool oldest = false;
      const std::vector<Layer> layers = claim(picked->first, picked->second, oldest);
      if (!layers.empty()) {
        done = merge_claimed(job, layers, oldest);
        if (done) counters_.compactions.fetch_add(1, std::memory_order_relaxed);
      }
    }
    directory_->reclaim();
    const MutexLock job_lock(state_mutex_);
    compaction_job_.reset();  // The next flush looks again, whatever came of this one.
    return done;
  };
  compaction_job_ = environment_.jobs.submit("compaction " + entry_.name, directory::JobRunner::Urgency::kNormal, work,
                                             options_.job_bytes_per_s_max);
}

Result<void> TableImpl::compact_layers(std::size_t first, std::size_t count) {
  bool oldest = false;
  const std::vector<Layer> layers = claim(first, count, oldest);
  if (layers.empty()) return fail(ErrorCode::kBusy, "a layer is being merged already, or is not there");
  const auto job = environment_.jobs.submit(
      "compaction " + entry_.name, directory::JobRunner::Urgency::kNormal,
      [&](directory::Job& running) { return merge_claimed(running, layers, oldest); }, options_.job_bytes_per_s_max);
  const Result<void> done = environment_.jobs.wait(job);
  if (!done) unclaim(layers);  // A job cancelled before it began has not.
  if (done) counters_.compactions.fetch_add(1, std::memory_order_relaxed);
  return done;
}

Result<void> TableImpl::flush() {
  {
    const MutexLock lock(commit_mutex_);
    if (closed_) return fail(ErrorCode::kUnavailable, "the table is closed");
    CAIRN_TRY_VOID(directory_->state());
    CAIRN_TRY_VOID(freeze_and_wait_until_idle());
  }
  while (true) {
    const std::shared_ptr<const LineUp> now = line_up_.get();
    if (std::none_of(now->layers.begin(), now->layers.end(), [](const Layer& layer) { return !layer.run; })) break;
    schedule_flush();
    std::shared_ptr<directory::Job> job;
    {
      const MutexLock lock(state_mutex_);
      job = flush_job_;
      if (stop_jobs_) return fail(ErrorCode::kUnavailable, "the table is being closed");
    }
    if (job) CAIRN_TRY_VOID(environment_.jobs.wait(job));
  }
  directory_->reclaim();
  return {};
}

Result<void> TableImpl::compact() {
  CAIRN_TRY_VOID(flush());
  while (true) {
    const std::shared_ptr<const LineUp> now = line_up_.get();
    const std::size_t count = now->layers.size();
    if (count == 0) return {};
    Result<void> done = compact_layers(0, count);
    if (done || done.error().code != ErrorCode::kBusy) {
      directory_->reclaim();
      return done;
    }
    std::shared_ptr<directory::Job> job;
    {
      const MutexLock lock(state_mutex_);
      job = compaction_job_ ? compaction_job_ : flush_job_;
      if (stop_jobs_) return fail(ErrorCode::kUnavailable, "the table is being closed");
    }
    if (job) {
      (void)environment_.jobs.wait(job);
    } else {
      environment_.clock.sleep_ms(1);  // Somebody's compact_layers.
    }
  }
}

}  // namespace cairn::table
