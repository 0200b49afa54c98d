// Readers, a follower, a writer and jobs of one timeline on a real disk. Under TSan this is the test of its line-ups and of the
// saves that are visible in them.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/mutex.h"
#include "cairn/cairn.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

constexpr int kKeys = 8;
std::string key_of(int i) { return "key" + std::to_string(i); }

/// Each batch saves one number under all keys: whatever a reader looks at as of one stamp is of one batch.
struct Shared {
  Timeline timeline;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> read{0};
  std::atomic<std::uint64_t> waits{0};

  void read_last() {
    const std::uint64_t before = lock_waits_of_thread;
    for (int i = 0; !stop; ++i) {
      const auto hit = timeline.get(key_of(i % kKeys));
      EXPECT_OK(hit);
      EXPECT_TRUE(hit && *hit && (*hit)->view().starts_with("number ")) << "a key that is saved again and again is not there";
      ++read;
    }
    waits += lock_waits_of_thread - before;
  }
  void read_at() {
    const std::uint64_t before = lock_waits_of_thread;
    while (!stop) {
      SaveList keys = timeline.keys("key");
      std::map<std::uint64_t, std::string> of_stamp;
      for (const auto entry : keys) {
        const auto data = keys.data();
        EXPECT_OK(data);
        if (!data) return;
        const auto [found, is_new] = of_stamp.try_emplace(entry.stamp.value, data->view());
        EXPECT_EQ(found->second, data->view());
      }
      EXPECT_OK(keys.status());
      EXPECT_LE(of_stamp.size(), 1U) << "a list of two batches";
      SaveList history = timeline.history("key1");
      Stamp last;
      for (const auto entry : history) {
        EXPECT_GT(entry.stamp, last);
        last = entry.stamp;
      }
      EXPECT_OK(history.status());
      ++read;
    }
    waits += lock_waits_of_thread - before;
  }
  void follow() {
    Watch watch = timeline.watch("key2", kBeginning);
    while (!stop) {
      const auto event = watch.next(milliseconds(5));
      EXPECT_OK(event);
      if (event && *event) ++read;
    }
  }
  void write(int count) {
    for (int i = 0; i < count; ++i) {
      Saves saves;
      for (int k = 0; k < kKeys; ++k)
        saves.put(key_of(k), "number " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 300), 'x'));
      EXPECT_OK(timeline.write(saves, {i % 40 == 0 ? Durability::kDisk : Durability::kKernel}));
    }
  }
  void do_jobs() {
    for (int i = 0; !stop; ++i) {
      EXPECT_OK(timeline.close_block());
      EXPECT_OK(timeline.housekeep(i % 3 == 0));
      (void)timeline.stats();
      if (i % 4 == 3) {
        EXPECT_OK(timeline.rollback(std::chrono::floor<milliseconds>(std::chrono::system_clock::now()) - milliseconds(2),
                                    {.force = true}));
        const auto undone = timeline.undo(true);
        EXPECT_TRUE(undone || undone.error().code == ErrorCode::kNotFound) << describe(undone);
      }
    }
  }
};

TEST(TimelineThreads, ReadersWaitForNoLockWhileJobsRun) {
  const TemporaryDirectory directory;
  auto database = Database::open(directory.path() + "/db", {.create_if_missing = true});
  ASSERT_OK(database);
  auto timeline = database->timeline(
      "t", {.timeout = milliseconds(150), .expired = Expired::kPersist, .block_keys_max = 1000, .block_bytes_max = 256 * kKiB});
  ASSERT_OK(timeline);
  Shared shared{*timeline};
  shared.write(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&] { shared.read_last(); });
  threads.emplace_back([&] { shared.read_at(); });
  threads.emplace_back([&] { shared.follow(); });
  threads.emplace_back([&] { shared.do_jobs(); });
  shared.write(3000);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (timeline->stats().blocks_expired == 0 && std::chrono::steady_clock::now() < end) shared.write(100);
  shared.stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(shared.read.load(), 0U);
  EXPECT_EQ(shared.waits.load(), 0U);
  const TimelineStats stats = timeline->stats();
  EXPECT_GT(stats.blocks_closed, 0U);
  EXPECT_GT(stats.blocks_expired, 0U);
  const Result<VerifyReport> report = database->verify();
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty());
}

}  // namespace
}  // namespace cairn::test
