// Checkpoints and restores: what they hold, that they stay what they are, and that a crash leaves a whole one or none.
#include <gtest/gtest.h>

#include <thread>

#include "support/temporary_directory.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

Result<void> checkpoint(Process& process, storage::SimulatedDisk& target, const Progress& progress = {}) {
  return process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(target), progress);
}

std::map<std::string, Bytes> contents(const storage::SimulatedDisk& disk) {
  std::map<std::string, Bytes> all;
  for (const auto& [name, size] : disk.file_sizes()) all[name] = disk.contents(name);
  return all;
}

Result<Model> open_and_scan(storage::SimulatedDisk& disk) {
  SimulatedClock clock;
  Process process(disk, clock);
  CAIRN_TRY_VOID(process.open(database::DatabaseImpl::Mode::kOpen));
  CAIRN_TRY(found, scan_all(process.table()));
  expect_terms(process.table(), found);
  return found;
}

void write_some(Process& process, Written& written, int from, int to) {
  for (int i = from; i < to; ++i) {
    ASSERT_OK(scripted_write(process.table(), written, i, Durability::kKernel));
    if (i % 7 == 0) process.run_jobs();
  }
}

TEST(Checkpoint, AnIncrementalOneHasWhatChangedAndIsRestoredWithItsBase) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  const auto forks = process.database().forks("bank", {});
  ASSERT_OK(forks);
  ForkStore store(*forks);
  Written written;
  write_some(process, written, 0, 200);
  const Bytes key(kAccountKeyBytes, 'k');
  ASSERT_OK(store.store(0, key, "before"));
  storage::SimulatedDisk full(2);
  ASSERT_OK(checkpoint(process, full));
  const auto base_bytes = contents(full);
  write_some(process, written, 200, 260);
  ASSERT_OK(store.store(0, key, "after"));
  storage::SimulatedDisk incremental(3);
  storage::SimulatedStorage base(full);
  ASSERT_OK(process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(incremental), {}, &base));
  const Model model = written.after(written.writes.size());
  std::size_t left_out = 0;
  for (const auto& [name, bytes] : base_bytes) left_out += incremental.file_sizes().contains(name) ? 0 : 1;
  EXPECT_GT(left_out, 3U);
  EXPECT_EQ(contents(full), base_bytes);
  EXPECT_EQ(open_and_scan(incremental).error().code, ErrorCode::kInvalidArgument) << "it is no database by itself";

  storage::SimulatedStorage source(incremental);
  const auto restore = [&](storage::SimulatedDisk& target, storage::Storage* from) {
    directory::Environment environment(clock, false);
    return database::DatabaseImpl::restore(source, std::make_unique<storage::SimulatedStorage>(target), environment, {}, from);
  };
  storage::SimulatedDisk restored(4);
  EXPECT_EQ(restore(restored, nullptr).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(restore(restored, &source).error().code, ErrorCode::kInvalidArgument) << "a base that is incremental";
  ASSERT_OK(restore(restored, &base));
  EXPECT_EQ(*open_and_scan(restored), model);
  Process copy(restored, clock);
  clock.advance_ms(20'000);
  ASSERT_OK(copy.open());
  const auto hit = (*copy.database().forks("bank", {}))->load(0, key);
  ASSERT_OK(hit);
  EXPECT_EQ((*hit)->view(), "after");

  storage::SimulatedDisk other(5);
  Process another(other, clock);
  ASSERT_OK(another.open());
  storage::SimulatedDisk none(6);
  EXPECT_EQ(another.database().checkpoint(std::make_unique<storage::SimulatedStorage>(none), {}, &base).error().code,
            ErrorCode::kInvalidArgument)
      << "a base of another database";
  for (const auto& [name, size] : restored.file_sizes()) {
    if (base_bytes.contains(name) && !incremental.file_sizes().contains(name)) full.erase(name);
  }
  storage::SimulatedDisk missing(7);
  EXPECT_EQ(restore(missing, &base).error().code, ErrorCode::kCorruption);
}

/// A restored database numbers new files as the one it was restored from has numbered others; their names differ all the same.
TEST(Checkpoint, AnIncrementalOneIsRightOverABaseThatWasTakenBeforeARestore) {
  const TemporaryDirectory directory;
  const auto write = [&](Database& database, const std::string& value) {
    auto timeline = database.timeline("main");
    ASSERT_OK(timeline);
    for (int i = 0; i < 100; ++i) ASSERT_OK(timeline->put("key" + std::to_string(i), value));
  };
  const std::string original = directory.file("original");
  const std::string full = directory.file("full");
  const std::string older = directory.file("older");
  {
    auto database = Database::open(original, {.create_if_missing = true});
    ASSERT_OK(database);
    write(*database, "first");
    ASSERT_OK(database->checkpoint(older));
    write(*database, "second");
    ASSERT_OK(database->checkpoint(full));
    write(*database, "third!");
    ASSERT_OK(database->incremental_checkpoint(full, directory.file("incremental")));
    ASSERT_OK(database->close());
  }
  ASSERT_OK(Database::verify_checkpoint(full));
  ASSERT_OK(Database::verify_checkpoint(directory.file("incremental"), full));
  EXPECT_EQ(Database::verify_checkpoint(directory.file("incremental")).error().code, ErrorCode::kInvalidArgument);
  const std::string restored = directory.file("restored");
  ASSERT_OK(Database::restore(older, restored));
  auto database = Database::open(restored);
  ASSERT_OK(database);
  write(*database, "fourth");
  const std::string over = directory.file("over");
  ASSERT_OK(database->incremental_checkpoint(full, over));
  ASSERT_OK(Database::verify_checkpoint(over, full));
  ASSERT_OK(Database::restore_incremental(full, over, directory.file("again")));
  auto again = Database::open(directory.file("again"));
  ASSERT_OK(again);
  const auto value = again->timeline("main")->get("key1");
  ASSERT_OK(value);
  EXPECT_EQ((*value)->view(), "fourth");
}

TEST(Checkpoint, HoldsWhatWasThereAndStaysSoByteForByteWhateverTheSourceDoes) {
  storage::SimulatedDisk disk(1);
  std::vector<std::unique_ptr<storage::SimulatedDisk>> targets;
  std::vector<std::map<std::string, Bytes>> bytes;
  std::vector<Model> models;
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  Written written;
  for (int round = 0; round < 8; ++round) {
    write_some(process, written, round * 60, round * 60 + 60);
    if (round % 3 == 2) ASSERT_OK(process.table().compact());
    targets.push_back(std::make_unique<storage::SimulatedDisk>(static_cast<std::uint64_t>(round)));
    ASSERT_OK(checkpoint(process, *targets.back()));
    bytes.push_back(contents(*targets.back()));
    models.push_back(written.after(written.writes.size()));
  }
  write_some(process, written, 480, 900);  // Overwrites, compacts, recycles.
  ASSERT_OK(process.table().compact());
  write_some(process, written, 900, 1100);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    SCOPED_TRACE("checkpoint " + std::to_string(i));
    EXPECT_EQ(contents(*targets[i]), bytes[i]);
    const auto found = open_and_scan(*targets[i]);
    ASSERT_OK(found);
    EXPECT_EQ(*found, models[i]);
    // It is a database of its own.
    Process other(*targets[i], clock);
    ASSERT_OK(other.open());
    Written more = written;
    write_some(other, more, 2000, 2100);
    ASSERT_OK(other.table().compact());
    ASSERT_OK(other.close());
  }
  const auto found = scan_all(process.table());
  ASSERT_OK(found);
  EXPECT_EQ(*found, written.after(written.writes.size())) << "what checkpoints do is nothing to the source";
  EXPECT_TRUE(process.database().verify({})->damages.empty());
}

