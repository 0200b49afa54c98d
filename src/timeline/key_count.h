// Counts the keys of a timeline without a walk over all of them: the count is kept, and each call adds what the saves since the
// last call changed. Saving costs nothing for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "cairn/timeline.h"

namespace cairn::timeline {

class TimelineImpl;
struct KeyedSave;
struct ReadView;
struct Save;

/// Thread-safe: one call counts at a time.
class KeyCount {
 public:
  /// How many keys get() finds now. A key that expires by itself may still be counted for 128 ms.
  /// Cost: two lookups for each save since the last call, or a walk over all keys if that is cheaper; the first call walks.
  /// kIo, kCorruption: the next call walks.
  Result<KeyCounts> count(const TimelineImpl& timeline) CAIRN_EXCLUDES(mutex_);

 private:
  [[nodiscard]] bool must_walk(const TimelineImpl& timeline, const ReadView& view) const CAIRN_REQUIRES(mutex_);
  Result<void> walk(const TimelineImpl& timeline) CAIRN_REQUIRES(mutex_);
  Result<bool> follow(const TimelineImpl& timeline, const ReadView& view) CAIRN_REQUIRES(mutex_);
  Result<void> follow(const TimelineImpl& timeline, const ReadView& view, const KeyedSave& next, std::uint64_t erase)
      CAIRN_REQUIRES(mutex_);
  void start_from(std::uint64_t stamp) CAIRN_REQUIRES(mutex_);
  [[nodiscard]] bool counts(const Save& save) const CAIRN_REQUIRES(mutex_);
  void add(const Save& save) CAIRN_REQUIRES(mutex_);
  void remove(const Save& save) CAIRN_REQUIRES(mutex_);
  void expire(std::int64_t now_ms) CAIRN_REQUIRES(mutex_);
  [[nodiscard]] std::int64_t ends_ms(const Save& save) const CAIRN_REQUIRES(mutex_);

  Mutex mutex_{Rank::kCollect};  // Held while files are read.
  bool known_ CAIRN_GUARDED_BY(mutex_) = false;
  std::uint64_t upto_ CAIRN_GUARDED_BY(mutex_) = 0;      // Saves up to this stamp are counted.
  std::uint64_t keys_ CAIRN_GUARDED_BY(mutex_) = 0;      // Whose last save gives data or gave data before it expired.
  std::uint64_t expired_ CAIRN_GUARDED_BY(mutex_) = 0;   // Of keys_.
  std::uint64_t expiring_ CAIRN_GUARDED_BY(mutex_) = 0;  // Of keys_: the sum of expiries_.
  std::uint64_t expired_in_all_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::size_t rollbacks_ CAIRN_GUARDED_BY(mutex_) = 0;      // Of this open, when the last walk began.
  std::uint64_t first_ CAIRN_GUARDED_BY(mutex_) = 0;        // Saves below this stamp did not count then.
  std::int64_t walked_at_ms_ CAIRN_GUARDED_BY(mutex_) = 0;  // What had expired by then was never counted.
  std::int64_t walk_took_ms_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::int64_t now_ms_ CAIRN_GUARDED_BY(mutex_) = 0;      // Of the last call.
  std::int64_t timeout_ms_ CAIRN_GUARDED_BY(mutex_) = 0;  // After which every save expires; 0: none does.
  // How many of keys_ expire in a span of 128 ms, by the number of the span: one node for each span, however many keys.
  std::map<std::int64_t, std::uint64_t> expiries_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::timeline
