// Counts forks. The handler runs in the child before fork() returns there, with one thread and with locks in whatever
// state the parent's threads had left them: it may only store to memory.
#include "base/home_process.h"

#include <pthread.h>

#include <array>

#include "base/error.h"

namespace cairn {
namespace {

constexpr std::size_t kResetsMax = 8;
std::array<std::atomic<void (*)()>, kResetsMax> resets{};

void on_child() {
  detail::forks_passed.fetch_add(1, std::memory_order_relaxed);
  for (const auto& reset : resets) {
    if (void (*const call)() = reset.load()) call();
  }
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, on_child);

}  // namespace

Result<void> HomeProcess::not_here() {
  return fail(ErrorCode::kUnavailable,
              "this process is a child made by fork(), and the database belongs to its parent: open it in the child only "
              "after the parent has closed it, or call exec()");
}

void reset_in_child(void (*reset)()) {
  for (auto& slot : resets) {
    void (*expected)() = nullptr;
    if (slot.compare_exchange_strong(expected, reset)) return;
  }
  CAIRN_ASSERT(false && "more resets than kResetsMax");
}

}  // namespace cairn
