// Which layers are merged, and when. table_merge.cc says how.
#include <algorithm>
#include <exception>
#include <numeric>

#include "base/error.h"
#include "base/reached.h"
#include "sealed/levelling.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

/// Whether a layer belongs to a merge that was begun and not finished: as an input, or as what it makes.
bool in_unfinished_merge(const std::vector<Layer>& layers, std::size_t i) {
  const auto is_input = [&](std::size_t at) { return at < layers.size() && layers[at].run && !layers[at].run->from().empty(); };
  return is_input(i) || (layers[i].run && is_input(i + 1));
}

/// Runs before this one belong to a merge that is not finished.
std::size_t first_settled(const std::vector<Layer>& layers) {
  std::size_t first = layers.size();
  while (first > 0 && !(layers[first - 1].run && !layers[first - 1].run->from().empty())) --first;
  return first;
}

}  // namespace

/// The runs that compaction should make fewer, of the family that has most.
std::size_t TableImpl::settled_runs(const LineUp& line_up) {
  std::size_t most = 0;
  for (const LineUp::OfFamily& family : line_up.families) {
    const auto begin = family.layers.begin() + static_cast<std::ptrdiff_t>(first_settled(family.layers));
    const auto runs = std::count_if(begin, family.layers.end(), [](const Layer& layer) { return layer.run != nullptr; });
    most = std::max(most, static_cast<std::size_t>(runs));
  }
  return most;
}

/// Takes the layers `wanted` for one job, as the groups of neighbours that they are in each family.
Merge TableImpl::claim_layers(const LineUp& now, const std::set<const void*>& wanted) {
  Merge merge;
  for (std::size_t family = 0; family < now.families.size(); ++family) {
    const std::vector<Layer>& layers = now.families[family].layers;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!wanted.contains(layers[i].identity())) continue;
      if (i == 0 || !wanted.contains(layers[i - 1].identity())) {
        merge.groups.push_back({.family = static_cast<std::uint16_t>(family),
                                .layers = {},
                                .older = {layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(i)},
                                .begun = nullptr});
      }
      merge.groups.back().layers.push_back(layers[i]);
    }
  }
  claimed_.insert(wanted.begin(), wanted.end());
  merge.claimed.assign(wanted.begin(), wanted.end());
  return merge;
}

/// Takes `count` layers of a family from `first`; none if any is in a job or an unfinished merge, or is not there.
Merge TableImpl::claim(std::uint16_t family, std::size_t first, std::size_t count) {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const std::vector<Layer>& layers = now->families[family].layers;
  if (count == 0 || first + count > layers.size()) return {};
  std::set<const void*> wanted;
  for (std::size_t i = first; i < first + count; ++i) {
    if (claimed_.contains(layers[i].identity()) || in_unfinished_merge(layers, i)) return {};
    wanted.insert(layers[i].identity());
  }
  return claim_layers(*now, wanted);
}

/// Takes the oldest frozen memtables that no job has and that are neighbours.
Merge TableImpl::claim_frozen() {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> now = line_up_.get();
  std::set<const void*> wanted;
  for (const Layer& layer : now->families.front().layers) {
    const bool free = layer.memtable && !claimed_.contains(layer.identity());
    if (!free && !wanted.empty()) break;
    if (free) wanted.insert(layer.identity());
  }
  return wanted.empty() ? Merge{} : claim_layers(*now, wanted);
}

/// Takes what an interrupted merge has left, to go on with it.
Merge TableImpl::claim_unfinished() {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (std::size_t family = 0; family < now->families.size(); ++family) {
    const std::vector<Layer>& layers = now->families[family].layers;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!in_unfinished_merge(layers, i) || claimed_.contains(layers[i].identity())) continue;
      CAIRN_REACHED("interrupted merge taken up again");
      Merge merge;
      merge.groups.push_back({.family = static_cast<std::uint16_t>(family),
                              .layers = {},
                              .older = {layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(i)},
                              .begun = layers[i].run});
      merge.claimed.push_back(layers[i].identity());
      for (++i; i < layers.size() && layers[i].run && !layers[i].run->from().empty(); ++i) {
        merge.groups.back().layers.push_back(layers[i]);
        merge.claimed.push_back(layers[i].identity());
      }
      claimed_.insert(merge.claimed.begin(), merge.claimed.end());
      return merge;
    }
  }
  return {};
}

void TableImpl::unclaim(const Merge& merge) {
  const MutexLock lock(state_mutex_);
  for (const void* const identity : merge.claimed) claimed_.erase(identity);
}

