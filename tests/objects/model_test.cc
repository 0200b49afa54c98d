// What a Model promises, one thing at a time.
#include "cairn/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

#include "objects/classes.h"

namespace cairn::test {
namespace {

struct ModelTest : testing::Test {
  Id<Item> make(const std::string& name, std::int64_t size = 0, Id<Item> parent = {}) {
    const auto made = model.create<Item>([&](Item& item) {
      item.name = name;
      item.size = size;
      item.parent = parent;
    });
    EXPECT_TRUE(made.has_value()) << made.error().message;
    return *made;
  }
  static std::string names(auto range) {
    std::string all;
    for (const Item& item : range) all += item.name + " ";
    return all;
  }

  /// So that lookups of one expression need no Reading with a name.
  static const Reading& seen(const Reading& now) { return now; }

  Model model = Model::of<Item, Link>();
};

TEST_F(ModelTest, FindsByEveryKey) {
  const Id<Item> small = make("small", 1);
  const Id<Item> large = make("large", 100, small);
  ASSERT_TRUE(model.edit(large, [](Item& item) {
    item.code = 7;
    item.score = 2.5;
    item.color = Color::kBlue;
  }));
  const Reading now = model.read();
  ASSERT_NE(now.find(large), nullptr);
  EXPECT_EQ(now.find(large)->name, "large");
  EXPECT_EQ(now.find(Id<Item>{99}), nullptr);
  EXPECT_EQ(now.find(Item::by_name, "large"), now.find(large));
  EXPECT_EQ(now.find(Item::by_name, "huge"), nullptr);
  EXPECT_EQ(now.find(Item::by_code, 7), now.find(large));
  EXPECT_EQ(now.find(Item::by_code, std::nullopt), nullptr) << "an empty member is in no unique index";
  EXPECT_EQ(now.find(Item::by_all, Color::kBlue, 100, "large"), now.find(large));
  EXPECT_EQ(names(now.range(Item::by_size, 1, 100)), "small ");
  EXPECT_EQ(names(now.range(Item::by_size, 0, 101)), "small large ");
  EXPECT_EQ(names(now.all(Item::by_best)), "large small ");
  EXPECT_EQ(names(now.equal(Item::by_color, Color::kRed)), "small ");
  EXPECT_EQ(names(now.equal(Item::by_best, 2.5)), "large ");
  EXPECT_EQ(names(now.range(Item::by_best, std::tuple(2.5, "l"), 0.0)), "large ") << "scores descend";
  EXPECT_EQ(names(now.children(&Item::parent, small)), "large ");
  EXPECT_EQ(now.rank(Item::by_size, 100), 1U);
  EXPECT_EQ(now.at(Item::by_size, 1), now.find(large));
  EXPECT_EQ(now.at(Item::by_size, 2), nullptr);
  EXPECT_EQ(now.count<Item>(), 2U);
}

TEST_F(ModelTest, RefusesWhatBreaksARule) {
  const Id<Item> one = make("one");
  const auto twice = model.create<Item>([](Item& item) { item.name = "one"; });
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().code, ErrorCode::kConflict);
  EXPECT_EQ(twice.error().message, "Item 2 has the key of Item 1 in the index 'by_name'");
  const auto negative = model.edit(one, [](Item& item) { item.size = -1; });
  ASSERT_FALSE(negative.has_value());
  EXPECT_EQ(negative.error().message, "/size: must be at least 0");
  const auto lost = model.edit(one, [](Item& item) { item.parent = {77}; });
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().message, "Item 1: 'parent' refers to Item 77, which does not exist");
  EXPECT_EQ(model.edit(Id<Item>{5}, [](Item&) {}).error().message, "there is no Item 5");
  EXPECT_EQ(model.set_deleted(Id<Item>{5}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(model.hold(Id<Item>{5}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(model.last_change().number, 1U) << "nothing was changed";
}

TEST_F(ModelTest, TransactionsSeeTheirOwnChanges) {
  const Id<Item> one = make("one", 10);
  const Id<Item> two = make("two", 20);
  const auto done = model.transact([&](Transaction& transaction) -> Result<void> {
    CAIRN_TRY(first, transaction.edit(one));
    CAIRN_TRY(second, transaction.edit(two));
    std::swap(first->name, second->name);  // Unique keys swap places.
    first->size = 30;
    CAIRN_TRY(third, transaction.create<Item>());
    third->name = "three";
    third->parent = one;
    EXPECT_EQ(transaction.find(Item::by_name, "two"), first);
    EXPECT_EQ(transaction.find(Item::by_name, "three"), third);
    EXPECT_EQ(transaction.find(one), first);
    std::string all;
    for (const Item* const item : transaction.range(Item::by_size, 0, 100)) all += item->name + " ";
    EXPECT_EQ(all, "three one two ");
    EXPECT_EQ(transaction.children(&Item::parent, one).size(), 1U);
    CAIRN_TRY_VOID(transaction.set_deleted(two));
    EXPECT_EQ(transaction.find(two), nullptr);
    EXPECT_EQ(transaction.edit(two).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(transaction.find(Item::by_name, "one"), nullptr);
    return {};
  });
  ASSERT_TRUE(done.has_value()) << done.error().message;
  const Reading now = model.read();
  EXPECT_EQ(names(now.all(Item::by_size)), "three two ");
  EXPECT_EQ(now.find(Item::by_name, "one"), nullptr);
}

TEST_F(ModelTest, AnErrorOrExceptionChangesNothing) {
  const Id<Item> one = make("one");
  EXPECT_EQ(model
                .edit(one,
                      [](Item& item) -> Result<void> {
                        item.name = "two";
                        return std::unexpected(Error{ErrorCode::kTimeout, "not now"});
                      })
                .error()
                .message,
            "not now");
  EXPECT_THROW(static_cast<void>(model.edit(one,
                                            [](Item& item) {
                                              item.name = "two";
                                              throw std::runtime_error("mine");
                                            })),
               std::runtime_error);
  EXPECT_NE(seen(model.read()).find(Item::by_name, "one"), nullptr);
  EXPECT_TRUE(model.edit(one, [](Item& item) { item.name = "two"; })) << "the thread is in no transaction any more";
}

TEST_F(ModelTest, DeletionFollowsReferences) {
  const Id<Item> root = make("root");
  const Id<Item> leaf = make("leaf", 1, make("branch", 0, root));
  const auto child = model.create<Link>([&](Link& of) {
    of.owned = leaf;
    of.soft = leaf;
  });
  const auto other = model.create<Link>([&](Link& of) { of.soft = leaf; });
  const auto guard = model.create<Link>([&](Link& of) { of.strict = leaf; });
  ASSERT_TRUE(child && other && guard);
  const auto refused = model.set_deleted(root);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "Link 3 refers to Item 3 by 'strict': it cannot be deleted");
  EXPECT_EQ(seen(model.read()).count<Item>(), 3U);
  ASSERT_TRUE(model.set_deleted(*guard));
  ASSERT_TRUE(model.set_deleted(root));
  const Reading now = model.read();
  EXPECT_EQ(now.count<Item>(), 0U);
  EXPECT_EQ(now.find(*child), nullptr);
  ASSERT_NE(now.find(*other), nullptr);
  EXPECT_FALSE(now.find(*other)->soft);
}

// A cascade reaches an object that the transaction edited before, and goes on from there.
TEST_F(ModelTest, DeletionGoesOnFromEditedObjects) {
  const Id<Item> top = make("top");
  const Id<Item> middle = make("middle", 0, top);
  const Id<Item> bottom = make("bottom", 0, middle);
  const auto child = model.create<Link>([&](Link& of) { of.soft = middle; });
  ASSERT_TRUE(model.transact([&](Transaction& transaction) -> Result<void> {
    CAIRN_TRY(edited, transaction.edit(middle));
    edited->size = 9;
    CAIRN_TRY_VOID(transaction.set_deleted(top));
    return {};
  }));
  const Reading now = model.read();
  EXPECT_EQ(now.find(bottom), nullptr);
  EXPECT_EQ(now.count<Item>(), 0U);
  EXPECT_FALSE(now.find(*child)->soft);
}

TEST_F(ModelTest, DeletedCopiesStayReadable) {
  const Id<Item> one = make("one");
  ASSERT_TRUE(model.transact([&](Transaction& transaction) -> Result<void> {
    CAIRN_TRY(edited, transaction.edit(one));
    edited->name = "still here";
    CAIRN_TRY_VOID(transaction.set_deleted(one));
    EXPECT_EQ(edited->name, "still here");
    return {};
  }));
}

TEST_F(ModelTest, OrdersNumbersThatAreNone) {
  for (const double score : {std::nan(""), 1.0, -0.0, 0.0, -std::numeric_limits<double>::infinity()}) {
    ASSERT_TRUE(model.create<Item>([&](Item& item) {
      item.name = std::to_string(model.read().count<Item>());
      item.score = score;
    }));
  }
  for (DbId id = 1; id <= 5; ++id) ASSERT_TRUE(model.edit(Id<Item>{id}, [](Item& item) { item.score = 5; }));
  std::size_t found = 0;
  const Reading now = model.read();
  for (const Item& item : now.equal(Item::by_best, 5.0)) found += item.score == 5 ? 1U : 0U;
  EXPECT_EQ(found, 5U);
}

TEST_F(ModelTest, TransactionsLeaveEmptyKeysOutOfUniqueIndexes) {
  ASSERT_TRUE(model.transact([&](Transaction& transaction) -> Result<void> {
    CAIRN_TRY_VOID(transaction.create<Item>());
    EXPECT_EQ(transaction.find(Item::by_code, std::nullopt), nullptr);
    EXPECT_TRUE(transaction.range(Item::by_code, std::nullopt, 100).empty());
    return {};
  }));
}

// Two Models that change each other in on_change() do not wait for each other.
TEST_F(ModelTest, ModelsMayFollowEachOther) {
  Model other = Model::of<Item, Link>();
  const Id<Item> here = make("here");
  const auto there = other.create<Item>([](Item& item) { item.name = "there"; });
  const auto follow = [](Model& to, Id<Item> id) {
    return [&to, id](const Item* before, const Item* after, Change) {
      if (before == nullptr || after->size % 2 == 0 || after->size > 2000) return;
      EXPECT_TRUE(to.edit(id, [](Item& item) { item.size += 2; }));
    };
  };
  const Subscription one = model.on_change<Item>(follow(other, *there));
  const Subscription two = other.on_change<Item>(follow(model, here));
  std::vector<std::thread> threads;
  for (Model* const each : {&model, &other}) {
    threads.emplace_back([each] {
      for (int i = 0; i < 300; ++i) EXPECT_TRUE(each->edit(Id<Item>{1}, [](Item& item) { item.size += 1; }));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ModelTest, DeletedObjectsAreGoneAtOnceAndFreedLater) {
  for (int i = 0; i < 10; ++i) make("item" + std::to_string(i), i);
  ASSERT_TRUE(model.set_deleted(Id<Item>{4}));  // "item3".
  {
    const Reading now = model.read();
    EXPECT_EQ(now.find(Item::by_name, "item3"), nullptr);
    EXPECT_EQ(now.rank(Item::by_size, 5), 4U);
    EXPECT_EQ(now.at(Item::by_size, 3)->name, "item4");
    std::size_t visited = 0;
    now.for_each<Item>([&](const Item&) { ++visited; });
    EXPECT_EQ(visited, 9U);
  }
  EXPECT_EQ(model.stats().classes[0].deleted, 1U);
  const Id<Item> again = make("item3", 3);  // Its unique key is free.
  EXPECT_EQ(again.value, 11);
  model.remove_deleted();
  EXPECT_EQ(model.stats().classes[0].deleted, 0U);
  EXPECT_EQ(seen(model.read()).find(Item::by_name, "item3")->db_id(), 11);
  EXPECT_EQ(seen(model.read()).at(Item::by_size, 3)->name, "item3");
}

TEST_F(ModelTest, HeldObjectsStayWhole) {
  const Id<Item> id = make("held", 5);
  std::optional<Held<Item>> held = *model.hold(id);
  ASSERT_TRUE(model.edit(id, [](Item& item) { item.name = "changed"; }));
  ASSERT_TRUE(model.set_deleted(id));
  model.remove_deleted();
  for (int i = 0; i < 1000; ++i) make("other" + std::to_string(i));
  EXPECT_EQ((*held)->name, "held");
  const Held<Item> copy = *held;
  held.reset();
  model = Model::of<Item, Link>();
  EXPECT_EQ(copy->name, "held");
  EXPECT_EQ(copy->size, 5);
}

TEST_F(ModelTest, ACopySharesObjectsAndNothingElse) {
  const Id<Item> one = make("one", 1);
  const Id<Item> two = make("two", 2);
  Model copy = model.copy();
  EXPECT_EQ(seen(copy.read()).find(one), seen(model.read()).find(one)) << "the same object";
  ASSERT_TRUE(model.edit(one, [](Item& item) { item.size = 50; }));
  ASSERT_TRUE(model.set_deleted(two));
  make("three");
  ASSERT_TRUE(copy.edit(two, [](Item& item) { item.size = 7; }));
  EXPECT_EQ(names(seen(copy.read()).all(Item::by_size)), "one two ");
  EXPECT_EQ(seen(copy.read()).find(one)->size, 1);
  EXPECT_EQ(names(seen(model.read()).all(Item::by_size)), "three one ");
  model = Model::of<Item, Link>();
  EXPECT_EQ(seen(copy.read()).find(Item::by_name, "one")->size, 1);
}

TEST_F(ModelTest, OneMomentAllowsNoChange) {
  const Id<Item> one = make("one");
  const auto looked = model.at_one_moment([&](const Reading& now) {
    EXPECT_NE(now.find(one), nullptr);
    const auto changed = model.edit(one, [](Item& item) { item.size = 1; });
    ASSERT_FALSE(changed.has_value());
    EXPECT_EQ(changed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(model.stats().classes[0].objects, 1U);
    EXPECT_EQ(seen(model.copy().read()).count<Item>(), 1U);
    EXPECT_TRUE(model.at_one_moment([&](const Reading& nested) { EXPECT_NE(nested.find(one), nullptr); }));
    Model other = Model::of<Item, Link>();
    EXPECT_EQ(other.create<Item>([](Item&) {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(other.at_one_moment([](const Reading&) {}).error().code, ErrorCode::kInvalidArgument);
  });
  EXPECT_TRUE(looked);
  EXPECT_EQ(model
                .transact([&](Transaction&) -> Result<void> {
                  CAIRN_TRY_VOID(model.edit(one, [](Item& item) { item.size = 1; }));
                  return {};
                })
                .error()
                .message,
            "a change inside transact() is made through the Transaction");
  EXPECT_TRUE(model.edit(one, [](Item& item) { item.size = 1; }));
}

TEST_F(ModelTest, RunsAgainIfAnotherCommitWasFirst) {
  const Id<Item> one = make("one");
  int runs = 0;
  const auto interfere = [&] { std::thread([&] { EXPECT_TRUE(model.edit(one, [](Item& item) { ++item.size; })); }).join(); };
  ASSERT_TRUE(model.edit(one, [&](Item& item) {
    if (++runs <= 3) interfere();
    item.size += 100;
  }));
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(seen(model.read()).find(one)->size, 103);
  const auto never = model.transact([&](Transaction& transaction) -> Result<void> {
    EXPECT_EQ(transaction.range(Item::by_size, 0, 1000).size(), 1U);  // Read, not changed.
    interfere();
    CAIRN_TRY_VOID(transaction.create<Item>());
    return {};
  });
  ASSERT_FALSE(never.has_value());
  EXPECT_EQ(never.error().message, "other changes were first 100 times");
  EXPECT_EQ(model.stats().retries, 103U);
}

TEST_F(ModelTest, TellsChangesInOrder) {
  std::string told;
  Id<Item> second;
  {
    const Subscription items = model.on_change<Item>([&](const Item* before, const Item* after, Change change) {
      told += std::to_string(change.number) +
              (before == nullptr     ? " made "
               : after->is_deleted() ? " deleted "
                                     : " changed ") +
              after->name + "\n";
      if (before == nullptr && after->name == "first") second = make("second");  // Told after this one.
    });
    const Id<Item> first = make("first");
    EXPECT_EQ(told, "1 made first\n2 made second\n");
    ASSERT_TRUE(model.edit(first, [](Item& item) { item.name = "renamed"; }));
    ASSERT_TRUE(model.set_deleted(second));
    EXPECT_TRUE(model.create<Link>([](Link&) {}));
  }
  make("third");
  EXPECT_EQ(told, "1 made first\n2 made second\n3 changed renamed\n4 deleted second\n");
}

TEST_F(ModelTest, ASubscriptionEndsInItsOwnCall) {
  int told = 0;
  std::optional<Subscription> subscription;
  subscription = model.on_change<Item>([&](const Item*, const Item*, Change) {
    ++told;
    subscription.reset();
  });
  make("one");
  make("two");
  EXPECT_EQ(told, 1);
  const Subscription throws = model.on_change<Item>([](const Item*, const Item*, Change) { throw std::runtime_error("mine"); });
  EXPECT_THROW(make("three"), std::runtime_error);
  EXPECT_NE(seen(model.read()).find(Item::by_name, "three"), nullptr) << "committed all the same";
}

// Creating replaces no object, but parts of indexes.
TEST_F(ModelTest, CreatingFreesReplacedParts) {
  for (int i = 0; i < 5000; ++i) make("item" + std::to_string(i), i);
  EXPECT_LT(model.stats().retired, 600U);
}

TEST_F(ModelTest, StatsNameTheOldestReading) {
  make("one");
  const Reading now = model.read();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(model.edit(Id<Item>{1}, [](Item& item) { ++item.size; }));
  const ModelStats stats = model.stats();
  EXPECT_EQ(stats.oldest_reading_thread, gettid());
  EXPECT_GE(stats.retired, 300U);
  EXPECT_EQ(stats.last_change.number, 301U);
  EXPECT_EQ(stats.classes[0].name, "Item");
  EXPECT_GT(stats.classes[0].index_bytes, 0U);
}

}  // namespace
}  // namespace cairn::test
