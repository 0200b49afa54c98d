// A hundred thousand of whatever one call may hold: at write, at the next open, in reads and in merges.
#include <gtest/gtest.h>

#include "support/one_fork_store.h"
#include "support/world.h"

namespace cairn::test {
namespace {

constexpr int kMany = 100'000;
constexpr WriteOptions kKernelOnly{.durability = Durability::kKernel, .account = {}};

struct ManyOfOneCall : testing::Test {
  void SetUp() override { ASSERT_OK(process->open(database::DatabaseImpl::Mode::kOpenOrCreate, table::Tuning(), {})); }
  /// As the next process finds it after a kill.
  void kill() {
    auto next = disk->killed();
    process.reset();
    disk = std::move(next);
    process = std::make_unique<Process>(*disk, clock);
    ASSERT_OK(process->open(database::DatabaseImpl::Mode::kOpen, table::Tuning(), {}));
  }
  [[nodiscard]] std::string get(const std::string& key) const {
    const auto hit = process->table().get(key);
    EXPECT_OK(hit);
    return hit && *hit ? std::string((*hit)->view()) : "(none)";
  }
  std::unique_ptr<storage::SimulatedDisk> disk = std::make_unique<storage::SimulatedDisk>(1);
  SimulatedClock clock;
  std::unique_ptr<Process> process = std::make_unique<Process>(*disk, clock);
};

std::string number(int i) { return "key" + std::to_string(1'000'000 + i); }

TEST_F(ManyOfOneCall, RangeErases) {
  for (const bool nested : {false, true}) {
    SCOPED_TRACE(nested ? "nested" : "apart");
    for (int i = 0; i < 2 * kMany; i += kMany / 4) ASSERT_OK(process->table().put(number(i) + "x", "old", kKernelOnly));
    const std::uint64_t before = process->table().stats().memory_bytes;
    Batch batch;
    for (int i = 0; i < kMany; ++i) {
      batch.erase_range(nested ? Range{number(i), number(2 * kMany - i)} : Range{number(2 * i), number(2 * i + 1)});
    }
    batch.put("after", "them");
    ASSERT_OK(process->table().write(batch, kKernelOnly));
    const std::uint64_t after = process->table().stats().memory_bytes;
    EXPECT_GT(after, before + kMiB) << "counted";
    EXPECT_LE(after, before + 100 * kMiB);
    for (int round = 0; round < 3; ++round) {
      SCOPED_TRACE(round);
      EXPECT_EQ(get("after"), "them");
      EXPECT_EQ(get(number(0) + "x"), nested ? "(none)" : "(none)");
      EXPECT_EQ(get(number(kMany / 4) + "x"), "(none)");
      const Result<Model> all = scan_all(process->table());
      ASSERT_OK(all);
      EXPECT_EQ(all->size(), 1U);
      EXPECT_LE(process->table().stats().memory_bytes, before + 100 * kMiB);
      if (round == 0) kill();
      if (round == 1) ASSERT_OK(process->table().compact());
    }
    ASSERT_OK(process->table().erase_range(everything()));
    ASSERT_OK(process->table().compact());
  }
}

TEST_F(ManyOfOneCall, PutsOfOneKey) {
  Batch batch;
  for (int i = 0; i < kMany; ++i) batch.put("key", std::to_string(i));
  ASSERT_OK(process->table().write(batch, kKernelOnly));
  EXPECT_EQ(get("key"), std::to_string(kMany - 1));
  kill();
  EXPECT_EQ(get("key"), std::to_string(kMany - 1));
  EXPECT_EQ(scan_all(process->table())->size(), 1U);
  ASSERT_OK(process->table().compact());
  EXPECT_EQ(get("key"), std::to_string(kMany - 1));
}

TEST_F(ManyOfOneCall, PutsAndRangeErasesInTurn) {
  Batch batch;
  for (int i = 0; i < kMany; ++i) {
    batch.put(number(i % 10), std::to_string(i));
    batch.erase_range({number(i % 10), number(i % 10 + 1)});
  }
  batch.put(number(3), "last");
  ASSERT_OK(process->table().write(batch, kKernelOnly));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(*scan_all(process->table()), (Model{{number(3), "last"}}));
    kill();
  }
}

TEST_F(ManyOfOneCall, SavesOfATimeline) {
  Saves of_one_key;
  Saves of_many;
  for (int i = 0; i < kMany; ++i) {
    of_one_key.put("key", std::to_string(i));
    of_many.put(number(i), "data");
  }
  {
    Timeline timeline(*process->database().timeline("line", {}));
    ASSERT_OK(timeline.write(of_one_key, {.durability = kKernelOnly.durability}));
    ASSERT_OK(timeline.write(of_many, {.durability = kKernelOnly.durability}));
  }
  for (int round = 0; round < 2; ++round) {
    {
      Timeline timeline(*process->database().timeline("line", {}));
      EXPECT_EQ((*timeline.get("key"))->view(), std::to_string(kMany - 1));
      EXPECT_EQ((*timeline.get(number(kMany / 2)))->view(), "data");
      std::size_t listed = 0;
      SaveList list = timeline.keys("key1", kBeginning, kEndOfTime);
      for ([[maybe_unused]] const auto entry : list) ++listed;
      EXPECT_OK(list.status());
      EXPECT_EQ(listed, std::size_t{kMany});
    }  // No handle may outlive its process.
    if (round == 0) kill();
  }
}

TEST_F(ManyOfOneCall, WatchesOfATimeline) {
  Timeline timeline(*process->database().timeline("line", {}));
  std::vector<Watch> watches;
  for (int i = 0; i < kMany; ++i) watches.push_back(timeline.watch("key", kBeginning));
  ASSERT_OK(timeline.put("key", "data"));
  for (const int i : {0, kMany / 2, kMany - 1}) {
    const auto event = watches[static_cast<std::size_t>(i)].next(std::chrono::milliseconds(0));
    ASSERT_OK(event);
    EXPECT_EQ((*event)->key, "key");
  }
}

TEST_F(ManyOfOneCall, UpdatesOfOneAccount) {
  std::vector<std::string> values;
  std::vector<AccountUpdate> batch;
  const Bytes key = account_key("one");
  for (int i = 0; i < kMany; ++i) values.push_back(std::to_string(i));
  for (const std::string& value : values) batch.push_back({.key = key, .value = value});
  for (int round = 0; round < 2; ++round) {
    {
      ForkStore store(*process->database().forks("forks", {}));
      if (round == 0) ASSERT_OK(store.store(0, batch, {Durability::kKernel}));
      EXPECT_EQ((*store.load(0, key))->view(), values.back());
      EXPECT_EQ(store.stats().accounts, 1U);
    }
    if (round == 0) kill();
  }
}

TEST_F(ManyOfOneCall, AccountsChangedInPlace) {
  ForkStore store(*process->database().forks("forks", {}));
  std::vector<Bytes> keys;
  std::vector<AccountUpdate> batch;
  for (int i = 0; i < kMany; ++i) keys.push_back(account_key(number(i)));
  for (const Bytes& key : keys) batch.push_back({.key = key, .value = "value"});
  ASSERT_OK(store.store(0, batch, {Durability::kKernel}));
  {
    std::vector<MutableAccount> held;
    for (const Bytes& key : keys) {
      auto account = store.get_mut(0, key);
      ASSERT_OK(account);
      (*account)->bytes()[0] = 'V';
      held.push_back(*std::move(*account));
    }
  }
  ASSERT_OK(store.sync(0));
  EXPECT_EQ((*store.load(0, keys.back()))->view(), "Value");
}

}  // namespace
}  // namespace cairn::test
