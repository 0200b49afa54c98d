// What a table does when the disk does not: full, failing, slow, damaged.
#include <gtest/gtest.h>

#include "support/workload.h"

namespace cairn::test {
namespace {

using storage::Io;

std::unexpected<Error> io_error(ErrorCode code = ErrorCode::kIo) { return std::unexpected(Error{code, "injected", "", 0}); }

TEST(TableFaults, AFullDiskStopsWritesKeepsReadsAndRecoversWhenThereIsRoom) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  disk.set_space_max(150'000);
  Model model;
  std::optional<Error> refused;
  for (int i = 0; i < 2000 && !refused; ++i) {
    const std::string key = "key" + std::to_string(i);
    const auto put = process.table().put(key, std::string(500, 'v'), {.durability = Durability::kKernel});
    if (put) {
      model[key] = std::string(500, 'v');
    } else {
      refused = put.error();
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, ErrorCode::kNoSpace) << refused->to_string();
  const Result<Model> full = scan_all(process.table());
  ASSERT_OK(full);
  EXPECT_EQ(*full, model) << "nothing lost, nothing half applied";

  disk.set_space_max(~std::uint64_t{0});
  clock.advance_ms(table::kFlushRetryMs);
  process.run_jobs();
  ASSERT_OK(process.table().put("after", "room", {}));
  model["after"] = "room";
  ASSERT_OK(process.table().compact());
  const Result<Model> after = scan_all(process.table());
  ASSERT_OK(after);
  EXPECT_EQ(*after, model);
}

TEST(TableFaults, AFullDiskAtAnyFileLeavesTheTableUsable) {
  for (std::uint64_t room = 5'000; room < 120'000; room += 3'000) {
    SCOPED_TRACE("room " + std::to_string(room));
    storage::SimulatedDisk disk(room);
    SimulatedClock clock;
    Process process(disk, clock);
    ASSERT_OK(process.open());
    disk.set_space_max(room);
    Written written;
    std::size_t failed = 0;
    for (int i = 0; i < 120; ++i) {
      const Result<void> done = scripted_write(process.table(), written, i, Durability::kDisk);
      if (!done) {
        ASSERT_EQ(done.error().code, ErrorCode::kNoSpace) << describe(done);
        written.writes.pop_back();
        ++failed;
      }
      if (i % 40 == 39) (void)process.table().flush();
      if (i == 90) disk.set_space_max(~std::uint64_t{0});
    }
    const Result<Model> found = scan_all(process.table());
    ASSERT_OK(found);
    ASSERT_EQ(*found, written.after(written.writes.size())) << failed << " writes failed";
    ASSERT_OK(process.close());
  }
}

TEST(TableFaults, AFailedSyncGivesReadOnlyAndReadsGoOn) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  ASSERT_OK(process.table().put("before", "durable", {}));
  bool failing = true;
  disk.set_hook([&](Io io, const std::string&, std::uint64_t) -> Result<void> {
    if (failing && io == Io::kSync) return io_error();
    return {};
  });

  const auto during = process.table().put("during", "lost", {});
  failing = false;
  const auto after = process.table().put("after", "refused", {.durability = Durability::kKernel});

  ASSERT_FALSE(during.has_value());
  EXPECT_EQ(during.error().code, ErrorCode::kReadOnly) << during.error().to_string();
  ASSERT_FALSE(after.has_value()) << "a later sync makes nothing good";
  EXPECT_EQ(after.error().code, ErrorCode::kReadOnly);
  const Result<Model> found = scan_all(process.table());
  ASSERT_OK(found);
  EXPECT_EQ(*found, (Model{{"before", "durable"}})) << "what is not durable is not visible";
  EXPECT_NE(process.table().stats().write_state.find("kReadOnly"), std::string::npos);
}

TEST(TableFaults, EveryIoFailingOnceNeverLosesWhatWasAcknowledged) {
  // The error path of every commit: one I/O fails, whichever it is; then the machine loses power.
  for (std::uint64_t at = 0; at < 400; ++at) {
    SCOPED_TRACE("failing I/O " + std::to_string(at));
    storage::SimulatedDisk disk(at);
    SimulatedClock clock;
    Written written;
    std::size_t acknowledged = 0;
    {
      Process process(disk, clock);
      ASSERT_OK(process.open());
      const std::uint64_t first = disk.io_count();
      disk.set_hook([&](Io, const std::string&, std::uint64_t number) -> Result<void> {
        if (number == first + at) return io_error(at % 3 == 0 ? ErrorCode::kNoSpace : ErrorCode::kIo);
        return {};
      });
      for (int i = 0; i < 60; ++i) {
        const Result<void> done =
            scripted_write(process.table(), written, i, i % 2 == 0 ? Durability::kDisk : Durability::kKernel);
        if (done && i % 2 == 0) acknowledged = written.writes.size();
        // Refused while writing goes on: nothing was applied. Else writing has ended, and it may be there or not.
        if (!done && process.database().directory().state()) {
          written.writes.pop_back();
        } else if (!done) {
          ASSERT_TRUE(done.error().code == ErrorCode::kReadOnly || done.error().code == ErrorCode::kIo) << describe(done);
        }
        if (i % 20 == 19) (void)process.table().flush();
        if (i == 50 && process.impl().layer_count(0) >= 2) (void)process.impl().compact_layers(0, 0, 2);
      }
      ASSERT_TRUE(scan_all(process.table()).has_value()) << "reads go on";
      disk.set_hook(nullptr);
    }
    const auto crashed = disk.crashed(at);
    SimulatedClock later;
    Process next(*crashed, later);
    ASSERT_OK(next.open(database::DatabaseImpl::Mode::kOpen));
    const Result<Model> found = scan_all(next.table());
    ASSERT_OK(found);
    ASSERT_TRUE(written.match(*found, acknowledged, written.writes.size()).has_value());
  }
}

TEST(TableFaults, WritesWaitAtTheBoundOnUnsealedBytesAndAreCounted) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 400; ++i) {  // Jobs run only when a writer waits for them.
    ASSERT_OK(process.table().put("key" + std::to_string(i), std::string(700, 'v'), {.durability = Durability::kKernel}));
    const TableStats stats = process.table().stats();
    ASSERT_LE(stats.unsealed_bytes, stats.unsealed_bytes_max + 17 * kKiB);
  }
  const TableStats stats = process.table().stats();
  EXPECT_GT(stats.stalls, 0U);
  EXPECT_GT(stats.delays, 0U);
  EXPECT_EQ(stats.unsealed_bytes_max, 4 * small_options().memtable_bytes_max);
}

