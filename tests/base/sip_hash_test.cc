#include "base/sip_hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace cairn::test {
namespace {

constexpr Hash128 kKey{.low = 0x0706050403020100U, .high = 0x0f0e0d0c0b0a0908U};

/// vectors.h of the reference implementation.
TEST(SipHash, IsTheReferenceWithItsRounds) {
  EXPECT_EQ((sip_hash<2, 4>("", kKey)), (Hash128{.low = 0xe6a825ba047f81a3U, .high = 0x930255c71472f66dU}));
  EXPECT_EQ((sip_hash<2, 4>(std::string(1, '\0'), kKey)), (Hash128{.low = 0x44af996bd8c187daU, .high = 0x45fc229b11597634U}));
}

TEST(SipHash, DependsOnEveryByteOfInputAndKey) {
  std::set<std::pair<std::uint64_t, std::uint64_t>> all;
  const auto add = [&](ByteView bytes, Hash128 key) {
    const Hash128 hash = sip_hash(bytes, key);
    EXPECT_TRUE(all.emplace(hash.low, hash.high).second);
  };
  std::string input;
  for (std::size_t size = 0; size <= 40; ++size, input += '\0') {
    add(input, kKey);
    for (std::size_t i = 0; i < size; ++i) {
      std::string other = input;
      other[i] = 1;
      add(other, kKey);
    }
  }
  for (unsigned bit = 0; bit < 64; ++bit) {
    add(input, {.low = kKey.low ^ std::uint64_t{1} << bit, .high = kKey.high});
    add(input, {.low = kKey.low, .high = kKey.high ^ std::uint64_t{1} << bit});
  }
}

}  // namespace
}  // namespace cairn::test
