// Short of descriptors, room, threads or memory for a moment: whoever asks is told, nothing is applied, and when the shortage is
// over everything goes on without a reopen.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "storage/posix_storage.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using storage::Io;

Bytes account(int i) {
  Bytes key = std::to_string(i);
  key.resize(kAccountKeyBytes, '.');
  return key;
}

/// Something of every engine, of which each call is all there or refused.
class EveryEngine {
 public:
  Result<void> open(Process& process) {
    table_.emplace(process.table());
    CAIRN_TRY(timeline, process.database().timeline("line", {}));
    CAIRN_TRY(store, process.database().forks("forks", {}));
    timeline_.emplace(timeline);
    store_.emplace(store);
    return {};
  }
  /// Lets go of everything that was opened, which must not outlive its process.
  void release() {
    table_.reset();
    timeline_.reset();
    store_.reset();
  }
  /// One call; whether it was refused, and then with which error.
  Result<void> act(int i) {
    const std::string key = "key" + std::to_string(i % 17);
    const std::string value = std::to_string(i) + std::string(static_cast<std::size_t>(i * 37 % 600), 'v');
    const auto durability = i % 3 == 0 ? Durability::kDisk : Durability::kKernel;
    switch (i % 7) {
      case 0:
      case 1: return keep(table_->put(key, value, {.durability = durability}), table_model, key, value);
      case 2:
      case 3: return keep(timeline_->put(key, value, {.durability = durability}), timeline_model, key, value);
      case 4: return keep(store_->store(0, account(i % 17), value, {durability}), store_model, account(i % 17), value);
      case 5: return i % 2 == 0 ? table_->flush() : timeline_->close_block();
      default: {
        Model unused;
        return keep(table_->family("family" + std::to_string(i % 3)), unused, "", "");
      }
    }
  }
  void expect_as_modelled() const {
    for (const auto& [key, value] : table_model) EXPECT_EQ(view_of(table_->get(key)), value) << key;
    for (const auto& [key, value] : timeline_model) EXPECT_EQ(view_of(timeline_->get(key)), value) << key;
    for (const auto& [key, value] : store_model) EXPECT_EQ(view_of(store_->load(0, key)), value) << key;
  }
  Model table_model;
  Model timeline_model;
  Model store_model;

 private:
  template <typename T>
  static Result<void> keep(const Result<T>& done, Model& model, const std::string& key, const std::string& value) {
    if (!done) return std::unexpected(done.error());
    model[key] = value;
    return {};
  }
  static std::string view_of(const Result<std::optional<Pinned>>& hit) {
    if (!hit) return hit.error().to_string();
    return *hit ? std::string((*hit)->view()) : "(none)";
  }
  std::optional<Table> table_;
  std::optional<Timeline> timeline_;
  std::optional<ForkStore> store_;
};

bool may_be_short(Io io) { return io != Io::kSync && io != Io::kFinish && io != Io::kWrite && io != Io::kSyncNames; }

