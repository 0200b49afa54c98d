// Handles in hands that do not read the manual: moved from, of another owner, used after close(), closed too early.
#include <gtest/gtest.h>

#include "support/one_fork_store.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

ErrorCode code_of(const auto& result) { return result ? ErrorCode::kUnsupported : result.error().code; }
constexpr auto kInvalid = ErrorCode::kInvalidArgument;

TEST(Handles, MovedFromOnesAreErrors) {
  const TemporaryDirectory directory;
  Database database = *Database::create(directory.file("db"));
  Table table = *database.table("t");
  Timeline timeline = *database.timeline("l");
  ForkStore store = *database.forks("f");
  const Bytes key(32, 'k');
  ASSERT_OK(store.store(0, key, "value"));
  Scan scan = table.scan();
  SaveList list = timeline.history("a");
  Watch watch = timeline.watch("", kBeginning);
  ForkWriter writer = *store.writer();
  MutableAccount account = **store.get_mut(0, key);
  {
    const Scan to_scan = std::move(scan);
    const SaveList to_list = std::move(list);
    const Watch to_watch = std::move(watch);
    const ForkWriter to_writer = std::move(writer);
    const MutableAccount to_account = std::move(account);
    const Table to_table = std::move(table);
    const Timeline to_timeline = std::move(timeline);
    const ForkStore to_store = std::move(store);
    EXPECT_EQ(to_account.bytes().size(), 5U);
    // NOLINTBEGIN(bugprone-use-after-move): that is what is tried here.
    EXPECT_EQ(code_of(table.put("a", "b")), kInvalid);
    EXPECT_EQ(code_of(table.get("a")), kInvalid);
    EXPECT_EQ(code_of(table.scan().status()), kInvalid);
    EXPECT_TRUE(table.families().empty());
    EXPECT_EQ(code_of(timeline.put("a", "b")), kInvalid);
    EXPECT_EQ(code_of(timeline.get("a")), kInvalid);
    EXPECT_EQ(code_of(store.load(0, key)), kInvalid);
    EXPECT_EQ(code_of(scan.status()), kInvalid);
    EXPECT_FALSE(scan.valid());
    EXPECT_EQ(code_of(list.status()), kInvalid);
    EXPECT_EQ(code_of(watch.next(std::chrono::milliseconds(0))), kInvalid);
    EXPECT_EQ(code_of(writer.store(0, {})), kInvalid);
    EXPECT_TRUE(account.bytes().empty());
  }
  Database moved = std::move(database);
  EXPECT_EQ(code_of(database.table("t")), kInvalid);
  EXPECT_EQ(code_of(database.close()), kInvalid);
  // NOLINTEND(bugprone-use-after-move)
  EXPECT_OK(moved.close());
}

struct TwoTables : OneProcess {
  TwoTables() : other_process(other_disk, clock) {}
  void SetUp() override {
    OneProcess::SetUp();
    ASSERT_OK(other_process.open());
    second.emplace(*process.database().table("second", {}));
  }
  storage::SimulatedDisk other_disk{2};
  Process other_process;
  std::optional<Table> second;
};

TEST_F(TwoTables, RefuseEachOthersSnapshots) {
  Table table = process.table();
  ASSERT_OK(table.put("key", "value"));
  const Snapshot mine = table.snapshot();
  EXPECT_OK(table.get("key", mine));
  for (const Snapshot& foreign : {second->snapshot(), other_process.table().snapshot()}) {
    const ByteView keys[] = {"key"};
    EXPECT_EQ(code_of(table.get("key", foreign)), kInvalid);
    EXPECT_EQ(code_of(table.multi_get(keys, foreign)), kInvalid);
    EXPECT_EQ(code_of(table.explain("key", foreign)), kInvalid);
    EXPECT_EQ(code_of(table.scan(everything(), Direction::kForward, 0, foreign).status()), kInvalid);
    EXPECT_EQ(code_of(table.find("index", "term", foreign).status()), kInvalid);
  }
  ASSERT_OK(process.close());
  Process again(disk, clock);
  ASSERT_OK(again.open());
  EXPECT_EQ(code_of(again.table().get("key", mine)), kInvalid) << "of an earlier open";
}

TEST_F(TwoTables, RefuseEachOthersBatches) {
  Batch batch;
  batch.put(*second, "key", "value");
  EXPECT_EQ(code_of(process.table().write(batch)), kInvalid);
}

TEST_F(TwoTables, RefuseEachOthersAppliedSaves) {
  Timeline one(*process.database().timeline("one", {}));
  Timeline two(*process.database().timeline("two", {}));
  const auto applied = one.apply_put("key", "data", {});
  ASSERT_OK(applied);
  EXPECT_EQ(code_of(two.settle(*applied)), kInvalid);
  EXPECT_OK(one.settle(*applied));
}

TEST(Handles, CallsAfterCloseSayClosed) {
  const TemporaryDirectory directory;
  Database database = *Database::create(directory.file("db"));
  Table table = *database.table("t");
  Timeline timeline = *database.timeline("l");
  ForkStore store = *database.forks("f");
  ASSERT_OK(table.put("key", "value"));
  ASSERT_OK(database.close());
  EXPECT_OK(database.close());
  const auto closed = [](const auto& result) {
    return !result && result.error().code == ErrorCode::kUnavailable &&
           result.error().message.find("closed") != std::string::npos;
  };
  EXPECT_TRUE(closed(table.put("a", "b")));
  EXPECT_TRUE(closed(table.flush()));
  EXPECT_TRUE(closed(table.family("more")));
  EXPECT_TRUE(closed(timeline.put("a", "b")));
  EXPECT_TRUE(closed(timeline.rollback(kBeginning)));
  EXPECT_TRUE(closed(timeline.confirm()));
  EXPECT_TRUE(closed(store.store(0, Bytes(32, 'k'), "v")));
  EXPECT_TRUE(closed(store.create_fork(1, 0)));
  EXPECT_TRUE(closed(database.table("t")));
  EXPECT_TRUE(closed(database.table("new")));
  EXPECT_TRUE(closed(database.timeline("new")));
  EXPECT_TRUE(closed(database.forks("new")));
  EXPECT_TRUE(closed(database.verify()));
  EXPECT_TRUE(closed(database.checkpoint(directory.file("copy"))));
  EXPECT_EQ((*table.get("key"))->view(), "value") << "reads go on";
}

TEST(Handles, OwnerIsTheProgramsName) {
  const TemporaryDirectory directory;
  const Database database = *Database::create(directory.file("db"));
  const auto second = Database::open(directory.file("db"));
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("held by cairn_tests"), std::string::npos) << second.error().message;
}

struct CloseWithAccount : OneForkStore {};

TEST_F(CloseWithAccount, RefusesAndKeepsEveryChange) {
  put(0, "open", "value");
  put(0, "done", "VALUE");
  change(0, "done", "QALUE");
  {
    auto account = store->get_mut(0, account_key("open"));
    ASSERT_OK(account);
    (*account)->bytes()[0] = 'Z';
    const Result<void> refused = process->close();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
    EXPECT_NE(refused.error().message.find("6f70656e2e"), std::string::npos) << "names the key: " << refused.error().message;
    ASSERT_OK(process->table().put("the table", "goes on"));
    put(0, "more", "value");
  }
  reopen();
  EXPECT_EQ(get(0, "open"), "Zalue");
  EXPECT_EQ(get(0, "done"), "QALUE");
  EXPECT_EQ(get(0, "more"), "value");
}

}  // namespace
}  // namespace cairn::test
