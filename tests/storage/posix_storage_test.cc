// What the file system does for us, on a real one.
#include "storage/posix_storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

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

/// Whether each page of [from, to) is in memory.
bool is_there(const storage::MappedFile& map, std::uint64_t from, std::uint64_t to) {
  std::vector<unsigned char> pages((to - from) / 4096);
  EXPECT_EQ(mincore(const_cast<char*>(map.data()) + from, to - from, pages.data()), 0);
  return std::ranges::all_of(pages, [](unsigned char page) { return (page & 1) != 0; });
}

TEST(PosixStorage, PagesThatAreGoneAreBroughtInForTheirWriter) {
  const TemporaryDirectory here;
  auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK(storage);
  auto file = (*storage)->create("1-1-1.segment", 2 * kMiB);
  ASSERT_OK(file);
  ASSERT_OK((*file)->write(0, Bytes(2 * kMiB, 'x')));
  ASSERT_OK((*file)->sync(2 * kMiB));
  const int other = ::open(here.file("1-1-1.segment").c_str(), O_RDONLY | O_CLOEXEC);
  posix_fadvise(other, 0, 0, POSIX_FADV_DONTNEED);
  close(other);
  const storage::MappedFile& map = *(*file)->view();
  if (is_there(map, kMiB, 2 * kMiB)) GTEST_SKIP() << "a file system without a device";
  (*file)->bring_in(kMiB + 5, 4 * kMiB);
  EXPECT_TRUE(is_there(map, kMiB, 2 * kMiB));
}

TEST(PosixStorage, WhatWillBeReadIsReadAheadWherePagesAreReadAlone) {
  const TemporaryDirectory here;
  auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK(storage);
  const Bytes contents(3 * kMiB, 'x');
  for (const char* const name : {"a", "large"}) ASSERT_OK((*storage)->publish(name, contents));
  std::filesystem::resize_file(here.file("large"), storage::memory_bytes() / 2 + 1);
  const int file = ::open(here.file("a").c_str(), O_RDONLY | O_CLOEXEC);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
  const auto map = *(*storage)->open("a");
  if (is_there(*map, 2 * kMiB, 3 * kMiB)) GTEST_SKIP() << "a file system without a device";
  map->will_read(2 * kMiB, 3 * kMiB);
  map->expect_random_reads();
  const auto large = *(*storage)->open("large");
  large->expect_random_reads();
  map->will_read(5, kMiB);
  map->will_read(contents.size() + kMiB, contents.size() + 2 * kMiB);
  for (int ms = 0; ms < 10'000 && !is_there(*map, 0, kMiB); ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(is_there(*map, 0, kMiB));
  EXPECT_EQ(map->data()[kMiB], 'x');
  EXPECT_FALSE(is_there(*map, kMiB, 2 * kMiB));
  EXPECT_FALSE(is_there(*map, 2 * kMiB, 3 * kMiB));
  map->will_read(contents.size() - 5, contents.size() + kMiB);
  EXPECT_EQ(map->bytes(), contents);
}

}  // namespace
}  // namespace cairn::test