TEST(Shortage, OfAMomentLeavesNoState) {
  // Each call that needs a descriptor, an inode or a map fails three times in a row, whichever it is.
  for (std::uint64_t at = 0; at < sample(300, 900); ++at) {
    SCOPED_TRACE("short from call " + std::to_string(at));
    storage::SimulatedDisk disk(at);
    SimulatedClock clock;
    EveryEngine engines;
    std::uint64_t calls = 0;
    bool armed = false;
    {
      Process process(disk, clock);
      ASSERT_OK(process.open());
      ASSERT_OK(engines.open(process));
      const ErrorCode code = at % 2 == 0 ? ErrorCode::kUnavailable : ErrorCode::kNoSpace;
      disk.set_hook([&](Io io, const std::string&, std::uint64_t) -> Result<void> {
        if (!armed || !may_be_short(io)) return {};
        const std::uint64_t call = calls++;
        if (call >= at && call < at + 3) return std::unexpected(Error{code, "injected", "", 0});
        return {};
      });
      armed = true;
      for (int i = 0; i < 120; ++i) {
        const Result<void> done = engines.act(i);
        ASSERT_TRUE(done || done.error().code == code) << describe(done);
        if (i % 5 == 0) {
          clock.advance_ms(1'500);
          process.environment().leases.run_due();
          process.run_jobs();
        }
        ASSERT_OK(process.database().directory().state());
      }
      engines.expect_as_modelled();
      armed = false;
      ASSERT_OK(process.close());
      engines.release();
    }
    disk.set_hook(nullptr);
    Process next(disk, clock);
    ASSERT_OK(next.open(database::DatabaseImpl::Mode::kOpen));
    ASSERT_OK(engines.open(next));
    engines.expect_as_modelled();
    engines.release();
  }
}

TEST(Shortage, FailedCloseCanBeRepeated) {
  for (const bool room : {true, false}) {
    storage::SimulatedDisk disk(1);
    SimulatedClock clock;
    EveryEngine engines;
    Process process(disk, clock);
    ASSERT_OK(process.open());
    ASSERT_OK(engines.open(process));
    for (int i = 0; i < 60; ++i) ASSERT_OK(engines.act(i));
    bool short_of = true;
    disk.set_hook([&](Io io, const std::string&, std::uint64_t) -> Result<void> {
      if (short_of && (io == Io::kCreate || io == Io::kPublish)) {
        return std::unexpected(Error{room ? ErrorCode::kNoSpace : ErrorCode::kUnavailable, "injected", "", 0});
      }
      return {};
    });
    for (int i = 0; i < 3; ++i) {
      const Result<void> failed = process.close();
      ASSERT_FALSE(failed.has_value());
      EXPECT_EQ(failed.error().code, room ? ErrorCode::kNoSpace : ErrorCode::kUnavailable);
      Process other(disk, clock);
      EXPECT_EQ(other.open(database::DatabaseImpl::Mode::kOpen).error().code, ErrorCode::kBusy) << "it is still the owner";
    }
    short_of = false;
    ASSERT_OK(process.close());
    engines.release();
    Process next(disk, clock);
    ASSERT_OK(next.open(database::DatabaseImpl::Mode::kOpen));
    ASSERT_OK(engines.open(next));
    engines.expect_as_modelled();
    engines.release();
  }
}

/// As long as it lives this process can open no further file.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest = dup(0);  // All below are taken.
    ::close(lowest);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest);
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST(Shortage, ADatabaseThatIsShortCanBeDestroyed) {
  // Its threads run meanwhile: none may touch what is gone, and the next owner does not wait.
  const TemporaryDirectory directory;
  Model model;
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    std::optional<NoDescriptors> none;  // Until all is destroyed.
    Database database = *(round == 0 ? Database::create(directory.file("db")) : Database::open(directory.file("db")));
    Table table = *database.table("t", {.memtable_bytes_max = kMiB});
    ForkStore store = *database.forks("f");
    Timeline timeline = *database.timeline("l");
    for (int i = 0; i < 50; ++i) {
      const std::string key = std::to_string(round) + "-" + std::to_string(i);
      ASSERT_OK(table.put(key, std::string(30'000, 'v'), {.durability = Durability::kKernel}));
      ASSERT_OK(store.store(0, account(i), key, {Durability::kKernel}));
      ASSERT_OK(timeline.put(key, "v", {.durability = Durability::kKernel}));
      model[key] = "there";
    }
    none.emplace();
    (void)table.flush();
    const Result<void> closed = database.close();
    EXPECT_TRUE(closed || closed.error().code == ErrorCode::kUnavailable) << describe(closed);
  }
  Database database = *Database::open(directory.file("db"));
  Table table = *database.table("t");
  for (const auto& [key, there] : model) EXPECT_TRUE(*table.get(key)) << key;
}

TEST(Shortage, ClosingAReadOnlyDatabaseGivesTheLeaseBack) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  Table table = process.table();         // Still held.
  ASSERT_OK(table.put("key", "value"));  // So that the log has a segment.
  disk.set_hook([&](Io io, const std::string&, std::uint64_t) -> Result<void> {
    if (io == Io::kSync) return std::unexpected(Error{ErrorCode::kIo, "injected", "", 0});
    return {};
  });
  const auto refused = table.put("key", "value");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kReadOnly) << describe(refused);
  EXPECT_EQ(process.close().error().code, ErrorCode::kReadOnly);
  disk.set_hook(nullptr);
  Process next(disk, clock);
  EXPECT_OK(next.open(database::DatabaseImpl::Mode::kOpen));
}

