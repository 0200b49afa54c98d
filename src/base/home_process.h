// Which process an object belongs to. A child made by fork() gets a copy of the parent's memory, but neither its threads
// nor its right to write to the database; locks may have been held by threads that the child does not have.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "cairn/result.h"

namespace cairn {

namespace detail {
/// Counts the forks on the way from the first process to this one. Incremented in each child before fork() returns.
inline std::atomic<std::uint32_t> forks_passed{0};
}  // namespace detail

/// Remembers the process that made it. A member of everything that a child must not touch. Thread-safe.
class HomeProcess {
 public:
  /// False in a child that fork() made after this object. Costs one load: no system call.
  [[nodiscard]] bool is_here() const { return made_in_ == detail::forks_passed.load(std::memory_order_relaxed); }
  /// kUnavailable, with what to do instead, unless is_here().
  [[nodiscard]] Result<void> check() const { return is_here() ? Result<void>{} : not_here(); }

 private:
  static Result<void> not_here();
  std::uint32_t made_in_ = detail::forks_passed.load(std::memory_order_relaxed);
};

/// Has `reset` called in every child that fork() makes from now on, before fork() returns there: for locks of the process
/// that another thread may have held at that moment.
void reset_in_child(void (*reset)());

/// A shared_ptr whose object is destroyed only in the process that made it. A child leaks its copy: the destructor would
/// wait for threads and locks that the child does not have.
template <typename T>
std::shared_ptr<T> share_at_home(T* made) {
  return std::shared_ptr<T>(made, [home = HomeProcess()](T* object) {
    if (home.is_here()) delete object;
  });
}

}  // namespace cairn
