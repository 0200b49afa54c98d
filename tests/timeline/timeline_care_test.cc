// What looks after a directory knows timelines: verify, checkpoint, repair; and every single-bit flip of one is harmless or
// reported.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "support/timeline_model.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

using std::chrono::milliseconds;

constexpr int kKeys = 15;
constexpr std::int64_t kTimeoutMs = 400;
std::string key_of(int n) { return "key" + std::to_string(n % kKeys); }

/// Everything that readers see: the last save of each key, and all saves of the main line.
struct Seen {
  std::map<std::string, std::optional<std::string>> last;
  std::vector<SaveLine> main;
  bool operator==(const Seen&) const = default;
};
Result<Seen> see(const Timeline& timeline) {
  Seen seen;
  for (int i = 0; i < kKeys; ++i) {
    const Result<std::optional<Pinned>> hit = timeline.get(key_of(i));
    CAIRN_TRY_VOID(hit);
    if (*hit) seen.last[key_of(i)] = Bytes((*hit)->view());
    CAIRN_TRY(lines, lines_of(timeline.history(key_of(i))));
    seen.main.insert(seen.main.end(), lines.begin(), lines.end());
  }
  CAIRN_TRY(keys, lines_of(timeline.keys("")));  // By the tables of times.
  for (const SaveLine& line : keys) {
    EXPECT_TRUE(std::ranges::find(seen.main, line) != seen.main.end()) << std::get<1>(line);
  }
  std::ranges::sort(seen.main);
  return seen;
}

