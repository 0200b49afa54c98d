// How much of a segment counts is known without a look at it; and what a store does where memory is short.
#include "forks/segments.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "storage/bus_error.h"
#include "storage/memory.h"
#include "storage/posix_storage.h"
#include "support/one_fork_store.h"
#include "support/temporary_directory.h"

namespace cairn::test {
namespace {

using forks::SizeClass;
using forks::SizeCounts;

TEST(SizeCounts, AreExactWhereSizesAreEqual) {
  SizeCounts equal;
  for (int i = 0; i < 10; ++i) equal.add(SizeClass(280, false), 280);
  for (int i = 0; i < 7; ++i) equal.set_stale(SizeClass(280, false));
  EXPECT_EQ(equal.live_bytes(), 3 * 280U);

  SizeCounts mixed;
  mixed.add(SizeClass(80, true), 80);
  mixed.add(SizeClass(80, false), 80);
  mixed.add(SizeClass(kMiB, false), kMiB);
  EXPECT_EQ(mixed.live_erase_bytes(), 80U);
  mixed.set_stale(SizeClass(kMiB, false));
  EXPECT_EQ(mixed.live_bytes(), 160U) << "what is left is small";
  mixed.set_stale(SizeClass(80, true));
  EXPECT_EQ(mixed.live_erase_bytes(), 0U);
  mixed.set_stale(SizeClass(80, false));
  EXPECT_EQ(mixed.live_bytes(), 0U);
  mixed.set_stale(SizeClass(80, false));
  EXPECT_EQ(mixed.live_bytes(), 0U) << "one too many, as a damaged file may say";
}

TEST(SizeCounts, ClassesAscendAndAreNarrow) {
  unsigned last = SizeClass(80, false).number();
  std::uint64_t begin = 80;
  for (std::uint64_t bytes = 80; bytes <= kGiB; bytes += std::max<std::uint64_t>(8, bytes / 64)) {
    const unsigned now = SizeClass(bytes, false).number();
    ASSERT_LT(now, SizeClass::kCount);
    ASSERT_GE(now, last);
    if (now != last) begin = bytes;
    ASSERT_LE(bytes, begin * (bytes <= 128 * kKiB ? 2 : 17)) << "class " << now;
    last = now;
  }
}

TEST(WhereMemoryIsShort, AForkStoreReadsWhatItWouldElse) {
  const TemporaryDirectory here;
  directory::Environment environment(system_clock(), false);
  auto database = database::DatabaseImpl::open(*storage::PosixStorage::open(here.file("db"), true), environment,
                                               database::DatabaseImpl::Mode::kCreate, {}, {}, {}, small_forks_tuning());
  ASSERT_OK(database);
  const auto impl = (*database)->forks("main", {});
  ASSERT_OK(impl);
  ForkStore store(*impl);
  const auto value = [](int i) { return Bytes(static_cast<std::size_t>(i * i % 20'000), static_cast<char>('a' + i % 26)); };
  const auto name = [](int i) { return account_key("account" + std::to_string(i)); };
  for (int i = 0; i < 300; ++i) ASSERT_OK(store.store(0, name(i % 200), value(i)));

  const auto storage = storage::PosixStorage::open(here.path(), false);
  ASSERT_OK((*storage)->publish("large", "some"));
  std::filesystem::resize_file(here.file("large"), storage::memory_bytes() / 2 + 1);
  const auto large = *(*storage)->open("large");
  large->expect_random_reads();
  ASSERT_TRUE(storage::memory_is_short());

  const auto newest = [](int i) { return i < 100 ? 200 + i : i; };
  const auto expect_all = [&] {
    std::vector<Bytes> keys;
    for (int i = 0; i < 201; ++i) keys.push_back(name(i));
    const std::vector<ByteView> views(keys.begin(), keys.end());
    const auto found = store.load_many(0, views);
    ASSERT_OK(found);
    for (int i = 0; i < 200; ++i) {
      EXPECT_EQ((*found)[static_cast<std::size_t>(i)]->view(), value(newest(i))) << i;
      EXPECT_EQ((*store.load(0, name(i)))->view(), value(newest(i))) << i;
    }
    EXPECT_FALSE((*found)[200].has_value());
    std::size_t seen = 0;
    ASSERT_OK(store.scan(0, [&](ByteView, const Pinned&) {
      ++seen;
      return Result<void>();
    }));
    EXPECT_EQ(seen, 200U);
  };
  expect_all();
  ASSERT_OK((*impl)->end_logs());
  ASSERT_OK((*impl)->collect());
  EXPECT_GT(store.stats().segments_reclaimed, 0U);
  expect_all();
}

}  // namespace
}  // namespace cairn::test
