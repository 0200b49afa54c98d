// The segments of a log, one after the other: a full one is left without waiting, and what that means after a crash.
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

std::string key_of(int i) { return "key" + std::to_string(10'000 + i); }

struct Segments : OneProcess {
  void SetUp() override {
    table::Tuning tuning = small_tuning();
    tuning.write_wait_ms_max = 1000;  // Less than the lease takes, which nobody renews here.
    ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning));
  }
  void put(Durability durability = Durability::kKernel) {
    ASSERT_OK(process.table().put(key_of(written++), std::string(100, 'v'), {.durability = durability}));
  }
  std::size_t listed() const {
    std::size_t count = 0;
    for (const auto& [name, size] : disk.file_sizes()) count += name.ends_with(".segment") ? 1U : 0U;
    return count;
  }
  /// Until a segment is full and the next has taken over.
  void fill_one() {
    while (listed() < 2) {
      put();
      if (listed() < 2 && written > 5) process.run_jobs();
    }
    const std::uint64_t ios = disk.io_count();
    for (int i = 0; i < 30; ++i) put();  // More than is left of the first 4 KiB, less than the next has.
    EXPECT_EQ(disk.io_count(), ios) << "no write waited for the device";
  }
  /// Until three are in use, of which only the last has not been left, in a log that has gone in circles before.
  void fill_two() {
    for (int flush = 0; flush < 8; ++flush) {
      for (int i = 0; i < 90; ++i) put();
      ASSERT_OK(process.table().flush());
      process.run_jobs();
    }
    while (listed() < 3) {
      put();
      process.run_jobs();
    }
    const std::uint64_t ios = disk.io_count();
    for (int i = 0; i < 200; ++i) put();  // At least 24 KiB, and less than 40: the first of three of 16 KiB is half full.
    EXPECT_EQ(disk.io_count(), ios) << "no write waited for the device";
  }
  /// What a new process finds: the first so many of the writes.
  int found(storage::SimulatedDisk& on, std::vector<std::string>* reports = nullptr) const {
    SimulatedClock later;
    later.advance_ms(1'000'000);
    Process next(on, later);
    EXPECT_OK(next.open());
    const Result<Model> all = scan_all(next.table());
    EXPECT_OK(all);
    int count = 0;
    for (const auto& [key, value] : *all) EXPECT_EQ(key, key_of(count++)) << "a prefix, nothing left out";
    if (reports != nullptr) *reports = next.table().stats().open_reports;
    return count;
  }
  int written = 0;
};

TEST_F(Segments, AFullOneIsLeftWithoutWaitingAndNothingIsLostToAKill) {
  fill_one();
  const auto killed = disk.killed();
  EXPECT_EQ(found(*killed), written);
}

TEST_F(Segments, TwoAreLeftWithoutWaitingAndNothingIsLostToAKill) {
  fill_two();
  EXPECT_EQ(found(*disk.killed()), written);
  ASSERT_OK(process.close());
  EXPECT_EQ(found(disk), written);
}

TEST_F(Segments, AfterAPowerCutTheLogIsAPrefixWhicheverOfThemLostPages) {
  for (const bool two : {false, true}) {
    two ? fill_two() : fill_one();
    std::size_t dropped_most = 0;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const auto crashed = disk.crashed(seed);
      std::vector<std::string> reports;
      EXPECT_LE(found(*crashed, &reports), written);
      std::size_t dropped = 0;
      for (const std::string& report : reports) dropped += report.find("ends short") != std::string::npos ? 1U : 0U;
      dropped_most = std::max(dropped_most, dropped);
    }
    EXPECT_EQ(dropped_most, two ? 2U : 1U) << "some cut took the end of the first and left those behind it";
  }
}

TEST_F(Segments, ADurableWriteInTheNextMakesThoseBeforeDurable) {
  for (const bool two : {false, true}) {
    two ? fill_two() : fill_one();
    put(Durability::kDisk);
    for (std::uint64_t seed = 1; seed <= 50; ++seed) EXPECT_EQ(found(*disk.crashed(seed)), written);
  }
}

TEST_F(Segments, AcceptedWriteWaitsForRoomWhileLaterOnesAreRefused) {
  fill_one();
  disk.set_space_max(0);
  std::optional<ErrorCode> later;
  int tries = 0;
  disk.set_hook([&](storage::Io io, const std::string& /*name*/, std::uint64_t /*number*/) -> Result<void> {
    if (io != storage::Io::kSync || ++tries != 200) return {};  // Far longer than a write may wait for background work.
    // Beside the one that waits: nothing is put behind a write that cannot be made durable.
    std::thread([&] {
      const auto refused = process.table().put("refused", "v", {.durability = Durability::kKernel});
      later = refused ? ErrorCode::kUnsupported : refused.error().code;
    }).join();
    disk.set_space_max(~std::uint64_t{0});
    return {};
  });
  put(Durability::kDisk);
  disk.set_hook(nullptr);
  EXPECT_EQ(later, ErrorCode::kNoSpace);
  put(Durability::kDisk);
  EXPECT_EQ(found(*disk.crashed(1)), written);
}

