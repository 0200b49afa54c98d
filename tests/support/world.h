// One seed, one world: a simulated disk, a clock and the environment of one process over it.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "cairn/cairn.h"
#include "database/database_impl.h"
#include "storage/simulated_storage.h"

namespace cairn::test {

template <typename T>
std::string describe(const Result<T>& result) {
  return result ? std::string("ok") : result.error().to_string();
}

#define ASSERT_OK(expr)                                                     \
  do {                                                                      \
    const auto& cairn_ok = (expr);                                          \
    ASSERT_TRUE(cairn_ok.has_value()) << ::cairn::test::describe(cairn_ok); \
  } while (false)
#define EXPECT_OK(expr)                                                     \
  do {                                                                      \
    const auto& cairn_ok = (expr);                                          \
    EXPECT_TRUE(cairn_ok.has_value()) << ::cairn::test::describe(cairn_ok); \
  } while (false)

/// Small sizes, so that a few hundred writes see segments end, flushes and compactions.
inline table::Tuning small_tuning() {
  table::Tuning tuning;
  tuning.segment_bytes_first = 4 * kKiB;
  tuning.segment_bytes_max = 16 * kKiB;
  tuning.background_sync_bytes = 2 * kKiB;
  tuning.large_value_bytes = 702;
  tuning.dead_keys_min = 2;
  tuning.sealed_runs_max = 4;
  tuning.sealed_bytes_max = 40 * kKiB;  // A page of records, as most of that is room for what could come with them.
  return tuning;
}
inline timeline::Tuning small_timeline_tuning() {
  timeline::Tuning tuning;
  tuning.segment_bytes_first = 4 * kKiB;
  tuning.background_sync_bytes = 2 * kKiB;
  tuning.open_blocks_in_burst = 1;
  tuning.open_blocks_max = 2;
  tuning.open_bytes_at_close_max = 4 * kKiB;
  tuning.indexes_max = 3;
  tuning.cycle_blocks_max = 2;
  tuning.collect_step_saves = 4;
  tuning.collected_keys_max = 6;
  return tuning;
}
inline forks::Tuning small_forks_tuning() {
  forks::Tuning tuning;
  tuning.segment_bytes_first = 4 * kKiB;
  tuning.segment_bytes_max = 8 * kKiB;
  tuning.background_sync_bytes = 2 * kKiB;
  tuning.uncounted_max = 50;
  tuning.collect_bytes_max = 6 * kKiB;
  tuning.slack_bytes = 16 * kKiB;
  return tuning;
}
inline TableOptions small_options() { return {.memtable_bytes_max = 16 * kKiB}; }

/// A process on a simulated disk: nothing runs by itself. Dropping it without close() is no kill: take
/// disk.killed() or disk.crashed() for that.
class Process {
 public:
  static constexpr std::size_t kOnDemandMax = 3;  // So few that blocks are unmapped and mapped again all the time.

  explicit Process(storage::SimulatedDisk& disk, SimulatedClock& clock)
      : environment_(
            std::make_unique<directory::Environment>(clock, false, directory::Environment::kMemoryDefault, kOnDemandMax)),
        disk_(disk) {}
  ~Process() {
    table_.reset();
    database_.reset();
    if (directory_.expired() && environment_->memory.used() == 0 && environment_->on_demand.count() == 0) return;
    ADD_FAILURE() << "a handle or a value outlives its process";
    (void)environment_.release();  // Leaked: that handle still uses it.
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  Result<void> open(database::DatabaseImpl::Mode mode = database::DatabaseImpl::Mode::kOpenOrCreate,
                    const table::Tuning& tuning = small_tuning(), const TableOptions& options = small_options()) {
    CAIRN_TRY(database, database::DatabaseImpl::open(std::make_unique<storage::SimulatedStorage>(disk_), *environment_, mode,
                                                     {.owner = "test", .drives = drives}, tuning, timeline_tuning, forks_tuning));
    database_ = std::move(database);
    directory_ = database_->directory().weak_from_this();
    CAIRN_TRY(opened, database_->table("main", options));
    table_ = opened;
    return {};
  }
  std::vector<std::string> drives;
  timeline::Tuning timeline_tuning = small_timeline_tuning();
  forks::Tuning forks_tuning = small_forks_tuning();
  [[nodiscard]] database::DatabaseImpl& database() { return *database_; }
  [[nodiscard]] table::TableImpl& impl() { return *table_; }
  [[nodiscard]] Table table() { return Table(table_); }
  [[nodiscard]] directory::Environment& environment() { return *environment_; }
  void run_jobs() {
    environment_->syncs.run_due();
    environment_->jobs.run_pending();
  }
  Result<void> close() { return database_->close(); }

 private:
  std::unique_ptr<directory::Environment> environment_;
  storage::SimulatedDisk& disk_;
  std::unique_ptr<database::DatabaseImpl> database_;
  std::weak_ptr<directory::Directory> directory_;
  std::shared_ptr<table::TableImpl> table_;
};

/// A test on one process with its table open.
struct OneProcess : testing::Test {
  void SetUp() override { ASSERT_OK(process.open()); }

  storage::SimulatedDisk disk{1};
  SimulatedClock clock;
  Process process{disk, clock};
};

using Model = std::map<std::string, std::string>;

/// The key as it stands in a Model that holds several families: that of another family than main begins with its name.
inline std::string model_key(const std::string& family, ByteView key) {
  return (family == "main" ? "" : family + ":") + std::string(key);
}

/// Everything in all families of the table, forwards; an error ends the test.
inline Result<Model> scan_all(const Table& table, const Snapshot& snapshot = kNow) {
  Model found;
  for (const std::string& name : table.families()) {
    CAIRN_TRY(family, table.family(name));
    Scan scan = family.scan(everything(), Direction::kForward, 0, snapshot);
    for (const auto entry : scan) found.emplace(model_key(name, entry.key), entry.value);
    CAIRN_TRY_VOID(scan.status());
  }
  return found;
}

/// CAIRN_SEED=n runs just that one, CAIRN_SEEDS=n so many; else `usual`.
inline std::vector<std::uint64_t> seeds_to_run(std::uint64_t usual) {
  if (const char* const one = std::getenv("CAIRN_SEED")) return {std::strtoull(one, nullptr, 10)};
  if (const char* const many = std::getenv("CAIRN_SEEDS")) usual = std::strtoull(many, nullptr, 10);
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = 1; seed <= usual; ++seed) seeds.push_back(seed);
  return seeds;
}

/// Whether this is the long run of `./dev soak`.
inline bool soaking() { return std::getenv("CAIRN_SOAK") != nullptr; }

/// A tenth of `usual` where a sanitizer makes everything many times slower; `./dev soak` takes `most`.
inline std::uint64_t sample(std::uint64_t usual, std::uint64_t most) {
#if defined(CAIRN_CHECK_RANKS)
  return soaking() ? most : (usual + 9) / 10;
#else
  return soaking() ? most : usual;
#endif
}

}  // namespace cairn::test
