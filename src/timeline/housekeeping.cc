// What expires leaves the main line, block by block; the cycle of the persistent line keeps the last save of each key in it.
//
// Reads decide by themselves what has expired: jobs only give room back, and only for what elapsed time confirms, so that a clock
// that jumps ahead hides saves but deletes none. Every step ends in one switch of the manifest and leaves everything consistent:
// a crash or the end of the process costs at most the step that was under way.
#include <malloc.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "base/reached.h"
#include "directory/liveness.h"
#include "timeline/block_writer.h"
#include "timeline/timeline_impl.h"

namespace cairn::timeline {
namespace {

constexpr std::int64_t kLookAgainMsMost = 3'600'000;
constexpr std::int64_t kLookAgainMsLeast = 100;
constexpr std::int64_t kRetryMs = 1000;
constexpr std::uint64_t kProgressBytes = 256 * kKiB;
constexpr std::uint64_t kFreedBytes = 32 * kMiB;

std::uint64_t bytes_of_line(const directory::TimelineEntry& entry, directory::Line line) {
  std::uint64_t bytes = 0;
  for (const directory::BlockEntry& block : entry.blocks) bytes += block.line == line ? block.end : 0;
  return bytes;
}

/// How many of the saves in an index have stamps up to `until`; they are in the order of stamps.
Result<std::uint64_t> saves_up_to(const sealed::SealedReader& reader, std::uint64_t until) {
  CAIRN_TRY(high, reader.term_count(kTimes));
  std::uint64_t low = 0;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    CAIRN_TRY(entry, reader.term_entry(kTimes, middle));
    if (entry.stamp <= until) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

void TimelineImpl::schedule_housekeeping() {
  if (tuning_.housekeep_by_itself) submit_housekeeping();
}

/// The job under way, or a new one; nullptr: the timeline is being closed.
std::shared_ptr<directory::Job> TimelineImpl::submit_housekeeping() {
  const MutexLock lock(state_mutex_);
  if (housekeeping_job_ || stop_jobs_) return housekeeping_job_;
  const auto work = [this](directory::Job& job) {
    // Not to closing that cannot end: lookups would get slower and slower.
    job.give_way_while([this] { return line_up_.get()->indexes.size() <= tuning_.indexes_in_burst; });
    const Result<void> done = keep_house(job);
    if (freed_bytes_.load() >= kFreedBytes && burst_left_ms() == 0) {
      freed_bytes_ = 0;
      malloc_trim(0);  // What a burst took would stay in its free lists.
    }
    schedule_next_look(!done);
    const MutexLock job_lock(state_mutex_);  // The last thing it does: close() waits for the last job only.
    housekeeping_job_.reset();
    housekeeping_error_ = done ? "" : done.error().to_string();
    return done;
  };
  housekeeping_job_ = environment_.jobs.submit("housekeeping of " + name_, directory::JobRunner::Urgency::kNormal, work,
                                               options_.job_bytes_per_s_max);
  last_housekeeping_job_ = housekeeping_job_;
  return housekeeping_job_;
}

/// Looks again when the oldest block of the main line will have expired, or the undo of a rollback.
void TimelineImpl::schedule_next_look(bool failed) {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const std::int64_t now_ms = directory_->confirmed_now_ms();
  // What is saved from now on is not known here, and expires a timeout from now at the soonest.
  std::int64_t due_ms = now_ms + std::min(kLookAgainMsMost, config_.timeout_ms == 0 ? kLookAgainMsMost : config_.timeout_ms);
  if (failed) due_ms = now_ms + kRetryMs;
  const auto expires = [&](std::uint64_t stamp_last) {
    if (config_.timeout_ms != 0) due_ms = std::min(due_ms, directory::ms_of_stamp(stamp_last) + config_.timeout_ms);
  };
  const auto oldest = std::ranges::find(now->blocks, directory::Line::kMain, &LineUp::Placed::line);
  if (oldest != now->blocks.end()) {
    expires(oldest->block->stamp_last());
  } else if (!now->open.empty() && !now->open.front()->empty()) {
    expires(now->open.front()->stamp_last());
  }
  for (const directory::RollbackEntry& rollback : now->rollbacks) {
    if (rollback.undo_until_ms != 0) due_ms = std::min(due_ms, rollback.undo_until_ms);
  }
  if (const std::int64_t rest_ms = merging_rests_ms(); rest_ms > 0) due_ms = std::min(due_ms, now_ms + rest_ms);
  const std::int64_t wait_ms = std::max(due_ms - now_ms, failed ? kRetryMs : kLookAgainMsLeast);
  const std::int64_t at_ms = environment_.clock.boot_ms() + wait_ms;
  const MutexLock lock(state_mutex_);
  if (stop_jobs_ || (next_look_boot_ms_ != 0 && next_look_boot_ms_ <= at_ms)) return;
  next_look_boot_ms_ = at_ms;
  environment_.syncs.after(wait_ms, this, [this, at_ms] {
    {
      const MutexLock timer_lock(state_mutex_);
      if (next_look_boot_ms_ == at_ms) next_look_boot_ms_ = 0;
    }
    schedule_housekeeping();
  });
}

/// As closing does. 0, or for how long at least.
std::int64_t TimelineImpl::merging_rests_ms() const {
  return line_up_.get()->indexes.size() > tuning_.indexes_in_burst ? 0 : burst_left_ms();
}

/// What one kind of work fails on does not keep the others from theirs.
Result<void> TimelineImpl::keep_house(directory::Job& job) {
  Result<void> merging;
  Result<void> cycling;
  while (true) {
    CAIRN_TRY_VOID(directory_->state());
    CAIRN_TRY_VOID(job.progress(0));
    CAIRN_TRY_VOID(end_expired_block());
    CAIRN_TRY_VOID(rest_log());
    CAIRN_TRY(expired, expire());
    const auto goes_on = [](Result<void>& so_far, const std::function<Result<bool>()>& work) {
      if (!so_far) return false;
      const Result<bool> done = work();
      if (!done) so_far = std::unexpected(done.error());
      return done && *done;
    };
    const bool merged = merging_rests_ms() == 0 && goes_on(merging, [&] { return merge_indexes(job); });
    const bool cycled = goes_on(cycling, [&] { return cycle_step(job); });
    directory_->reclaim();
    if (expired || merged || cycled) continue;
    return merging ? cycling : merging;
  }
}

/// Blocks that have wholly expired leave the main line; what was rolled back for good goes.
void TimelineImpl::expire_blocks(directory::TimelineEntry& entry, std::int64_t now_ms) const {
  for (directory::RollbackEntry& rollback : entry.rollbacks) {
    if (rollback.undo_until_ms <= now_ms) rollback.undo_until_ms = 0;
  }
  drop_rolled_back(entry);
  std::set<std::uint64_t> gone;
  bool expiring = true;
  for (directory::BlockEntry& block : entry.blocks) {
    const bool main = block.line == directory::Line::kMain;
    expiring = expiring && (!main || has_expired(block.stamp_last, now_ms));
    if (main && !expiring) continue;
    if (main) entry.main_after = std::max(entry.main_after, block.stamp_last);
    if (!config_.persist) gone.insert(block.number());
    if (main) block.line = directory::Line::kPersistent;
  }
  entry.erase_blocks(gone);
  if (!config_.persist) entry.cycle_until = 0;
}

/// The block that takes saves has to end before it can leave; its close comes back here.
Result<void> TimelineImpl::end_expired_block() {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  if (now->open.empty() || now->open.front()->empty()) return {};
  if (!has_expired(now->open.front()->stamp_last(), directory_->confirmed_now_ms())) return {};
  {
    const MutexLock lock(log_.mutex);
    if (log_.closed()) return {};
    if (active_ == now->open.front() && has_expired(active_->stamp_last(), directory_->confirmed_now_ms())) {
      CAIRN_REACHED("active block expired");
      CAIRN_TRY_VOID(end_block());
    }
  }
  schedule_close();
  return {};
}

/// Nothing was saved for a timeout: a segment that was prepared while saves were many may be as large as all that is stored.
Result<void> TimelineImpl::rest_log() {
  const auto rests = [&] { return config_.timeout_ms != 0 && has_expired(log_.visible_stamp(), directory_->confirmed_now_ms()); };
  if (!rests()) return {};
  const MutexLock lock(log_.mutex);
  return rests() ? log_.rest() : Result<void>{};
}

/// The time by which a job decides what leaves the timeline. It is noted first: a clock may be set back afterwards, and then
/// what has left has not expired by it (KeyCount).
std::int64_t TimelineImpl::time_of_leaving() {
  const std::int64_t now_ms = directory_->confirmed_now_ms();
  std::int64_t noted = left_by_ms_.load();
  while (noted < now_ms && !left_by_ms_.compare_exchange_weak(noted, now_ms)) continue;
  return now_ms;
}

Result<bool> TimelineImpl::expire() {
  const std::int64_t elapsed_ms = time_of_leaving();
  const directory::TimelineEntry before = entry();
  directory::TimelineEntry after = before;
  expire_blocks(after, elapsed_ms);
  if (after == before) return false;
  CAIRN_TRY_VOID(change([&](directory::ViewEntry& view) -> Result<void> {
    expire_blocks(*view.timeline, elapsed_ms);
    return {};
  }));
  const auto in_main = [](const directory::TimelineEntry& entry) {
    return std::ranges::count(entry.blocks, directory::Line::kMain, &directory::BlockEntry::line);
  };
  counters_.expired.fetch_add(static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(in_main(before) - in_main(after), 0)),
                              std::memory_order_relaxed);
  return true;
}

directory::TimelineEntry TimelineImpl::entry() const { return entry_in(directory_->manifest()); }

/// The save of A as a cycle up to `until` takes it up; nullopt: it leaves it out.
Result<std::optional<Save>> TimelineImpl::kept_by_cycle(const LineUp& line_up, ByteView key, std::uint64_t stamp, RecordKind kind,
                                                        std::uint64_t until, std::int64_t now_ms) const {
  const std::uint64_t hash = hash_of(key);
  CAIRN_TRY(last, line_up.find(key, hash, stamp, until, read_counters_));
  directory::StoredSave save{.last = last && last->stamp == stamp, .tombstone = kind != RecordKind::kPut};
  if (save.last && last->expiry_ms != 0 && last->expiry_ms <= now_ms) {
    // What came after the cycle began may have changed its expiry, and may count again after a rollback.
    CAIRN_TRY(later, line_up.has_later(key, hash, until));
    save.expired = !later;
  }
  return directory::live_save(save) ? last : std::nullopt;
}

/// The share of the saves of A that a cycle would leave out, from a sample: 0 to 1.
Result<double> TimelineImpl::dead_share(std::uint64_t until) const {
  constexpr int kSample = 128;  // The error of the share is 0.04 (one sigma).
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const std::int64_t now_ms = directory_->confirmed_now_ms();
  std::vector<std::uint64_t> ends;  // Of the numbers of the saves of each index, if those of all are counted on.
  for (const auto& index : now->indexes) {
    CAIRN_TRY(count, saves_up_to(*index->file()->reader, until));
    ends.push_back(count + (ends.empty() ? 0 : ends.back()));
  }
  const std::uint64_t saves = ends.empty() ? 0 : ends.back();
  Random chance(until);
  int seen = 0;
  int dead = 0;
  for (int tries = 0; saves != 0 && seen < kSample && tries < 8 * kSample; ++tries) {
    const std::uint64_t number = chance.below(saves);
    const auto at = static_cast<std::size_t>(std::ranges::upper_bound(ends, number) - ends.begin());
    const BlockIndex& index = *now->indexes[at];
    CAIRN_TRY(entry, index.file()->reader->term_entry(kTimes, at == 0 ? number : number - ends[at - 1]));
    if (!has_place(entry)) continue;  // An erase of all keys.
    CAIRN_TRY(save, index.save(entry));
    if (!save) continue;  // Its block has left.
    ++seen;
    CAIRN_TRY(kept, kept_by_cycle(*now, entry.key, entry.stamp, entry.kind, until, now_ms));
    dead += kept ? 0 : 1;
  }
  return seen < kSample / 4 ? 0 : static_cast<double>(dead) / seen;  // Of fewer nothing can be said.
}

/// Whether a cycle that begins now is worth its reads and writes: it would leave out at least half of A, or A has doubled since
/// the last one and has many small blocks.
Result<bool> TimelineImpl::cycle_due(const directory::TimelineEntry& entry) {
  std::uint64_t bytes = 0;
  std::uint64_t blocks = 0;
  std::uint64_t until = 0;
  for (const directory::BlockEntry& block : entry.blocks) {
    if (block.line != directory::Line::kPersistent) continue;
    bytes += block.end;
    ++blocks;
    until = std::max(until, block.stamp_last);
  }
  {
    const MutexLock lock(state_mutex_);
    if (std::exchange(full_cycle_wanted_, false)) return bytes != 0;
  }
  if (bytes < 2 * std::min(config_.block_bytes_max, kLargeBlockBytes)) return false;
  const bool doubled = bytes >= 2 * std::max(entry.cycled_bytes, config_.block_bytes_max);
  if (doubled && blocks * (config_.block_bytes_max / 4) > bytes) return true;
  CAIRN_TRY(share, dead_share(until));
  return share >= 0.5;
}

/// What one step of a cycle reads and makes.
struct TimelineImpl::Step {
  std::shared_ptr<const LineUp> line_up;
  std::uint64_t until = 0;
  std::int64_t now_ms = 0;
  std::vector<std::shared_ptr<const Block>> blocks;  // Of A, the oldest.
  std::unique_ptr<BlockWriter> writer;
  std::vector<std::pair<directory::BlockEntry, std::shared_ptr<const IndexFile>>> made;
};

/// Takes the oldest blocks of A up into the next line; with the last of those that stood in it when the cycle began, the next
/// line becomes A. Job 1 need not pause meanwhile: what it adds to A comes behind, and is left to the next cycle. Whether
/// anything was done.
Result<bool> TimelineImpl::cycle_step(directory::Job& job) {
  const directory::TimelineEntry now = entry();
  if (now.cycle_until == 0) {
    if (!config_.persist) return false;
    CAIRN_TRY(due, cycle_due(now));
    if (!due) return false;
    CAIRN_TRY_VOID(change([](directory::ViewEntry& view) -> Result<void> {
      directory::TimelineEntry& timeline = *view.timeline;
      for (const directory::BlockEntry& block : timeline.blocks) {
        if (block.line == directory::Line::kPersistent) timeline.cycle_until = block.stamp_last;
      }
      return {};
    }));
    return true;
  }
  // An undo brings saves back, and discards others that may have superseded what a cycle would drop.
  if (std::ranges::any_of(now.rollbacks, [&](const directory::RollbackEntry& rollback) {
        return rollback.undo_until_ms != 0 && rollback.to < now.cycle_until;
      })) {
    CAIRN_REACHED("cycle waits for a rollback to be confirmed");
    return false;
  }
  Step step{.line_up = line_up_.get(), .until = now.cycle_until, .now_ms = time_of_leaving()};
  std::uint64_t bytes = 0;
  for (const LineUp::Placed& placed : step.line_up->blocks) {
    const bool takes = placed.line == directory::Line::kPersistent && placed.block->stamp_last() <= step.until;
    if (!takes || step.blocks.size() == tuning_.cycle_blocks_max) continue;
    step.blocks.push_back(placed.block);
    bytes += placed.block->bytes();
  }
  job.set_bytes_total(job.bytes_done() + bytes);
  step.writer = std::make_unique<BlockWriter>(*directory_, view_, name_, config_.block_bytes_max, bytes);
  for (const auto& block : step.blocks) CAIRN_TRY_VOID(take_up(job, step, *block));
  CAIRN_TRY_VOID(step.writer->finish());
  const Result<void> listed = list_taken_up(job, step);
  if (listed) step.writer->keep();
  for (const auto& [block, index] : step.made) {
    if (!listed) forget_index_file(*index);
  }
  CAIRN_TRY_VOID(listed);
  return true;
}

/// Copies what stays of a block of A.
Result<void> TimelineImpl::take_up(directory::Job& job, Step& step, const Block& block) {
  std::uint64_t bytes = 0;
  return block.replay([&](const segment::RecordView& record) -> Result<void> {
    bytes += record.bytes;
    if (bytes >= kProgressBytes) CAIRN_TRY_VOID(job.progress(std::exchange(bytes, 0)));
    CAIRN_TRY(save, kept_by_cycle(*step.line_up, record.key, record.header.stamp, record.kind(), step.until, step.now_ms));
    if (!save) return {};
    segment::RecordView kept = record;
    if (kept.expiry_ms == 0 && save->expiry_ms != 0) kept.bytes += sizeof kept.expiry_ms;
    kept.expiry_ms = save->expiry_ms;  // Changes of it are not taken up.
    return step.writer->add(kept);
  });
}

/// In one switch of the manifest: what was made, with its indexes, instead of the blocks it was made of.
Result<void> TimelineImpl::list_taken_up(directory::Job& job, Step& step) {
  for (const BlockWriter::Made& made : step.writer->made()) {
    CAIRN_TRY(block, OpenBlock::replay(*directory_, made.file, made.end, view_));
    CAIRN_TRY(index, write_index(job, *block));
    step.made.emplace_back(directory::BlockEntry{.file = made.file,
                                                 .line = directory::Line::kNext,
                                                 .end = made.end,
                                                 .stamp_first = block->stamp_first(),
                                                 .stamp_last = block->stamp_last(),
                                                 .saves = block->saves()},
                           index);
  }
  bool ended = false;
  CAIRN_TRY_VOID(change([&](directory::ViewEntry& view) -> Result<void> {
    directory::TimelineEntry& timeline = *view.timeline;
    std::set<std::uint64_t> taken;
    for (const auto& block : step.blocks) taken.insert(block->number());
    timeline.erase_blocks(taken);
    add_to_next_line(timeline, step);
    ended = std::ranges::none_of(timeline.blocks, [&](const directory::BlockEntry& block) {
      return block.line == directory::Line::kPersistent && block.stamp_last <= step.until;
    });
    if (!ended) return {};
    CAIRN_REACHED("next line became the persistent one");
    timeline.cycled_bytes = bytes_of_line(timeline, directory::Line::kNext);
    timeline.cycle_until = 0;
    for (directory::BlockEntry& block : timeline.blocks) {
      if (block.line == directory::Line::kNext) block.line = directory::Line::kPersistent;
    }
    return {};
  }));
  if (ended) counters_.cycles.fetch_add(1, std::memory_order_relaxed);
  return {};
}

/// At the end of the next line, with the indexes at the end of those over it.
void TimelineImpl::add_to_next_line(directory::TimelineEntry& timeline, const Step& step) {
  std::set<std::uint64_t> next;
  for (const directory::BlockEntry& block : timeline.blocks) {
    if (block.line == directory::Line::kNext) next.insert(block.number());
  }
  auto blocks_end = timeline.blocks.begin() + static_cast<std::ptrdiff_t>(next.size());
  auto indexes_end =
      std::ranges::find_if(timeline.indexes, [&](const auto& index) { return !next.contains(index.blocks.front()); });
  for (const auto& [block, index] : step.made) {
    blocks_end = timeline.blocks.insert(blocks_end, block) + 1;
    const directory::BlockIndexEntry entry{.file = index->name(), .blocks = {block.number()}};
    indexes_end = timeline.indexes.insert(indexes_end, entry) + 1;
  }
}

Result<void> TimelineImpl::housekeep(bool until_done) {
  const Asking asking(*this);
  schedule_close();  // Of what rests.
  const auto wait_for = [&](const std::shared_ptr<directory::Job>& job) {
    return job ? environment_.jobs.wait(job) : Result<void>{};
  };
  for (int round = 0; round < 2; ++round) {  // What has expired in the first may have to be closed before it can leave.
    std::shared_ptr<directory::Job> closing;
    std::shared_ptr<directory::Job> keeping;
    {
      const MutexLock lock(state_mutex_);
      if (stop_jobs_) return fail(ErrorCode::kUnavailable, "the timeline is being closed");
      closing = close_job_;
      keeping = housekeeping_job_;
    }
    CAIRN_TRY_VOID(wait_for(closing));
    CAIRN_TRY_VOID(wait_for(keeping));  // Which may have been past what is wanted.
    if (round == 0 && until_done) {
      const MutexLock lock(state_mutex_);
      full_cycle_wanted_ = true;
    }
    CAIRN_TRY_VOID(wait_for(submit_housekeeping()));
  }
  return directory_->state();
}

}  // namespace cairn::timeline
