// Dead ranges: found, joined, cut, and never wrong while puts and scans meet.
#include "table/dead_ranges.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::table {
namespace {

using List = std::vector<std::pair<std::string, std::string>>;

List ranges(const DeadRanges& dead) {
  List all;
  for (const DeadRanges::Range& range : *dead.list()) all.emplace_back(range.from, range.to);
  return all;
}

TEST(DeadRanges, GrowWithWhatIsWalkedAndJoin) {
  DeadRanges dead(1);
  dead.finish(dead.watch(true, "b"), "f", 10);
  dead.finish(dead.watch(true, "f"), "h", 12);
  EXPECT_EQ(ranges(dead), (List{{"b", "h"}}));
  EXPECT_EQ(DeadRanges::over(*dead.list(), "c", 11), nullptr) << "half of it was alive until 12";
  ASSERT_NE(DeadRanges::over(*dead.list(), "c", 12), nullptr);
  EXPECT_EQ(DeadRanges::over(*dead.list(), "h", 99), nullptr);
  dead.finish(dead.watch(false, "b"), "", 13);  // Down to the first key.
  dead.finish(dead.watch(true, "x"), "", 14);   // Up to the last.
  EXPECT_EQ(ranges(dead), (List{{"", "h"}, {"x", ""}}));
}

TEST(DeadRanges, ArePutTwoByAPutAndCutShortByOneOnTheWay) {
  DeadRanges dead(1);
  dead.finish(dead.watch(true, "a"), "z", 1);
  dead.cut("m");
  EXPECT_EQ(ranges(dead), (List{{"a", "m"}, {std::string("m\0", 2), "z"}}));
  dead.cut("zz");
  EXPECT_EQ(ranges(dead).size(), 2U);
  DeadRanges other(1);
  const auto up = other.watch(true, "c");
  const auto down = other.watch(false, "w");
  other.cut("k");
  other.finish(up, "", 1);
  other.finish(down, "", 1);
  EXPECT_EQ(ranges(other), (List{{"c", "k"}, {std::string("k\0", 2), "w"}}));
  const auto nothing = other.watch(true, "x");
  other.cut("x");
  other.finish(nothing, "", 1);
  EXPECT_EQ(ranges(other).size(), 2U);
}

TEST(DeadRanges, StayFewWhateverIsPut) {
  DeadRanges dead(1);
  dead.finish(dead.watch(true, ""), "", 1);
  for (int i = 0; i < 10'000; ++i) dead.cut(std::to_string(i * 7919 % 10'007));
  EXPECT_LE(dead.list()->size(), 64U);
}

TEST(DeadRanges, AScanFindsEveryKeyThatIsThereWhileOthersComeAndGo) {
  const test::TemporaryDirectory directory;
  auto database = Database::open(directory.path(), {.create_if_missing = true});
  ASSERT_OK(database);
  auto table = database->table("t", {.memtable_bytes_max = 1 * kMiB});
  ASSERT_OK(table);
  const auto key = [](std::uint64_t n) { return "key" + std::to_string(1'000'000 + n); };
  // A queue of which head … tail - 1 are there for certain, and a key in the middle of the dead that comes and goes.
  std::atomic<std::uint64_t> head{0};
  std::atomic<std::uint64_t> tail{0};
  std::atomic<std::uint64_t> visits{0};  // Odd: it is there.
  std::atomic<bool> stop{false};
  const WriteOptions kernel{.durability = Durability::kKernel, .account = {}};
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < test::sample(60'000, 1'000'000); ++i) {
      EXPECT_OK(table->put(key(tail), std::string(20, 'v'), kernel));
      ++tail;
      if (i > 20) {
        const std::uint64_t first = head.fetch_add(1);
        EXPECT_OK(table->erase(key(first), kernel));
      }
      if (i % 50 == 10 && i > 200) {
        EXPECT_OK(table->put(key(100), "visitor", kernel));
        ++visits;
        std::this_thread::yield();
        ++visits;
        EXPECT_OK(table->erase(key(100), kernel));
      }
    }
    stop = true;
  });
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&, reader] {
      while (!stop) {
        const std::uint64_t visits_before = visits;
        const std::uint64_t tail_before = tail;
        std::uint64_t first = ~std::uint64_t{0};
        std::uint64_t last = 0;
        bool visitor = false;
        Scan scan = table->scan(everything(), reader == 0 ? Direction::kForward : Direction::kReverse);
        for (const auto entry : scan) {
          if (entry.value == "visitor") visitor = true;
          if (entry.value == "visitor") continue;
          const std::uint64_t n = std::stoull(std::string(entry.key.substr(3))) - 1'000'000;
          first = std::min(first, n);
          last = std::max(last, n);
        }
        ASSERT_OK(scan.status());
        const std::uint64_t head_after = head;
        if (visits_before % 2 == 1 && visits == visits_before) {
          EXPECT_TRUE(visitor);
        }
        if (head_after < tail_before) {
          EXPECT_LE(first, head_after);
          EXPECT_GE(last + 1, tail_before);
        }
        if (testing::Test::HasFailure()) return;
      }
    });
  }
  writer.join();
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace cairn::table
