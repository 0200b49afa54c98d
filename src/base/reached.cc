#include "base/reached.h"

namespace cairn {
namespace {
std::atomic<ReachedProbe*>& head() {
  static std::atomic<ReachedProbe*> first{nullptr};
  return first;
}
}  // namespace

ReachedProbe::ReachedProbe(const char* name) : name_(name), next_(head().load()) {
  while (!head().compare_exchange_weak(next_, this)) {
  }
}

std::vector<std::string> ReachedProbe::hit_names() {
  std::vector<std::string> names;
  for (const ReachedProbe* probe = head().load(); probe != nullptr; probe = probe->next_) {
    if (probe->hits_.load(std::memory_order_relaxed)) names.emplace_back(probe->name_);
  }
  return names;
}

}  // namespace cairn
