// Progress of compact() and ingest(): it is told, and a cancelled operation leaves the table whole.
#include <gtest/gtest.h>

#include <stdexcept>

#include "support/outside_file.h"
#include "support/world.h"

namespace cairn::test {
namespace {

struct TableProgress : OneProcess {
  void fill() {
    Table side = *process.table().family("side");
    for (int i = 0; i < 300; ++i) {
      ASSERT_OK(process.table().put("key" + std::to_string(i), std::string(200, 'v')));
      ASSERT_OK(side.put("key" + std::to_string(i), std::string(200, 's')));
      if (i % 100 == 99) ASSERT_OK(side.flush());
    }
    model = *scan_all(process.table());
  }
  Model model;
};

TEST_F(TableProgress, CompactTellsHowFarItIs) {
  fill();
  std::uint64_t last = 0;
  std::uint64_t calls = 0;
  ASSERT_OK(process.table().compact([&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_GE(total, done);
    EXPECT_GT(total, 0U);
    last = done;
    ++calls;
    return true;
  }));
  EXPECT_GE(calls, 2U);
  EXPECT_GT(last, 0U) << "the second family begins where the first ended";
  EXPECT_EQ(*scan_all(process.table()), model);
}

TEST_F(TableProgress, CancelledCompactLosesNothing) {
  fill();
  for (int after = 0; after < 3; ++after) {
    int calls = 0;
    const auto done = process.table().compact([&](std::uint64_t, std::uint64_t) { return ++calls <= after; });
    EXPECT_TRUE(done || done.error().code == ErrorCode::kUnavailable);
    EXPECT_TRUE(done.has_value() || calls == after + 1);
    EXPECT_EQ(*scan_all(process.table()), model);
  }
  ASSERT_OK(process.table().compact());
  EXPECT_EQ(process.table().stats().layers.size(), 3U) << "one run a family, and the memtable";
  ASSERT_OK(process.close());
  ASSERT_OK(process.open());
  EXPECT_EQ(*scan_all(process.table()), model);
}

TEST_F(TableProgress, CancelledIngestTakesNothingIn) {
  fill();
  OutsideRecords records;
  for (int i = 0; i < 3000; ++i) records["key" + std::to_string(i)] = std::string(600, 'n');
  const auto file = outside_file(records);
  ASSERT_OK(file);
  std::uint64_t told = 0;
  const auto refused = process.impl().ingest(0, {*file}, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, 0U);
    EXPECT_GE(total, done);
    return ++told < 2;
  });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(told, 2U);
  EXPECT_EQ(*scan_all(process.table()), model);
  ASSERT_OK(process.impl().ingest(0, {*file}, [](std::uint64_t, std::uint64_t) { return true; }));
  EXPECT_EQ(scan_all(process.table())->size(), 3300U);
}

TEST_F(TableProgress, ExceptionPassesThroughAndHarmsNothing) {
  fill();
  OutsideRecords records;
  for (int i = 0; i < 1000; ++i) records["key" + std::to_string(i)] = std::string(600, 'n');
  const auto file = outside_file(records);
  ASSERT_OK(file);
  const Progress throws = [](std::uint64_t, std::uint64_t) -> bool { throw std::runtime_error("of the caller"); };
  for (int round = 0; round < 2; ++round) {
    EXPECT_THROW(process.impl().ingest(0, {*file}, throws).ignore_error(), std::runtime_error);
    EXPECT_THROW(process.table().compact(throws).ignore_error(), std::runtime_error);
    EXPECT_TRUE(process.table().stats().jobs.empty());
    EXPECT_EQ(*scan_all(process.table()), model);
  }
  ASSERT_OK(process.table().compact());
  ASSERT_OK(process.close());  // Waits for ingests that are under way.
}

}  // namespace
}  // namespace cairn::test
