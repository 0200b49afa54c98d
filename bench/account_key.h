// Keys of accounts that look like hashes.
#pragma once
#include <array>

#include "base/hash.h"
#include "cairn/forks.h"

namespace cairn::bench {

using AccountKey = std::array<char, kAccountKeyBytes>;

inline AccountKey account_key(std::uint64_t i) {
  AccountKey key{};
  for (std::size_t part = 0; part < 4; ++part) store(key.data() + 8 * part, mix(4 * i + part + 1));
  return key;
}
inline ByteView view(const AccountKey& key) { return {key.data(), key.size()}; }

}  // namespace cairn::bench
