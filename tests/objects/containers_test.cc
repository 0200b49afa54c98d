// PointerHash and PointerTree against containers of the standard library, alone and beside readers.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "base/epochs.h"
#include "base/random.h"
#include "cairn/objects/pointer_hash.h"
#include "cairn/objects/pointer_tree.h"
#include "support/world.h"

namespace cairn::objects {
namespace {

struct Item : PersistentObject {
  Item(DbId id, std::int64_t its_key) : PersistentObject(id), key(its_key) {}
  std::int64_t key;
};

std::int64_t key_of(const PersistentObject& object) { return static_cast<const Item&>(object).key; }

/// `shift`: how many low bits the prefix of a key leaves out, so that several keys have one prefix.
struct ItemKey : IndexKey {
  explicit ItemKey(unsigned bits = 0) : shift(bits) {}
  int compare(const PersistentObject& a, const PersistentObject& b) const override {
    return key_of(a) < key_of(b) ? -1 : key_of(a) > key_of(b) ? 1 : 0;
  }
  std::uint64_t prefix(const PersistentObject& object) const override { return prefix_of(key_of(object)); }
  std::uint64_t hash(const PersistentObject& object) const override { return hash_of(key_of(object)); }
  std::uint64_t prefix_of(std::int64_t key) const { return static_cast<std::uint64_t>(key) >> shift; }
  static std::uint64_t hash_of(std::int64_t key) { return static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15; }

  unsigned shift;
};

/// The tree and, beside it, what it has to hold.
class TreeHistory {
 public:
  TreeHistory(std::uint64_t seed, unsigned shift, std::int64_t keys) : random_(seed), keys_(keys), key_(shift) {}

  /// Grows and shrinks in turn, each for `turn` steps, so that nodes split and join.
  void run(int steps, int turn = 1000) {
    for (int step = 0; step < steps; ++step) {
      const bool grows = step / turn % 2 == 0;
      const std::uint64_t dice = random_.below(10);
      if (model_.empty() || dice < (grows ? 6U : 2U)) {
        insert(grows && random_.below(4) == 0 ? keys_
                                              : static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(keys_))));
      } else if (dice < 8) {
        erase();
      } else {
        replace();
      }
      if (step % (turn / 10 - 3) == 0) check();
      if (step % turn == 0) copy();
      if (step % 10 == 0) RetireList::free_all(retired_.take_unreachable());
    }
    while (!model_.empty()) {
      erase();
      if (model_.size() % static_cast<std::size_t>(turn) == 0) check();
    }
    check();
  }
  void copy() {
    PointerTree copied(key_, retired_);
    copied.copy_from(tree_);
    ASSERT_TRUE(copied.is_sound());
    PointerTree::Cursor one = tree_.begin();
    PointerTree::Cursor other = copied.begin();
    for (const PersistentObject* object = one.next(); object != nullptr; object = one.next()) ASSERT_EQ(other.next(), object);
    ASSERT_EQ(other.next(), nullptr);
  }

 private:
  using Place = std::pair<std::int64_t, DbId>;

