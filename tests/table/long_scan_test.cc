// Scans and snapshots that are held for long: what they keep, and that they can be ended.
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

constexpr int kKeys = 3000;

std::string key_of(int i) { return "key" + std::to_string(10'000 + i); }

void fill(Process& process, const std::string& value) {
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_OK(process.table().put(key_of(i), value, {.durability = Durability::kKernel}));
    process.run_jobs();
  }
}

TEST(LongScan, LetsGoOfFlushedMemtablesAndSeesWhatItSaw) {
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    storage::SimulatedDisk disk(1);
    SimulatedClock clock;
    Process process(disk, clock);
    ASSERT_OK(process.open());
    fill(process, "before");
    Table table = process.table();
    int count = 0;
    {
      Scan scan = table.scan(everything(), direction);
      for (; count < 1100; ++count) {
        ASSERT_EQ(scan.entry().key, key_of(direction == Direction::kForward ? count : kKeys - 1 - count));
        scan.next();
      }
      ASSERT_TRUE(table.stats().oldest_pin.has_value());
      EXPECT_EQ(table.stats().oldest_pin->label, "scan");
      for (int round = 0; round < 3; ++round) fill(process, "after");
      ASSERT_OK(table.compact());
      EXPECT_EQ(table.stats().oldest_pin->written_bytes_since, 3U * kKeys * (key_of(0).size() + 5));
      const std::uint64_t held = process.environment().memory.used();
      for (; scan.valid(); ++count) {
        ASSERT_EQ(scan.entry().key, key_of(direction == Direction::kForward ? count : kKeys - 1 - count));
        ASSERT_EQ(scan.entry().value, "before");
        scan.next();
        if (count == 2100) {
          EXPECT_LT(process.environment().memory.used(), held) << "the memtables it began with are gone";
        }
      }
      ASSERT_OK(scan.status());
    }
    EXPECT_EQ(count, kKeys);
    EXPECT_FALSE(table.stats().oldest_pin.has_value());
  }
}

TEST(LongScan, ThatMetAMergeEarlyKeepsWhatItHas) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  fill(process, "before");
  Scan scan = process.table().scan();
  fill(process, "after");
  ASSERT_OK(process.table().compact());  // Before the scan could pin itself: "before" is gone from the newest line-up.
  int count = 0;
  for (const auto entry : scan) {
    ASSERT_EQ(entry.value, "before");
    ++count;
  }
  EXPECT_EQ(count, kKeys);
}

struct Pins : OneProcess {};

TEST_F(Pins, CanBeEndedAndThenHoldNothingBack) {
  Table table = process.table();
  ASSERT_OK(table.put("k", "old"));
  const Snapshot snapshot = table.snapshot("forgotten");
  ASSERT_OK(table.put("k", "new"));
  ASSERT_OK(table.compact());
  EXPECT_EQ((*table.get("k", snapshot))->view(), "old");
  EXPECT_EQ(table.stats().layers.front().records, 2U);
  clock.advance_ms(5000);
  const auto pin = table.stats().oldest_pin;
  ASSERT_TRUE(pin.has_value());
  EXPECT_EQ(pin->label, "forgotten");
  EXPECT_GE(pin->age_ms, 5000);
  EXPECT_GT(pin->written_bytes_since, 0U);
  Scan under_way = table.scan(everything(), Direction::kForward, 0, snapshot);
  ASSERT_OK(table.end_pin(pin->id));
  EXPECT_EQ(table.end_pin(pin->id).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(table.stats().oldest_pin.has_value());
  ASSERT_OK(table.compact());
  EXPECT_EQ(table.stats().layers.front().records, 1U);
  EXPECT_EQ(table.get("k", snapshot).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(table.scan(everything(), Direction::kForward, 0, snapshot).status().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(under_way.entry().value, "old");
}

}  // namespace
}  // namespace cairn::test
