// A child made by fork() has no database: every call in it says so, nothing in it touches the parent's files or waits.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

std::unexpected<Error> no_more() { return std::unexpected(Error{ErrorCode::kIo, "", "", 0}); }

/// Runs `work` in a child, which must end by itself within 20 s; its exit code, or minus the signal that ended it.
template <typename Work>
int in_child(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(work());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct ForkedChild : testing::Test {
  void SetUp() override {
    database.emplace(*Database::create(directory.file("db"), {.lease_ms = 1000}));
    table.emplace(*database->table("t"));
    timeline.emplace(*database->timeline("l"));
    store.emplace(*database->forks("f"));
    put("before", 100);
    ASSERT_OK(timeline->put("key", "data"));
    ASSERT_OK(store->store(0, key, "account"));
  }
  void put(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) ASSERT_OK(table->put(prefix + std::to_string(i), "v"));
    expected += static_cast<std::size_t>(count);
  }
  /// The parent goes on, and a new process finds all that it acknowledged and nothing else.
  void expect_untouched() {
    put("after", 100);
    ASSERT_OK(timeline->put("key", "later"));
    ASSERT_OK(store->store(0, key, "later"));
    ASSERT_OK(database->close());
    Result<Database> reopened = Database::open(directory.file("db"));
    ASSERT_OK(reopened);
    Database again = *std::move(reopened);
    const auto found = scan_all(*again.table("t"));
    ASSERT_OK(found);
    EXPECT_EQ(found->size(), expected);
    EXPECT_EQ((*again.timeline("l")->get("key"))->view(), "later");
    EXPECT_EQ((*again.forks("f")->load(0, key))->view(), "later");
    EXPECT_TRUE(again.open_reports().empty());
    EXPECT_TRUE(again.verify()->damages.empty());
  }
  const TemporaryDirectory directory;
  const Bytes key = Bytes(32, 'k');
  std::optional<Database> database;
  std::optional<Table> table;
  std::optional<Timeline> timeline;
  std::optional<ForkStore> store;
  std::size_t expected = 0;
};

TEST_F(ForkedChild, DestroysHandlesWithoutTouchingFiles) {
  auto writer = store->writer();
  auto account = store->get_mut(0, key);
  auto snapshot = table->snapshot();
  std::optional<Scan> scan(table->scan());
  std::optional<SaveList> list(timeline->history("key"));
  std::optional<Watch> watch(timeline->watch("", kBeginning));
  const auto value = table->get("before1");
  ASSERT_EQ(in_child([&] {
              scan.reset();
              list.reset();
              watch.reset();
              snapshot = {};
              writer = no_more();
              account = no_more();
              table.reset();
              timeline.reset();
              store.reset();
              database.reset();
              return 0;
            }),
            0);
  account = no_more();
  writer = no_more();
  scan.reset();
  list.reset();
  watch.reset();
  expect_untouched();
}

TEST_F(ForkedChild, EveryCallIsUnavailable) {
  Scan scan = table->scan();
  SaveList list = timeline->history("key");
  Watch watch = timeline->watch("", kBeginning);
  auto writer = store->writer();
  const Applied applied = *timeline->apply({});
  const int code = in_child([&] {
    int number = 0;
    const auto refused = [&](const auto& result) {
      ++number;
      return !result.has_value() && result.error().code == ErrorCode::kUnavailable &&
             result.error().message.find("fork()") != std::string::npos;
    };
    const auto all = [&](auto... results) { return (refused(results) && ...); };
    const AccountUpdate update{.key = key, .value = "v"};
    const ByteView keys[] = {"a"};
    if (!all(table->put("a", "b"), table->erase("a"), table->erase_range(everything()), table->write(Batch()), table->get("a"),
             table->multi_get(keys), table->explain("a"), table->scan().status(), table->find("i", "t").status(), table->flush(),
             table->compact(), table->end_pin(1), table->ingest({}), table->family("x"), scan.status())) {
      return number;
    }
    if (!all(timeline->put("a", "b"), timeline->erase("a"), timeline->erase_all(), timeline->write({}), timeline->get("a"),
             timeline->get_at("a", kBeginning), timeline->info("a"), timeline->changed("a"), timeline->history("a").status(),
             timeline->keys("", kBeginning, kEndOfTime).status(), timeline->present("").status(), timeline->rollback(kBeginning),
             timeline->undo(), timeline->confirm(), timeline->close_block(), timeline->housekeep(), timeline->sync(),
             timeline->settle(applied), list.status(), watch.next(std::chrono::milliseconds(0)),
             timeline->watch("", kBeginning).next(std::chrono::milliseconds(0)))) {
      return 100 + number;
    }
    if (!all(store->store(0, key, "v"), store->erase(0, key), store->load(0, key), store->get_mut(0, key),
             store->create_fork(1, 0), store->freeze(0), store->sync(0), store->set_root(0), store->purge(1), store->writer(),
             store->state_hash(0), store->diff(0, 0, {}), store->scan(0, AccountVisitor()), writer->store(0, {&update, 1}))) {
      return 150 + number;
    }
    if (!all(database->table("u"), database->timeline("u"), database->forks("u"), database->verify(), database->close(),
             database->checkpoint(directory.file("copy")))) {
      return 200 + number;
    }
    const bool empty = database->tables().empty() && table->families().empty() && store->list().empty() && !scan.valid() &&
                       !list.valid() && !watch.behind() && database->drives().empty();
    return empty ? 0 : 250;
  });
  EXPECT_EQ(code, 0);
  expect_untouched();
}

TEST_F(ForkedChild, OpensADatabaseOfItsOwn) {
  ASSERT_EQ(in_child([&] {
              auto own = Database::create(directory.file("own"));
              Result<Table> of_own = own ? own->table("t") : no_more();
              if (!of_own || !of_own->put("a", "b") || !of_own->flush()) return 1;
              return own->close() ? 0 : 2;
            }),
            0);
  expect_untouched();
}

}  // namespace
}  // namespace cairn::test
