// SipHash with 128 bits (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): who does not know the key cannot make
// two inputs with the same hash, nor many that are close to each other.
#pragma once
#include <bit>
#include <cstdint>

#include "base/hash.h"
#include "cairn/bytes.h"

namespace cairn {

struct Hash128 {
  std::uint64_t low;
  std::uint64_t high;
  bool operator==(const Hash128&) const = default;
};

/// SipHash-c-d: `kRounds` for each word, `kLastRounds` at each end. 1 and 3, as hash tables have it; the paper's are 2 and 4.
template <unsigned kRounds = 1, unsigned kLastRounds = 3>
Hash128 sip_hash(ByteView bytes, Hash128 key) {
  std::uint64_t v0 = key.low ^ 0x736f6d6570736575U;
  std::uint64_t v1 = key.high ^ 0x646f72616e646f6dU ^ 0xeeU;
  std::uint64_t v2 = key.low ^ 0x6c7967656e657261U;
  std::uint64_t v3 = key.high ^ 0x7465646279746573U;
  const auto rounds = [&](unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  };
  const auto take = [&](std::uint64_t word) {
    v3 ^= word;
    rounds(kRounds);
    v0 ^= word;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) take(load<std::uint64_t>(bytes.data() + at));
  std::uint64_t last = std::uint64_t{bytes.size()} << 56U;
  for (unsigned shift = 0; at < bytes.size(); ++at, shift += 8) {
    last |= std::uint64_t{static_cast<std::uint8_t>(bytes[at])} << shift;
  }
  take(last);
  v2 ^= 0xeeU;
  rounds(kLastRounds);
  const std::uint64_t low = v0 ^ v1 ^ v2 ^ v3;
  v1 ^= 0xddU;
  rounds(kLastRounds);
  return {.low = low, .high = v0 ^ v1 ^ v2 ^ v3};
}

}  // namespace cairn