  void insert(std::int64_t key) {
    auto item = std::make_unique<Item>(++last_id_, key);
    tree_.insert(*item);
    model_.emplace(Place{key, last_id_}, std::move(item));
  }
  std::map<Place, std::unique_ptr<Item>>::iterator any() {
    auto at = model_.lower_bound({static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(keys_))), 0});
    return at == model_.end() ? model_.begin() : at;
  }
  void erase() {
    const auto at = any();
    tree_.erase(*at->second);
    hidden_.erase(at->first);
    model_.erase(at);
  }
  void replace() {
    const auto at = any();
    auto after = std::make_unique<Item>(at->first.second, at->first.first);
    const bool hides = random_.below(2) == 0;
    tree_.replace(*at->second, *after, hides);
    hides ? static_cast<void>(hidden_.insert(at->first)) : static_cast<void>(hidden_.erase(at->first));
    at->second = std::move(after);
  }
  void check() {
    ASSERT_TRUE(tree_.is_sound());
    std::vector<const PersistentObject*> expected;
    for (const auto& [place, item] : model_) {
      if (!hidden_.contains(place)) expected.push_back(item.get());
    }
    ASSERT_EQ(tree_.size(), expected.size());
    std::vector<const PersistentObject*> found;
    PointerTree::Cursor cursor = tree_.begin();
    while (const PersistentObject* const object = cursor.next()) found.push_back(object);
    ASSERT_EQ(found, expected);
    for (auto each = expected.rbegin(); each != expected.rend(); ++each) ASSERT_EQ(cursor.previous(), *each);
    ASSERT_EQ(cursor.previous(), nullptr);
    const auto key = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(keys_) + 2));
    const auto before = [&](const PersistentObject& object) { return key_of(object) < key; };
    const auto rank =
        static_cast<std::uint64_t>(std::ranges::count_if(expected, [&](const auto* each) { return before(*each); }));
    ASSERT_EQ(tree_.rank(key_.prefix_of(key), before), rank);
    cursor = tree_.seek(key_.prefix_of(key), before);
    ASSERT_EQ(cursor.next(), rank < expected.size() ? expected[rank] : nullptr);
    cursor = tree_.seek(key_.prefix_of(key), before);
    ASSERT_EQ(cursor.previous(), rank > 0 ? expected[rank - 1] : nullptr);
    const std::uint64_t number = random_.below(expected.size() + 1);
    cursor = tree_.at_rank(number);
    ASSERT_EQ(cursor.next(), number < expected.size() ? expected[number] : nullptr);
    cursor = tree_.at_rank(number);
    ASSERT_EQ(cursor.previous(), number > 0 ? expected[number - 1] : nullptr);
  }

  Random random_;
  const std::int64_t keys_;
  const ItemKey key_;
  RetireList retired_;
  PointerTree tree_{key_, retired_};
  std::map<Place, std::unique_ptr<Item>> model_;
  std::set<Place> hidden_;
  DbId last_id_ = 0;
};