TEST(TableFaults, AWriteThatWaitedTheLongestIsRefusedAndNothingOfItIsThere) {
  storage::SimulatedDisk disk(1);
  directory::Environment environment(system_clock(), true);
  table::Tuning tuning = small_tuning();
  tuning.write_wait_ms_max = 100;
  tuning.background_sync_bytes = kGiB;  // The simulated device does not read what is being written.
  std::atomic<bool> stuck{true};
  for (int i = 0; i < 2; ++i) {  // One for each thread that would flush.
    environment.jobs.submit("stuck", directory::JobRunner::Urgency::kUrgent, [&](directory::Job&) -> Result<void> {
      while (stuck) system_clock().sleep_ms(1);
      return {};
    });
  }
  const auto database = database::DatabaseImpl::open(std::make_unique<storage::SimulatedStorage>(disk), environment,
                                                     database::DatabaseImpl::Mode::kOpenOrCreate, {.owner = "test"}, tuning);
  ASSERT_OK(database);
  auto opened = (*database)->table("main", small_options());
  ASSERT_OK(opened);
  Table table(*opened);
  const WriteOptions kernel{.durability = Durability::kKernel, .account = {}};
  Model model;
  Result<WriteVersion> written;
  for (int i = 0; i < 400 && (i == 0 || written); ++i) {
    const std::string key = "key" + std::to_string(i);
    written = table.put(key, std::string(700, 'v'), kernel);
    if (written) model[key] = std::string(700, 'v');
  }
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(*scan_all(table), model);
  const TableStats stats = table.stats();
  EXPECT_EQ(stats.write_wait_ms_max, 100);
  EXPECT_GE(stats.longest_wait_ms, 100);
  EXPECT_EQ(stats.debt, 1);
  stuck = false;
  EXPECT_OK(table.flush());
  EXPECT_OK(table.put("later", "v", kernel));
}