TEST(Checkpoint, ACrashAtEveryIoLeavesAWholeOneOrNone) {
  for (std::uint64_t at = 0;; ++at) {
    SCOPED_TRACE("crash at I/O " + std::to_string(at));
    storage::SimulatedDisk disk(at);
    storage::SimulatedDisk target(at + 1);
    SimulatedClock clock;
    Process process(disk, clock);
    ASSERT_OK(process.open());
    Written written;
    write_some(process, written, 0, 80);
    written.durable = 0;
    ASSERT_OK(process.table().put("last", "durable"));
    written.writes.push_back({{"last", "durable", std::nullopt}});
    const Model model = written.after(written.writes.size());
    std::uint64_t count = 0;
    std::unique_ptr<storage::SimulatedDisk> source_left;
    std::unique_ptr<storage::SimulatedDisk> target_left;
    const auto hook = [&](storage::Io, const std::string&, std::uint64_t) -> Result<void> {
      if (count++ == at) {
        source_left = disk.crashed(at);
        target_left = target.crashed(at);
      }
      return {};
    };
    disk.set_hook(hook);
    target.set_hook(hook);
    ASSERT_OK(checkpoint(process, target));
    disk.set_hook(nullptr);
    target.set_hook(nullptr);
    if (!target_left) {
      EXPECT_GT(at, 20U);
      break;  // Past the last one.
    }
    const auto source = open_and_scan(*source_left);
    ASSERT_OK(source);
    ASSERT_EQ(*source, model);
    const auto found = open_and_scan(*target_left);
    if (found) {
      ASSERT_EQ(*found, model);
    } else {
      ASSERT_TRUE(found.error().code == ErrorCode::kNotFound || found.error().code == ErrorCode::kCorruption) << describe(found);
    }
  }
}

