#include "base/clock.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

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

std::string words_for_ms(std::int64_t ms) {
  constexpr std::array<std::pair<std::int64_t, const char*>, 5> kUnits = {
      {{86'400'000, " d"}, {3'600'000, " h"}, {60'000, " min"}, {1000, " s"}, {1, " ms"}}};
  if (ms == 0) return "0 ms";
  const auto* const unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& each) { return ms % each.first == 0; });
  return std::to_string(ms / unit->first) + unit->second;
}

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace cairn
