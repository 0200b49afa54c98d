// The way of a save: make room, take a stamp, encode into the log, index, publish, wait until it is durable and so visible; and
// when a block ends.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/reached.h"
#include "directory/write_rules.h"
#include "timeline/timeline_impl.h"

namespace cairn::timeline {
namespace {

constexpr std::uint64_t kWriteBytesMax = kGiB + kMiB;  // Of log.
constexpr std::int64_t kExpiresAfterMsMost = std::int64_t{1} << 46;
constexpr std::int64_t kExpiryMsMost = std::int64_t{1} << 47;

bool changes_expiry(const SaveRef& save) { return save.kind == RecordKind::kExpiryChange; }

/// What is stored as the value of its record.
ByteView value_of(const SaveRef& save) { return changes_expiry(save) ? bytes_of(save.changed) : save.data; }

Result<std::uint64_t> check_saves(std::span<const SaveRef> saves) {
  std::uint64_t bytes = saves.size() > 1 ? segment::kBatchFrameBytes : 0;
  for (const SaveRef& save : saves) {
    if (save.kind != RecordKind::kRangeTombstone) CAIRN_TRY_VOID(directory::check_record(save.key, save.data));
    if (save.expiry_ms && (*save.expiry_ms < 0 || *save.expiry_ms > kExpiryMsMost)) {
      return fail(ErrorCode::kInvalidArgument, "a save is to expire at " + std::to_string(*save.expiry_ms) +
                                                   " ms since 1970, not from 0 to " + std::to_string(kExpiryMsMost));
    }
    bytes += segment::record_bytes(save.key.size(), value_of(save).size(), kHasAccount | kHasExpiry);
  }
  if (bytes <= kWriteBytesMax) return bytes;
  return fail(ErrorCode::kInvalidArgument, "a write takes at most " + std::to_string(kWriteBytesMax) +
                                               " bytes of log; this one takes " + std::to_string(bytes));
}

/// By key, which is the order of saves of one stamp; of two of one key the later stays, but that a change of an expiry goes to
/// the save before it.
std::span<SaveRef> in_order(std::span<SaveRef> saves) {
  if (saves.size() < 2) return saves;
  std::ranges::stable_sort(saves, {}, &SaveRef::key);
  std::size_t kept = 0;
  for (const SaveRef& save : saves) {
    if (kept == 0 || saves[kept - 1].key != save.key) {
      saves[kept++] = save;
    } else if (SaveRef& before = saves[kept - 1]; changes_expiry(save) && !changes_expiry(before)) {
      before.expiry_ms = save.expiry_ms;
    } else {
      before = save;
    }
  }
  return saves.first(kept);
}

}  // namespace

Result<Applied> TimelineImpl::write(std::span<SaveRef> saves, const SaveOptions& options, Until until, As as) {
  if (as == As::kOneWrite) saves = in_order(saves);
  CAIRN_TRY(bytes, check_saves(saves));
  if (options.expires_after.count() < 0 || options.expires_after.count() > kExpiresAfterMsMost) {
    return fail(ErrorCode::kInvalidArgument, "expires_after is " + std::to_string(options.expires_after.count()) +
                                                 " ms, not from 0 to " + std::to_string(kExpiresAfterMsMost));
  }
  if (saves.empty()) return Applied{.stamp = {log_.visible_stamp()}, .version = log_.visible_version(), .timeline = id_};
  if (!directory_->versions_at_hand(saves.size())) CAIRN_TRY_VOID(directory_->prepare_versions(saves.size()));
  std::int64_t begin_ms = 0;  // Of its waiting, if it has to.
  const bool any_changes = std::ranges::any_of(saves, changes_expiry);
  std::vector<SaveRef> with_changes;
  while (true) {
    if (any_changes) CAIRN_TRY_VOID(what_changes(saves, log_.visible_stamp()));  // Reads files, which are at hand below.
    {
      const MutexLock lock(log_.mutex);
      CAIRN_TRY_VOID(make_room(bytes, saves, begin_ms));
      std::span<const SaveRef> made = saves;
      if (any_changes) {
        CAIRN_TRY(found, what_changes(saves, log_.last_stamp()));
        if (found.empty()) return fail(ErrorCode::kNotFound, "there is nothing whose expiry could be changed");
        with_changes = std::move(found);
        made = with_changes;
      }
      const std::uint64_t stamps = as == As::kOneEach ? made.size() : 1;
      auto first = directory_->reserve_versions(made.size(), stamps);
      if (first) {
        CAIRN_TRY(stamp, stamp_of(options, first->stamp));
        first->stamp = stamp;
        if (!takes_stamp(stamp + stamps - 1)) {
          CAIRN_TRY_VOID(leave_block(bytes));
          continue;
        }
        last_given_ms_ = options.time ? options.time->time_since_epoch().count() : -1;
        const Applied applied = append(made, options, *first, as);
        if (until == Until::kAcknowledged) CAIRN_TRY_VOID(log_.wait_until_visible(applied.version));
        return applied;
      }
    }
    CAIRN_TRY_VOID(directory_->prepare_versions(saves.size()));
  }
}

bool TimelineImpl::applies_at_once(std::uint64_t bytes) const {
  constexpr std::uint64_t kVersions = 1024;
  if (!directory_->versions_at_hand(kVersions) || line_up_.get()->open.size() > tuning_.open_blocks_max) return false;
  const MutexLock lock(log_.mutex);
  return !log_.changing() && log_.has_segment() && log_.has_room(bytes);
}

Result<void> TimelineImpl::settle(const Applied& applied) {
  if (applied.timeline != id_) {
    return fail(ErrorCode::kInvalidArgument, "timeline '" + name_ + "' as it is open now has not applied these saves");
  }
  const MutexLock lock(log_.mutex);
  return log_.wait_until_visible(applied.version);
}

Result<void> TimelineImpl::sync() {
  const MutexLock lock(log_.mutex);
  return log_.sync_all();
}

/// `saves`, without the changes of what is not there as of `last_stamp`; the others know what they change.
Result<std::vector<SaveRef>> TimelineImpl::what_changes(std::span<const SaveRef> saves, std::uint64_t last_stamp) const {
  ReadView view{.visible = last_stamp};
  view.line_up = line_up_.get();
  set_time(view);
  std::vector<SaveRef> found;
  for (const SaveRef& save : saves) {
    found.push_back(save);
    if (!changes_expiry(save)) continue;
    if (found.front().kind == RecordKind::kRangeTombstone) {
      found.pop_back();  // It is of the same batch.
      continue;
    }
    CAIRN_TRY(last, last_save(save.key, hash_of(save.key), view));
    if (last) {
      found.back().changed = last->stamp;
    } else {
      found.pop_back();
    }
  }
  return found;
}

/// The stamp of a write that gets `now` unless it brings its own time.
Result<std::uint64_t> TimelineImpl::stamp_of(const SaveOptions& options, std::uint64_t now) const {
  if (!options.time) return now;
  const std::int64_t given_ms = options.time->time_since_epoch().count();
  if (given_ms < 0) {
    return fail(ErrorCode::kInvalidArgument,
                "the time of the save, " + std::to_string(given_ms) + " ms since 1970, lies before 1970");
  }
  const Moment given(*options.time);
  const std::uint64_t last = log_.last_stamp();
  // A run of saves of one time may go on beyond its millisecond.
  if (given.last().value <= last && given_ms != last_given_ms_) {
    return fail(ErrorCode::kInvalidArgument,
                "the time of the save, " + std::to_string(directory::ms_of_stamp(given.first().value)) +
                    ", lies before that of the last one, " + std::to_string(directory::ms_of_stamp(last)) + " ms since 1970");
  }
  const std::uint64_t stamp = std::max(given.first().value, last + 1);
  if (stamp > now) {
    return fail(ErrorCode::kInvalidArgument, "the time of the save, " +
                                                 std::to_string(directory::ms_of_stamp(given.first().value)) +
                                                 " ms since 1970, lies in the future");
  }
  return stamp;
}

/// Returns with a segment that takes `bytes`, a block that takes the keys, and nobody else changing it. Lets go of the lock while
/// it waits.
Result<void> TimelineImpl::make_room(std::uint64_t bytes, std::span<const SaveRef> saves, std::int64_t& begin_ms) {
  while (true) {
    CAIRN_TRY_VOID(check_open());
    if (log_.changing()) {
      log_.wait();
    } else if (line_up_.get()->open.size() > tuning_.open_blocks_max) {
      CAIRN_TRY_VOID(wait_for_close(begin_ms));
    } else if (!log_.has_segment()) {
      CAIRN_TRY_VOID(log_.start(bytes));
      begin_block();
    } else if (log_.has_room(bytes) && takes_keys(saves) && takes_memory()) {
      return {};
    } else {
      CAIRN_TRY_VOID(leave_block(bytes));
    }
  }
}

/// Updates of what the block holds already do not count.
bool TimelineImpl::takes_keys(std::span<const SaveRef> saves) const {
  const std::uint64_t keys = active_->keys();
  if (keys == 0 || keys + saves.size() <= config_.block_keys_max) return true;
  std::uint64_t news = 0;
  for (const SaveRef& save : saves) news += active_->holds(save.key) ? 0 : 1;
  return keys + news <= config_.block_keys_max;
}

/// A block that closes gives its index back.
bool TimelineImpl::takes_memory() const {
  return active_->memory_bytes() < tuning_.block_memory_least || !environment_.memory.over();
}

/// A block gives its room back once all of it has expired: a large one spans at most an eighth of the timeout.
bool TimelineImpl::takes_stamp(std::uint64_t stamp) const {
  if (active_->empty()) return true;
  std::int64_t span_ms_max = config_.block_span_ms_max;
  if (config_.timeout_ms != 0 && active_->bytes() >= kLargeBlockBytes)
    span_ms_max = std::min(span_ms_max, config_.timeout_ms / 8);
  return directory::ms_of_stamp(stamp) - directory::ms_of_stamp(active_->stamp_first()) <= span_ms_max;
}

/// Goes on in another block. Or only in part, or somebody else does.
Result<void> TimelineImpl::leave_block(std::uint64_t bytes) {
  CAIRN_TRY(left, log_.leave(bytes));
  if (left == directory::Log::Left::kNot) return {};
  active_.reset();
  block_is_full();
  if (left == directory::Log::Left::kEnded) return {};
  log_.go_on();
  begin_block();
  return {};
}

void TimelineImpl::begin_block() {
  active_ = std::make_shared<OpenBlock>(environment_.memory, log_.source().file);
  const MutexLock lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  next->open.push_back(active_);
  replace_line_up(next);
}

/// Returns with the log ended, and the block with it.
Result<void> TimelineImpl::end_block() {
  CAIRN_TRY_VOID(log_.end());
  active_.reset();
  return {};
}

/// The hard bound: writers wait rather than let blocks without an index grow in number without end.
Result<void> TimelineImpl::wait_for_close(std::int64_t& begin_ms) {
  if (begin_ms == 0) begin_ms = environment_.clock.boot_ms();
  CAIRN_REACHED("save waited for the index of a block");
  const std::int64_t left_ms = begin_ms + tuning_.write_wait_ms_max - environment_.clock.boot_ms();
  if (left_ms <= 0) {
    return fail(ErrorCode::kTimeout, "the indexes of " + std::to_string(tuning_.open_blocks_max) +
                                         " blocks could not be written in time; nothing was saved");
  }
  log_.mutex.unlock();
  schedule_close();
  std::shared_ptr<directory::Job> job;
  {
    const MutexLock lock(state_mutex_);
    job = close_job_;
  }
  std::optional<Result<void>> done;
  if (job) done = environment_.jobs.wait_for(job, left_ms);
  if (done && !*done) environment_.clock.sleep_ms(std::min<std::int64_t>(left_ms, 100));  // It will be tried again.
  log_.mutex.lock();
  return {};
}

Applied TimelineImpl::append(std::span<const SaveRef> saves, const SaveOptions& options,
                             const directory::Directory::Stamped& first, As as) {
  segment::SegmentWriter& log = log_.begin();
  const bool batch = saves.size() > 1 && as == As::kOneWrite;
  const std::uint64_t batch_begin = log.tail();
  checksums_.clear();
  records_.clear();
  std::uint64_t user_bytes = 0;
  segment::RecordInput input{.flags = static_cast<std::uint8_t>(batch ? kInBatch : 0),
                             .write_version = first.write_version,
                             .stamp = first.stamp,
                             .view = view_,
                             .family = kTimelineFamily};
  const bool expire = options.expires_after.count() != 0;
  // From the clock, not from the stamp, which may be ahead of it; a save that brings its own time lives from then on.
  const std::int64_t now_ms = expire && !options.time ? directory_->now_ms() : 0;
  for (const SaveRef& save : saves) {
    const std::int64_t made_ms = options.time ? directory::ms_of_stamp(input.stamp) : now_ms;
    const std::int64_t expiry_ms = expire ? directory::time_after(made_ms, options.expires_after.count()) : 0;
    input.kind = save.kind;
    input.account = options.account.value_or(directory::account_of(save.key));
    const bool expires = save.kind == RecordKind::kPut || changes_expiry(save);
    input.expiry_ms = expires ? save.expiry_ms.value_or(expiry_ms) : 0;
    input.key = save.key;
    input.value = value_of(save);
    const char* const at = log.file().data() + log.tail();
    const segment::RecordView record = log.append(input);
    records_.emplace_back(at, record);
    if (batch) checksums_.push_back(record.header.checksum);
    user_bytes += save.key.size() + save.data.size();
    ++input.write_version;
    if (as == As::kOneEach) ++input.stamp;
  }
  --input.write_version;
  if (as == As::kOneEach) --input.stamp;
  if (batch) log.append_batch_frame(batch_begin, checksums_, input);
  // Log before memory: what is indexed is in the log.
  index_records();
  log_.publish(input.write_version, input.stamp, options.durability);
  add_alone(counters_.writes, as == As::kOneEach ? saves.size() : 1);
  add_alone(counters_.written_bytes, user_bytes);
  return {.stamp = {input.stamp}, .version = input.write_version, .timeline = id_};
}

/// Some at a time, which wait for memory together.
void TimelineImpl::index_records() {
  for (std::size_t i = 0; i < records_.size();) {
    const auto some = std::span(records_).subspan(i, std::min(records_.size() - i, OpenBlock::kPrefetched));
    std::array<ByteView, OpenBlock::kPrefetched> keys;
    std::ranges::transform(some, keys.begin(), [](const auto& each) { return each.second.key; });
    if (some.size() > 1) active_->prefetch({keys.data(), some.size()});
    for (const auto& [at, record] : some) active_->insert(at, record);
    i += some.size();
  }
}

}  // namespace cairn::timeline