TEST(Checkpoint, ACancelledOneLeavesNothingAndAFullDirectoryIsRefused) {
  storage::SimulatedDisk disk(1);
  storage::SimulatedDisk target(2);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  Written written;
  write_some(process, written, 0, 100);
  const auto cancelled = checkpoint(process, target, [](std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    return false;
  });
  ASSERT_FALSE(cancelled.has_value());
  EXPECT_EQ(cancelled.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(target.file_sizes().empty());
  ASSERT_OK(checkpoint(process, target));
  EXPECT_EQ(checkpoint(process, target).error().code, ErrorCode::kConflict);
}

TEST(Checkpoint, RestoreMakesADatabaseOfItAndRefusesWhatWasNotClosed) {
  storage::SimulatedDisk disk(1);
  storage::SimulatedDisk target(2);
  storage::SimulatedDisk restored(3);
  SimulatedClock clock;
  Written written;
  const auto restore = [&](storage::SimulatedDisk& from, storage::SimulatedDisk& to) {
    directory::Environment environment(clock, false);
    storage::SimulatedStorage source(from);
    return database::DatabaseImpl::restore(source, std::make_unique<storage::SimulatedStorage>(to), environment, {});
  };
  {
    Process process(disk, clock);
    ASSERT_OK(process.open());
    write_some(process, written, 0, 100);
    ASSERT_OK(checkpoint(process, target));
    EXPECT_EQ(restore(disk, restored).error().code, ErrorCode::kBusy);
    ASSERT_OK(process.table().put("late", "value"));
    const auto killed = disk.killed();
    EXPECT_EQ(restore(*killed, restored).error().code, ErrorCode::kInvalidArgument) << "its log has no end yet";
    ASSERT_OK(process.close());
  }
  const auto before = contents(target);
  ASSERT_OK(restore(target, restored));
  EXPECT_EQ(contents(target), before);
  const auto found = open_and_scan(restored);
  ASSERT_OK(found);
  EXPECT_EQ(*found, written.after(written.writes.size()));
  storage::SimulatedDisk of_closed(4);
  ASSERT_OK(restore(disk, of_closed));
  Model with_late = written.after(written.writes.size());
  with_late["late"] = "value";
  EXPECT_EQ(*open_and_scan(of_closed), with_late);
}

TEST(Checkpoint, RestoreRefusesFilesThatWereCut) {
  storage::SimulatedDisk disk(1);
  storage::SimulatedDisk base(2);
  storage::SimulatedDisk more(3);
  SimulatedClock clock;
  Written written;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  write_some(process, written, 0, 100);
  ASSERT_OK(checkpoint(process, base));
  write_some(process, written, 100, 120);
  storage::SimulatedStorage base_storage(base);
  ASSERT_OK(process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(more), {}, &base_storage));
  const auto restore = [&](storage::SimulatedDisk& full, bool verify) {
    directory::Environment environment(clock, false);
    storage::SimulatedStorage source(more);
    storage::SimulatedStorage of_full(full);
    storage::SimulatedDisk target(4);
    const Result<void> done = database::DatabaseImpl::restore(source, std::make_unique<storage::SimulatedStorage>(target),
                                                              environment, {}, &of_full, verify);
    EXPECT_TRUE(done || target.file_sizes().empty());
    return done;
  };
  ASSERT_OK(restore(base, true));
  std::size_t cut_files = 0;
  for (const auto& [name, size] : base.file_sizes()) {
    if (!name.ends_with(".segment") && !name.ends_with(".sealed")) continue;
    const auto cut = base.killed();
    cut->truncate(name, size / 2);
    const Result<void> refused = restore(*cut, false);
    if (refused) continue;  // The increment has no use for it any more.
    ++cut_files;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorruption) << describe(refused);
    EXPECT_NE(refused.error().file.find(name), std::string::npos);
    const auto flipped = base.killed();
    flipped->flip_bit(name, size * 4);
    if (!restore(*flipped, false)) continue;  // Its headers tell.
    EXPECT_EQ(restore(*flipped, true).error().code, ErrorCode::kCorruption) << name;
  }
  EXPECT_GT(cut_files, 0U);
}