TEST(TableFaults, ReplayOfLogsFarOverTheBoundTakesNoMoreMemoryThanRunningDid) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Model model;
  std::unique_ptr<storage::SimulatedDisk> killed;
  {
    Process process(disk, clock);  // Nothing asks for a flush: all of it stays in logs.
    ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, small_tuning(), {.memtable_bytes_max = 64 * kMiB}));
    for (int i = 0; i < 2000; ++i) {
      const std::string key = "key" + std::to_string(i % 700);
      model[key] = std::to_string(i) + std::string(500, 'v');
      ASSERT_OK(process.table().put(key, model[key], {.durability = Durability::kKernel}));
    }
    ASSERT_GT(process.table().stats().unsealed_bytes, 60 * small_options().memtable_bytes_max);
    killed = disk.killed();
  }
  Process next(*killed, clock);
  ASSERT_OK(next.open(database::DatabaseImpl::Mode::kOpen));
  const TableStats stats = next.table().stats();
  EXPECT_LE(stats.unsealed_bytes, stats.unsealed_bytes_max + 2 * small_options().memtable_bytes_max);
  const Result<Model> found = scan_all(next.table());
  ASSERT_OK(found);
  EXPECT_EQ(*found, model);
}

TEST(TableFaults, AShortOrMissingFileIsNamedAndNeverAShorterTable) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  {
    Process process(disk, clock);
    ASSERT_OK(process.open());
    for (int i = 0; i < 100; ++i) ASSERT_OK(process.table().put("key" + std::to_string(i), std::string(300, 'v'), {}));
    ASSERT_OK(process.table().flush());
    ASSERT_OK(process.table().put("unsealed", "value", {}));
    ASSERT_OK(process.close());
  }
  for (const auto& [name, size] : disk.file_sizes()) {
    if (!name.ends_with(".sealed") && !name.ends_with(".segment")) continue;
    for (const bool missing : {true, false}) {
      const auto damaged = disk.killed();
      if (missing) {
        damaged->erase(name);
      } else {
        damaged->truncate(name, size / 2);
      }
      SimulatedClock later;
      Process process(*damaged, later);
      const Result<void> opened = process.open(database::DatabaseImpl::Mode::kOpen);
      ASSERT_FALSE(opened.has_value()) << name;
      EXPECT_EQ(opened.error().code, ErrorCode::kCorruption) << describe(opened);
      EXPECT_EQ(opened.error().file, name);
    }
  }
}

TEST(TableFaults, ADirectoryWithFilesButNoManifestIsRefusedAndNotMadeEmpty) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  {
    Process process(disk, clock);
    ASSERT_OK(process.open());
    ASSERT_OK(process.table().put("key", "value", {}));
    ASSERT_OK(process.close());
  }
  for (const auto& [name, size] : disk.file_sizes()) {
    if (name.starts_with("manifest-")) disk.erase(name);
  }
  const auto before = disk.file_sizes();
  for (const auto mode : {database::DatabaseImpl::Mode::kCreate, database::DatabaseImpl::Mode::kOpen,
                          database::DatabaseImpl::Mode::kOpenOrCreate}) {
    Process process(disk, clock);
    const Result<void> opened = process.open(mode);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, mode == database::DatabaseImpl::Mode::kOpen ? ErrorCode::kCorruption : opened.error().code);
    EXPECT_EQ(disk.file_sizes(), before);
  }
}

TEST(TableFaults, ADamagedNewestManifestIsAnErrorNeverAFallback) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  {
    Process process(disk, clock);
    ASSERT_OK(process.open());
    ASSERT_OK(process.table().put("key", "value", {}));
    ASSERT_OK(process.close());
  }
  std::optional<directory::ManifestName> newest;
  for (const auto& [name, size] : disk.file_sizes()) {
    const auto parsed = directory::ManifestName::parse(name);
    if (parsed && (!newest || *parsed > *newest)) newest = parsed;
  }
  disk.flip_bit(newest->to_string(), 999);
  Process process(disk, clock);
  const Result<void> opened = process.open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorruption);
  EXPECT_EQ(opened.error().file, newest->to_string());
}

TEST(TableFaults, ManyManifestSwitchesKeepTheLastThree) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK(process.table().put("key", std::to_string(i), {}));
    ASSERT_OK(process.table().flush());
    for (int j = 0; j < 20; ++j) {  // Past the stamp ceiling, again and again.
      clock.advance_ms(3'400);
      process.environment().leases.run_due();
    }
  }
  std::size_t manifests = 0;
  for (const auto& [name, size] : disk.file_sizes()) manifests += name.starts_with("manifest-") ? 1 : 0;
  EXPECT_EQ(manifests, 3U);
}

}  // namespace
}  // namespace cairn::test
