// A Model in a table: one owner, what a kill leaves, what tools and hands may do to the table.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "objects/stored_model.h"
#include "objects/table_store.h"
#include "support/bank_model.h"
#include "support/command.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using cairn::Model;

struct Shop : Model {
  Shop() : Model(of<Item, Link>()) {}
};
using StoredShop = TablePersistence<Shop>;

struct TablePersistenceTest : testing::Test {
  void SetUp() override { open(); }
  void open() {
    auto opened = Database::open(directory.file("db"), {.create_if_missing = true});
    ASSERT_OK(opened);
    database = std::make_unique<Database>(*std::move(opened));
    auto made = database->table("objects");
    ASSERT_OK(made);
    table = *made;
  }
  void reopen() {
    table.reset();
    database.reset();
    open();
  }
  std::unique_ptr<StoredShop> shop() {
    auto opened = StoredShop::open(*table);
    EXPECT_OK(opened);
    return opened ? *std::move(opened) : nullptr;
  }
  static Id<Item> make(Model& model, const std::string& name) {
    const auto made = model.create<Item>([&](Item& item) { item.name = name; });
    EXPECT_OK(made);
    return made.value_or(Id<Item>{});
  }

  TemporaryDirectory directory;
  std::unique_ptr<Database> database;
  std::optional<Table> table;
};

TEST_F(TablePersistenceTest, KeepsObjects) {
  {
    const auto model = shop();
    const auto one = make(*model, "one");
    const auto change = model->edit(one, [](Item& item) { item.size = 7; });
    ASSERT_OK(change);
    EXPECT_OK(model->wait_until_saved(*change));
    make(*model, "two");
    EXPECT_OK(model->close());
  }
  reopen();
  const auto model = shop();
  const Reading now = model->read();
  EXPECT_EQ(now.count<Item>(), 2U);
  const Item* const one = now.find(Item::by_name, "one");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->size, 7);
  EXPECT_EQ(model->save_stats().dirty_objects, 0U);
}

