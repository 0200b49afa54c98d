#include "server/rdb.h"

#include <gtest/gtest.h>

#include "server/command.h"

namespace cairn::server {
namespace {

Bytes hex(ByteView text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

/// What redis-server 7.0.15 answers to DUMP.
TEST(Rdb, DumpsAsRedisDoes) {
  EXPECT_EQ(dump_string("5"), hex("00c0050a00632f5f66832fb351"));
  EXPECT_EQ(dump_string(""), hex("00000a005d9b5c400f7fa2da"));
  EXPECT_EQ(dump_string("ohmytext"), hex("00086f686d79746578740a00b65debe18c03ed88"));
}

TEST(Rdb, LoadsWhatRedisHasCompressed) {
  const auto value = load_string(hex("00c3092c016161e01f000161610a009811f4b6aa5376ff"));
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(*value, Bytes(44, 'a'));
}

TEST(Rdb, LoadsWhatItDumps) {
  for (const std::size_t size : {0, 1, 63, 64, 16'383, 16'384, 100'000}) {
    const Bytes value(size, 'x');
    EXPECT_EQ(load_string(dump_string(value)).value(), value) << size;
  }
  for (const char* number :
       {"0", "-1", "127", "-128", "128", "32767", "-32769", "2147483647", "-2147483648", "2147483648", "007"}) {
    EXPECT_EQ(load_string(dump_string(number)).value(), number);
  }
}

TEST(Rdb, DetectsEveryFlippedBit) {
  const Bytes dump = dump_string("some value of a few bytes");
  for (std::size_t bit = 0; bit < 8 * dump.size(); ++bit) {
    Bytes flipped = dump;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(load_string(flipped).has_value()) << bit;
  }
  for (std::size_t size = 0; size < dump.size(); ++size) EXPECT_FALSE(load_string(ByteView(dump).substr(0, size)).has_value());
}

TEST(Rdb, RefusesLengthsThatAreNotThere) {
  // A compressed string that says it is 4 GiB long; one that is longer than it says; a list; something behind the string.
  for (const char* body : {"00c30180ffffffff61", "00c30902016161e01f00016161", "0100", "00056162", "0001616161", "00c4", "00"}) {
    EXPECT_FALSE(load_string(with_checksum(hex(body))).has_value()) << body;
  }
}

}  // namespace
}  // namespace cairn::server
