// Files in a directory that are not Cairn's: creating refuses them, opening leaves them alone.
#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using Mode = database::DatabaseImpl::Mode;

/// The answer to a create in a directory with one file; nothing may have been written there.
std::string created_beside(const std::string& name, ByteView contents = "mine") {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  disk.put(name, contents);
  Process process(disk, clock);
  for (const Mode mode : {Mode::kCreate, Mode::kOpenOrCreate}) {
    const Result<void> made = process.open(mode);
    if (made) return "ok";
    EXPECT_EQ(disk.file_sizes().size(), 1U) << name;
    EXPECT_EQ(disk.contents(name), contents);
    if (mode == Mode::kOpenOrCreate) return std::string(name_of(made.error().code)) + " " + made.error().file;
  }
  return "";
}

TEST(ForeignFiles, CreateRefusesThem) {
  for (const char* const name : {"notes.txt", "tmp-notes.txt", "tmp-12345", "tmp-0123456789abcdeg", "drive-1", "a.spare",
                                 "1-1-0badcafe.spare.bak", "lease-7", "manifest-", ".hidden"}) {
    EXPECT_EQ(created_beside(name), "kConflict simulated disk/" + std::string(name));
  }
}

TEST(ForeignFiles, CreateAllowsLostAndFound) { EXPECT_EQ(created_beside("lost+found"), "ok"); }

TEST(ForeignFiles, CreateTakesUpAnInterruptedOne) {
  EXPECT_EQ(created_beside("tmp-0123456789abcdef"), "ok");
  EXPECT_EQ(created_beside("lease-1", storage::encode_lease({.epoch = 1, .lease_ms = 1000, .released = true})), "ok");
}

TEST(ForeignFiles, OpenLeavesThemAlone) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  {
    Process process(disk, clock);
    ASSERT_OK(process.open(Mode::kCreate));
    ASSERT_OK(process.table().put("key", "value", {}));
    ASSERT_OK(process.close());
  }
  const std::vector<std::string> foreign = {"tmp-notes.txt",
                                            "tmp-12345",
                                            "tmp-0123456789abcde",
                                            "tmp-0123456789ABCDEF",
                                            "a.spare",
                                            "1-1-x.spare",
                                            "9-1-0badcafe.spar",
                                            "01-1-0badcafe.spare",
                                            "notes.trimmed",
                                            "a.segment",
                                            "9-1-badcafe.sealed",
                                            "lease-007",
                                            "lease-x",
                                            "manifest-1-x",
                                            "drive-1",
                                            "lost+found"};
  const std::vector<std::string> strays = {"tmp-0123456789abcdef", "9-1-0badcafe.spare", "9-1-0badcafe.segment"};
  for (const std::string& name : foreign) disk.put(name, "mine");
  for (const std::string& name : strays) disk.put(name, "of an owner that was killed");
  {
    Process process(disk, clock);
    ASSERT_OK(process.open(Mode::kOpen));
    for (int i = 0; i < 200; ++i) ASSERT_OK(process.table().put("key", std::string(500, 'v'), {}));
    ASSERT_OK(process.table().compact());
    ASSERT_OK(process.close());
  }
  for (const std::string& name : foreign) EXPECT_TRUE(disk.file_sizes().contains(name)) << name;
  for (const std::string& name : strays) EXPECT_FALSE(disk.file_sizes().contains(name)) << name;
}

TEST(ForeignFiles, TargetsMayHoldLostAndFoundOnly) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  storage::SimulatedDisk fresh(2);
  fresh.put("lost+found", "");
  EXPECT_OK(process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(fresh), {}));
  storage::SimulatedDisk used(3);
  used.put("photo.jpg", "");
  const auto refused = process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(used), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(refused.error().file, "simulated disk/photo.jpg");
}

TEST(ForeignFiles, PathsWithZeroBytesAreRefused) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("db");
  const std::string odd = path + std::string("\0x", 2);
  ASSERT_TRUE(Database::create(path).has_value());
  for (const auto& refused : {Database::open(odd).error(), Database::create(odd).error(), Database::restore(odd, path).error(),
                              Database::repair(path, odd).error(), Database::open("").error()}) {
    EXPECT_EQ(refused.code, ErrorCode::kInvalidArgument) << refused.to_string();
  }
}

}  // namespace
}  // namespace cairn::test
