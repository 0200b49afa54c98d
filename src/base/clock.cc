#include "base/clock.h"

#include <ctime>

namespace cairn {
namespace {

std::int64_t read_ms(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return (time.tv_sec * 1000) + (time.tv_nsec / 1'000'000);
}

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t wall_ms() const override { return read_ms(CLOCK_REALTIME); }
  [[nodiscard]] std::int64_t boot_ms() const override { return read_ms(CLOCK_BOOTTIME); }
  void sleep_ms(std::int64_t ms) override {
    const timespec time{.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000};
    nanosleep(&time, nullptr);
  }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace cairn