/// A timeline with a persistent line that has been through a cycle, closed blocks, a rollback that can be undone, one that was
/// confirmed, and saves in the log; as a kill leaves it.
struct TimelineStore {
  explicit TimelineStore(std::uint64_t seed, int saves = 160) {
    storage::SimulatedDisk live(seed);
    Process process(live, clock);
    EXPECT_OK(process.open());
    {
      auto opened = process.database().timeline("events", {.timeout = milliseconds(kTimeoutMs),
                                                           .expired = Expired::kPersist,
                                                           .block_keys_max = 10,
                                                           .block_bytes_max = 8 * kKiB,
                                                           .undo_time = milliseconds(100'000)});
      EXPECT_OK(opened);
      Timeline timeline(*opened);
      for (int i = 0; i < saves; ++i) {
        clock.advance_ms(4);
        Saves batch;
        const int count = i % 7 == 6 ? 3 : 1;
        for (int j = 0; j < count; ++j) {
          if ((i + j) % 9 == 8) {
            batch.erase(key_of(i * 4 + j));
          } else {
            const std::string data =
                "data-" + std::to_string(i) + "-" + std::to_string(j) + std::string(static_cast<std::size_t>(i % 5) * 30, 'd');
            batch.put(key_of(i * 4 + j), data);
            ever.insert(data);
          }
        }
        EXPECT_OK(timeline.write(batch, {i % 3 == 0 ? Durability::kDisk : Durability::kKernel}));
        if (i % 9 == 8) EXPECT_OK(timeline.close_block());
        if (i == saves / 2) EXPECT_OK(timeline.housekeep(true));
        if (i == saves * 2 / 3) EXPECT_OK(timeline.rollback(Time(milliseconds(clock.wall_ms() - 30))));
        if (i == saves * 2 / 3) EXPECT_OK(timeline.confirm());
        if (i == saves - 12) EXPECT_OK(timeline.rollback(Time(milliseconds(clock.wall_ms() - 30))));
      }
      EXPECT_OK(timeline.housekeep());
      const TimelineStats stats = timeline.stats();
      EXPECT_GT(stats.lines[0].blocks, 2U);
      EXPECT_GT(stats.lines[1].blocks, 0U);
      const auto all = see(timeline);
      EXPECT_OK(all);
      seen = *all;
      for (const directory::ViewEntry& view : process.database().directory().manifest().views) {
        if (!view.timeline) continue;
        for (const auto& index : view.timeline->indexes) indexes.insert(index.file);
        for (const auto& block : view.timeline->blocks) blocks.insert(block.file);
        for (const auto& segment : view.log) blocks.insert(segment.file);
      }
      disk = live.killed();
    }
  }
  SimulatedClock clock;
  std::unique_ptr<storage::SimulatedDisk> disk;
  Seen seen;
  std::set<std::string> ever;     // All data.
  std::set<std::string> indexes;  // Files.
  std::set<std::string> blocks;
};

/// What a process that opens `disk` at the time of `clock` sees.
Result<Seen> open_and_see(storage::SimulatedDisk& disk, SimulatedClock& clock, bool verified = true) {
  Process process(disk, clock);
  CAIRN_TRY_VOID(process.open(database::DatabaseImpl::Mode::kOpen));
  if (verified) {
    CAIRN_TRY(report, process.database().verify({}));
    EXPECT_TRUE(report.damages.empty()) << report.damages[0].to_string();
  }
  const std::vector<std::string> names = process.database().names("timeline");
  if (names.empty()) return fail(ErrorCode::kNotFound, "no timeline");
  EXPECT_EQ(names.front(), "events");
  CAIRN_TRY(opened, process.database().timeline(names.front(), {.create_if_missing = false}));
  return see(Timeline(opened));
}

Result<RepairReport> repair(storage::SimulatedDisk& disk, storage::SimulatedDisk& target, SimulatedClock& clock) {
  directory::Environment environment(clock, false);
  storage::SimulatedStorage source(disk);
  return database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(target), environment, {});
}

TEST(TimelineCare, RepairOfASoundStoreReturnsAllOfItWithItsRollbacks) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    TimelineStore store(seed, 120 + static_cast<int>(seed) * 13);
    storage::SimulatedDisk target(seed);
    const auto report = repair(*store.disk, target, store.clock);
    ASSERT_OK(report);
    EXPECT_TRUE(report->lost.empty()) << report->lost[0].to_string();
    EXPECT_EQ(report->timelines, 1U);
    const auto found = open_and_see(target, store.clock);
    ASSERT_OK(found);
    EXPECT_EQ(*found, store.seen);
    // It goes on as it was: the last rollback can be undone, and what is saved comes behind all else.
    Process process(target, store.clock);
    ASSERT_OK(process.open());
    auto opened = process.database().timeline("events", {});
    ASSERT_OK(opened);
    Timeline timeline(*opened);
    const TimelineStats stats = timeline.stats();
    EXPECT_GT(stats.lines[1].blocks, 0U);
    EXPECT_LT(stats.lines[1].last, stats.lines[0].first) << "each block has one line";
    EXPECT_LE(stats.lines[1].last.value, (*opened)->line_up()->main_after);
    EXPECT_GT(stats.lines[0].first.value, (*opened)->line_up()->main_after);
    const auto stamp = timeline.put("key1", "anew");
    ASSERT_OK(stamp);
    EXPECT_GT(stamp->value, std::get<0>(store.seen.main.back()));
    EXPECT_EQ(timeline.undo().error().code, ErrorCode::kConflict);
    ASSERT_OK(timeline.undo(true));
    const auto undone = see(timeline);
    ASSERT_OK(undone);
    const auto is_new = [&](const SaveLine& line) { return std::ranges::find(store.seen.main, line) == store.seen.main.end(); };
    EXPECT_TRUE(std::ranges::any_of(undone->main, is_new)) << "what was rolled back is there again";
    EXPECT_NE(undone->last.at("key1"), "anew");
  }
}

