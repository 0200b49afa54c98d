#include <gtest/gtest.h>

#include "cairn/cairn.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

/// Where many saves have come since the last count, and there are few keys, a walk is cheaper.
TEST(KeyCount, WalksWhenManySavesHaveCome) {
  const TemporaryDirectory directory;
  auto database = Database::open(directory.file("db"), {.create_if_missing = true});
  ASSERT_OK(database);
  {
    auto timeline = database->timeline("main");
    ASSERT_OK(timeline);
    std::vector<std::string> keys;
    for (int i = 0; i < 100; ++i) keys.push_back("k" + std::to_string(i));
    std::vector<Timeline::Put> puts;
    for (const std::string& key : keys) puts.push_back({key, "value"});
    EXPECT_EQ(timeline->key_counts()->keys, 0U);
    for (int i = 0; i < 2000; ++i) ASSERT_OK(timeline->apply_each(puts));
    EXPECT_EQ(timeline->key_counts()->keys, 100U);
    ASSERT_OK(timeline->erase("k7"));
    EXPECT_EQ(timeline->key_counts()->keys, 99U);
  }
  ASSERT_OK(database->close());
}

}  // namespace
}  // namespace cairn::test
