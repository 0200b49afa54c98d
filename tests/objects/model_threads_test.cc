// A Model under threads: readers by different keys, editors, one that deletes and removes, one that copies. Sizes move between
// items in transactions, so that their sum tells half a transaction; the members of an item agree, so that half an item shows.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/mutex.h"
#include "base/random.h"
#include "objects/classes.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using cairn::Model;  // Not the map of support/world.h.

constexpr std::int64_t kItems = 64;
constexpr std::int64_t kSize = 1000;

void set_size(Item& item, std::int64_t size) {
  item.size = size;
  item.score = static_cast<double>(size);
  item.name = std::to_string(item.db_id()) + "/" + std::to_string(size);
}
bool is_whole(const Item& item) {
  return item.score == static_cast<double>(item.size) &&
         item.name == std::to_string(item.db_id()) + "/" + std::to_string(item.size);
}

struct ModelThreads : testing::Test {
  void SetUp() override {
    for (std::int64_t i = 0; i < kItems; ++i) {
      ASSERT_TRUE(model.create<Item>([](Item& item) { set_size(item, kSize); }));
    }
  }
  Id<Item> any(Random& random) { return {static_cast<DbId>(1 + random.below(kItems))}; }
  void move_size(Random& random) {
    const auto moved = model.transact([&](Transaction& transaction) -> Result<void> {
      CAIRN_TRY(from, transaction.edit(any(random)));
      CAIRN_TRY(to, transaction.edit(any(random)));
      const auto amount = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(from->size) + 1));
      set_size(*from, from->size - amount);
      set_size(*to, to->size + amount);
      return {};
    });
    ASSERT_TRUE(moved || moved.error().message == "other changes were first 100 times");
  }
  static void check_sum(const Reading& now) {
    std::int64_t sum = 0;
    now.for_each<Item>([&](const Item& item) { sum += item.size; });
    ASSERT_EQ(sum, kItems * kSize);
    sum = 0;
    for (const Item& item : now.all(Item::by_size)) sum += item.size;
    ASSERT_EQ(sum, kItems * kSize);
    ASSERT_EQ(now.count<Item>(), static_cast<std::uint64_t>(kItems));
  }
  void read_one(Random& random) {
    const Reading now = model.read();
    const Item* const by_id = now.find(any(random));
    ASSERT_NE(by_id, nullptr);
    ASSERT_TRUE(is_whole(*by_id));
    const Item* const by_name = now.find(Item::by_name, by_id->name);
    ASSERT_TRUE(by_name == nullptr || is_whole(*by_name));
    std::int64_t last = -1;
    int walked = 0;
    for (const Item& item : now.range(Item::by_size, 100, 1'000'000)) {
      ASSERT_TRUE(is_whole(item));
      ASSERT_GE(item.size, last);
      last = item.size;
      if (++walked == 20) break;
    }
    for (const Link& child : now.children(&Link::owned, any(random))) ASSERT_EQ(child.number, child.owned.value);
  }
  void child_comes_and_goes(Random& random) {
    const auto made = model.create<Link>([&](Link& child) {
      child.owned = any(random);
      child.number = child.owned.value;
    });
    ASSERT_TRUE(made.has_value());
    const Held<Link> held = *model.hold(*made);
    ASSERT_TRUE(model.set_deleted(*made));
    model.remove_deleted();
    ASSERT_EQ(held->number, held->owned.value) << "a held object stays whole";
    const Reading now = model.read();
    ASSERT_EQ(now.find(*made), nullptr);
  }

  Model model = Model::of<Item, Link>();
};

TEST_F(ModelThreads, NobodySeesHalfAChange) {
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> waits{0};
  std::vector<std::thread> threads;
  const auto run = [&](auto step) {
    threads.emplace_back([&, step, seed = threads.size()] {
      Random random(seed);
      while (!ended && !testing::Test::HasFatalFailure()) step(random);
    });
  };
  for (int i = 0; i < 3; ++i) {
    run([&](Random& random) {
      const std::uint64_t before = lock_waits_of_thread;
      read_one(random);
      waits += lock_waits_of_thread - before;
    });
  }
  run([&](Random&) { ASSERT_TRUE(model.at_one_moment(check_sum)); });
  for (int i = 0; i < 2; ++i) run([&](Random& random) { move_size(random); });
  run([&](Random& random) { child_comes_and_goes(random); });
  run([&](Random&) {
    const Model copy = model.copy();
    check_sum(copy.read());
  });
  std::uint64_t last = 0;
  const Subscription told = model.on_change<Item>([&](const Item* before, const Item* after, Change change) {
    ASSERT_GE(change.number, last);  // One thread at a time: no atomic is needed.
    last = change.number;
    ASSERT_TRUE(is_whole(*before) && is_whole(*after));
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(sample(1500, 20'000));
  while (std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ended = true;
  for (std::thread& thread : threads) thread.join();
  check_sum(model.read());
  EXPECT_EQ(waits, 0U) << "a lookup waited for a lock";
  EXPECT_GT(last, 0U);
}

TEST_F(ModelThreads, ChangesAreToldBeforeTheirCallsReturn) {
  std::uint64_t told = 0;
  std::atomic<std::uint64_t> last{static_cast<std::uint64_t>(kItems)};
  const Subscription subscription = model.on_change<Item>([&](const Item*, const Item*, Change change) {
    ++told;  // One thread at a time.
    ASSERT_EQ(last.exchange(change.number) + 1, change.number);
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 200; ++j) {
        const auto change = model.edit(Id<Item>{i + 1}, [&](Item& item) { set_size(item, item.size + 1); });
        ASSERT_TRUE(change.has_value());
        ASSERT_GE(last.load(), change->number);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(told, 800U);
}

}  // namespace
}  // namespace cairn::test