TEST(PointerTree, ReadsLikeASortedMap) {
  for (const std::uint64_t seed : test::seeds_to_run(4)) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    TreeHistory(seed, 0, 1'000'000).run(8000);
    TreeHistory(seed, 6, 20'000).run(8000);   // Prefixes that several keys share.
    TreeHistory(seed, 40, 20'000).run(8000);  // One prefix for all.
    TreeHistory(seed, 0, 3).run(8000);        // Few keys: the id decides.
    TreeHistory(seed, 0, 1'000'000).run(60'000, 30'000);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(PointerTree, FillsLeavesInOrder) {
  const ItemKey key;
  RetireList retired;
  std::vector<Item> items;
  for (int i = 0; i < 100'000; ++i) items.emplace_back(i + 1, i);
  PointerTree inserted(key, retired);
  for (const Item& item : items) inserted.insert(item);
  PointerTree copied(key, retired);
  copied.copy_from(inserted);
  for (const PointerTree* const tree : {&inserted, &copied}) {
    EXPECT_TRUE(tree->is_sound());
    EXPECT_EQ(tree->size(), items.size());
    EXPECT_LT(tree->memory_bytes(), items.size() * 11);
  }
}

TEST(PointerTree, TakesLittleMemoryInAnyOrder) {
  const ItemKey key;
  RetireList retired;
  PointerTree tree(key, retired);
  std::vector<std::unique_ptr<Item>> items;
  Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    items.push_back(std::make_unique<Item>(i + 1, static_cast<std::int64_t>(random.below(1U << 30))));
    tree.insert(*items.back());
    if (retired.is_due()) RetireList::free_all(retired.take_unreachable());
  }
  EXPECT_LT(tree.memory_bytes(), items.size() * 16);
}

TEST(PointerHash, FindsLikeAMap) {
  for (const std::uint64_t seed : test::seeds_to_run(4)) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    Random random(seed);
    const ItemKey key;
    RetireList retired;
    PointerHash table(key, retired);
    std::map<std::int64_t, std::unique_ptr<Item>> model;
    for (int step = 0; step < 40'000; ++step) {
      const std::uint64_t keys = step / 8000 % 2 == 0 ? 4000 : 100;  // The table grows, and then only swaps objects.
      const auto wanted = static_cast<std::int64_t>(random.below(keys));
      const auto found = model.find(wanted);
      const auto matches = [&](const PersistentObject& object) { return key_of(object) == wanted; };
      ASSERT_EQ(table.find(ItemKey::hash_of(wanted), matches), found == model.end() ? nullptr : found->second.get());
      if (found == model.end()) {
        const auto at = model.emplace(wanted, std::make_unique<Item>(step + 1, wanted)).first;
        table.insert(*at->second);
      } else if (random.below(3) == 0) {
        auto after = std::make_unique<Item>(found->second->db_id(), wanted);
        table.replace(*found->second, *after);
        found->second = std::move(after);
      } else {
        table.erase(*found->second);
        model.erase(found);
      }
      ASSERT_EQ(table.size(), model.size());
    }
    PointerHash copied(key, retired);
    copied.copy_from(table);
    for (const PointerHash* const each : {&table, &copied}) {
      std::set<const PersistentObject*> all;
      each->for_each([&](const PersistentObject& object) { all.insert(&object); });
      EXPECT_EQ(all.size(), model.size());
      EXPECT_EQ(each->size(), model.size());
    }
  }
}

TEST(PointerHash, SwapsObjectsWithoutGrowing) {
  const ItemKey key;
  RetireList retired;
  PointerHash table(key, retired);
  std::deque<std::unique_ptr<Item>> items;
  for (int i = 0; i < 20'000; ++i) {
    items.push_back(std::make_unique<Item>(i + 1, i));
    table.insert(*items.back());
    if (items.size() > 100) {
      table.erase(*items.front());
      items.pop_front();
    }
    const auto matches = [&](const PersistentObject& object) { return key_of(object) == -1; };
    ASSERT_EQ(table.find(ItemKey::hash_of(i), matches), nullptr) << "ends";
    RetireList::free_all(retired.take_unreachable());
  }
  EXPECT_LT(table.memory_bytes(), 3000U);
}

TEST(PointerHash, TakesLittleMemory) {
  const ItemKey key;
  RetireList retired;
  PointerHash table(key, retired);
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 200'000; ++i) {
    items.push_back(std::make_unique<Item>(i + 1, i));
    table.insert(*items.back());
    if (i > 100) {
      ASSERT_LT(table.memory_bytes(), (items.size() + 1) * 22) << i;
    }
  }
}

// Readers beside a writer that inserts, replaces, hides and erases: objects that stay are found, each once and in order; what a
// reader holds stays whole. Freed memory is overwritten, so that a reader that gets some sees it.
TEST(Containers, ReadersRunBesideAWriter) {
  constexpr std::int64_t kStay = 300;  // Keys that are multiples of 10 stay.
  const ItemKey key(3);
  RetireList retired;
  const auto free_item = [](void* memory) {
    auto* const item = static_cast<Item*>(memory);
    item->key = -1;
    delete item;
  };
  auto tree = std::make_unique<PointerTree>(key, retired);
  auto table = std::make_unique<PointerHash>(key, retired);
  std::map<std::int64_t, Item*> items;
  const auto insert = [&](std::int64_t at) {
    Item* const item = new Item(at + 1, at);
    items[at] = item;
    table->insert(*item);
    tree->insert(*item);
  };
  for (std::int64_t i = 0; i < kStay; ++i) insert(i * 10);
  std::atomic<bool> ended{false};
  std::atomic<std::uint64_t> rounds{0};
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      Random random(static_cast<std::uint64_t>(reader));
      while (!ended) {
        const EpochPin pin;
        const auto wanted = static_cast<std::int64_t>(random.below(kStay)) * 10;
        const auto* const found =
            table->find(ItemKey::hash_of(wanted), [&](const PersistentObject& object) { return key_of(object) == wanted; });
        ASSERT_NE(found, nullptr);
        ASSERT_EQ(key_of(*found), wanted);
        const auto before = [&](const PersistentObject& object) { return key_of(object) < wanted; };
        PointerTree::Cursor cursor = tree->seek(key.prefix_of(wanted), before);
        std::int64_t last = wanted - 1;
        std::int64_t stayed = wanted;
        for (int i = 0; i < 200; ++i) {
          const PersistentObject* const object = cursor.next();
          if (object == nullptr) break;
          ASSERT_GT(key_of(*object), last);
          last = key_of(*object);
          if (last % 10 != 0) continue;
          ASSERT_EQ(last, stayed) << "an object that stays is left out";
          stayed += 10;
        }
        ++rounds;
      }
    });
  }
  Random random(99);
  while (rounds < 3000) {
    const auto at = static_cast<std::int64_t>(random.below(kStay * 10));
    const auto found = items.find(at);
    if (found == items.end()) {
      insert(at);
    } else {
      Item* const old = found->second;
      if (at % 10 != 0 && random.below(2) == 0) {
        table->erase(*old);
        tree->erase(*old);
        items.erase(found);
      } else {
        found->second = new Item(at + 1, at);
        table->replace(*old, *found->second);
        tree->replace(*old, *found->second, at % 10 != 0 && random.below(2) == 0);
      }
      retired.retire(old, free_item, sizeof(Item));
    }
    if (retired.is_due()) RetireList::free_all(retired.take_unreachable());
  }
  ended = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_TRUE(tree->is_sound());
  for (const auto& [at, item] : items) delete item;
}

