// A small seeded generator (SplitMix64), for simulations, file names and salts.
#pragma once
#include <cstdint>

#include "base/hash.h"

namespace cairn {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  /// In [0, bound); bound is not 0.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

/// 64 unpredictable bits from the operating system.
std::uint64_t system_random();

}  // namespace cairn
