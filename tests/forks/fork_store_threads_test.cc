// Four who store, each in a fork of its own, four who read, one who makes, purges and roots forks, the collector and checkpoints,
// all at once on a real disk. Under TSan this is the test of what they share.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "storage/posix_storage.h"
#include "support/one_fork_store.h"
#include "support/temporary_directory.h"

namespace cairn::test {
namespace {

constexpr int kAccountsOfAll = 64;
constexpr ForkNumber kFirstTip = 1;
constexpr int kStorers = 4;

/// In each fork all accounts begin with the fork's number or, before it stored anything, with the root's.
struct SharedForks {
  ForkStore store;
  std::vector<Bytes> keys;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> read{0};
  std::atomic<std::uint64_t> waits{0};

  void write(ForkNumber fork, int rounds) {
    Result<ForkWriter> writer = store.writer();
    ASSERT_OK(writer);
    for (int round = 0; round < rounds; ++round) {
      std::vector<Bytes> values;
      for (int i = 0; i < kAccountsOfAll; ++i) {
        values.push_back(std::to_string(fork) + " " + std::to_string(round) +
                         Bytes(static_cast<std::size_t>((round + i) % 200), 'x'));
      }
      std::vector<AccountUpdate> batch;
      for (std::size_t i = 0; i < keys.size(); ++i) batch.push_back({.key = keys[i], .value = values[i]});
      ASSERT_OK(writer->store(fork, batch, {.durability = round % 50 == 0 ? Durability::kDisk : Durability::kKernel}));
      auto account = store.get_mut(fork, keys[0]);
      ASSERT_OK(account);
      (*account)->bytes().back() = 'y';
      account->reset();
      if (round % 20 == 0) ASSERT_OK(store.sync(fork));
    }
  }
  void read_from(ForkNumber fork) {
    const std::vector<ByteView> views(keys.begin() + 1, keys.end());
    std::vector<std::uint64_t> last(views.size());
    std::uint64_t before = lock_waits_of_thread;
    while (!stop) {
      const auto values = store.load_many(fork, views);
      ASSERT_OK(values);
      for (std::size_t i = 0; i < views.size(); ++i) {
        ASSERT_TRUE((*values)[i].has_value());
        const Bytes value((*values)[i]->view());
        const std::uint64_t of_fork = std::stoull(value);
        ASSERT_TRUE(of_fork == fork || of_fork == 0) << value;
        const std::uint64_t round = of_fork == 0 ? 0 : std::stoull(value.substr(value.find(' ')));
        ASSERT_GE(round, last[i]) << "an older version came back";
        last[i] = round;
        ASSERT_OK((*values)[i]->status());
      }
      ++read;
    }
    waits += lock_waits_of_thread - before;
  }
  void change_tree() {
    // Forks that come and go beside those others are in, and numbers that are used again.
    const ForkNumber first = kFirstTip + kStorers;
    while (!stop) {
      for (ForkNumber fork = first; fork < first + 3; ++fork) {
        ASSERT_OK(store.create_fork(fork, fork == first ? 0 : fork - 1));
        for (const Bytes& key : keys) ASSERT_OK(store.store(fork, key, "gone", {.durability = Durability::kKernel}));
      }
      ASSERT_OK(store.purge(first));
      const auto after = store.load(first, keys[0]);
      ASSERT_FALSE(after.has_value());
    }
  }
};

TEST(ForkStoreThreads, StorersReadersTheCollectorAndCheckpointsAtOnce) {
  const TemporaryDirectory directory;
  directory::Environment environment(system_clock(), true);
  forks::Tuning tuning;
  tuning.segment_bytes_first = 64 * kKiB;
  tuning.segment_bytes_max = 256 * kKiB;
  tuning.background_sync_bytes = 256 * kKiB;
  tuning.slack_bytes = 512 * kKiB;
  tuning.uncounted_max = 1000;
  tuning.collect_bytes_max = 128 * kKiB;
  auto storage = storage::PosixStorage::open(directory.file("db"), true);
  ASSERT_OK(storage);
  auto database =
      database::DatabaseImpl::open(*std::move(storage), environment, database::DatabaseImpl::Mode::kCreate, {}, {}, {}, tuning);
  ASSERT_OK(database);
  {
    auto opened = (*database)->forks("main", {});
    ASSERT_OK(opened);
    SharedForks shared{.store = ForkStore(*opened), .keys = {}};
    for (int i = 0; i < kAccountsOfAll; ++i) shared.keys.push_back(account_key("account" + std::to_string(i)));
    for (const Bytes& key : shared.keys) ASSERT_OK(shared.store.store(0, key, "0 0", {.durability = Durability::kKernel}));
    for (ForkNumber fork = kFirstTip; fork < kFirstTip + kStorers; ++fork) ASSERT_OK(shared.store.create_fork(fork, 0));
    std::vector<std::thread> storers;
    std::vector<std::thread> others;
    for (ForkNumber fork = kFirstTip; fork < kFirstTip + kStorers; ++fork) {
      storers.emplace_back([&, fork] { shared.write(fork, static_cast<int>(sample(600, 3000))); });
      others.emplace_back([&, fork] { shared.read_from(fork); });
    }
    others.emplace_back([&] { shared.change_tree(); });
    others.emplace_back([&] {
      for (int i = 0; !shared.stop; ++i) {
        EXPECT_OK((*opened)->collect());
        const std::string target = directory.file("checkpoint" + std::to_string(i));
        auto to = storage::PosixStorage::open(target, true);
        EXPECT_OK((*database)->checkpoint(*std::move(to), {}));
        auto copy = Database::open(target);
        ASSERT_OK(copy);
        auto copied = copy->forks("main");
        ASSERT_OK(copied);
        for (const ForkInfo& fork : copied->list()) {
          for (const Bytes& key : shared.keys) {
            const auto value = copied->load(fork.number, key);
            ASSERT_OK(value);
            ASSERT_TRUE(value->has_value()) << "an account of fork " << fork.number << " is not in the checkpoint";
          }
        }
        ASSERT_OK(copy->close());
        std::filesystem::remove_all(target);
      }
    });
    for (std::thread& each : storers) each.join();
    shared.stop = true;
    for (std::thread& each : others) each.join();
    EXPECT_GT(shared.read.load(), 0U);
    EXPECT_EQ(shared.waits.load(), 0U) << "a reader waited for a lock";
    const ForkStoreStats stats = shared.store.stats();
    EXPECT_GT(stats.segments_reclaimed, 0U);
    EXPECT_TRUE(stats.job_errors.empty()) << stats.job_errors.front();
    ASSERT_OK(shared.store.set_root(kFirstTip + 2));
    EXPECT_EQ(shared.store.list().size(), 1U);
    const auto value = shared.store.load(kFirstTip + 2, shared.keys[5]);
    ASSERT_OK(value);
    EXPECT_TRUE((*value)->view().starts_with("3 "));
  }
  ASSERT_OK((*database)->close());
}

}  // namespace
}  // namespace cairn::test
