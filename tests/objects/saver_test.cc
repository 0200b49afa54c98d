// Saving: when, what, in which order, and what follows when the store fails. The clock is the test's.
#include <gtest/gtest.h>

#include <limits>

#include "objects/stored_model.h"
#include "support/world.h"

namespace cairn::test {
namespace {

struct SaverTest : testing::Test {
  void SetUp() override { open(); }
  void open(const WriteBehindOptions& options = {}) {
    model.reset();
    auto opened = StoredModel::open(std::make_unique<FakeStore>(disk), clock, options);
    ASSERT_OK(opened);
    model = *std::move(opened);
  }
  Id<Item> make(const std::string& name) {
    const auto made = model->create<Item>([&](Item& item) { item.name = name; });
    EXPECT_OK(made);
    return made.value_or(Id<Item>{});
  }
  Change change(Id<Item> id, std::int64_t size) {
    const auto done = model->edit(id, [&](Item& item) { item.size = size; });
    EXPECT_OK(done);
    return done.value_or(Change{});
  }
  void save_at_ms(std::int64_t ms) {
    clock.advance_ms(ms);
    EXPECT_OK(model->saver().save_as_needed());
  }
  std::int64_t stored_size(Id<Item> id) {
    const auto found = disk.records.find({"Item", id.value});
    if (found == disk.records.end()) return -1;
    Item item;
    objects::Decoder from(found->second);
    Item::visit_members(item, from);
    return item.size;
  }

