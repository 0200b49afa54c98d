#include <gtest/gtest.h>

#include "server/service.h"

namespace cairn::server {
namespace {

constexpr std::uint64_t kSlowClient = 1;

/// A scan whose client takes its time goes on however much others scan: 400,000 calls of scans that go on and on, and 100,000
/// scans that are begun and never finished.
TEST(ScanCursors, AreNotLostToOtherClients) {
  ScanCursors cursors;
  const std::uint64_t slow = cursors.add("where the slow scan stands", 0, 0, kSlowClient);
  std::uint64_t other = 0;
  for (int i = 0; i < 400'000; ++i) other = cursors.add("key " + std::to_string(i), 0, other, 2);
  for (int i = 0; i < 100'000; ++i) (void)cursors.add("key", 0, 0, 3);
  const auto stands = cursors.find(slow, 0);
  ASSERT_TRUE(stands.has_value());
  EXPECT_EQ(*stands, "where the slow scan stands");
  EXPECT_TRUE(cursors.find(other, 0).has_value());
  EXPECT_FALSE(cursors.find(slow, 1).has_value());  // Of another database.
}

TEST(ScanCursors, KeepTheLastTwoOfAScan) {
  ScanCursors cursors;
  const std::uint64_t first = cursors.add("b", 0, 0, kSlowClient);
  const std::uint64_t second = cursors.add("c", 0, first, kSlowClient);
  const std::uint64_t third = cursors.add("d", 0, second, kSlowClient);
  EXPECT_FALSE(cursors.find(first, 0).has_value());
  EXPECT_EQ(cursors.find(second, 0).value(), "c");
  EXPECT_EQ(cursors.find(third, 0).value(), "d");
}

TEST(ScanCursors, ForgetTheOldestOfAClientThatLeavesManyBehind) {
  ScanCursors cursors;
  const std::uint64_t first = cursors.add("a", 0, 0, kSlowClient);
  std::uint64_t last = 0;
  for (int i = 0; i < 1024; ++i) last = cursors.add("a", 0, 0, kSlowClient);
  EXPECT_FALSE(cursors.find(first, 0).has_value());
  EXPECT_TRUE(cursors.find(last, 0).has_value());
}

}  // namespace
}  // namespace cairn::server
