// Blocks that have ended get their index and are closed; small ones become one before. Indexes are merged, so that lookups do not
// grow with the number of blocks.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "sealed/merge_cursor.h"
#include "timeline/block_index_writer.h"
#include "timeline/block_writer.h"
#include "timeline/timeline_impl.h"

namespace cairn::timeline {
namespace {

constexpr std::int64_t kCloseRetryMs = 1000;
constexpr std::int64_t kQuietMs = 1000;
constexpr std::uint64_t kSmallDivisor = 8;  // A block is small if it is less than this part of what one may be.

}  // namespace

/// While one block ends soon after another nothing is closed and nothing merged, up to a number of each: it would take from those
/// who save more than it gives to those who read. 0, or for how long at least.
std::int64_t TimelineImpl::burst_left_ms() const {
  if (asked_.load() != 0) return 0;
  return std::max<std::int64_t>(last_full_boot_ms_.load() + kQuietMs - environment_.clock.boot_ms(), 0);
}

/// With so many that have ended.
bool TimelineImpl::closing_rests(std::size_t ended) const {
  return ended <= tuning_.open_blocks_in_burst && !environment_.memory.over() && burst_left_ms() > 0;
}

/// A block is full; none takes saves at the moment.
void TimelineImpl::block_is_full() {
  last_full_boot_ms_ = environment_.clock.boot_ms();
  environment_.syncs.after(kQuietMs, this, [this] {
    if (burst_left_ms() == 0) schedule_close();  // Or it is for the block that was full since.
  });
  if (!closing_rests(line_up_.get()->open.size())) schedule_close();
}

void TimelineImpl::schedule_close() {
  const MutexLock lock(state_mutex_);
  close_again_ = close_job_ != nullptr;
  if (!close_job_ && !stop_jobs_) submit_close();
}

void TimelineImpl::submit_close() {
  const auto work = [this](directory::Job& job) {
    const Result<bool> done = close_blocks(job);
    if (!done && directory_->state()) {
      CAIRN_REACHED("closing a block failed and is tried again");
      environment_.syncs.after(kCloseRetryMs, this, [this] { schedule_close(); });
    }
    // If it rests, what wanted it to close wants nothing else so far: housekeeping would ask for it again, and so on.
    if (done && *done) schedule_housekeeping();
    const MutexLock lock(state_mutex_);  // The last thing it does: close() waits for the last job only.
    close_job_.reset();
    close_error_ = done ? "" : done.error().to_string();
    if (std::exchange(close_again_, false) && done && !stop_jobs_) submit_close();
    return done ? Result<void>() : std::unexpected(done.error());
  };
  close_job_ = environment_.jobs.submit("close blocks of " + name_, directory::JobRunner::Urgency::kUrgent, work,
                                        options_.job_bytes_per_s_max);
  last_close_job_ = close_job_;
}

Result<void> TimelineImpl::close_block() {
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
    CAIRN_TRY_VOID(end_block());
  }
  const Asking asking(*this);
  while (true) {
    CAIRN_TRY(ended, ended_blocks());
    if (ended.empty()) return {};
    schedule_close();
    std::shared_ptr<directory::Job> job;
    {
      const MutexLock lock(state_mutex_);
      if (stop_jobs_) return fail(ErrorCode::kUnavailable, "the timeline is being closed");
      job = close_job_;
    }
    if (job) CAIRN_TRY_VOID(environment_.jobs.wait(job));
  }
}

/// Those that take no saves any more and have no index yet, oldest first; ended in the manifest.
Result<TimelineImpl::OpenBlocks> TimelineImpl::ended_blocks() {
  const MutexLock lock(log_.mutex);
  OpenBlocks ended = line_up_.get()->open;
  if (!ended.empty() && ended.back() == active_) ended.pop_back();
  if (directory_->state()) CAIRN_TRY_VOID(log_.end_predecessors());
  return ended;
}

/// The first of them or, if that is small, all that follow as long as they make one block.
TimelineImpl::OpenBlocks TimelineImpl::pick_to_close(const OpenBlocks& ended) const {
  std::uint64_t bytes = 0;
  std::uint64_t keys = 0;
  OpenBlocks picked;
  for (const auto& block : ended) {
    bytes += block->bytes();
    keys += block->keys();
    const std::int64_t span_ms =
        directory::ms_of_stamp(block->stamp_last()) - directory::ms_of_stamp(ended.front()->stamp_first());
    const bool fits = block->bytes() < config_.block_bytes_max / kSmallDivisor && bytes <= config_.block_bytes_max / 2 &&
                      keys <= config_.block_keys_max && span_ms <= config_.block_span_ms_max;
    if (!picked.empty() && (!fits || block->empty())) break;
    picked.push_back(block);
    if (!fits) break;
  }
  return picked;
}

