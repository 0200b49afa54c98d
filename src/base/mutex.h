// The one lock of the house: annotated for clang, ranked for debug builds.
//
// A thread may take a mutex only if its rank is greater than that of every mutex it holds. The ranks below
// are the lock order of the whole system, outermost first.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/annotations.h"

namespace cairn {

enum class Rank : std::uint8_t {
  kServer = 0,         // Server: what all its threads share. Held while a view is opened.
  kSaves = 1,          // A Model: one save at a time. Held across its I/O.
  kModel = 2,          // A Model: one commit at a time. Never held across I/O, but while at_one_moment() runs.
  kDatabase = 3,       // Open views of a Database.
  kCollect = 4,        // ForkStore: one step of its collector at a time. Held across its I/O.
  kTree = 5,           // ForkStore: one change of its tree at a time. Held across its I/O.
  kManifest = 6,       // Directory: one manifest switch at a time. Held across its I/O.
  kCommit = 7,         // A log: the order of its writes. Never held across I/O.
  kLineUp = 8,         // Table: the line-up of layers, for writers and jobs; ForkStore: who stores where. Never held across I/O.
  kPins = 9,           // Directory: the list of pinned versions.
  kFiles = 10,         // Directory: spare segments and files to delete.
  kDeadRanges = 11,    // Table: what scans may jump over. Scans only try it.
  kOpenAccounts = 12,  // ForkStore: accounts that are changed in place.
  kReclaim = 13,       // Copiers: one reclaimer at a time.
  kJobs = 14,          // JobRunner's queue. Never held while a job runs.
  kTicker = 15,        // Ticker's list. Never held while a callback runs.
  kMoves = 16,         // AccountIndex: one region is moved at a time.
  kLease = 17,         // FileLease: one renewal at a time. Held across its I/O.
  kLeaf = 18,          // Anything that calls nothing while it is held.
};

/// How often this thread had to wait for a Mutex that another held. A reader of what is mapped never does: tests and benchmarks
/// look.
inline thread_local std::uint64_t lock_waits_of_thread = 0;

class CAIRN_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(Rank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() CAIRN_ACQUIRE() {
    check_rank();
    if (!mutex_.try_lock()) {
      ++lock_waits_of_thread;
      mutex_.lock();
    }
    push_rank();
  }
  bool try_lock() CAIRN_TRY_ACQUIRE(true) {
    check_rank();
    if (!mutex_.try_lock()) return false;
    push_rank();
    return true;
  }
  void unlock() CAIRN_RELEASE() {
    pop_rank();
    mutex_.unlock();
  }

 private:
  friend class CondVar;
#if defined(CAIRN_CHECK_RANKS)
  void check_rank() const;
  void push_rank() const;
  void pop_rank() const;
#else
  void check_rank() const {}
  void push_rank() const {}
  void pop_rank() const {}
#endif

  std::mutex mutex_;
  [[maybe_unused]] const Rank rank_;
};

class CAIRN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) CAIRN_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() CAIRN_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits are always in a loop that tests what is waited for.
class CondVar {
 public:
  void wait(Mutex& mutex) CAIRN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  void wait_for(Mutex& mutex, std::chrono::milliseconds time) CAIRN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_for(lock, time);
    lock.release();
  }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

/// For counts that one thread at a time changes while others read them: an atomic addition would wait until all that was
/// stored before it is in the cache.
inline void add_alone(std::atomic<std::uint64_t>& count, std::uint64_t n) {
  count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace cairn
