// The power is cut at every single I/O of a scripted run over two families with range erases, a term index, ingested files,
// flushes and compactions that are partitioned by key and free their inputs as they go, with several choices of what survived;
// then once more at every I/O of the recovery that follows. After each cut: the database opens; the table is the state after the
// first n writes, for an n not below the last kDisk acknowledgement (so nothing synced is lost, no batch is half there, no erased
// key is back); and what an open has once served is still there after the next cut.
#include <gtest/gtest.h>

#include "support/workload.h"

namespace cairn::test {
namespace {

#if defined(CAIRN_CHECK_RANKS)
constexpr std::uint64_t kNestedEvery = 10;  // Under a sanitizer.
#else
constexpr std::uint64_t kNestedEvery = 1;
#endif

struct Checker {
  std::uint64_t crash_points = 0;
  std::uint64_t crashes = 0;

  /// Opens `disk` and returns which prefix of the writes it holds.
  static std::optional<std::size_t> open_and_match(storage::SimulatedDisk& disk, const Written& written, std::size_t from,
                                                   std::size_t to) {
    SimulatedClock clock;
    Process process(disk, clock);
    const Result<void> opened = process.open(database::DatabaseImpl::Mode::kOpenOrCreate);
    EXPECT_OK(opened);
    if (!opened) return std::nullopt;
    const Result<Model> found = scan_all(process.table());
    EXPECT_OK(found);
    if (!found) return std::nullopt;
    const auto match = written.match(*found, from, to);
    EXPECT_TRUE(match.has_value()) << "not a state between write " << from << " and " << to;
    expect_terms(process.table(), *found);
    return match;
  }

  void check(const storage::SimulatedDisk& at, const Written& written, std::uint64_t seed, bool nested) {
    ++crashes;
    const auto disk = at.crashed(seed);
    const auto pristine = disk->killed();
    const auto served = open_and_match(*disk, written, written.durable, written.writes.size());
    if (!served) return;
    // What was served must survive the next cut, at whatever state the opener has left the disk.
    const auto again = disk->crashed(seed + 1);
    ++crashes;
    EXPECT_EQ(open_and_match(*again, written, *served, *served), served) << "taken back after it was read";
    if (!nested) return;
    std::uint64_t inner_seed = seed;
    pristine->set_hook([&](storage::Io, const std::string&, std::uint64_t) -> Result<void> {
      ++crashes;
      aside([&, inner = std::shared_ptr<storage::SimulatedDisk>(pristine->crashed(++inner_seed))] {
        open_and_match(*inner, written, written.durable, written.writes.size());
      });
      return {};
    });
    open_and_match(*pristine, written, written.durable, written.writes.size());
  }
};

void run_script(std::uint64_t seed, bool mixed_durability, Checker& checker) {
  storage::SimulatedDisk disk(seed);
  SimulatedClock clock;
  Written written;
  disk.set_hook([&](storage::Io, const std::string& name, std::uint64_t number) -> Result<void> {
    if (testing::Test::HasFailure()) return {};
    ++checker.crash_points;
    SCOPED_TRACE("crash at I/O " + std::to_string(number) + " " + name);
    const auto subsets = static_cast<int>(sample(3, 8));
    for (int subset = 0; subset < subsets; ++subset) {
      aside([&] {
        checker.check(disk, written, seed * 1000003 + number * 16 + static_cast<std::uint64_t>(subset),
                      subset == 0 && number % kNestedEvery == 0);
      });
    }
    return {};
  });
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 90; ++i) {
    clock.advance_ms(i % 9 == 0 ? 60 : 3);
    const bool durable = !mixed_durability || i % 4 == 0;
    ASSERT_OK(scripted_write(process.table(), written, i, durable ? Durability::kDisk : Durability::kKernel));
    if (i % 5 == 0) process.run_jobs();
    if (i % 23 == 22) {
      ASSERT_OK(process.table().flush());
      written.durable = written.writes.size();
    }
    if (i % 31 == 30) {
      ASSERT_OK(scripted_ingest(process, written, i));
    }
    if (i % 41 == 40 && process.impl().layer_count(0) >= 2) {
      ASSERT_OK(process.impl().compact_layers(0, 0, 2));
    }
    if (testing::Test::HasFailure()) return;
  }
  ASSERT_OK(process.table().compact());
  ASSERT_OK(process.close());
}

TEST(CrashEnumeration, EveryIoOfARunOfDurableWrites) {
  Checker checker;
  run_script(1, false, checker);
  std::printf("%lu crash points, %lu crashes\n", checker.crash_points, checker.crashes);
}

TEST(CrashEnumeration, EveryIoOfARunOfMixedWrites) {
  Checker checker;
  for (std::uint64_t seed = 101; seed <= 100 + sample(1, 10); ++seed) run_script(seed, true, checker);
  std::printf("%lu crash points, %lu crashes\n", checker.crash_points, checker.crashes);
}

}  // namespace
}  // namespace cairn::test