TEST_F(TablePersistenceTest, SavesWithoutBeingAsked) {
  const auto model = shop();
  make(*model, "one");
  const auto begin = std::chrono::steady_clock::now();
  while (model->save_stats().saves == 0 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(20)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(model->save_stats().saved_change, model->last_change());
}

TEST_F(TablePersistenceTest, HasOneOwner) {
  const auto model = shop();
  const auto second = StoredShop::open(*table);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  make(*model, "one");
  EXPECT_OK(model->flush());
  EXPECT_OK(model->close());
  const auto again = shop();
  EXPECT_NE(again, nullptr) << "a closed Model has given the table back";
}

TEST_F(TablePersistenceTest, IsNotWrittenByHand) {
  const auto expect_busy = [&] {
    auto family = table->family("Item", {.create_if_missing = false});
    ASSERT_OK(family);
    Batch batch;
    batch.put(*family, "key", "value");
    EXPECT_EQ(table->put("key", "value").error().code, ErrorCode::kBusy);
    EXPECT_EQ(family->erase("key").error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->write(batch).error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->erase_range(everything()).error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->put("key", std::string(20 * kMiB, 'x')).error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->family("more").error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->alter("Item", {.ttl = std::chrono::hours(1)}).error().code, ErrorCode::kBusy);
    EXPECT_EQ(table->ingest({}).error().code, ErrorCode::kBusy);
    EXPECT_OK(table->alter("Item", {.compression = Compression::kZstd}));
    EXPECT_OK(table->compact());
  };
  {
    const auto model = shop();
    make(*model, "one");
    EXPECT_OK(model->flush());
    expect_busy();
  }
  expect_busy();
  reopen();
  expect_busy();
  EXPECT_EQ(table->put("key", "value").error().message, "table 'objects' belongs to a Model, which alone writes to it");
}

TEST_F(TablePersistenceTest, WantsATableOfItsOwn) {
  ASSERT_OK(table->put("key", "value"));
  const auto refused = StoredShop::open(*table);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_OK(table->put("other", "value"));  // It still belongs to whoever had it.
  auto expiring = database->table("expiring", {.main = {.ttl = std::chrono::hours(1)}});
  ASSERT_OK(expiring);
  EXPECT_EQ(StoredShop::open(*expiring).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(TablePersistenceTest, RefusesAnotherSchema) {
  {
    const auto model = shop();
    EXPECT_OK(model->close());
  }
  const auto refused = TablePersistence<Bank>::open(*table);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.error().message,
            "table 'objects' was written with another schema: open it with a Model of that schema. It is:\nItem,Link");
  const auto again = shop();
  EXPECT_NE(again, nullptr);
}

struct Unstorable : PersistentObject {
  using PersistentObject::PersistentObject;
  static constexpr ModelClass kClass{"Unstorable", 0};
};
struct UnstorableModel : Model {
  UnstorableModel() : Model(of<Unstorable>()) {}
};

TEST_F(TablePersistenceTest, RefusesClassesWithoutMembers) {
  const auto refused = TablePersistence<UnstorableModel>::open(*table);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the class Unstorable cannot be stored: it has no function visit_members()");
}

TEST_F(TablePersistenceTest, OutlivesItsDatabaseWithAnError) {
  const auto model = shop();
  make(*model, "one");
  EXPECT_OK(database->close());
  EXPECT_FALSE(model->flush());
  EXPECT_FALSE(model->close());
}

TEST_F(TablePersistenceTest, KeepsLargeObjects) {
  const std::string large(20 * kMiB, 'x');
  {
    const auto model = shop();
    make(*model, large);
    make(*model, "small");
    EXPECT_OK(model->close());
  }
  reopen();
  const auto model = shop();
  const Reading now = model->read();
  EXPECT_NE(now.find(Item::by_name, large), nullptr);
  EXPECT_NE(now.find(Item::by_name, "small"), nullptr);
}

TEST_F(TablePersistenceTest, ACheckpointHoldsTheModel) {
  {
    const auto model = shop();
    make(*model, "one");
    EXPECT_OK(model->flush());
    EXPECT_OK(database->checkpoint(directory.file("copy")));
    make(*model, "two");
    EXPECT_OK(model->close());
  }
  auto copy = Database::open(directory.file("copy"));
  ASSERT_OK(copy);
  auto objects = copy->table("objects");
  ASSERT_OK(objects);
  const auto model = StoredShop::open(*objects);
  ASSERT_OK(model);
  EXPECT_TRUE((*model)->load_reports().empty());
  EXPECT_EQ((*model)->read().count<Item>(), 1U);
}

TEST_F(TablePersistenceTest, RepairGivesNoIdTwice) {
  DbId last = 0;
  {
    const auto model = shop();
    for (int i = 0; i < 10; ++i) last = make(*model, "item" + std::to_string(i)).value;
    EXPECT_OK(model->set_deleted(Id<Item>{last}));
    EXPECT_OK(model->close());
  }
  table.reset();
  database.reset();
  const auto report = Database::repair(directory.file("db"), directory.file("repaired"));
  ASSERT_OK(report);
  auto repaired = Database::open(directory.file("repaired"));
  ASSERT_OK(repaired);
  auto objects = repaired->table("objects");
  ASSERT_OK(objects);
  EXPECT_EQ(objects->put("key", "value").error().code, ErrorCode::kBusy);
  DbId next = 0;
  {
    const auto model = StoredShop::open(*objects);
    ASSERT_OK(model);
    EXPECT_EQ((*model)->load_reports().size(), 1U);
    EXPECT_EQ((*model)->read().count<Item>(), 9U);
    next = make(**model, "next").value;
    EXPECT_GT(next, last + (DbId{1} << 39)) << "ids that a lost record had reserved are not given";
    EXPECT_OK((*model)->close());
  }
  const auto model = StoredShop::open(*objects);
  ASSERT_OK(model);
  EXPECT_TRUE((*model)->load_reports().empty());
  EXPECT_EQ(make(**model, "more").value, next + 1) << "once is enough";
}

TEST_F(TablePersistenceTest, AChildProcessLeavesItAlone) {
  const auto model = shop();
  make(*model, "one");
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = !model->create<Item>([](Item& item) { item.name = "child"; }) && !model->flush() && !model->close();
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_OK(model->flush());
}

TEST(ModelRecord, SurvivesAnyBytes) {
  objects::ModelRecord record{.database = {1, 2}, .change = 3, .schema = 1, .classes = {{"Item", 1, 1000}, {"Link", 2, 5}}};
  const Bytes sound = record.encode();
  const auto read = objects::ModelRecord::decode(sound);
  ASSERT_OK(read);
  EXPECT_EQ(read->encode(), sound);
  for (std::size_t size = 0; size < sound.size(); ++size) {
    EXPECT_FALSE(objects::ModelRecord::decode(ByteView(sound).substr(0, size)));
  }
  Random random(3);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = sound;
    bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    objects::ModelRecord::decode(bytes).ignore_error();  // Whatever it is, it harms nothing.
  }
  Bytes newer = sound;
  newer[0] = 2;
  EXPECT_EQ(objects::ModelRecord::decode(newer).error().code, ErrorCode::kUnsupported);
}

// Kills of a real process: every acknowledged transfer is there, the sum of all accounts is what it was, no half transfer is
// visible, and no id is given again.
TEST(ModelKills, LoseNothingAcknowledged) {
  const std::string program =
      std::string(CAIRN_COMMAND).substr(0, std::string(CAIRN_COMMAND).rfind('/')) + "/cairn_owner_process";
  const TemporaryDirectory directory;
  const std::string db = directory.file("db");
  std::set<DbId> saved;
  std::set<DbId> deleted;
  DbId last_given = 0;
  Random random(5);
  const std::uint64_t kills = sample(15, 100);
  for (std::uint64_t i = 0; i < kills; ++i) {
    const std::string output = directory.file("acknowledged" + std::to_string(i));
    {
      const Child owner({program, db, "300", "bank", "-", "model"}, "/dev/null", output);
      const auto begin = std::chrono::steady_clock::now();
      while (read_file(output).size() < 200 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(60)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(static_cast<std::int64_t>(random.below(60))));
      owner.signal(SIGKILL);
      EXPECT_EQ(owner.wait(), -SIGKILL);
    }
    std::istringstream lines(read_file(output));
    std::string what;
    DbId id = 0;
    DbId first_given = 0;
    while (lines >> what >> id && !lines.eof()) {
      if (what == "given" && first_given == 0) first_given = id;
      if (what == "given") last_given = std::max(last_given, id);
      if (what == "saved") saved.insert(id);
      if (what == "deleted") deleted.insert(id);
    }
    ASSERT_NE(first_given, 0) << read_file(output + ".err");
    auto database = Database::open(db);
    ASSERT_OK(database);
    auto table = database->table("bank");
    ASSERT_OK(table);
    auto opened = TablePersistence<Bank>::open(*table);
    ASSERT_OK(opened);
    Bank& bank = **opened;
    EXPECT_TRUE((*opened)->load_reports().empty());
    EXPECT_TRUE(bank.check().empty());
    std::map<DbId, std::int64_t> moved;
    {
      const Reading now = bank.read();
      std::int64_t sum = 0;
      now.for_each<Account>([&](const Account& account) { sum += account.balance; });
      EXPECT_EQ(sum, Bank::kAccounts * Bank::kEach);
      for (const DbId each : saved) ASSERT_NE(now.find(Id<Entry>{each}), nullptr) << "entry " << each << " was acknowledged";
      for (const DbId each : deleted) ASSERT_EQ(now.find(Id<Entry>{each}), nullptr) << "entry " << each << " is back";
    }
    Id<Entry> entry;
    ASSERT_OK(bank.transfer(1, entry));
    EXPECT_GT(entry.value, last_given);
    last_given = entry.value;
    ASSERT_OK((*opened)->close());
  }
  EXPECT_GT(saved.size(), 20U);
}

}  // namespace
}  // namespace cairn::test
