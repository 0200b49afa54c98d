// Owns the slots of all threads and the epoch. Invariant: a slot is never freed, so that the collector can walk the list of slots
// without a lock; a thread that ends gives its slot to one that starts.
//
// Why a pin without a fence is enough: the collector unlinks, starts an epoch, calls membarrier(2), and then reads the slots. A
// thread either stored its pin before the barrier reached it, so that the collector sees the pin; or it reads the pointers after
// the barrier, so that it sees them without what was unlinked.
#include "base/epochs.h"

#include <linux/membarrier.h>
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

/// Where the kernel refuses membarrier(2), and under TSan, which does not know it, pins use a fence.
void use_membarrier() {
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

/// Gives the slot back when the thread ends.
struct SlotOfThread {
  SlotOfThread() : slot(take_slot()) { epoch_slot = &slot; }
  ~SlotOfThread() {
    epoch_slot = nullptr;
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
  thread_local SlotOfThread mine;
  return mine.slot;
}

std::optional<OldestEpochPin> oldest_epoch_pin() {
  std::optional<OldestEpochPin> oldest;
  const std::uint64_t now = current_epoch.load(std::memory_order_acquire);
  for (const EpochSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const std::uint64_t epoch = slot->epoch.load(std::memory_order_acquire);
    if (epoch == 0 || (oldest && now - epoch <= oldest->epochs)) continue;
    oldest = {.thread = slot->thread.load(std::memory_order_relaxed), .epochs = now - epoch, .age_ms = 0};
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
  since_collection_ = 0;
  bytes_since_collection_ = 0;
  const std::uint64_t begun = current_epoch.fetch_add(1, std::memory_order_seq_cst) + 1;
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
