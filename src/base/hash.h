// XXH3 as the formats use it, and reading and writing little-endian integers.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cairn/bytes.h"

namespace cairn {

static_assert(std::endian::native == std::endian::little, "integers are copied to disk as they are");

/// XXH3-64 of `bytes` with `seed`.
std::uint64_t xxh3(ByteView bytes, std::uint64_t seed = 0);

/// One round of a bijective mixer (the finaliser of MurmurHash3).
constexpr std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

template <typename T>
T load(const char* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
void store(char* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof(T));
}

/// The first 8 bytes of a key, zeros after its end, as a number: where two differ, they are ordered as their keys are.
inline std::uint64_t head_of(ByteView key) {
  std::uint64_t head = 0;
  if (key.size() >= sizeof head) {
    std::memcpy(&head, key.data(), sizeof head);
  } else if (!key.empty()) {
    std::memcpy(&head, key.data(), key.size());
  }
  return __builtin_bswap64(head);
}

template <typename T>
ByteView bytes_of(const T& value) {
  static_assert(std::has_unique_object_representations_v<T>, "no hidden padding");
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace cairn
