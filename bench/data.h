// Keys and values, the same for every engine.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace cairn::bench {

inline std::uint64_t mix(std::uint64_t x) {  // SplitMix64's finalizer: a bijection.
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

enum class Keys : std::uint8_t {
  kRandom16,    // 16 random bytes
  kUser12,      // user000000000042
  kSequential,  // 0000000000000042
};

inline void key_of(Keys keys, std::uint64_t id, std::string& key) {
  if (keys == Keys::kRandom16) {
    const std::uint64_t halves[2] = {mix(id), mix(~id)};
    key.assign(reinterpret_cast<const char*>(halves), sizeof halves);
    return;
  }
  key = keys == Keys::kUser12 ? "user000000000000" : "0000000000000000";
  for (std::size_t i = key.size(); id != 0; id /= 10) key[--i] = static_cast<char>('0' + id % 10);
}

/// The i-th of 0 … n-1 in an order that looks random and meets each once, and then again: a Feistel network over the next power
/// of four, walked until it lands below n.
class Shuffle {
 public:
  explicit Shuffle(std::uint64_t n) : n_(n) {
    while ((std::uint64_t{1} << (2 * half_)) < n) ++half_;
  }
  [[nodiscard]] std::uint64_t at(std::uint64_t i) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
    i &= (mask << half_) | mask;
    do {
      std::uint64_t left = i >> half_;
      std::uint64_t right = i & mask;
      for (std::uint64_t round = 0; round < 4; ++round) {
        const std::uint64_t next = left ^ (mix(right + (round << 48)) & mask);
        left = right;
        right = next;
      }
      i = left << half_ | right;
    } while (i >= n_);
    return i;
  }

 private:
  std::uint64_t n_;
  unsigned half_ = 1;
};

/// Values of one size, or one in a hundred of another; the first half does not compress, the rest does. Made of numbers, not read
/// from memory, which a store under test would have pushed out of the caches: what a value costs to make is no part of what is
/// measured.
class Values {
 public:
  /// `large_bytes` 0: all of one size.
  Values(std::uint64_t bytes, std::uint64_t large_bytes) : bytes_(bytes), large_bytes_(large_bytes) {}
  void get(std::uint64_t id, std::string& value) const {
    value.resize(large_bytes_ != 0 && id % 100 == 0 ? large_bytes_ : bytes_, 'v');
    std::uint64_t word = mix(id);
    const std::size_t half = value.size() / 2;
    for (std::size_t at = 0; at < half; at += sizeof word) {
      word = (word ^ (word >> 29)) * 0xbf58476d1ce4e5b9ULL + at;
      std::memcpy(value.data() + at, &word, std::min(sizeof word, half - at));
    }
  }

 private:
  std::uint64_t bytes_;
  std::uint64_t large_bytes_;
};

}  // namespace cairn::bench
