// Epoch-based reclamation (K. Fraser, "Practical lock-freedom", 2004): readers follow atomic pointers without locks, and
// a pin keeps the memory that they may reach from being freed.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/export.h"

#if defined(__SANITIZE_THREAD__)
#define CAIRN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_THREAD_SANITIZER 1
#endif
#endif

namespace cairn {

/// The pin of one thread, in a cache line of its own that other threads only read.
struct alignas(64) EpochSlot {
  std::atomic<std::uint64_t> epoch{0};  ///< At which the thread was pinned. 0: it is not pinned.
  std::uint32_t depth = 0;              ///< Pins of the thread. Only the thread itself uses it.
  std::atomic<std::int32_t> thread{0};  ///< Its number in the operating system. 0: the slot is free.
  EpochSlot* next = nullptr;            ///< In the list of all slots, which only grows.
};

/// Grows with each collection. Memory that is unlinked at epoch N is freed when no thread is pinned at N or before.
CAIRN_API extern std::atomic<std::uint64_t> current_epoch;
/// False: the collector orders the pins of all threads by membarrier(2), and a pin needs no fence.
CAIRN_API extern std::atomic<bool> pins_need_fence;

/// The slot of this thread; nullptr: it has none yet.
CAIRN_API extern constinit thread_local EpochSlot* epoch_slot;
/// Gives this thread a slot until it ends.
CAIRN_API EpochSlot& take_epoch_slot();

/// The slot of this thread.
inline EpochSlot& epoch_slot_of_thread() { return epoch_slot != nullptr ? *epoch_slot : take_epoch_slot(); }

/// While a thread holds one, nothing that it reaches through a pointer of an epoch-protected structure is freed. Pins of one
/// thread nest. A pin costs two stores to a line of the thread. It belongs to the thread that made it, and holds back memory as
/// long as it lives: keep it short.
class EpochPin {
 public:
  EpochPin() : slot_(epoch_slot_of_thread()) {
    if (slot_.depth++ != 0) return;
    // Acquire: a thread that reads epoch N sees everything unlinked before N began.
    const std::uint64_t now = current_epoch.load(std::memory_order_acquire);
#if defined(CAIRN_THREAD_SANITIZER)
    slot_.epoch.store(now, std::memory_order_seq_cst);
#else
    slot_.epoch.store(now, std::memory_order_relaxed);
    // The store must be visible before the reads that follow. The collector's membarrier(2) sees to it; the signal fence keeps
    // the compiler from reordering them.
    if (pins_need_fence.load(std::memory_order_relaxed)) {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    }
#endif
  }
  ~EpochPin() {
    // Release: the collector that reads 0 frees after the last read of this thread.
    if (--slot_.depth == 0) slot_.epoch.store(0, std::memory_order_release);
  }
  EpochPin(const EpochPin&) = delete;
  EpochPin& operator=(const EpochPin&) = delete;

 private:
  EpochSlot& slot_;
};

}  // namespace cairn
