// Further drives: files are spread over them, and a drive that is missing, swapped or somebody else's is told from an empty one.
#include <algorithm>

#include "support/one_fork_store.h"

namespace cairn::test {
namespace {

struct OnDrives : OneForkStore {
  OnDrives() { drives = {"/a", "/b"}; }

  static std::size_t segments_on(const storage::SimulatedDisk& on) {
    const auto sizes = on.file_sizes();
    return static_cast<std::size_t>(
        std::ranges::count_if(sizes, [](const auto& each) { return each.first.ends_with(".segment"); }));
  }
  /// Something by each of three writers, more than a segment.
  void fill() {
    std::vector<ForkWriter> writers;
    for (int w = 0; w < 2; ++w) writers.push_back(*store->writer());
    for (int i = 0; i < 12; ++i) {
      const Bytes value = std::to_string(i) + Bytes(1500, 'v');
      const Bytes key = account_key(std::to_string(i));
      const AccountUpdate update{.key = key, .value = value};
      if (i % 3 == 0) EXPECT_OK(store->store(0, {&update, 1}));
      if (i % 3 != 0) EXPECT_OK(writers[static_cast<std::size_t>(i % 3 - 1)].store(0, {&update, 1}));
    }
  }
  void expect_filled(const ForkStore& in) {
    for (int i = 0; i < 12; ++i) {
      const auto hit = in.load(0, account_key(std::to_string(i)));
      ASSERT_OK(hit);
      ASSERT_TRUE(hit->has_value()) << i;
      EXPECT_TRUE((*hit)->view().starts_with(std::to_string(i)));
    }
  }
  Result<void> try_open(std::vector<std::string> with) {
    end();
    Process other(*disk, clock);
    other.drives = std::move(with);
    return other.open(database::DatabaseImpl::Mode::kOpen);
  }
};

TEST_F(OnDrives, WritersAreSpreadOverThemAndTheManifestKnowsWhere) {
  fill();
  EXPECT_GT(segments_on(*disk), 0U);
  EXPECT_GT(segments_on(*disk->beside("/a")), 0U);
  EXPECT_GT(segments_on(*disk->beside("/b")), 0U);
  const auto stats = store->stats();
  ASSERT_EQ(stats.drives.size(), 3U);
  for (const DriveStats& drive : stats.drives) EXPECT_GT(drive.bytes, 0U) << drive.path;
  drives.clear();
  reopen();
  expect_filled(*store);
  EXPECT_EQ(process->database().directory().manifest().roots, (std::vector<std::string>{"/a", "/b"}));
  go_on_with(disk->killed());
  expect_filled(*store);
  const auto report = process->database().verify({});
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty());
  // What is moved is spread too, and what is left of it goes from the drive it was on.
  for (int round = 0; round < 6; ++round) fill();
  ASSERT_OK(impl->end_logs());
  ASSERT_OK(impl->collect());
  expect_filled(*store);
  ASSERT_OK(process->close());
  for (const char* const path : {"/a", "/b"}) EXPECT_LE(segments_on(*disk->beside(path)), 4U);
}

TEST_F(OnDrives, WritersGoOnBesideOneThatFails) {
  fill();
  for (const ErrorCode code : {ErrorCode::kPermissionDenied, ErrorCode::kIo, ErrorCode::kNoSpace}) {
    SCOPED_TRACE(name_of(code));
    disk->beside("/a")->fail_creates(code);
    for (int i = 0; i < 6; ++i) fill();
    const auto stats = store->stats();
    EXPECT_NE(stats.drives[1].error.find(name_of(code)), std::string::npos) << stats.drives[1].error;
    ASSERT_FALSE(stats.job_errors.empty());
    EXPECT_NE(stats.job_errors.back().find("/a"), std::string::npos) << stats.job_errors.back();
    expect_filled(*store);
    disk->beside("/a")->fail_creates({});
    for (int i = 0; i < 6; ++i) fill();
    EXPECT_EQ(store->stats().drives[1].error, "") << "it is used again";
  }
}

TEST_F(OnDrives, DamageNamesTheDrive) {
  fill();
  ASSERT_OK(process->close());
  const auto sizes = disk->beside("/a")->file_sizes();
  for (const auto& [name, size] : sizes) {
    if (name.ends_with(".segment")) disk->beside("/a")->flip_bit(name, 8 * 400);
  }
  // Met by the open, or by the first load if an index of the accounts spares it the segments.
  end();
  Process other(*disk, clock);
  ASSERT_OK(other.open(database::DatabaseImpl::Mode::kOpen));
  const auto opened = other.database().forks("main", {});
  Result<void> damage = opened ? Result<void>() : std::unexpected(opened.error());
  for (int i = 0; opened && damage && i < 12; ++i) {
    const auto hit = ForkStore(*opened).load(0, account_key(std::to_string(i)));
    if (!hit) damage = std::unexpected(hit.error());
  }
  ASSERT_FALSE(damage.has_value());
  EXPECT_TRUE(damage.error().file.starts_with("simulated disk/")) << describe(damage);
}

TEST_F(OnDrives, AreAddedToADatabaseThatIsThere) {
  drives.clear();
  end();
  disk = std::make_unique<storage::SimulatedDisk>(2);
  open();
  fill();
  drives = {"/late"};
  reopen();
  expect_filled(*store);
  fill();
  EXPECT_GT(segments_on(*disk->beside("/late")), 0U);
  EXPECT_OK(try_open({"/late", "/late"}));
  EXPECT_EQ(code_of(try_open({"with\"quote"})), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(try_open({"with,comma"})), ErrorCode::kInvalidArgument);
}

TEST_F(OnDrives, OneThatIsMissingOrAnothersIsRefused) {
  fill();
  ASSERT_OK(process->close());
  const auto whole = disk->killed();
  const auto with = [&](const std::function<void(storage::SimulatedDisk&)>& change) {
    end();
    disk = whole->killed();
    change(*disk);
    return try_open({});
  };
  EXPECT_OK(with([](storage::SimulatedDisk&) {}));
  const auto gone = with([](storage::SimulatedDisk& d) { d.remove_beside("/b"); });
  EXPECT_EQ(code_of(gone), ErrorCode::kUnavailable);
  EXPECT_EQ(gone.error().file, "/b");
  // Where it was mounted is an empty directory.
  EXPECT_EQ(code_of(with([](storage::SimulatedDisk& d) {
              d.remove_beside("/b");
              d.add_beside("/b");
            })),
            ErrorCode::kUnavailable);
  for (std::uint64_t bit = 0; bit < 8 * disk->beside("/a")->file_sizes().at("drive-1"); ++bit) {
    EXPECT_EQ(code_of(with([&](storage::SimulatedDisk& d) { d.beside("/a")->flip_bit("drive-1", bit); })),
              ErrorCode::kCorruption);
  }
  EXPECT_EQ(code_of(with([&](storage::SimulatedDisk& d) {
              const auto sizes = d.beside("/a")->file_sizes();
              const auto segment = std::ranges::find_if(sizes, [](const auto& each) { return each.first.ends_with(".segment"); });
              d.beside("/a")->erase(segment->first);
            })),
            ErrorCode::kCorruption);

  // Another file by the name of one that is listed on another drive is nothing to anybody.
  EXPECT_OK(with([&](storage::SimulatedDisk& d) {
    for (const auto& [name, size] : whole->beside("/a")->file_sizes()) {
      if (name.ends_with(".segment")) d.beside("/b")->put(name, "another");
    }
    for (const auto& [name, size] : whole->file_sizes()) {
      if (name.ends_with(".segment")) d.beside("/b")->put(name, "another");
    }
  }));
  open();
  expect_filled(*store);

  // Another database, and something else, as a drive.
  end();
  disk = whole->killed();
  disk->add_beside("/other").put("drive-1", "# of somebody else\n");
  disk->add_beside("/full").put("letter.txt", "dear");
  EXPECT_EQ(code_of(try_open({"/other"})), ErrorCode::kCorruption);
  EXPECT_EQ(code_of(try_open({"/full"})), ErrorCode::kConflict);
  EXPECT_OK(try_open({}));
}

TEST_F(OnDrives, OneThatMovedIsFoundByWhatItSays) {
  fill();
  ASSERT_OK(process->close());
  end();
  storage::SimulatedDisk& moved = disk->add_beside("/moved");
  for (const auto& [name, size] : disk->beside("/b")->file_sizes()) moved.put(name, disk->beside("/b")->contents(name));
  EXPECT_EQ(code_of(try_open({"/moved"})), ErrorCode::kConflict) << "it is there twice";
  disk->remove_beside("/b");
  EXPECT_EQ(code_of(try_open({})), ErrorCode::kUnavailable);
  drives = {"/moved"};
  open();
  expect_filled(*store);
  EXPECT_EQ(process->database().directory().manifest().roots, (std::vector<std::string>{"/a", "/moved"}));
}

TEST_F(OnDrives, WithoutRoomOnOneAnotherIsUsed) {
  fill();
  disk->beside("/a")->set_space_max(0);
  std::vector<ForkWriter> writers;
  for (int w = 0; w < 2; ++w) writers.push_back(*store->writer());
  for (ForkWriter& writer : writers) {
    const Bytes key = account_key("more");
    const Bytes value(1500, 'm');
    const AccountUpdate update{.key = key, .value = value};
    for (int i = 0; i < 20; ++i) ASSERT_OK(writer.store(0, {&update, 1}));
  }
  disk->set_space_max(0);
  disk->beside("/b")->set_space_max(0);
  Result<WriteVersion> stored = 0;
  for (int i = 0; i < 20 && stored; ++i) stored = store->store(0, account_key("none"), Bytes(1500, 'n'));
  EXPECT_EQ(code_of(stored), ErrorCode::kNoSpace);
}

TEST_F(OnDrives, ACheckpointARestoreAndARepairHaveAllInOneDirectory) {
  fill();
  storage::SimulatedDisk target(5);
  ASSERT_OK(process->database().checkpoint(std::make_unique<storage::SimulatedStorage>(target), {}));
  ASSERT_OK(process->close());
  storage::SimulatedDisk restored(6);
  storage::SimulatedDisk repaired(7);
  {
    storage::SimulatedStorage source(*disk);
    ASSERT_OK(database::DatabaseImpl::restore(source, std::make_unique<storage::SimulatedStorage>(restored),
                                              process->environment(), {}));
    const auto report =
        database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(repaired), process->environment(), {});
    ASSERT_OK(report);
    EXPECT_TRUE(report->lost.empty());
    disk->remove_beside("/a");
    storage::SimulatedDisk partly(8);
    const auto without =
        database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(partly), process->environment(), {});
    ASSERT_OK(without);
    EXPECT_FALSE(without->lost.empty());
    EXPECT_LT(without->records, report->records);
    EXPECT_GT(without->records, 0U);
  }
  drives.clear();
  for (storage::SimulatedDisk* const each : {&target, &restored, &repaired}) {
    go_on_with(each->killed());
    expect_filled(*store);
    EXPECT_TRUE(process->database().directory().manifest().roots.empty());
  }
}

TEST_F(OnDrives, WhatNoManifestListsIsDeletedThereToo) {
  fill();
  ASSERT_OK(process->close());
  end();
  disk->beside("/a")->put("9999-1-0000abcd.segment", "never listed");
  disk->beside("/b")->put("77-1-0000abcd.spare", "spare");
  open();
  process->run_jobs();
  (void)process->database().directory().reclaim();
  EXPECT_FALSE(disk->beside("/a")->file_sizes().contains("9999-1-0000abcd.segment"));
  EXPECT_FALSE(disk->beside("/b")->file_sizes().contains("77-1-0000abcd.spare"));
  expect_filled(*store);
}

}  // namespace
}  // namespace cairn::test