  FakeDisk disk;
  SimulatedClock clock;
  std::unique_ptr<StoredModel> model;
};

TEST_F(SaverTest, SavesWhenIdle) {
  make("one");
  save_at_ms(49);
  EXPECT_EQ(disk.commits, 0U);
  save_at_ms(1);
  EXPECT_EQ(disk.commits, 1U);
  EXPECT_EQ(disk.records.size(), 1U);
  save_at_ms(1000);
  EXPECT_EQ(disk.commits, 1U) << "nothing is dirty";
}

TEST_F(SaverTest, SavesAtAgeUnderLoad) {
  const auto id = make("one");
  for (int ms = 0; ms < 1000; ms += 10) {
    EXPECT_EQ(disk.commits, 0U) << "before any bound";
    change(id, ms);
    save_at_ms(10);
  }
  EXPECT_EQ(disk.commits, 1U);
  EXPECT_EQ(disk.written, 1U) << "the object is written once, as it is at the save";
  EXPECT_EQ(stored_size(id), 990);
}

TEST_F(SaverTest, SavesAtBytes) {
  open({.dirty_bytes_max = 1000});
  for (int i = 0; disk.commits == 0 && i < 100; ++i) {
    make("item" + std::to_string(i));
    save_at_ms(0);
  }
  EXPECT_EQ(disk.commits, 1U);
  EXPECT_LT(disk.records.size(), 1000 / 64);
  EXPECT_GT(disk.records.size(), 5U);
}

TEST_F(SaverTest, CreatingTouchesNoStore) {
  const std::uint64_t before = disk.calls;
  for (int i = 0; i < 1000; ++i) make("item" + std::to_string(i));
  EXPECT_EQ(disk.calls, before);
}

TEST_F(SaverTest, SavesAnEditMadeDuringTheSave) {
  const auto id = make("one");
  disk.during_commit = [&] { change(id, 2); };
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(stored_size(id), 0) << "the save has the version that it took";
  EXPECT_EQ(model->saver().stats().dirty_objects, 1U);
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(stored_size(id), 2);
  EXPECT_EQ(model->saver().stats().dirty_objects, 0U);
  EXPECT_EQ(model->saver().stats().dirty_bytes, 0U);
}

TEST_F(SaverTest, DeletesWhatWasEditedDuringTheSave) {
  const auto id = make("one");
  disk.during_commit = [&] { EXPECT_OK(model->set_deleted(id)); };
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(disk.records.size(), 1U);
  EXPECT_OK(model->saver().flush());
  EXPECT_TRUE(disk.records.empty());
  EXPECT_EQ(model->stats().classes[0].deleted, 0U);
}

TEST_F(SaverTest, KeepsChangesOfAFailedSave) {
  const auto one = make("one");
  const auto two = make("two");
  EXPECT_OK(model->saver().flush());
  change(one, 1);
  change(two, 1);
  disk.during_commit = [&] {
    change(two, 2);
    disk.down = true;
  };
  disk.loses_replies = false;
  disk.refuses = {};
  // The commit itself succeeds in the store, and its answer is lost.
  disk.loses_replies = true;
  EXPECT_FALSE(model->saver().flush());
  disk.loses_replies = false;
  disk.down = false;
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(stored_size(one), 1);
  EXPECT_EQ(stored_size(two), 2);
  EXPECT_EQ(disk.written, 5U) << "what the lost save had stored was not written again";
}

TEST_F(SaverTest, WritesAgainWhatAFailedSaveDidNotStore) {
  const auto one = make("one");
  disk.down = true;
  EXPECT_FALSE(model->saver().flush());
  EXPECT_FALSE(model->saver().flush());
  disk.down = false;
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(disk.written, 1U);
  EXPECT_EQ(stored_size(one), 0);
}

TEST_F(SaverTest, SurvivesAStoreThatIsDownForAnHour) {
  disk.down = true;
  const std::uint64_t before = disk.calls;
  int refused = 0;
  for (int second = 0; second < 3600; ++second) {
    const auto made = model->create<Item>([&](Item& item) { item.name = "item" + std::to_string(second); });
    refused += made ? 0 : 1;
    clock.advance_ms(1000);
    model->saver().save_as_needed().ignore_error();  // It fails.
  }
  EXPECT_EQ(refused, 0);
  EXPECT_LT(disk.calls - before, 400U) << "it is not asked more than every 10 s";
  EXPECT_NE(model->saver().stats().error, "");
  EXPECT_GT(model->saver().stats().retry_in_ms, 0);
  disk.down = false;
  save_at_ms(10'000);
  EXPECT_EQ(disk.records.size(), 3600U);
  EXPECT_EQ(model->saver().stats().error, "");
}

TEST_F(SaverTest, RefusesChangesAboveTheBound) {
  disk.save_bytes_max = 10'000;
  open();
  disk.down = true;
  Result<Id<Item>> made = Id<Item>{};
  int count = 0;
  while (made && count < 1000) {
    made = model->create<Item>([&](Item& item) { item.name = "item" + std::to_string(count); });
    if (made) ++count;
  }
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kUnavailable);
  EXPECT_GT(count, 100);
  EXPECT_FALSE(model->saver().wait_for_room());
  disk.down = false;
  EXPECT_OK(model->saver().wait_for_room());
  make("more");
  EXPECT_EQ(model->read().count<Item>(), static_cast<std::uint64_t>(count) + 1);
  const auto large = model->create<Item>([&](Item& item) { item.name = std::string(10'000, 'x'); });
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kInvalidArgument) << "it would be refused for ever";
}

TEST_F(SaverTest, SetsAsideWhatTheStoreRefuses) {
  const auto one = make("one");
  const auto two = make("two");
  disk.refuses = {"Item", one.value};
  const auto flushed = model->saver().flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().message, "the store refuses Item 1: too ugly");
  EXPECT_EQ(stored_size(two), 0) << "the rest is stored";
  EXPECT_EQ(stored_size(one), -1);
  EXPECT_EQ(model->saver().stats().set_aside, std::vector<std::string>{"Item 1: too ugly"});
  const std::uint64_t calls = disk.calls;
  save_at_ms(10'000);
  EXPECT_EQ(disk.calls, calls) << "it is not tried again as it is";
  disk.refuses = {};
  change(one, 5);
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(stored_size(one), 5);
  EXPECT_TRUE(model->saver().stats().set_aside.empty());
  EXPECT_EQ(model->saver().stats().dirty_bytes, 0U);
}

TEST_F(SaverTest, HidesDeletedAtOnceAndRemovesThemAfterTheSave) {
  const auto one = make("one");
  make("two");
  EXPECT_OK(model->saver().flush());
  EXPECT_OK(model->set_deleted(one));
  {
    const Reading now = model->read();
    EXPECT_EQ(now.find(one), nullptr);
    EXPECT_EQ(now.rank(Item::by_size, 1), 1U);
    EXPECT_EQ(now.count<Item>(), 1U);
  }
  make("one");  // The key is free.
  EXPECT_EQ(model->stats().classes[0].deleted, 1U);
  model->remove_deleted();
  EXPECT_EQ(model->stats().classes[0].deleted, 1U) << "a save removes it";
  disk.down = true;
  EXPECT_FALSE(model->saver().flush());
  EXPECT_EQ(model->stats().classes[0].deleted, 1U) << "a failing store forgets no deletion";
  disk.down = false;
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(model->stats().classes[0].deleted, 0U);
  EXPECT_EQ(disk.erased, std::vector<std::string>{"Item 1"});
}

TEST_F(SaverTest, DoesNotEraseWhatWasNeverStored) {
  const auto one = make("one");
  EXPECT_OK(model->set_deleted(one));
  EXPECT_OK(model->saver().flush());
  EXPECT_TRUE(disk.erased.empty());
  EXPECT_EQ(model->stats().classes[0].deleted, 0U);
  // After a save with an unknown end it may be stored.
  const auto two = make("two");
  disk.loses_replies = true;
  disk.during_commit = [&] { disk.down = true; };
  EXPECT_FALSE(model->saver().flush());
  disk.loses_replies = false;
  EXPECT_OK(model->set_deleted(two));
  disk.down = false;
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(disk.erased, std::vector<std::string>{"Item 2"});
  EXPECT_TRUE(disk.records.empty());
}

TEST_F(SaverTest, ErasesParentsFirstByIds) {
  std::vector<Id<Item>> items;
  for (int i = 0; i < 5; ++i) items.push_back(make("item" + std::to_string(i)));
  std::vector<Id<Link>> children;
  for (int i = 0; i < 3; ++i) children.push_back(model->create<Link>([](Link&) {}).value());
  EXPECT_OK(model->saver().flush());
  for (const auto child : {children[2], children[0]}) EXPECT_OK(model->set_deleted(child));
  for (const auto item : {items[3], items[1], items[4]}) EXPECT_OK(model->set_deleted(item));
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(disk.erased, (std::vector<std::string>{"Item 2", "Item 4", "Item 5", "Link 1", "Link 3"}));
}

TEST_F(SaverTest, GivesNoIdTwice) {
  make("one");
  const auto two = make("two");
  EXPECT_OK(model->set_deleted(two));
  EXPECT_OK(model->saver().flush());
  open();  // Without close(), as after a kill.
  const auto next = make("next");
  EXPECT_GT(next.value, two.value);
  EXPECT_OK(model->saver().close());
  open();
  EXPECT_EQ(make("more").value, next.value + 1) << "a clean close leaves no gap";
}

TEST_F(SaverTest, GivesNoIdAboveTheStoredCeiling) {
  const DbId ceiling = disk.ceilings["Item"];
  EXPECT_GE(ceiling, DbId{1} << 20);
  auto& state = *model->internals().class_state(Item::kClass.number);
  state.last_id.store(ceiling - 1);
  disk.down = true;
  EXPECT_EQ(make("last").value, ceiling);
  const auto none = model->create<Item>([](Item& item) { item.name = "none"; });
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(none.error().message, "no id of Item is left until the store has reserved more; try again later");
  disk.down = false;
  save_at_ms(0);
  EXPECT_EQ(make("on").value, ceiling + 1);
}

TEST_F(SaverTest, EndsWithTheLastId) {
  constexpr DbId kLast = std::numeric_limits<DbId>::max();
  disk.ceilings["Item"] = kLast - 1;
  open();
  EXPECT_EQ(make("last").value, kLast);
  EXPECT_FALSE(model->create<Item>([](Item& item) { item.name = "none"; }));
  const std::uint64_t calls = disk.calls;
  save_at_ms(49);
  EXPECT_EQ(disk.calls, calls) << "there is nothing to reserve";
}

TEST_F(SaverTest, LoadsWhatWasSaved) {
  const auto one = make("one");
  const auto two = make("two");
  EXPECT_OK(model->edit(two, [&](Item& item) {
    item.code = -7;
    item.score = 0.1;
    item.color = Color::kBlue;
    item.parent = one;
  }));
  EXPECT_OK(model->saver().close());
  open();
  EXPECT_TRUE(model->saver().reports().empty());
  const Reading now = model->read();
  ASSERT_EQ(now.count<Item>(), 2U);
  const Item* const found = now.find(Item::by_code, -7);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "two");
  EXPECT_EQ(found->score, 0.1);
  EXPECT_EQ(found->color, Color::kBlue);
  EXPECT_EQ(now.children(&Item::parent, one).begin()->db_id(), two.value);
  EXPECT_EQ(model->last_change().number, 3U) << "numbers of changes go on";
}

TEST_F(SaverTest, LeavesBadRecordsAlone) {
  make("one");
  make("two");
  make("three");
  EXPECT_OK(model->saver().close());
  disk.records[{"Item", 2}] = "rubbish";
  disk.records[{"Item", 3}].at(7) = 1;  // The size is -1: check() refuses it.
  const auto before = disk.records;
  open();
  EXPECT_EQ(model->saver().reports().size(), 2U);
  EXPECT_EQ(model->saver().reports().at(0), "Item 2 was left out: the member 'name' runs past the end, at byte 1 of 7");
  EXPECT_EQ(model->saver().reports().at(1), "Item 3 was left out: /size: must be at least 0");
  EXPECT_EQ(model->read().count<Item>(), 1U);
  EXPECT_EQ(make("four").value, 4);
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(disk.records.at({"Item", 2}), before.at({"Item", 2}));
  EXPECT_EQ(disk.records.at({"Item", 3}), before.at({"Item", 3}));
}

TEST_F(SaverTest, CheckNamesStoredConflicts) {
  make("one");
  make("two");
  EXPECT_OK(model->create<Link>([](Link& child) { child.owned = {1}; }));
  EXPECT_OK(model->saver().close());
  EXPECT_TRUE(model->check().empty());
  disk.records[{"Item", 2}] = disk.records[{"Item", 1}];
  open();
  const std::vector<std::string> found = model->check();
  ASSERT_EQ(found.size(), 2U) << "both unique indexes";
  EXPECT_EQ(found[0], "Item 2 has the key of Item 1 in the index 'by_name'");
  disk.records.erase({"Item", 1});
  disk.records.erase({"Item", 2});
  open();
  EXPECT_EQ(model->check(), std::vector<std::string>{"Link 1: 'owned' refers to Item 1, which does not exist"});
}

TEST_F(SaverTest, AClosedModelRefusesChanges) {
  const auto one = make("one");
  EXPECT_OK(model->saver().close());
  EXPECT_OK(model->saver().close());
  const auto done = model->edit(one, [](Item& item) { item.size = 1; });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
  const Reading now = model->read();
  EXPECT_NE(now.find(one), nullptr) << "lookups go on";
}

TEST_F(SaverTest, CloseCanBeTriedAgain) {
  make("one");
  disk.down = true;
  EXPECT_FALSE(model->saver().close());
  EXPECT_TRUE(disk.records.empty());
  disk.down = false;
  EXPECT_OK(model->saver().close());
  EXPECT_EQ(disk.records.size(), 1U);
}

TEST_F(SaverTest, WaitsAreRefusedInsideFunctionsThatHoldUpCommits) {
  const auto moment =
      model->at_one_moment([&](const Reading&) { EXPECT_EQ(model->saver().flush().error().code, ErrorCode::kInvalidArgument); });
  EXPECT_OK(moment);
}

TEST_F(SaverTest, ACopyIsClean) {
  const auto one = make("one");
  const auto two = make("two");
  EXPECT_OK(model->saver().flush());
  change(one, 1);
  EXPECT_OK(model->set_deleted(two));
  cairn::Model copy = model->copy();
  // The copy shares the dirty version; its change is its own.
  EXPECT_OK(copy.edit(one, [](Item& item) { item.size = 9; }));
  EXPECT_EQ(copy.stats().classes[0].deleted, 0U);
  EXPECT_OK(model->saver().flush());
  EXPECT_EQ(stored_size(one), 1);
  EXPECT_EQ(disk.erased, std::vector<std::string>{"Item 2"});
}

TEST(EraseRanks, TakeCyclesAsOne) {
  const std::vector<std::uint32_t> ranks = objects::erase_ranks({&objects::class_info<Link>(), &objects::class_info<Item>()});
  EXPECT_LT(ranks[Item::kClass.number], ranks[Link::kClass.number]);
}

}  // namespace
}  // namespace cairn::test
