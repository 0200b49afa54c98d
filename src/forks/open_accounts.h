// Accounts that are changed in place: records in memory, which the index refers to like those in segments, until their fork is
// synced or frozen and they are appended to a log. On disk nothing of them is needed before: a crash takes it back.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/memory_budget.h"
#include "base/mutex.h"
#include "forks/segment_table.h"

namespace cairn::forks {

struct OpenAccount {
  std::uint64_t fork = 0;
  Place place;     // Of its record, in memory.
  Place replaced;  // The version of the same fork, in a segment, that counts after a crash; none if it is 0.
  std::shared_ptr<const directory::LiveFile> memory;
  std::atomic<bool> held{false};  // By a MutableAccount.
};

/// Those of a store. `mutex` is held by who calls, and while the index is made to refer to another record of an account: what the
/// index does not refer to and is not `replaced` here counts no more.
class OpenAccounts {
 public:
  /// `bytes_max`: of all.
  OpenAccounts(SegmentTable& table, MemoryBudget& budget, std::uint64_t bytes_max)
      : table_(table), budget_(budget), bytes_max_(bytes_max) {}
  ~OpenAccounts();
  OpenAccounts(const OpenAccounts&) = delete;
  OpenAccounts& operator=(const OpenAccounts&) = delete;

  mutable Mutex mutex{Rank::kOpenAccounts};

  /// One whose record says `value`. kUnavailable: there are too many segments; kNoSpace: there is too much in memory.
  Result<std::shared_ptr<OpenAccount>> add(std::uint64_t fork, ByteView key, ByteView value) CAIRN_REQUIRES(mutex);
  /// What add() returned stands for a version in a segment.
  void set_replaced(OpenAccount& account, Place replaced) CAIRN_REQUIRES(mutex);
  /// nullptr: none has its record there.
  [[nodiscard]] std::shared_ptr<OpenAccount> find(Place place) const CAIRN_REQUIRES(mutex);
  /// That stands for the version there, or nullptr.
  [[nodiscard]] OpenAccount* standing_for(Place replaced) const CAIRN_REQUIRES(mutex);
  /// By fork.
  [[nodiscard]] std::vector<std::shared_ptr<OpenAccount>> of(std::uint64_t fork) const CAIRN_REQUIRES(mutex);
  /// It is none any more; the index does not refer to it.
  void erase(const OpenAccount& account) CAIRN_REQUIRES(mutex);
  /// Takes out the memory of forks that have none any more, for release() when no reader has a place there.
  [[nodiscard]] std::vector<std::uint32_t> take_unused() CAIRN_REQUIRES(mutex);
  void release(std::span<const std::uint32_t> numbers) CAIRN_EXCLUDES(mutex);

  /// Whether `place` is in memory: who has none in memory need not ask.
  [[nodiscard]] bool any() const { return bytes() != 0; }
  [[nodiscard]] bool holds(Place place) const CAIRN_REQUIRES(mutex) { return numbers_.contains(place.segment()); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Chunk {
    std::uint32_t number = 0;
    std::shared_ptr<const directory::LiveFile> file;
    std::uint64_t end = 0;
    std::uint64_t size = 0;
  };
  struct OfFork {
    std::unordered_map<std::uint64_t, std::shared_ptr<OpenAccount>> accounts;  // By place.
    std::vector<Chunk> chunks;
  };
  Result<Chunk*> room(OfFork& fork, std::uint64_t bytes) CAIRN_REQUIRES(mutex);

  SegmentTable& table_;
  MemoryBudget& budget_;
  const std::uint64_t bytes_max_;
  std::unordered_map<std::uint64_t, OfFork> forks_ CAIRN_GUARDED_BY(mutex);
  std::unordered_map<std::uint32_t, std::uint64_t> numbers_ CAIRN_GUARDED_BY(mutex);  // Of chunks, and their forks.
  std::unordered_map<std::uint64_t, OpenAccount*> replaced_ CAIRN_GUARDED_BY(mutex);  // By the place that they stand for.
  std::unordered_map<std::uint32_t, std::uint64_t> sizes_ CAIRN_GUARDED_BY(mutex);    // Of chunks.
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace cairn::forks