TEST(Epochs, APinHoldsBackWhatWasUnlinkedBesideIt) {
  static int freed;
  freed = 0;
  RetireList retired;
  const auto count = [](void*) { ++freed; };
  retired.retire(nullptr, count, 1);
  {
    const EpochPin pin;
    const EpochPin nested;
    retired.retire(nullptr, count, 1);
    RetireList::free_all(retired.take_unreachable());
    retired.retire(nullptr, count, 1);
    RetireList::free_all(retired.take_unreachable());
    EXPECT_EQ(freed, 0);
    EXPECT_EQ(retired.bytes(), 3U);
    const auto oldest = oldest_epoch_pin();
    ASSERT_TRUE(oldest.has_value());
    EXPECT_EQ(oldest->thread, gettid());
    EXPECT_EQ(oldest->epochs, 2U);
  }
  RetireList::free_all(retired.take_unreachable());
  EXPECT_EQ(freed, 3);
  EXPECT_FALSE(oldest_epoch_pin().has_value());
}

// Other threads of the process may take a slot that is free, too.
TEST(Epochs, ThreadsReuseSlots) {
  const EpochSlot* const mine = &epoch_slot_of_thread();
  std::set<const EpochSlot*> slots;
  for (int i = 0; i < 500; ++i) {
    std::thread([&] { slots.insert(&epoch_slot_of_thread()); }).join();
  }
  EXPECT_LT(slots.size(), 100U);
  EXPECT_FALSE(slots.contains(mine));
}

TEST(Epochs, ThousandsOfObjectsAreDue) {
  RetireList retired;
  for (int i = 0; i < 255; ++i) retired.retire(nullptr, [](void*) {}, 1);
  EXPECT_FALSE(retired.is_due());
  retired.retire(nullptr, [](void*) {}, 1);
  EXPECT_TRUE(retired.is_due());
  RetireList::free_all(retired.take_unreachable());
  retired.retire(nullptr, [](void*) {}, 1 << 20);
  EXPECT_TRUE(retired.is_due());
}

}  // namespace
}  // namespace cairn::objects