TEST(TimelineCare, RepairNeedsNoIndexAndNoManifest) {
  TimelineStore store(3);
  for (const std::string& name : store.indexes) store.disk->erase(name);
  {
    storage::SimulatedDisk target(1);
    const auto report = repair(*store.disk, target, store.clock);
    ASSERT_OK(report);
    EXPECT_TRUE(report->lost.empty()) << report->lost[0].to_string();
    EXPECT_EQ(*open_and_see(target, store.clock), store.seen);
  }
  for (const auto& [name, size] : store.disk->file_sizes()) {
    if (name.starts_with("manifest-")) store.disk->erase(name);
  }
  storage::SimulatedDisk target(2);
  const auto report = repair(*store.disk, target, store.clock);
  ASSERT_OK(report);
  EXPECT_EQ(report->lost.size(), 2U) << "the manifest, and what it said of the timeline";
  // What was rolled back or had expired is there again; nothing else is.
  const auto found = open_and_see(target, store.clock);
  ASSERT_OK(found);
  EXPECT_TRUE(std::ranges::includes(found->main, store.seen.main));
  for (const auto& [stamp, key, data] : found->main) EXPECT_TRUE(!data || store.ever.contains(*data));
}

TEST(TimelineCare, AnIndexThatCannotBeOpenedIsMadeAnew) {
  TimelineStore store(4);
  for (const std::string& name : store.indexes) store.disk->flip_bit(name, 100);
  for (const bool first : {true, false}) {
    Process process(*store.disk, store.clock);
    ASSERT_OK(process.open());
    auto opened = process.database().timeline("events", {});
    ASSERT_OK(opened);
    const Timeline timeline(*opened);
    const auto seen = see(timeline);
    ASSERT_OK(seen);
    EXPECT_EQ(*seen, store.seen);
    EXPECT_EQ(timeline.stats().open_reports.size(), first ? store.indexes.size() : 0);
    const Result<VerifyReport> report = process.database().verify({});
    ASSERT_OK(report);
    EXPECT_TRUE(report->damages.empty()) << report->damages[0].to_string();
  }
}