Result<void> TableImpl::flush_all(directory::Job& job) {
  while (true) {
    Merge merge = claim_frozen();
    if (merge.empty()) break;
    std::uint64_t bytes = 0;
    for (const Layer& layer : merge.groups.front().layers) bytes += layer.bytes();
    const std::int64_t begin_ms = environment_.clock.boot_ms();
    CAIRN_TRY_VOID(run_merge(job, merge));
    pacing_.flushed(bytes, environment_.clock.boot_ms() - begin_ms);
    counters_.flushes.fetch_add(1, std::memory_order_relaxed);
  }
  return {};
}

bool TableImpl::frozen_unclaimed() const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const Layer& layer : now->families.front().layers) {
    if (layer.memtable && !claimed_.contains(layer.identity())) return true;
  }
  return false;
}

/// Starts a flush of what is frozen, unless one is under way.
void TableImpl::schedule_flush() {
  const MutexLock lock(state_mutex_);
  if (!flush_job_ && !stop_jobs_) submit_flush();
}

void TableImpl::submit_flush() {
  const auto work = [this](directory::Job& job) {
    const Result<void> done = flush_all(job);
    if (done) schedule_compaction();
    const bool writes = directory_->state().has_value();
    const MutexLock lock(state_mutex_);  // The last thing it does: close() waits for the last job only.
    flush_job_.reset();
    if (stop_jobs_ || !frozen_unclaimed()) return done;
    if (done) {
      submit_flush();  // Frozen between our last look and now.
    } else if (writes) {
      CAIRN_REACHED("flush failed and is tried again");
      environment_.syncs.after(kFlushRetryMs, this, [this] { schedule_flush(); });
    }
    return done;
  };
  flush_job_ = environment_.jobs.submit("flush " + entry_.name, directory::JobRunner::Urgency::kUrgent, work,
                                        options_.job_bytes_per_s_max);
  last_flush_job_ = flush_job_;
}

/// One run instead of `layers`, without copying; nullptr: they have to be merged.
std::shared_ptr<const Run> TableImpl::join(std::span<const Layer> layers) const {
  std::vector<std::shared_ptr<const Run>> runs;
  runs.reserve(layers.size());
  std::uint64_t bytes = 0;
  for (const Layer& layer : layers) {
    if (!layer.run) return nullptr;
    runs.push_back(layer.run);
    bytes += layer.run->bytes();
  }
  const std::uint64_t for_few = std::min(bytes / tuning_.joined_files_max, tuning_.sealed_bytes_max / 2);
  return Run::join(runs, std::max(tuning_.joined_file_bytes_mean_min, for_few));
}

/// What to merge next, if anything: first what costs nothing. Of a family in which a merge is unfinished: of the runs that came
/// since.
std::optional<TableImpl::Picked> TableImpl::pick_compaction() const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (std::size_t family = 0; family < now->families.size(); ++family) {
    const std::vector<Layer>& layers = now->families[family].layers;
    const std::size_t first = first_settled(layers);
    std::vector<std::uint64_t> bytes;
    for (std::size_t i = first; i < layers.size() && layers[i].run; ++i) {
      bytes.push_back(layers[i].bytes());
      if (i != first && join(std::span(layers).subspan(i - 1, 2)))
        return Picked{.family = static_cast<std::uint16_t>(family), .first = i - 1, .count = 2};
    }
    const auto picked = sealed::pick_runs(bytes, first == 0, tuning_.sealed_runs_max);
    if (picked)
      return Picked{.family = static_cast<std::uint16_t>(family), .first = first + picked->first, .count = picked->count};
  }
  return std::nullopt;
}

bool TableImpl::unfinished() const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  return std::any_of(now->families.begin(), now->families.end(), [](const LineUp::OfFamily& family) {
    return std::any_of(family.layers.begin(), family.layers.end(),
                       [](const Layer& layer) { return layer.run && !layer.run->from().empty(); });
  });
}

/// Merges what there is too much of. A merge of many files is put off between two of them when younger, smaller ones want
/// merging, so that their number stays bounded however long the large one takes.
Result<void> TableImpl::compact_all(directory::Job& job) {
  while (true) {
    directory_->reclaim();
    Merge merge;
    const auto picked = tuning_.compact_by_itself ? pick_compaction() : std::nullopt;
    if (picked) merge = claim(picked->family, picked->first, picked->count);
    if (merge.empty()) merge = claim_unfinished();
    if (merge.empty()) break;
    merge.by_itself = true;
    const Result<void> merged = run_merge(job, merge);
    if (!merged && merge.put_off) continue;
    CAIRN_TRY_VOID(merged);
    counters_.compactions.fetch_add(1, std::memory_order_relaxed);
  }
  return {};
}