TEST(Shortage, OfDescriptorsEndsWithIt) {
  const TemporaryDirectory directory;
  Database database = *Database::create(directory.file("db"), {.lease_ms = 300});
  Table table = *database.table("t", {.memtable_bytes_max = kMiB});
  Timeline timeline = *database.timeline("l", {.block_bytes_max = 64 * kKiB});
  ForkStore store = *database.forks("f");
  const WriteOptions kernel{.durability = Durability::kKernel};
  const std::string value(10'000, 'v');
  std::size_t refused = 0;
  {
    const NoDescriptors none;
    EXPECT_EQ(Database::create(directory.file("other")).error().code, ErrorCode::kUnavailable);
    for (int i = 0; i < 600; ++i) {
      const auto may_be_refused = [&](const auto& done) {
        if (done) return;
        ++refused;
        EXPECT_EQ(done.error().code, ErrorCode::kUnavailable) << describe(done);
      };
      may_be_refused(table.put(std::to_string(i % 10), value, kernel));
      may_be_refused(timeline.put(std::to_string(i % 10), value, {.durability = kernel.durability}));
      may_be_refused(store.store(0, account(i % 10), value, {Durability::kKernel}));
      may_be_refused(table.flush());
      may_be_refused(timeline.close_block());
      if (i % 100 == 0) system_clock().sleep_ms(100);  // In all twice as long as the lease lasts: it is renewed all the same.
    }
  }
  EXPECT_GT(refused, 0U);
  EXPECT_OK(table.put("after", "v"));
  EXPECT_OK(timeline.put("after", "v"));
  EXPECT_OK(store.store(0, account(11), "v"));
  EXPECT_OK(table.flush());
  EXPECT_OK(database.close());
  EXPECT_OK(Database::open(directory.file("db")));
}

#if !defined(CAIRN_CHECK_RANKS)  // Sanitizers take more addresses than any limit leaves.
TEST(Shortage, OfThreadsIsAResult) {
  const pid_t child = fork();  // Limits of addresses cannot be raised again by all; the child ends with its own.
  if (child == 0) {
    directory::Environment environment(system_clock(), true);
    pthread_attr_t large;  // Larger than the stacks of ended threads, which the C library keeps and would use again.
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 64 * kMiB);
    pthread_setattr_default_np(&large);
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    rlimit none = before;
    none.rlim_cur = 1;
    setrlimit(RLIMIT_AS, &none);
    const Result<void> failed = environment.start_threads();
    setrlimit(RLIMIT_AS, &before);
    const bool said = !failed && failed.error().code == ErrorCode::kUnavailable;
    const bool started = environment.start_threads().has_value();
    _exit(said && started ? 0 : said ? 1 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
#endif

TEST(Shortage, InterruptedCallsAreRepeated) {
  // A file system in memory gives up an allocation when a signal comes; a disk does now and then.
  const bool memory = std::filesystem::is_directory("/dev/shm");
  const TemporaryDirectory directory(memory ? "/dev/shm" : "");
  const auto storage = storage::PosixStorage::open(directory.path(), false);
  ASSERT_OK(storage);
  struct sigaction action{};
  action.sa_handler = [](int) {};  // Without SA_RESTART.
  struct sigaction before{};
  sigaction(SIGALRM, &action, &before);
  const itimerval often{.it_interval = {0, 2000}, .it_value = {0, 2000}};
  setitimer(ITIMER_REAL, &often, nullptr);
  for (int i = 0; i < 20; ++i) {
    const std::string name = std::to_string(i) + "-1-00000000.segment";
    auto file = (*storage)->create(name, 8 * kMiB);
    EXPECT_OK(file);
    if (!file) break;
    EXPECT_OK((*file)->write(0, "bytes"));
    EXPECT_OK((*file)->sync(5));
    EXPECT_OK((*file)->finish(5));
    EXPECT_OK((*storage)->sync_names());
    EXPECT_OK((*storage)->publish("small" + std::to_string(i), "contents"));
    EXPECT_OK((*storage)->remove(name));
  }
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
}

}  // namespace
}  // namespace cairn::test
