// Every single-bit flip of a small store is harmless (the dump is identical) or reported with its file; never a wrong or
// shorter answer. Default runs take a sample; ./dev soak takes every bit, or 20,000 at random where there are more.
#include <gtest/gtest.h>

#include "support/workload.h"

namespace cairn::test {
namespace {

struct Outcome {
  std::uint64_t harmless = 0;
  std::uint64_t reported = 0;
  std::uint64_t trimmed = 0;
};

/// Each entry by its key and, in the second family, by its term: an error, or as expected.
Result<void> find_each(const Table& table, const Model& expected) {
  CAIRN_TRY(side, scripted_family(table));
  for (const auto& [model, value] : expected) {
    const bool in_side = model.starts_with("side:");
    const std::string key = in_side ? model.substr(5) : model;
    const Result<std::optional<Pinned>> hit = (in_side ? side : table).get(key);
    CAIRN_TRY_VOID(hit);
    EXPECT_TRUE(hit->has_value() && (*hit)->view() == value) << "wrong answer for " << model;
    if (!in_side) continue;
    bool found = false;
    Scan scan = side.find("first", value.substr(0, 1));
    for (const auto entry : scan) found = found || (entry.key == key && entry.value == value);
    CAIRN_TRY_VOID(scan.status());
    EXPECT_TRUE(found) << "not found by its term: " << model;
  }
  return {};
}

/// Opens `disk` and dumps it. `may_trim`: a shorter answer is allowed if opening reports a trimmed tail of `file`.
void check_flip(storage::SimulatedDisk& disk, const std::string& file, const Model& expected, bool may_trim, Outcome& outcome) {
  SimulatedClock clock;
  Process process(disk, clock);
  const Result<void> opened = process.open(database::DatabaseImpl::Mode::kOpen);
  Result<Model> found = opened ? scan_all(process.table()) : std::unexpected(opened.error());
  // Point reads and term indexes go other ways through a sealed file.
  if (found && *found == expected) {
    const Result<void> same = find_each(process.table(), expected);
    if (!same) found = std::unexpected(same.error());
  }
  if (!found) {
    EXPECT_EQ(found.error().file, file) << found.error().to_string();
    EXPECT_TRUE(found.error().code == ErrorCode::kCorruption || found.error().code == ErrorCode::kUnsupported)
        << found.error().to_string();
    ++outcome.reported;
  } else if (*found == expected) {
    ++outcome.harmless;
  } else {
    bool reported = false;
    for (const std::string& report : process.database().directory().reports()) reported |= report.find(file) != std::string::npos;
    EXPECT_TRUE(may_trim && reported) << "a wrong answer without a word";
    ++outcome.trimmed;
  }
}

void flip_bits(const storage::SimulatedDisk& store, bool may_trim, const char* only_suffix, std::uint64_t most) {
  const auto clean = store.killed();
  SimulatedClock clock;
  Model expected;
  {
    const auto copy = clean->killed();
    Process process(*copy, clock);
    ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpen));
    const Result<Model> found = scan_all(process.table());
    ASSERT_OK(found);
    expected = *found;
  }
  std::vector<std::pair<std::string, std::uint64_t>> bits;  // {file, its bits}
  std::uint64_t total = 0;
  for (const auto& [name, size] : clean->file_sizes()) {
    if (!name.ends_with(only_suffix)) continue;
    bits.emplace_back(name, size * 8);
    total += size * 8;
  }
  Outcome outcome;
  Random random(7);
  const bool every = total <= most;
  for (std::uint64_t i = 0; i < std::min(total, most); ++i) {
    std::uint64_t bit = every ? i : random.below(total);
    std::size_t f = 0;
    while (bit >= bits[f].second) bit -= bits[f++].second;
    SCOPED_TRACE("bit " + std::to_string(bit) + " of " + bits[f].first);
    const auto damaged = clean->killed();
    damaged->flip_bit(bits[f].first, bit);
    check_flip(*damaged, bits[f].first, expected, may_trim, outcome);
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%lu of %lu bits: %lu reported, %lu harmless, %lu trimmed\n", std::min(total, most), total, outcome.reported,
              outcome.harmless, outcome.trimmed);
  EXPECT_GT(outcome.reported, 0U);
}

std::uint64_t flips() { return sample(4'000, 20'000); }

/// A closed store with a sealed file (of some compression), and a log that was ended.
TEST(BitFlip, AClosedStore) {
  for (const Compression compression : {Compression::kNone, Compression::kLz4, Compression::kZstd}) {
    storage::SimulatedDisk disk(1);
    SimulatedClock clock;
    Written written;
    Process process(disk, clock);
    TableOptions options = small_options();
    options.main.compression = compression;
    ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, small_tuning(), options));
    for (int i = 0; i < 40; ++i) {
      ASSERT_OK(scripted_write(process.table(), written, i, Durability::kDisk));
      if (i == 25) {
        ASSERT_OK(process.table().flush());
      }
    }
    ASSERT_OK(process.close());
    flip_bits(disk, false, "", flips());
  }
}

/// kDisk writes, 100 ms of idleness, then a kill: the sync frame covers everything, so nothing may be taken for a tear.
TEST(BitFlip, TheLogOfAStoreKilledWhileIdle) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Written written;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 12; ++i) ASSERT_OK(scripted_write(process.table(), written, i, Durability::kDisk));
  clock.advance_ms(100);
  process.run_jobs();
  flip_bits(disk, false, ".segment", sample(6'000, 200'000));
}

/// Killed in mid-write: the last group may be taken for a tear, but not without saying so.
TEST(BitFlip, TheLogOfAStoreKilledInMidWrite) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Written written;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 12; ++i)
    ASSERT_OK(scripted_write(process.table(), written, i, i < 8 ? Durability::kDisk : Durability::kKernel));
  flip_bits(disk, true, ".segment", sample(6'000, 200'000));
}

/// The same with a recycled segment, whose unused space is full of an earlier life.
TEST(BitFlip, TheLogInARecycledSegment) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Written written;
  Process process(disk, clock);
  table::Tuning tuning = small_tuning();
  tuning.segment_bytes_first = tuning.segment_bytes_max = 8 * kKiB;
  ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning));
  for (int i = 0; i < 60; ++i) {
    ASSERT_OK(scripted_write(process.table(), written, i, Durability::kDisk));
    if (i % 20 == 19) {
      ASSERT_OK(process.table().flush());
    }
  }
  for (int i = 60; i < 64; ++i) ASSERT_OK(scripted_write(process.table(), written, i, Durability::kDisk));
  flip_bits(disk, true, ".segment", flips());
}

}  // namespace
}  // namespace cairn::test
