// The dirty list of a Model: versions of objects that its store does not have yet.
//
// An object has at most one entry in the list. The entry is found through the place that the version keeps, so its cost is that
// of the changes, not of the objects. A save takes the whole list at one instant; what is changed meanwhile goes into a new list.
// The functions of the list are called under the lock of commits; the times and sums are read by any thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/home_process.h"
#include "cairn/model.h"

namespace cairn::objects {

struct Pending;

/// A version that is to be saved. The list uses it.
struct Dirty {
  const PersistentObject* object;
  std::uint64_t change;  // The commit that made this version.
  std::uint64_t bytes;   // Of its record, about.
  std::uint8_t number;   // Of its class.
  bool is_new;           // No save has tried to store the object: if it is deleted, nothing has to be erased.
};

/// The entries of one save.
struct DirtyList {
  std::vector<Dirty> entries;
  std::uint64_t change = 0;   // The last commit before the list was taken.
  std::int64_t since_ms = 0;  // When the oldest change in it was made, by boot_ms().
};

struct JournalBounds {
  std::uint64_t save_bytes;  // A save starts at once.
  std::uint64_t bytes_max;   // Changes are refused.
};

class Journal {
 public:
  /// `wake` is called, without locks, when a save may have become due.
  Journal(Clock& clock, const JournalBounds& bounds, std::function<void()> wake)
      : clock_(clock), bounds_(bounds), wake_(std::move(wake)) {}
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// What a record takes beside the encoded object.
  static constexpr std::uint64_t kRecordBytes = 64;

  /// kUnavailable: the dirty objects and these have too many bytes together, or the Model is closed, or this is a child
  /// of the process that opened it. kInvalidArgument: these have
  /// too many alone.
  [[nodiscard]] Result<void> admit(const std::vector<Pending>& pendings) const;
  /// Puts what `pending` publishes into the list, in the place of the version before.
  void note(const Pending& pending, Change change);
  /// After the commits lock was let go: wakes the saver if there is a reason.
  void wake_if_wanted();
  void want_wake() { wake_wanted_.store(true, std::memory_order_relaxed); }

  /// The whole list; `change`: the last commit.
  [[nodiscard]] DirtyList take(Change change);
  /// A save has failed: puts `dirty` back, the oldest change of which was noted at `since_ms`. The entry must be of the current
  /// version of its object.
  void put_back(const Dirty& dirty, std::int64_t since_ms);
  /// An entry that was taken has come to its end: its version is stored, or replaced by one that is in the list.
  void forget(const Dirty& dirty) {
    bytes_.fetch_sub(dirty.bytes);
    count_.fetch_sub(1);
  }

  void close() { closed_.store(true); }

  /// By boot_ms(); 0: the list is empty.
  [[nodiscard]] std::int64_t first_change_ms() const { return first_change_ms_.load(); }
  [[nodiscard]] std::int64_t last_change_ms() const { return last_change_ms_.load(); }
  /// Bytes and number of the entries in the list and of those that were taken out of it and have not come to their end.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(); }
  [[nodiscard]] std::uint64_t count() const { return count_.load(); }
  /// Bytes of the entries in the list.
  [[nodiscard]] std::uint64_t list_bytes() const { return list_bytes_.load(); }
  [[nodiscard]] const JournalBounds& bounds() const { return bounds_; }

 private:
  void append(const Dirty& dirty);

  Clock& clock_;
  const HomeProcess home_;
  const JournalBounds bounds_;
  const std::function<void()> wake_;
  std::vector<Dirty> dirty_;
  std::atomic<std::int64_t> first_change_ms_{0};
  std::atomic<std::int64_t> last_change_ms_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> list_bytes_{0};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> wake_wanted_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace cairn::objects
