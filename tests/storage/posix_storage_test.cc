// What the file system does for us, on a real one.
#include "storage/posix_storage.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "storage/memory.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

constexpr std::uint64_t kManySteps = 21 * kMiB + 123;  // Room is given back 4 MiB at a time.

std::unique_ptr<storage::AppendFile> filled(storage::PosixStorage& storage, const std::string& name) {
  auto file = storage.create(name, kManySteps);
  EXPECT_OK(file);
  std::memset((*file)->data(), 'x', kManySteps);
  return std::move(*file);
}

TEST(PosixStorage, WhatIsReclaimedStaysUnderItsOtherName) {
  const TemporaryDirectory here;
  const TemporaryDirectory there;
  auto source = storage::PosixStorage::open(here.path(), false);
  auto target = storage::PosixStorage::open(there.path(), false);
  ASSERT_OK(source);
  ASSERT_OK(target);
  ASSERT_OK(filled(**source, "a")->finish(kManySteps));
  ASSERT_OK((*source)->link("a", **target));
  ASSERT_OK((*source)->reclaim("a"));
  EXPECT_TRUE((*source)->list()->empty());
  EXPECT_EQ(*(*target)->read("a"), Bytes(kManySteps, 'x'));
  ASSERT_OK((*target)->reclaim("a"));
  EXPECT_TRUE((*target)->list()->empty());
  EXPECT_OK((*target)->reclaim("a"));  // As remove(): it is gone already.
}

TEST(PosixStorage, TrimmingLeavesWhatIsBelow) {
  const TemporaryDirectory here;
  auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK(storage);
  const auto file = filled(**storage, "a");
  for (const std::uint64_t end : {kManySteps, 9 * kMiB + 5, 9 * kMiB + 4, std::uint64_t{1}}) {
    ASSERT_OK(file->trim(end));
    EXPECT_EQ(std::filesystem::file_size(here.file("a")), end);
    EXPECT_EQ(*(*storage)->read("a"), Bytes(end, 'x'));
  }
}

/// Whether the kernel was told to read pages of the map of that file alone.
bool reads_pages_alone(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(path)) here = true;
    if (here && line.starts_with("VmFlags:")) return line.find(" rr") != std::string::npos;
  }
  ADD_FAILURE() << path << " is not mapped";
  return false;
}

TEST(PosixStorage, PagesAreReadAloneWhileMoreIsMappedThanHalfOfTheMemory) {
  const TemporaryDirectory here;
  auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK(storage);
  for (const char* const name : {"before", "after", "walked", "large"}) ASSERT_OK((*storage)->publish(name, "some"));
  std::filesystem::resize_file(here.file("large"), storage::memory_bytes() / 2 + 1);
  const auto before = *(*storage)->open("before");
  const auto walked = *(*storage)->open("walked");
  before->expect_random_reads();
  EXPECT_FALSE(reads_pages_alone(here.file("before")));
  auto large = *(*storage)->open("large");
  EXPECT_FALSE(reads_pages_alone(here.file("before")));
  large->expect_random_reads();
  const auto after = *(*storage)->open("after");
  after->expect_random_reads();
  for (const char* const name : {"before", "after", "large"}) EXPECT_TRUE(reads_pages_alone(here.file(name))) << name;
  EXPECT_FALSE(reads_pages_alone(here.file("walked")));
  large.reset();
  for (const char* const name : {"before", "after"}) EXPECT_FALSE(reads_pages_alone(here.file(name))) << name;
}

TEST(PosixStorage, WhatWillBeReadIsReadAhead) {
  const TemporaryDirectory here;
  auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK(storage);
  const Bytes contents(3 * kMiB + 5, 'x');
  ASSERT_OK((*storage)->publish("a", contents));
  const auto map = *(*storage)->open("a");
  map->will_read(1, contents.size() + kMiB);  // Beyond the end: what there is.
  map->will_read(contents.size() + kMiB, contents.size() + 2 * kMiB);
  map->will_read(5, 5);
  EXPECT_EQ(map->bytes(), contents);
}

}  // namespace
}  // namespace cairn::test