TEST_F(Segments, AWriteThatIsInTheLogWaitsForRoom) {
  fill_one();
  disk.set_space_max(0);
  int tries = 0;
  disk.set_hook([&](storage::Io io, const std::string& /*name*/, std::uint64_t /*number*/) -> Result<void> {
    if (io == storage::Io::kSync && ++tries == 3) disk.set_space_max(~std::uint64_t{0});
    return {};
  });
  put(Durability::kDisk);
  EXPECT_GE(tries, 3);
  disk.set_hook(nullptr);
}

TEST_F(Segments, WhatStandsReadyIsGoneAfterAClose) {
  while (listed() < 2) {
    put();
    process.run_jobs();
  }
  ASSERT_OK(process.close());
  EXPECT_EQ(listed(), 1U);
  EXPECT_EQ(found(disk), written);
}

TEST_F(Segments, WhatAKilledOwnerLeftIsGoneSoonAfterTheNextOpen) {
  fill_two();
  const auto left = disk.killed();
  left->put("900-1-0badcafe.sealed", "of a merge that had just begun");
  left->put("9223372036854775808-1-0badcafe.sealed", "of nobody");
  SimulatedClock later;
  later.advance_ms(1'000'000);
  Process next(*left, later);
  ASSERT_OK(next.open());
  const auto strays = [&] {
    const std::vector<std::string> live = next.database().directory().manifest().files();
    std::vector<std::string> others;
    for (const auto& [name, size] : left->file_sizes()) {
      const bool data = !name.starts_with("lease") && !name.starts_with("manifest");
      if (data && std::find(live.begin(), live.end(), name) == live.end()) others.push_back(name);
    }
    return others;
  };
  EXPECT_FALSE(strays().empty()) << "the open did not wait for that";
  const std::uint64_t next_file = next.database().directory().manifest().next_file;
  EXPECT_GT(next_file, 900U) << "no number is used twice";
  EXPECT_LT(next_file, 1000U);
  next.run_jobs();
  EXPECT_EQ(strays(), std::vector<std::string>());
}

TEST_F(Segments, WhatAKilledOwnerLeftIsRoomForAManifest) {
  fill_two();
  const auto left = disk.killed();
  SimulatedClock later;
  later.advance_ms(1'000'000);
  Process next(*left, later);
  ASSERT_OK(next.open());
  std::uint64_t bytes = 0;
  for (const auto& [name, size] : left->file_sizes()) bytes += size;
  left->set_space_max(bytes);
  ASSERT_OK(next.database().table("other", small_options()));
}

/// The next open would index it again.
TEST_F(Segments, TheLargestAreKeptForReuse) {
  for (int flush = 0; flush < 8; ++flush) {
    for (int i = 0; i < 90; ++i) put();  // Of memtables of 16 KiB: segments of 4, 8 and 16.
    ASSERT_OK(process.table().flush());
    process.run_jobs();
  }
  std::uint64_t largest = 0;
  for (const auto& [name, size] : disk.file_sizes()) {
    if (name.ends_with(".spare")) largest = std::max(largest, size);
  }
  EXPECT_EQ(largest, 16 * kKiB) << "the small ones a log begins with serve none after them";

  const auto other = process.database().table("other", small_options());
  ASSERT_OK(other);
  const auto sizes = disk.file_sizes();
  ASSERT_OK(Table(*other).put("key", "value"));
  for (const auto& [name, size] : disk.file_sizes()) {
    if (sizes.contains(name)) continue;
    EXPECT_LT(size, 16 * kKiB) << name << ": a small log has no use for a large one";
  }
}

TEST(Close, SealsMuchAndLeavesLittle) {
  for (const int records : {10, 200}) {
    storage::SimulatedDisk disk(1);
    SimulatedClock clock;
    Process process(disk, clock);
    table::Tuning tuning = small_tuning();
    tuning.unsealed_segments_at_close_max = 100;
    tuning.unsealed_bytes_at_close_max = 8 * kKiB;
    ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning));
    for (int i = 0; i < records; ++i) {
      ASSERT_OK(process.table().put(key_of(i), std::string(100, 'v'), {.durability = Durability::kKernel}));
    }
    ASSERT_OK(process.close());
    bool sealed = false;
    for (const auto& [name, size] : disk.file_sizes()) sealed = sealed || name.ends_with(".sealed");
    EXPECT_EQ(sealed, records > 10);
    Process next(disk, clock);
    ASSERT_OK(next.open());
    EXPECT_EQ(scan_all(next.table())->size(), static_cast<std::size_t>(records));
  }
}

}  // namespace
}  // namespace cairn::test
