// What the file system does for us, on a real one.
#include "storage/posix_storage.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

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

}  // namespace
}  // namespace cairn::test
