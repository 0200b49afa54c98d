// The environment of the process is never destroyed, since handles may outlive main(). After fork() the child makes another:
// in the parent's, locks may be held by threads that the child does not have.
#include "directory/environment.h"

#include <atomic>
#include <mutex>

namespace cairn::directory {
namespace {

std::atomic<Environment*> of_process{nullptr};
std::mutex making;  // Only while there is none.

void forget_in_child() {
  of_process.store(nullptr);
  new (&making) std::mutex();
}

}  // namespace

Environment& Environment::process() {
  if (Environment* const made = of_process.load()) return *made;
  const std::lock_guard<std::mutex> lock(making);
  if (Environment* const made = of_process.load()) return *made;
  [[maybe_unused]] static const bool registered = (reset_in_child(forget_in_child), true);
  auto* const made = new Environment(system_clock(), true);
  of_process.store(made);
  return *made;
}

Result<void> Environment::start_threads() {
  CAIRN_TRY_VOID(jobs.start_threads());
  CAIRN_TRY_VOID(leases.start_thread());
  return syncs.start_thread();
}

}  // namespace cairn::directory
