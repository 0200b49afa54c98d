// What a Model promises, one thing at a time.
#include "cairn/model.h"

#include <gtest/gtest.h>

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

  Model model = Model::of<Item, Child>();
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
  EXPECT_NE(model.read().find(Item::by_name, "one"), nullptr);
  EXPECT_TRUE(model.edit(one, [](Item& item) { item.name = "two"; })) << "the thread is in no transaction any more";
}

TEST_F(ModelTest, DeletionFollowsReferences) {
  const Id<Item> root = make("root");
  const Id<Item> leaf = make("leaf", 1, make("branch", 0, root));
  const auto child = model.create<Child>([&](Child& of) {
    of.owned = leaf;
    of.soft = leaf;
  });
  const auto other = model.create<Child>([&](Child& of) { of.soft = leaf; });
  const auto guard = model.create<Child>([&](Child& of) { of.strict = leaf; });
  ASSERT_TRUE(child && other && guard);
  const auto refused = model.set_deleted(root);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "Child 3 refers to Item 3 by 'strict': it cannot be deleted");
  EXPECT_EQ(model.read().count<Item>(), 3U);
  ASSERT_TRUE(model.set_deleted(*guard));
  ASSERT_TRUE(model.set_deleted(root));
  const Reading now = model.read();
  EXPECT_EQ(now.count<Item>(), 0U);
  EXPECT_EQ(now.find(*child), nullptr);
  ASSERT_NE(now.find(*other), nullptr);
  EXPECT_FALSE(now.find(*other)->soft);
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
  EXPECT_EQ(model.read().find(Item::by_name, "item3")->db_id(), 11);
  EXPECT_EQ(model.read().at(Item::by_size, 3)->name, "item3");
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
  model = Model::of<Item, Child>();
  EXPECT_EQ(copy->name, "held");
  EXPECT_EQ(copy->size, 5);
}

TEST_F(ModelTest, ACopySharesObjectsAndNothingElse) {
  const Id<Item> one = make("one", 1);
  const Id<Item> two = make("two", 2);
  Model copy = model.copy();
  EXPECT_EQ(copy.read().find(one), model.read().find(one)) << "the same object";
  ASSERT_TRUE(model.edit(one, [](Item& item) { item.size = 50; }));
  ASSERT_TRUE(model.set_deleted(two));
  make("three");
  ASSERT_TRUE(copy.edit(two, [](Item& item) { item.size = 7; }));
  EXPECT_EQ(names(copy.read().all(Item::by_size)), "one two ");
  EXPECT_EQ(copy.read().find(one)->size, 1);
  EXPECT_EQ(names(model.read().all(Item::by_size)), "three one ");
  model = Model::of<Item, Child>();
  EXPECT_EQ(copy.read().find(Item::by_name, "one")->size, 1);
}

TEST_F(ModelTest, OneMomentAllowsNoChange) {
  const Id<Item> one = make("one");
  model.at_one_moment([&](const Reading& now) {
    EXPECT_NE(now.find(one), nullptr);
    const auto changed = model.edit(one, [](Item& item) { item.size = 1; });
    ASSERT_FALSE(changed.has_value());
    EXPECT_EQ(changed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(model.stats().classes[0].objects, 1U);
    EXPECT_EQ(model.copy().read().count<Item>(), 1U);
    model.at_one_moment([&](const Reading& nested) { EXPECT_NE(nested.find(one), nullptr); });
  });
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
  EXPECT_EQ(model.read().find(one)->size, 103);
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
    EXPECT_TRUE(model.create<Child>([](Child&) {}));
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
  EXPECT_NE(model.read().find(Item::by_name, "three"), nullptr) << "committed all the same";
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