/// False: it rests, and has done nothing.
Result<bool> TimelineImpl::close_blocks(directory::Job& job) {
  for (bool any = false;; any = true) {
    CAIRN_TRY(ended, ended_blocks());
    if (ended.empty()) return true;
    if (closing_rests(ended.size())) return any;
    if (ended.front()->empty()) {
      CAIRN_TRY_VOID(drop_empty(*ended.front()));
      continue;
    }
    const OpenBlocks picked = pick_to_close(ended);
    std::shared_ptr<const OpenBlock> block = picked.front();
    std::uint64_t end = 0;  // Of one that was joined.
    if (picked.size() > 1) {
      CAIRN_TRY(joined, join(job, picked, end));
      block = joined;
    }
    const Result<std::shared_ptr<const IndexFile>> index = write_index(job, *block);
    const Result<void> listed = index ? list_closed(picked, *block, end, **index) : std::unexpected(index.error());
    if (!listed && picked.size() > 1 && directory_->state()) directory_->abandon(block->name());
    CAIRN_TRY_VOID(listed);
    counters_.closed.fetch_add(1, std::memory_order_relaxed);
    for (const auto& each : picked) freed_bytes_ += each->memory_bytes();
  }
}

/// A segment in which nothing came to stand.
Result<void> TimelineImpl::drop_empty(const OpenBlock& block) {
  CAIRN_REACHED("segment without a save dropped");
  CAIRN_TRY_VOID(change(
      [&](directory::ViewEntry& view) -> Result<void> {
        std::erase_if(view.log, [&](const directory::SegmentEntry& segment) { return segment.file == block.name(); });
        return {};
      },
      [&](LineUp& next) { std::erase_if(next.open, [&](const auto& each) { return each.get() == &block; }); }));
  block.live()->set_obsolete();
  return {};
}

/// One block of several small ones: what many short opens leave.
Result<std::shared_ptr<const OpenBlock>> TimelineImpl::join(directory::Job& job, const OpenBlocks& blocks, std::uint64_t& end) {
  CAIRN_REACHED("small blocks joined");
  std::uint64_t bytes = 0;
  for (const auto& block : blocks) bytes += block->bytes();
  BlockWriter writer(*directory_, view_, name_, config_.block_bytes_max, bytes);
  for (const auto& block : blocks) {
    CAIRN_TRY_VOID(block->visit(0, ~std::uint64_t{0}, [&](const sealed::Entry& entry) -> Result<bool> {
      CAIRN_TRY_VOID(writer.add(block->record(block->save(entry).place.offset)));
      return true;
    }));
    CAIRN_TRY_VOID(job.progress(block->bytes()));
  }
  CAIRN_TRY_VOID(writer.finish());
  CAIRN_ASSERT(writer.made().size() == 1);
  end = writer.made().front().end;
  CAIRN_TRY(joined, OpenBlock::replay(*directory_, writer.made().front().file, end, view_));
  writer.keep();
  return joined;
}

Result<std::shared_ptr<const IndexFile>> TimelineImpl::write_index(directory::Job& job, const OpenBlock& block) {
  const OpenBlock* const one = &block;
  CAIRN_TRY(name, write_block_index(*directory_, name_, view_, {&one, 1}, progress_of(job)));
  CAIRN_TRY(file, IndexFile::open(*directory_, name, view_));
  counters_.index_bytes.fetch_add(file->bytes(), std::memory_order_relaxed);
  add_index_file(file);
  return file;
}

/// In one switch of the manifest: `block` with its index, instead of the segments in the log it is made of. `end`: of the block,
/// if it is none of those.
Result<void> TimelineImpl::list_closed(const OpenBlocks& from, const OpenBlock& block, std::uint64_t end,
                                       const IndexFile& index) {
  const Result<void> listed = change(
      [&](directory::ViewEntry& view) -> Result<void> {
        for (const auto& each : from) {
          const auto found = std::ranges::find(view.log, each->name(), &directory::SegmentEntry::file);
          CAIRN_ASSERT(found != view.log.end() && found->state == directory::SegmentState::kEnded);
          if (each->number() == block.number()) end = found->end;
          view.log.erase(found);
        }
        view.timeline->blocks.push_back({.file = block.name(),
                                         .line = directory::Line::kMain,
                                         .end = end,
                                         .stamp_first = block.stamp_first(),
                                         .stamp_last = block.stamp_last(),
                                         .saves = block.saves()});
        view.timeline->indexes.push_back({.file = index.name(), .blocks = {block.number()}});
        return {};
      },
      [&](LineUp& next) {
        for (const auto& each : from) {
          if (each->number() == block.number()) continue;
          std::erase(next.open, each);
          each->live()->set_obsolete();
        }
      });
  if (!listed) forget_index_file(index);
  return listed;
}

/// A file that could not be listed.
void TimelineImpl::forget_index_file(const IndexFile& file) {
  if (directory_->state()) file.live->set_obsolete();
  const MutexLock lock(state_mutex_);
  index_files_.erase(file.name());
}

