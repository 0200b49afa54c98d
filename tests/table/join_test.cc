// Runs whose keys do not lie among each other become one without a copy. table_model_test.cc has everything else that may
// happen to such a run.
#include <gtest/gtest.h>

#include "support/world.h"
#include "table/run.h"

namespace cairn::test {
namespace {

std::string key_of(int i) { return "key" + std::to_string(10'000 + i); }

struct Join : OneProcess {
  static table::Tuning tuning() {
    table::Tuning tuning = small_tuning();
    tuning.joined_file_bytes_mean_min = 0;
    tuning.sealed_bytes_max = 1 * kMiB;  // What is merged is one file.
    return tuning;
  }
  void SetUp() override { ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning())); }

  /// Writes keys [from, to) and flushes them.
  void flush(int from, int to) {
    for (int i = from; i < to; ++i) ASSERT_OK(process.table().put(key_of(i), "v" + std::to_string(written)));
    for (int i = from; i < to; ++i) model[key_of(i)] = "v" + std::to_string(written);
    ++written;
    flush();
  }
  void flush() {
    ASSERT_OK(process.table().flush());
    process.run_jobs();
  }
  [[nodiscard]] static std::vector<std::size_t> files_of_runs(Process& of, std::size_t family = 0) {
    std::vector<std::size_t> counts;
    for (const table::Layer& layer : of.impl().line_up()->families[family].layers) counts.push_back(layer.files().size());
    return counts;
  }
  void expect_all_is_there(Process& in) {
    for (const auto direction : {Direction::kForward, Direction::kReverse}) {
      Model found;
      Scan scan = in.table().scan(everything(), direction);
      for (const auto entry : scan) found.emplace(entry.key, entry.value);
      ASSERT_OK(scan.status());
      EXPECT_EQ(found, model);
    }
    for (const auto& [key, value] : model) {
      const auto hit = in.table().get(key);
      ASSERT_OK(hit);
      ASSERT_TRUE(hit->has_value()) << key;
      EXPECT_EQ((*hit)->view(), value);
    }
  }
  int written = 0;
  Model model;
};

using Sizes = std::vector<std::size_t>;

TEST_F(Join, RisingKeysAreCopiedOnce) {
  for (int i = 0; i < 12; ++i) flush(i * 20, i * 20 + 20);
  EXPECT_EQ(files_of_runs(process), Sizes{12});
  const TableStats stats = process.table().stats();
  std::uint64_t sealed = 0;
  for (const auto& [name, size] : disk.file_sizes()) sealed += name.ends_with(".sealed") ? size : 0;
  EXPECT_EQ(stats.sealed_bytes_written, sealed) << "no file was written that is not there";
  expect_all_is_there(process);
}

TEST_F(Join, SoAreFallingOnesAndThoseThatFillGaps) {
  flush(100, 120);
  flush(300, 320);
  flush(0, 20);     // Before both.
  flush(200, 220);  // Between files of one run.
  EXPECT_EQ(files_of_runs(process), Sizes{4});
  expect_all_is_there(process);
  flush(400, 401);
  EXPECT_EQ(files_of_runs(process), Sizes{5});
}

TEST_F(Join, WhatLiesAmongOthersIsNot) {
  flush(0, 20);
  flush(19, 40);  // One key of both.
  EXPECT_EQ(files_of_runs(process), Sizes{1});
  flush(40, 60);
  EXPECT_EQ(files_of_runs(process), Sizes{2});
  expect_all_is_there(process);
}

TEST_F(Join, ARunOfWhichAMergeWouldDropSomethingIsMerged) {
  flush(0, 20);
  ASSERT_OK(process.table().erase(key_of(500)));
  flush();
  EXPECT_EQ(files_of_runs(process), Sizes{1}) << "a tombstone";
  ASSERT_OK(process.table().erase_range({key_of(800), key_of(801)}));
  flush();
  EXPECT_EQ(files_of_runs(process), Sizes{1}) << "a range tombstone";
  auto expiring = process.table().family("expiring", {.ttl = std::chrono::hours(1)});
  ASSERT_OK(expiring);
  for (const char* const key : {"a", "b"}) {
    ASSERT_OK(expiring->put(key, "v"));
    flush();
  }
  EXPECT_EQ(files_of_runs(process, 1), Sizes{1}) << "records that expire";
  flush(600, 610);
  EXPECT_EQ(files_of_runs(process), Sizes{2}) << "nothing of that is left";

  ASSERT_OK(process.table().put(key_of(900), "1"));
  const Snapshot snapshot = process.table().snapshot();
  ASSERT_OK(process.table().put(key_of(900), "2"));
  flush();
  EXPECT_EQ(files_of_runs(process), Sizes{1}) << "two versions of a key";
}

TEST_F(Join, SmallFilesAreMergedIntoLargerOnes) {
  ASSERT_OK(process.close());
  Process other(disk, clock);
  table::Tuning large = tuning();
  large.joined_file_bytes_mean_min = 1 * kMiB;
  ASSERT_OK(other.open(database::DatabaseImpl::Mode::kOpenOrCreate, large));
  for (int i = 0; i < 12; ++i) {
    ASSERT_OK(other.table().put(key_of(i), "v"));
    ASSERT_OK(other.table().flush());
    other.run_jobs();
  }
  for (const std::size_t files : files_of_runs(other)) EXPECT_EQ(files, 1U);
}

TEST_F(Join, ARunOfTooManyFilesIsMerged) {
  ASSERT_OK(process.close());
  Process other(disk, clock);
  table::Tuning few = tuning();
  few.joined_files_max = 2;
  ASSERT_OK(other.open(database::DatabaseImpl::Mode::kOpenOrCreate, few));
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(other.table().put(key_of(i), "v"));
    ASSERT_OK(other.table().flush());
    other.run_jobs();
    EXPECT_EQ(files_of_runs(other), Sizes{i == 1 ? 2U : 1U}) << i;
  }
}

TEST_F(Join, IsWhatAnOpenFinds) {
  for (int i = 5; i > 0; --i) flush(i * 20, i * 20 + 20);
  ASSERT_OK(process.close());
  Process next(disk, clock);
  ASSERT_OK(next.open(database::DatabaseImpl::Mode::kOpen, tuning()));
  EXPECT_EQ(files_of_runs(next), Sizes{5});
  expect_all_is_there(next);
  ASSERT_OK(next.table().compact());
  EXPECT_EQ(files_of_runs(next), Sizes{1});
  expect_all_is_there(next);
  const Result<VerifyReport> report = next.database().verify({});
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty());
}

TEST_F(Join, AKeyOutsideItsPartIsDamage) {
  flush(0, 20);
  flush(20, 40);
  const auto run = process.impl().line_up()->families[0].layers[0].run;
  ASSERT_EQ(run->files().size(), 2U);
  directory::RunEntry entry = run->entry();
  ASSERT_EQ(entry.starts, std::vector<Bytes>{"key1002"}) << "as short as it can be";
  EXPECT_OK(table::Run::open(process.database().directory(), entry, 1, 0));
  for (const char* const wrong : {"key10019", "key100205"}) {
    entry.starts = {wrong};
    const auto opened = table::Run::open(process.database().directory(), entry, 1, 0);
    ASSERT_FALSE(opened.has_value()) << wrong;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruption);
  }
}

}  // namespace
}  // namespace cairn::test
