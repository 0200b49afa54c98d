// Keeps the number of keys of a timeline. Invariant: keys_ counts the last save of each key, up to the stamp upto_, if the save
// is a put that had not expired when the last walk began; expired_ and expiries_ say which of these saves have expired or will.
#include "timeline/key_count.h"

#include <algorithm>

#include "base/reached.h"
#include "directory/write_rules.h"
#include "timeline/timeline_impl.h"
#include "timeline/walks.h"

namespace cairn::timeline {
namespace {

constexpr unsigned kSpanBits = 7;             // 128 ms.
constexpr std::int64_t kFollowMsLeast = 2;    // Following saves may take so long, however short the last walk was.
constexpr std::uint64_t kSavesPerLook = 256;  // At the clock, while saves are followed.

/// The span that begins when a save has ended for certain.
std::int64_t span_after(std::int64_t ms) { return (ms >> kSpanBits) + 1; }

}  // namespace

Result<KeyCounts> KeyCount::count(const TimelineImpl& timeline) {
  const MutexLock lock(mutex_);
  const ReadView view = timeline.read_view();
  Result<void> done;
  if (must_walk(timeline, view)) {
    done = walk(timeline);
  } else {
    const Result<bool> followed = follow(timeline, view);
    if (!followed) {
      done = std::unexpected(followed.error());
    } else if (!*followed) {
      CAIRN_REACHED("keys counted anew instead of following many saves");
      done = walk(timeline);
    }
  }
  known_ = done.has_value();
  CAIRN_TRY_VOID(done);
  expire(view.now_ms);
  return KeyCounts{.keys = keys_ - expired_, .expiring = expiring_, .expired = expired_in_all_};
}

/// A rollback changes the last saves of any keys. Saves that have left the main line cannot be followed. What has expired cannot
/// be taken back when the clock was set back; and saves leave by elapsed time, so before they expire by such a clock.
bool KeyCount::must_walk(const TimelineImpl& timeline, const ReadView& view) const {
  return !known_ || view.line_up->rolled_back_to.size() != rollbacks_ || view.main_first > upto_ + 1 || view.now_ms < now_ms_ ||
         timeline.clock_is_behind(view);
}

void KeyCount::start_from(std::uint64_t stamp) {
  keys_ = 0;
  expired_ = 0;
  expiring_ = 0;
  expiries_.clear();
  upto_ = stamp;
}

Result<void> KeyCount::walk(const TimelineImpl& timeline) {
  const std::int64_t begin_ms = timeline.boot_ms();
  start_from(0);
  timeout_ms_ = timeline.expires_after_ms();
  const auto begin = [&](const ReadView& view) CAIRN_REQUIRES(mutex_) {
    upto_ = view.visible;
    rollbacks_ = view.line_up->rolled_back_to.size();
    first_ = timeline.first_of_get(view);
    walked_at_ms_ = now_ms_ = view.now_ms;
  };
  CAIRN_TRY_VOID(
      visit_present(timeline, Sees::kAcknowledged, begin, [&](ByteView, const Save& save) CAIRN_REQUIRES(mutex_) { add(save); }));
  walk_took_ms_ = timeline.boot_ms() - begin_ms;
  return {};
}

/// Adds what the saves since the last call changed. False: so many came that a walk is cheaper.
Result<bool> KeyCount::follow(const TimelineImpl& timeline, const ReadView& view) {
  const std::int64_t until_ms = timeline.boot_ms() + std::max(walk_took_ms_, kFollowMsLeast);
  const std::uint64_t erase = view.line_up->last_erase(view.visible);
  if (erase > upto_) start_from(erase - 1);
  TimeWalk walk(*view.line_up, upto_ + 1, view.visible);
  for (std::uint64_t saves = 1;; ++saves) {
    CAIRN_TRY(next, walk.next());
    if (next == nullptr) break;
    CAIRN_TRY_VOID(follow(timeline, view, *next, erase));
    if (saves % kSavesPerLook == 0 && timeline.boot_ms() > until_ms) return false;
  }
  upto_ = view.visible;
  return true;
}

/// `erase`: the stamp of the last erase of all keys, before which nothing counts.
Result<void> KeyCount::follow(const TimelineImpl& timeline, const ReadView& view, const KeyedSave& next, std::uint64_t erase) {
  const std::uint64_t hash = timeline.hash_of(next.key);
  const auto last_save = [&](std::uint64_t stamp_max) CAIRN_REQUIRES(mutex_) {
    return view.line_up->find(next.key, hash, first_, stamp_max, timeline.counters());
  };
  if (next.save.stamp != erase) {
    CAIRN_TRY(before, last_save(next.save.stamp - 1));
    if (before && counts(*before)) remove(*before);
  }
  if (next.save.kind == RecordKind::kPut) {
    if (counts(next.save)) add(next.save);
  } else if (next.save.kind == RecordKind::kExpiryChange) {
    CAIRN_TRY(after, last_save(next.save.stamp));
    if (after && counts(*after)) add(*after);
  }
  return {};
}

/// Whether the save is, or was before another one followed, part of keys_.
bool KeyCount::counts(const Save& save) const {
  const std::int64_t ends = ends_ms(save);
  return save.kind == RecordKind::kPut && save.stamp >= first_ && (ends == 0 || ends > walked_at_ms_);
}

/// 0: never.
std::int64_t KeyCount::ends_ms(const Save& save) const {
  if (timeout_ms_ == 0) return save.expiry_ms;
  const std::int64_t leaves_ms = directory::time_after(directory::ms_of_stamp(save.stamp), timeout_ms_);
  return save.expiry_ms == 0 ? leaves_ms : std::min(save.expiry_ms, leaves_ms);
}

void KeyCount::add(const Save& save) {
  ++keys_;
  const std::int64_t ends = ends_ms(save);
  if (ends == 0) return;
  // Spans that are over were moved to expired_ already.
  if (span_after(ends) <= now_ms_ >> kSpanBits) {
    ++expired_;
  } else {
    ++expiries_[span_after(ends)];
    ++expiring_;
  }
}

void KeyCount::remove(const Save& save) {
  --keys_;
  const std::int64_t ends = ends_ms(save);
  if (ends == 0) return;
  const auto span = expiries_.find(span_after(ends));
  if (span == expiries_.end()) {
    --expired_;
    return;
  }
  --expiring_;
  if (--span->second == 0) expiries_.erase(span);
}

void KeyCount::expire(std::int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  while (!expiries_.empty() && expiries_.begin()->first <= now_ms_ >> kSpanBits) {
    const std::uint64_t keys = expiries_.begin()->second;
    expired_ += keys;
    expiring_ -= keys;
    expired_in_all_ += keys;
    expiries_.erase(expiries_.begin());
  }
}

}  // namespace cairn::timeline
