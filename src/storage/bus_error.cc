#include "storage/bus_error.h"

#include <sys/mman.h>

#include <array>
#include <csignal>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/home_process.h"
#include "base/mutex.h"
#include "base/reached.h"
#include "storage/memory.h"

namespace cairn::storage {
namespace {

constexpr std::uintptr_t kPage = 4096;

// The handler may run in any thread at any moment, so it reads these atomics only. Zeroed memory that is never
// touched costs nothing.
struct Slot {
  std::atomic<std::uintptr_t> begin{0};  // 0: free.
  std::atomic<std::uintptr_t> end{0};
  std::atomic<bool> bad{false};
  std::atomic<bool> alone{false};  // What the kernel was told of its pages.
  std::atomic<bool> writable{false};
  bool random = false;  // Under the mutex.
};
std::array<Slot, kMapsMax> slots;
std::atomic<std::uint32_t> slots_ever{0};
std::atomic<std::uint32_t> slots_used{0};
Mutex slots_mutex{Rank::kLeaf};
std::uint64_t random_bytes CAIRN_GUARDED_BY(slots_mutex) = 0;
std::atomic<bool> pages_alone{false};  // Changed under the mutex.
struct sigaction previous_action;

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  } else {
    // Not ours: the faulting instruction runs again and ends the process as it would have without us.
    std::signal(signal, SIG_DFL);
  }
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const std::uint32_t count = slots_ever.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count; ++i) {
    Slot& slot = slots[i];
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_acquire)) continue;
    void* const page = reinterpret_cast<void*>(address / kPage * kPage);  // NOLINT(performance-no-int-to-ptr)
    if (mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
      break;
    }
    slot.bad.store(true, std::memory_order_release);
    errno = saved_errno;
    return;
  }
  errno = saved_errno;
  pass_on(signal, info, context);
}

void install_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    CAIRN_ASSERT(sigaction(SIGBUS, &action, &previous_action) == 0);
    // In a child of fork() the lock is free. Writable maps are not there: their addresses may become another map's, so their
    // slots match nothing any more. They stay taken, since guards that the child copied still name them.
    reset_in_child([] {
      new (&slots_mutex) Mutex(Rank::kLeaf);
      for (Slot& slot : slots) {
        if (slot.writable.load(std::memory_order_relaxed)) slot.end.store(0, std::memory_order_relaxed);
      }
    });
  });
}

std::uint64_t size_of(const Slot& slot) { return slot.end.load() - slot.begin.load(); }

void advise(Slot& slot) CAIRN_REQUIRES(slots_mutex) {
  void* const begin = reinterpret_cast<void*>(slot.begin.load());  // NOLINT(performance-no-int-to-ptr)
  madvise(begin, size_of(slot), pages_alone ? MADV_RANDOM : MADV_NORMAL);
  slot.alone.store(pages_alone, std::memory_order_relaxed);
}

std::uint64_t random_bytes_max() {
  static const std::uint64_t bytes = memory_bytes() / 2;
  return bytes;
}

void count_random(std::uint64_t bytes) CAIRN_REQUIRES(slots_mutex) {
  random_bytes = bytes;
  if (pages_alone == (bytes > random_bytes_max())) return;
  CAIRN_REACHED("more mapped than half of the memory, or no more");
  pages_alone = !pages_alone;
  for (std::uint32_t i = 0; i < slots_ever.load(); ++i) {
    if (slots[i].random) advise(slots[i]);
  }
}

}  // namespace

Result<BusErrorGuard> BusErrorGuard::watch(const char* data, std::uint64_t size, bool writable) {
  install_once();
  const MutexLock lock(slots_mutex);
  if (slots_used.load() == kMapsMax) {
    return fail(ErrorCode::kUnavailable,
                "this process has " + std::to_string(kMapsMax) + " files mapped, the most Cairn allows; compact or close tables");
  }
  std::uint32_t free = 0;
  while (slots[free].begin.load() != 0) ++free;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  slots[free].bad.store(false);
  slots[free].alone.store(false);
  slots[free].writable.store(writable);
  slots[free].end.store(begin + size, std::memory_order_release);
  slots[free].begin.store(begin, std::memory_order_release);
  if (free >= slots_ever.load()) slots_ever.store(free + 1, std::memory_order_release);
  slots_used.fetch_add(1);
  return BusErrorGuard(free);
}

BusErrorGuard::~BusErrorGuard() {
  if (slot_ == kNone) return;
  const MutexLock lock(slots_mutex);
  Slot& slot = slots[slot_];
  if (std::exchange(slot.random, false)) count_random(random_bytes - size_of(slot));
  slot.begin.store(0, std::memory_order_release);
  slots_used.fetch_sub(1);
}

const std::atomic<bool>& BusErrorGuard::bad() const { return slots[slot_].bad; }

void BusErrorGuard::expect_random_reads() const {
  random_bytes_max();  // Reads files, the first time.
  const MutexLock lock(slots_mutex);
  Slot& slot = slots[slot_];
  if (std::exchange(slot.random, true)) return;
  count_random(random_bytes + size_of(slot));
  if (pages_alone) advise(slot);
}

bool BusErrorGuard::reads_pages_alone() const { return slots[slot_].alone.load(std::memory_order_relaxed); }

std::uint32_t maps_open() { return slots_used.load(); }
bool memory_is_short() { return pages_alone.load(std::memory_order_relaxed); }

}  // namespace cairn::storage
