// Owns the slots of all threads and the epoch. Invariant: a slot is never freed, so that the collector can walk the list of slots
// without a lock; a thread that ends gives its slot to one that starts.
//
// Why a pin without a fence is enough: the collector unlinks, starts an epoch, calls membarrier(2), and then reads the slots. A
// thread either stored its pin before the barrier reached it, so that the collector sees the pin; or it reads the pointers after
// the barrier, so that it sees them without what was unlinked.
#include "base/epochs.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/mutex.h"

namespace cairn {

std::atomic<std::uint64_t> current_epoch{1};
std::atomic<bool> pins_need_fence{true};
constinit thread_local EpochSlot* epoch_slot = nullptr;

namespace {

std::atomic<EpochSlot*> first_slot{nullptr};

/// When each of the last epochs began, in milliseconds of the steady clock.
constexpr std::size_t kEpochsDated = 1024;
std::array<std::atomic<std::int64_t>, kEpochsDated> begin_ms{};

std::int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if !defined(CAIRN_THREAD_SANITIZER)
int membarrier(int command) { return static_cast<int>(syscall(SYS_membarrier, command, 0, 0)); }
#endif

/// A child of fork() has one thread: the pins of the others are nobody's.
void forget_other_threads() {
  for (EpochSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    if (slot == epoch_slot) continue;
    slot->epoch.store(0, std::memory_order_relaxed);
    slot->depth = 0;
    slot->thread.store(0, std::memory_order_relaxed);
  }
  if (epoch_slot != nullptr) epoch_slot->thread.store(static_cast<std::int32_t>(gettid()), std::memory_order_relaxed);
}

/// Where the kernel refuses membarrier(2), and under TSan, which does not know it, pins use a fence.
void use_membarrier() {
  static const int forgets = pthread_atfork(nullptr, nullptr, forget_other_threads);
  static_cast<void>(forgets);  // Without it a child frees nothing.
#if !defined(CAIRN_THREAD_SANITIZER)
  static const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  if (registered) pins_need_fence.store(false, std::memory_order_relaxed);
#endif
}

/// Orders the pins of all threads before what follows.
void order_pins() {
#if defined(CAIRN_THREAD_SANITIZER)
  current_epoch.load(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // A child of fork() has the flag of its parent; the registration is one of the address space, which fork() copies.
  if (!pins_need_fence.load(std::memory_order_relaxed) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) {
    membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  }
#endif
}

EpochSlot& take_slot() {
  const auto thread = static_cast<std::int32_t>(gettid());
  for (EpochSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    std::int32_t free = 0;
    if (slot->thread.compare_exchange_strong(free, thread, std::memory_order_acquire)) return *slot;
  }
  auto* const slot = new EpochSlot;
  slot->thread.store(thread, std::memory_order_relaxed);
  slot->next = first_slot.load(std::memory_order_relaxed);
  while (!first_slot.compare_exchange_weak(slot->next, slot, std::memory_order_release)) {
  }
  return *slot;
}

// Set when the slot of this thread was given back. A pin in the destructor of a later thread_local object then takes a new slot,
// which is never reused: sharing the old one with another thread would lose pins.
thread_local bool thread_ends = false;

/// Gives the slot back when the thread ends.
struct SlotOfThread {
  SlotOfThread() : slot(take_slot()) { epoch_slot = &slot; }
  ~SlotOfThread() {
    epoch_slot = nullptr;
    thread_ends = true;
    slot.thread.store(0, std::memory_order_release);
  }
  EpochSlot& slot;
};

/// The smallest epoch at which a thread is pinned.
std::uint64_t smallest_pinned() {
  std::uint64_t smallest = ~std::uint64_t{0};
  for (const EpochSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const std::uint64_t epoch = slot->epoch.load(std::memory_order_acquire);
    if (epoch != 0) smallest = std::min(smallest, epoch);
  }
  return smallest;
}

}  // namespace

EpochSlot& take_epoch_slot() {
  if (thread_ends) return *(epoch_slot = &take_slot());
  thread_local SlotOfThread mine;
  return mine.slot;
}

std::optional<OldestEpochPin> oldest_epoch_pin() {
  std::optional<OldestEpochPin> oldest;
  const std::uint64_t now = current_epoch.load(std::memory_order_acquire);
  for (const EpochSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const std::uint64_t epoch = slot->epoch.load(std::memory_order_acquire);
    if (epoch == 0) continue;
    const std::uint64_t epochs = now - std::min(now, epoch);  // It may be pinned since `now` was read.
    if (oldest && epochs <= oldest->epochs) continue;
    oldest = {.thread = slot->thread.load(std::memory_order_relaxed), .epochs = epochs, .age_ms = 0};
  }
  if (!oldest || oldest->epochs == 0) return oldest;
  // The pin was there when the epoch behind its own began, or the oldest one whose begin is still known.
  const std::uint64_t dated = now - std::min<std::uint64_t>(oldest->epochs, kEpochsDated) + 1;
  oldest->age_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(0, steady_ms() - begin_ms[dated % kEpochsDated].load()));
  return oldest;
}

RetireList::RetireList() { use_membarrier(); }

RetireList::~RetireList() {
  for (const Retired& each : retired_) each.free(each.memory);
}

std::vector<RetireList::Retired> RetireList::take_unreachable() {
  // The epoch that ends here is given to what was retired in it, not the one that was read when it was retired: collections of
  // other lists start epochs too, and only this increment comes after all that was unlinked.
  const std::uint64_t begun = current_epoch.fetch_add(1, std::memory_order_seq_cst) + 1;
  for (std::uint64_t i = retired_.size() - since_collection_; i < retired_.size(); ++i) retired_[i].epoch = begun - 1;
  since_collection_ = 0;
  bytes_since_collection_ = 0;
  begin_ms[begun % kEpochsDated].store(steady_ms(), std::memory_order_relaxed);
  order_pins();
  const std::uint64_t pinned = smallest_pinned();
  std::vector<Retired> taken;
  while (!retired_.empty() && retired_.front().epoch < pinned) {
    bytes_ -= retired_.front().bytes;
    taken.push_back(retired_.front());
    retired_.pop_front();
  }
  return taken;
}

}  // namespace cairn
