// Pacing and levelling: how writes are held back, and what background work costs.
#include "table/pacing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "sealed/levelling.h"

namespace cairn::table {
namespace {

TEST(Pacing, NothingIsDelayedUpToHalfOfTheBound) {
  Pacing pacing;
  EXPECT_EQ(Pacing::debt(50, 100, 8, 8), 0);
  EXPECT_EQ(pacing.delay_ms(1 << 30, 0, 1000), 0);
}

TEST(Pacing, WritesAreAsFastAsFlushesAtThreeQuartersOfTheDebt) {
  Pacing pacing;
  for (int i = 0; i < 64; ++i) pacing.flushed(100'000, 1);  // 100 MB/s.
  EXPECT_NEAR(static_cast<double>(pacing.rate(Pacing::debt(875, 1000, 1, 8))), 100e6, 1e5);
  EXPECT_NEAR(static_cast<double>(pacing.rate(Pacing::debt(10, 1000, 14, 8))), 100e6, 1e5);
  EXPECT_GT(pacing.rate(Pacing::debt(700, 1000, 1, 8)), 200'000'000U);
  EXPECT_GT(pacing.rate(1), 0U);  // However far it is behind, a write is delayed, not stopped.
}

TEST(Pacing, SmallWritesShareWhatIsAllowedAndNoDelayIsLongerThanASecond) {
  Pacing pacing;
  for (int i = 0; i < 64; ++i) pacing.flushed(1'000'000, 1000);  // 1 MB/s.
  std::int64_t now_ms = 5000;
  for (int i = 0; i < 10'000; ++i) now_ms += pacing.delay_ms(100, 0.75, now_ms);
  EXPECT_NEAR(static_cast<double>(now_ms), 6000, 60);  // 1 MB took a second.
  EXPECT_EQ(pacing.delay_ms(1'000'000'000, 0.75, now_ms), 1000);
  EXPECT_EQ(pacing.delay_ms(1'000'000'000, 1, now_ms), 1000);
}

struct Costs {
  double copies = 0;  // Of a record, its flush with it.
  std::size_t runs_max = 0;
  double space = 0;  // At most, of what lives; in the second half.
};

/// Flushes of 64 MiB into one family; of `live` of them only the newest versions are left when all is merged.
Costs simulate(int flushes, int live) {
  std::vector<std::uint64_t> runs;
  Costs costs;
  std::uint64_t copied = 0;
  for (int i = 0; i < flushes; ++i) {
    runs.push_back(64 << 20);
    while (const auto picked = sealed::pick_runs(runs, true, 8)) {
      const auto begin = runs.begin() + static_cast<std::ptrdiff_t>(picked->first);
      const auto end = begin + static_cast<std::ptrdiff_t>(picked->count);
      const std::uint64_t all = std::accumulate(begin, end, std::uint64_t{0});
      const std::uint64_t left = picked->first == 0 ? std::min<std::uint64_t>(all, static_cast<std::uint64_t>(live) << 26) : all;
      copied += left;
      *begin = left;
      runs.erase(begin + 1, end);
    }
    costs.runs_max = std::max(costs.runs_max, runs.size());
    if (i > flushes / 2) {
      const double total = static_cast<double>(std::accumulate(runs.begin(), runs.end(), std::uint64_t{0}));
      costs.space = std::max(costs.space, total / (static_cast<double>(live) * (64 << 20)));
    }
  }
  costs.copies = 1 + static_cast<double>(copied) / (static_cast<double>(flushes) * (64 << 20));
  return costs;
}

TEST(Levelling, CopiesARecordAFewTimesAndLeavesAFewRuns) {
  const Costs growing = simulate(160, 1 << 20);  // 10 GB of new keys.
  EXPECT_LE(growing.copies, 5);
  EXPECT_LE(growing.runs_max, 8U);
  const Costs large = simulate(1600, 1 << 20);  // 100 GB.
  EXPECT_LE(large.copies, 8);
  EXPECT_LE(large.runs_max, 8U);
  const Costs overwritten = simulate(3200, 160);  // 10 GB, written twenty times over.
  EXPECT_LE(overwritten.copies, 5.5);
  EXPECT_LE(overwritten.runs_max, 8U);
  EXPECT_LE(overwritten.space, 1.5);
}

TEST(Levelling, LeavesARunAloneAndBoundsManySmallOnes) {
  EXPECT_FALSE(sealed::pick_runs(std::vector<std::uint64_t>{100}, true, 8).has_value());
  EXPECT_FALSE(sealed::pick_runs(std::vector<std::uint64_t>{100, 10, 10}, true, 8).has_value());
  // Above an unfinished merge there is no oldest run; few are left alone there, too.
  EXPECT_FALSE(sealed::pick_runs(std::vector<std::uint64_t>{100, 10}, false, 8).has_value());
  const auto alike = sealed::pick_runs(std::vector<std::uint64_t>{1000, 100, 1, 1, 1, 1}, true, 8);
  ASSERT_TRUE(alike.has_value());
  EXPECT_EQ(alike->first, 2U);
  EXPECT_EQ(alike->count, 4U);
  const auto falling = sealed::pick_runs(std::vector<std::uint64_t>{1 << 20, 1 << 14, 1 << 12, 1 << 10, 1 << 8}, true, 4);
  ASSERT_TRUE(falling.has_value());
  EXPECT_EQ(falling->first, 3U);
  EXPECT_EQ(falling->count, 2U);
}

}  // namespace
}  // namespace cairn::table