TEST(TimelineCare, AfterTenRandomDamagesRepairReturnsEverySaveWhoseBytesAreIntact) {
  std::uint64_t returned = 0;
  for (std::uint64_t seed = 1; seed <= sample(60, 1000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TimelineStore store(seed % 7, 120 + static_cast<int>(seed % 7) * 20);
    Random random(seed);
    std::map<std::string, Bytes> before;
    for (const std::string& name : store.blocks) before[name] = store.disk->contents(name);
    for (int i = 0; i < 10; ++i) {
      const auto sizes = store.disk->file_sizes();
      auto file = sizes.begin();
      std::advance(file, random.below(sizes.size()));
      if (file->second == 0 || file->first.starts_with("lease")) continue;
      switch (random.below(8)) {
        case 0: store.disk->erase(file->first); break;
        case 1: store.disk->truncate(file->first, random.below(file->second)); break;
        default: store.disk->flip_bit(file->first, random.below(file->second * 8));
      }
    }
    const auto sizes = store.disk->file_sizes();
    const auto intact = [&](const std::string& key, const std::string& data) {
      return std::ranges::any_of(before, [&](const auto& file) {
        const auto& [name, bytes] = file;
        const std::size_t at = bytes.find(key + data);
        if (at == std::string::npos || !sizes.contains(name)) return false;
        const std::size_t begin = at - 48;  // A header and an account.
        const std::size_t length = round_up(at + key.size() + data.size(), 8) - begin;
        const Bytes now = store.disk->contents(name);
        return now.size() >= begin + length && now.substr(begin, length) == bytes.substr(begin, length);
      });
    };
    storage::SimulatedDisk target(seed);
    const auto report = repair(*store.disk, target, store.clock);
    ASSERT_OK(report);
    const auto found = report->timelines == 0 ? Seen{} : open_and_see(target, store.clock).value_or(Seen{});
    bool complete = true;
    for (const SaveLine& line : store.seen.main) {
      const auto& [stamp, key, data] = line;
      const bool there = std::ranges::find(found.main, line) != found.main.end();
      complete = complete && there;
      returned += there ? 1 : 0;
      if (!there && data) {
        EXPECT_FALSE(intact(key, *data)) << key << " " << *data << " is intact and not returned";
      }
    }
    for (const auto& [stamp, key, data] : found.main)
      EXPECT_TRUE(!data || store.ever.contains(*data)) << "never saved: " << *data;
    if (!complete) {
      EXPECT_FALSE(report->lost.empty());
    }
    if (HasFailure()) return;
  }
  std::printf("%lu saves returned\n", returned);
}

TEST(TimelineCare, ACheckpointHoldsWhatWasThereWhateverTheSourceDoes) {
  TimelineStore store(5);
  Process process(*store.disk, store.clock);
  ASSERT_OK(process.open());
  auto opened = process.database().timeline("events", {});
  ASSERT_OK(opened);
  Timeline timeline(*opened);
  ASSERT_OK(timeline.put("key1", "in the log", {Durability::kKernel}));
  const auto seen = see(timeline);
  ASSERT_OK(seen);
  storage::SimulatedDisk target(5);
  ASSERT_OK(process.database().checkpoint(std::make_unique<storage::SimulatedStorage>(target), {}));
  for (int i = 0; i < 200; ++i) {
    store.clock.advance_ms(1);
    ASSERT_OK(timeline.put(key_of(i), "later"));
    if (i % 20 == 19) ASSERT_OK(timeline.close_block());
  }
  ASSERT_OK(timeline.confirm());
  ASSERT_OK(timeline.housekeep(true));
  SimulatedClock then;
  then.advance_ms(store.clock.wall_ms() - 200 - then.wall_ms());
  const auto found = open_and_see(target, then);
  ASSERT_OK(found);
  EXPECT_EQ(*found, *seen);
}

/// Each way of reading goes through other bytes: indexes by key and by time, blocks, the log.
void check_flip(storage::SimulatedDisk& disk, const std::string& file, const Seen& expected, SimulatedClock& clock,
                std::map<std::string, std::uint64_t>& outcomes) {
  const Result<Seen> found = open_and_see(disk, clock, false);
  if (found && *found == expected) {
    ++outcomes["harmless"];
  } else if (!found) {
    EXPECT_EQ(found.error().file, file) << found.error().to_string();
    EXPECT_TRUE(found.error().code == ErrorCode::kCorruption || found.error().code == ErrorCode::kUnsupported)
        << found.error().to_string();
    ++outcomes["reported"];
  } else {
    ADD_FAILURE() << "a wrong answer without a word";
  }
}

TEST(TimelineCare, EverySingleBitFlipOfAClosedStoreIsHarmlessOrReported) {
  TimelineStore store(1, 130);
  {
    Process process(*store.disk, store.clock);
    ASSERT_OK(process.open());
    ASSERT_OK(process.database().timeline("events", {}));
    ASSERT_OK(process.close());
  }
  const auto expected = open_and_see(*store.disk, store.clock);
  ASSERT_OK(expected);
  ASSERT_EQ(*expected, store.seen);
  std::vector<std::pair<std::string, std::uint64_t>> files;
  std::uint64_t bits = 0;
  for (const auto& [name, size] : store.disk->file_sizes()) {
    files.emplace_back(name, size * 8);
    bits += size * 8;
  }
  std::map<std::string, std::uint64_t> outcomes;
  Random random(7);
  const std::uint64_t flips = sample(3'000, 20'000);
  for (std::uint64_t i = 0; i < flips; ++i) {
    std::uint64_t bit = random.below(bits);
    std::size_t f = 0;
    while (bit >= files[f].second) bit -= files[f++].second;
    SCOPED_TRACE("bit " + std::to_string(bit) + " of " + files[f].first);
    const auto damaged = store.disk->killed();
    damaged->flip_bit(files[f].first, bit);
    check_flip(*damaged, files[f].first, *expected, store.clock, outcomes);
    if (HasFailure()) return;
  }
  std::printf("%lu of %lu bits: %lu reported, %lu harmless\n", flips, bits, outcomes["reported"], outcomes["harmless"]);
  EXPECT_GT(outcomes["reported"], 0U);
}

}  // namespace
}  // namespace cairn::test
