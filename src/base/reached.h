// CAIRN_REACHED("rare branch") records that a test run came through here; tests/reached_test.cc fails if a
// named place was never hit by the whole suite. The idea is FoundationDB's. Costs one relaxed store.
#pragma once
#include <atomic>
#include <string>
#include <vector>

namespace cairn {

class ReachedProbe {
 public:
  explicit ReachedProbe(const char* name);
  void hit() { hits_.store(true, std::memory_order_relaxed); }

  /// Names of the probes hit so far in this process.
  static std::vector<std::string> hit_names();

 private:
  const char* name_;
  std::atomic<bool> hits_{false};
  ReachedProbe* next_;
};

}  // namespace cairn

#define CAIRN_REACHED(name)                         \
  do {                                              \
    static ::cairn::ReachedProbe cairn_probe(name); \
    cairn_probe.hit();                              \
  } while (false)
