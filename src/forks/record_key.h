// What the record of a version has as its key: the fork, big-endian, then the account's key.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/hash.h"
#include "cairn/forks.h"

namespace cairn::forks {

inline constexpr std::size_t kRecordKeyBytes = 8 + kAccountKeyBytes;

class RecordKey {
 public:
  /// `account` has kAccountKeyBytes.
  RecordKey(std::uint64_t fork, ByteView account) {
    store(bytes_.data(), std::byteswap(fork));
    std::memcpy(bytes_.data() + 8, account.data(), kAccountKeyBytes);
  }
  [[nodiscard]] ByteView view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kRecordKeyBytes> bytes_;
};

/// Of a key that has kRecordKeyBytes.
inline std::uint64_t fork_in(ByteView record_key) { return std::byteswap(load<std::uint64_t>(record_key.data())); }

}  // namespace cairn::forks