/// Deleting what was flushed and merged takes time too, in which no flush should have to wait.
void TableImpl::schedule_compaction() {
  if (!unfinished() && !(tuning_.compact_by_itself && pick_compaction()) && !directory_->holds_dropped()) return;
  const MutexLock lock(state_mutex_);
  if (compaction_job_ || stop_jobs_ || !loaded_) return;
  const auto work = [this](directory::Job& job) {
    // Long before writers would be delayed for the number of runs.
    job.give_way_while([this] { return runs_.load(std::memory_order_relaxed) <= tuning_.sealed_runs_max / 2; });
    const Result<void> done = compact_all(job);
    const MutexLock job_lock(state_mutex_);
    compaction_job_.reset();  // The next flush looks again, whatever came of this one.
    return done;
  };
  compaction_job_ = environment_.jobs.submit("compaction " + entry_.name, directory::JobRunner::Urgency::kNormal, work,
                                             options_.job_bytes_per_s_max);
}

Result<void> TableImpl::wait_for_job(const std::shared_ptr<directory::Job>& job, const Progress& progress) {
  constexpr std::int64_t kProgressMs = 100;
  std::exception_ptr thrown;
  while (progress) {
    // Before the wait: where no thread runs jobs, the wait runs this one to its end.
    bool go_on = false;
    try {
      go_on = progress(job->bytes_done(), job->bytes_total());
    } catch (...) {
      thrown = std::current_exception();
    }
    if (!go_on) {
      // Waited for in any case: the job works on what its caller owns.
      job->cancel();
      const Result<void> done = environment_.jobs.wait(job);
      if (thrown) std::rethrow_exception(thrown);
      return done ? done : fail(ErrorCode::kUnavailable, "cancelled");
    }
    if (const auto done = environment_.jobs.wait_for(job, kProgressMs)) return *done;
  }
  return environment_.jobs.wait(job);
}

Result<void> TableImpl::compact_layers(std::uint16_t family, std::size_t first, std::size_t count, const Progress& progress) {
  Merge merge = claim(family, first, count);
  if (merge.empty()) return fail(ErrorCode::kBusy, "a layer is being merged already, or is not there");
  const auto job = environment_.jobs.submit(
      "compaction " + entry_.name, directory::JobRunner::Urgency::kNormal,
      [&](directory::Job& running) { return run_merge(running, merge); }, options_.job_bytes_per_s_max);
  Result<void> done;
  try {
    done = wait_for_job(job, progress);
  } catch (...) {  // `progress` threw.
    unclaim(merge);
    throw;
  }
  if (!done) unclaim(merge);  // A job cancelled before it began has not.
  if (done) counters_.compactions.fetch_add(1, std::memory_order_relaxed);
  return done;
}

Result<void> TableImpl::flush() {
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
    CAIRN_TRY_VOID(freeze_and_wait_until_idle());
  }
  while (true) {
    if (line_up_.get()->frozen().empty()) break;
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

Result<void> TableImpl::compact(const Progress& progress) {
  CAIRN_TRY_VOID(flush());
  // There is one job for each family; for `progress` they are one operation.
  std::vector<std::uint64_t> bytes;
  for (const LineUp::OfFamily& family : LineUp(*line_up_.get()).families) {
    bytes.push_back(0);
    for (const Layer& layer : family.layers) bytes.back() += layer.bytes();
  }
  const std::uint64_t total = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
  std::uint64_t before = 0;
  for (std::size_t family = 0; family < bytes.size(); ++family) {
    const Progress of_all = [&](std::uint64_t done, std::uint64_t) { return progress(std::min(before + done, total), total); };
    CAIRN_TRY_VOID(compact_family(static_cast<std::uint16_t>(family), progress ? of_all : Progress()));
    before += bytes[family];
  }
  directory_->reclaim();
  return {};
}

Result<void> TableImpl::compact_family(std::uint16_t family, const Progress& progress) {
  while (true) {
    const std::size_t count = layer_count(family);
    if (count == 0) return {};
    Result<void> done = compact_layers(family, 0, count, progress);
    if (done || done.error().code != ErrorCode::kBusy) return done;
    schedule_compaction();  // Of what an earlier one left unfinished.
    std::shared_ptr<directory::Job> job;
    {
      const MutexLock lock(state_mutex_);
      job = compaction_job_ ? compaction_job_ : flush_job_;
      if (stop_jobs_) return fail(ErrorCode::kUnavailable, "the table is being closed");
    }
    if (job) {
      const Result<void> other = environment_.jobs.wait(job);
      if (!other && unfinished()) return other;
    } else {
      environment_.clock.sleep_ms(1);  // Somebody's compact_layers.
    }
  }
}

}  // namespace cairn::table
