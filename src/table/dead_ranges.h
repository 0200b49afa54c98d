// Ranges of keys in which nothing is left to see, so that scans jump over what was erased instead of walking it: a queue
// stays as fast as it began. Scans find them as they walk; writers cut them where they put a key.
//
// Why it is safe. A scan that has met some dead keys in a row starts a watch on what lies ahead and walks it again. From
// then on every put there is noted in the watch. A put that was indexed before is in the scan's way, visible to
// it or not, and ends the range there, unless it went to a memtable that the scan does not know: then the line-up has
// changed, and nothing is kept. A put cuts before it becomes visible, and a scan takes its version before it takes the list.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/published.h"
#include "cairn/bytes.h"

namespace cairn::table {

/// Of one family. Safe to use from any thread.
class DeadRanges {
 public:
  explicit DeadRanges(std::uint64_t keys_min) : keys_min_(keys_min) {}
  /// So many dead keys in a row are worth a watch.
  [[nodiscard]] std::uint64_t keys_min() const { return keys_min_; }

  /// No key in [from, to) is there for readers at `since` or later. An empty `to` has no end.
  struct Range {
    Bytes from;
    Bytes to;
    std::uint64_t since = 0;
  };
  using List = std::vector<Range>;  // By key, apart from each other.
  [[nodiscard]] std::shared_ptr<const List> list() const { return list_.get(); }
  /// The range of `list` that `key` lies in, if readers at `version` may rely on it; or nullptr.
  static const Range* over(const List& list, ByteView key, std::uint64_t version);

  /// A walk under way, upwards from the first key or downwards to the one after its last.
  struct Watch {
    bool upwards = true;
    Bytes from;
    Bytes to;  // Empty: no end.
  };

  // For scans, which never wait: where somebody else holds the lock they go without.
  /// nullptr: not now.
  [[nodiscard]] std::shared_ptr<Watch> watch(bool upwards, const Bytes& bound);
  /// What `watch` has walked as far as `end` is dead at `since`. Takes the watch away.
  void finish(const std::shared_ptr<Watch>& watch, const Bytes& end, std::uint64_t since);

  /// For the writer: `key` was indexed and is not visible yet.
  void cut(ByteView key) {
    if (used_.fetch_add(0) != 0) cut_here(key);  // Read and written, so that it is ordered with watch() either way.
  }
  /// For the writer of so much that it gives up all ranges and watches: it is in the line-up and not visible yet.
  void clear() CAIRN_EXCLUDES(mutex_);

 private:
  void cut_here(ByteView key) CAIRN_EXCLUDES(mutex_);
  void set(List list) CAIRN_REQUIRES(mutex_);
  bool prune(const Watch* ended) CAIRN_REQUIRES(mutex_);

  const std::uint64_t keys_min_;
  Mutex mutex_{Rank::kDeadRanges};
  std::vector<std::weak_ptr<Watch>> watches_ CAIRN_GUARDED_BY(mutex_);
  Published<List> list_{std::make_shared<const List>()};
  std::atomic<std::uint64_t> used_{0};  // Ranges and watches.
};

}  // namespace cairn::table
