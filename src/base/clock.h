// Time comes in as a parameter, so that a test can own it.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

namespace cairn {

/// In the greatest unit of which it is a whole number: "90 min", "1 d", "0 ms".
std::string words_for_ms(std::int64_t ms);

/// Safe to use from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since 1970, UTC. May step in either direction.
  [[nodiscard]] virtual std::int64_t wall_ms() const = 0;
  /// Milliseconds since the machine started, suspension included. Never steps back.
  [[nodiscard]] virtual std::int64_t boot_ms() const = 0;
  virtual void sleep_ms(std::int64_t ms) = 0;
};

Clock& system_clock();

/// Stands still until told to move; sleeping moves it.
class SimulatedClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t wall_ms() const override { return wall_ms_.load(); }
  [[nodiscard]] std::int64_t boot_ms() const override { return boot_ms_.load(); }
  void sleep_ms(std::int64_t ms) override { advance_ms(ms); }
  void advance_ms(std::int64_t ms) {
    wall_ms_ += ms;
    boot_ms_ += ms;
  }
  void step_wall_ms(std::int64_t ms) { wall_ms_ += ms; }

 private:
  std::atomic<std::int64_t> wall_ms_{1'700'000'000'000};
  std::atomic<std::int64_t> boot_ms_{1'000'000};
};

}  // namespace cairn