TEST(Checkpoint, AProgressThatThrowsLeavesNothingBehind) {
  storage::SimulatedDisk disk(1);
  storage::SimulatedDisk target(2);
  SimulatedClock clock;
  Written written;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  write_some(process, written, 0, 100);
  const auto throwing = [](std::uint64_t, std::uint64_t) -> bool { throw std::runtime_error("enough"); };
  EXPECT_THROW((void)process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(target), throwing),
               std::runtime_error);
  EXPECT_TRUE(target.file_sizes().empty());
  EXPECT_THROW((void)process.database().verify(throwing), std::runtime_error);
  ASSERT_OK(process.table().put("goes", "on"));
  ASSERT_OK(checkpoint(process, target));
}

TEST(Checkpoint, IsTakenOnARealDiskWhileThreadsWrite) {
  const TemporaryDirectory directory;
  auto database = Database::open(directory.file("data"), {.create_if_missing = true});
  ASSERT_OK(database);
  auto table = database->table("t", {.memtable_bytes_max = kMiB});
  ASSERT_OK(table);
  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      const std::string key = "key" + std::to_string(1'000'000 + i);
      if (!table->put(key, std::string(200, 'v'), {.durability = Durability::kKernel})) break;
      written = i + 1;
    }
  });
  std::vector<int> at_least;
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    at_least.push_back(written);
    const auto taken = database->checkpoint(directory.file("checkpoint" + std::to_string(i)));
    EXPECT_OK(taken);
  }
  stop = true;
  writer.join();
  ASSERT_OK(table->compact());
  for (int i = 0; i < 5; ++i) {
    auto copy = Database::open(directory.file("checkpoint" + std::to_string(i)));
    ASSERT_OK(copy);
    const auto report = copy->verify();
    ASSERT_OK(report);
    EXPECT_TRUE(report->damages.empty()) << report->damages[0].to_string();
    auto same = copy->table("t", {.create_if_missing = false});
    ASSERT_OK(same);
    int count = 0;
    Scan scan = same->scan();
    for (const auto entry : scan) {
      ASSERT_EQ(entry.key, "key" + std::to_string(1'000'000 + count));
      ++count;
    }
    ASSERT_OK(scan.status());
    EXPECT_GE(count, at_least[static_cast<std::size_t>(i)]);
  }
}

}  // namespace
}  // namespace cairn::test