/// Neighbours to be merged; none over the border between the next line and the others, since what the next line gets comes
/// between.
std::optional<sealed::Neighbours> TimelineImpl::pick_indexes(const LineUp& now) const {
  const auto is_next = [&](const BlockIndex& index) {
    const auto placed =
        std::ranges::find(now.blocks, index.blocks().front()->number(), [](const auto& each) { return each.block->number(); });
    return placed->line == directory::Line::kNext;
  };
  std::size_t begin = 0;
  while (begin < now.indexes.size()) {
    const bool next = is_next(*now.indexes[begin]);
    std::vector<std::uint64_t> bytes;
    std::size_t first = begin;
    std::size_t end = begin;
    for (; end < now.indexes.size() && is_next(*now.indexes[end]) == next; ++end) {
      const BlockIndex& index = *now.indexes[end];
      if (2 * index.saves() < index.file()->saves()) return sealed::Neighbours{.first = end, .count = 1};
      // Files that are large enough stay as they are: what is sorted is sorted in memory.
      if (index.file()->bytes() > tuning_.index_bytes_max / 2) {
        bytes.clear();
        first = end + 1;
        continue;
      }
      bytes.push_back(index.file()->bytes());
    }
    auto picked = sealed::pick_runs(bytes, true, tuning_.indexes_max);
    if (picked) {
      std::uint64_t merged = 0;
      std::size_t count = 0;
      while (count < picked->count && merged + bytes[picked->first + count] <= tuning_.index_bytes_max) {
        merged += bytes[picked->first + count++];
      }
      if (count > 1) return sealed::Neighbours{.first = first + picked->first, .count = count};
    }
    begin = end;
  }
  return std::nullopt;
}

/// Whether there was something to merge.
Result<bool> TimelineImpl::merge_indexes(directory::Job& job) {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const auto picked = pick_indexes(*now);
  if (!picked) return false;
  const auto inputs = std::span(now->indexes).subspan(picked->first, picked->count);
  std::vector<std::unique_ptr<sealed::Cursor>> cursors;
  std::vector<std::uint64_t> replaces;
  std::vector<std::uint64_t> erases;
  sealed::SealedBounds bounds{.term_bytes = kTermBytesPerSave};
  std::uint64_t first = ~std::uint64_t{0};
  std::uint64_t last = 0;
  std::map<std::uint64_t, bool> there;  // Blocks.
  for (const auto& index : inputs) {
    const sealed::Preamble& preamble = index->file()->reader->preamble();
    cursors.push_back(index->cursor());
    replaces.push_back(preamble.number);
    bounds.add({.records = preamble.record_count,
                .object_bytes = preamble.raw_object_bytes,
                .key_bytes_max = preamble.key_bytes_max,
                .replaces = 1});
    first = std::min(first, preamble.version_first);
    last = std::max(last, preamble.version_last);
    for (const std::uint64_t stamp : index->erases()) erases.push_back(stamp);
    for (const auto& block : index->blocks()) there[block->number()] = true;
  }
  sealed::MergeCursor merged(std::move(cursors));
  CAIRN_TRY(name, write_block_index(*directory_, name_, view_,
                                    {.cursor = merged,
                                     .bounds = bounds,
                                     .stamp_first = first,
                                     .stamp_last = last,
                                     .replaces = replaces,
                                     .erases = erases,
                                     .stays = [&](const sealed::Entry& entry) -> Result<bool> {
                                       if (!has_place(entry)) return corruption("record of a block index without a place", name_);
                                       return there.contains(place_of(entry).block);
                                     },
                                     .progress = progress_of(job)}));
  CAIRN_TRY(file, IndexFile::open(*directory_, name, view_));
  counters_.index_bytes.fetch_add(file->bytes(), std::memory_order_relaxed);
  add_index_file(file);
  CAIRN_REACHED("indexes of blocks merged");
  const Result<void> listed = change([&](directory::ViewEntry& view) -> Result<void> {
    std::vector<directory::BlockIndexEntry>& indexes = view.timeline->indexes;
    directory::BlockIndexEntry entry{.file = name, .blocks = {}};
    std::size_t at = indexes.size();
    for (const auto& index : inputs) {  // Of some, all blocks may have left meanwhile.
      const auto found = std::ranges::find(indexes, index->file()->name(), &directory::BlockIndexEntry::file);
      if (found == indexes.end()) continue;
      entry.blocks.insert(entry.blocks.end(), found->blocks.begin(), found->blocks.end());
      at = std::min(at, static_cast<std::size_t>(found - indexes.begin()));
      indexes.erase(found);
    }
    if (!entry.blocks.empty()) indexes.insert(indexes.begin() + static_cast<std::ptrdiff_t>(at), entry);
    return {};
  });
  const std::shared_ptr<const LineUp> after = line_up_.get();
  const bool used = std::ranges::any_of(after->indexes, [&](const auto& index) { return index->file() == file; });
  if (!used) forget_index_file(*file);  // Or all of its blocks have left meanwhile.
  CAIRN_TRY_VOID(listed);
  return true;
}

}  // namespace cairn::timeline
