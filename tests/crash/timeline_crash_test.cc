// The power is cut at every single I/O of a scripted run over a timeline in which blocks close and are joined, expire (M to A),
// are taken up (A to B, and B becomes A), and rollbacks are made, undone and confirmed, with several choices of what survived.
// After each cut: the database opens; the timeline is the state after the first n acts, for an n not below the last that was
// durable when it returned; and what an open has once served is still there after the next cut.
#include <gtest/gtest.h>

#include "support/timeline_model.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

constexpr std::int64_t kTimeoutMs = 300;
constexpr int kKeys = 12;

std::string key_of(int n) { return "key" + std::to_string(n % kKeys); }

TimelineOptions script_options() {
  return {.timeout = std::chrono::milliseconds(kTimeoutMs),
          .expired = Expired::kPersist,
          .block_keys_max = 6,
          .block_bytes_max = 8 * kKiB,
          .block_span_max = std::chrono::milliseconds(40)};
}

struct Acts {
  std::vector<TimelineModel> states;  // After each act, the first before any.
  std::size_t durable = 0;

  void add(const TimelineModel& state, bool is_durable) {
    states.push_back(state);
    if (is_durable) durable = states.size() - 1;
  }
};

/// Everything that readers of `timeline` see.
struct Seen {
  std::map<std::string, std::optional<std::string>> last;
  std::vector<std::pair<std::string, std::optional<std::string>>> main;  // In order of time.
  bool operator==(const Seen&) const = default;
  void set_main(std::vector<SaveLine> lines) {
    std::ranges::sort(lines);
    for (auto& [stamp, key, data] : lines) main.emplace_back(key, data);
  }
};

Result<Seen> see(const Timeline& timeline) {
  Seen seen;
  std::vector<SaveLine> main;
  for (int i = 0; i < kKeys; ++i) {
    const auto hit = timeline.get(key_of(i));
    CAIRN_TRY_VOID(hit);
    std::optional<std::string>& last = seen.last[key_of(i)];
    if (*hit) last = Bytes((*hit)->view());
    CAIRN_TRY(lines, lines_of(timeline.history(key_of(i))));
    main.insert(main.end(), lines.begin(), lines.end());
  }
  seen.set_main(std::move(main));
  return seen;
}

Seen wanted(TimelineModel model, std::uint64_t main_after, std::int64_t wall_ms) {
  model.main_after = main_after;
  Seen seen;
  for (int i = 0; i < kKeys; ++i) seen.last[key_of(i)] = model.get(key_of(i), wall_ms);
  std::vector<SaveLine> main;
  for (int i = 0; i < kKeys; ++i) {
    const std::vector<SaveLine> lines = model.list(key_of(i), true, 0, ~std::uint64_t{0}, wall_ms);
    main.insert(main.end(), lines.begin(), lines.end());
  }
  seen.set_main(std::move(main));
  return seen;
}

struct Checker {
  std::uint64_t crashes = 0;

  static std::optional<std::size_t> open_and_match(storage::SimulatedDisk& disk, const Acts& acts, std::size_t from,
                                                   std::size_t to, std::int64_t wall_ms) {
    SimulatedClock clock;
    clock.advance_ms(wall_ms - clock.wall_ms());
    Process process(disk, clock);
    EXPECT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate));
    if (testing::Test::HasFailure()) return std::nullopt;
    std::optional<std::size_t> match;
    {
      const auto opened = process.database().timeline("main", script_options());
      EXPECT_OK(opened);
      if (!opened) return std::nullopt;
      const Timeline timeline(*opened);
      const auto seen = see(timeline);
      EXPECT_OK(seen);
      if (!seen) return std::nullopt;
      for (std::size_t n = to + 1; n-- > from && !match;) {
        if (wanted(acts.states[n], (*opened)->line_up()->main_after, wall_ms) == *seen) match = n;
      }
    }
    EXPECT_TRUE(match.has_value()) << "not a state between act " << from << " and " << to;
    return match;
  }

  void check(const storage::SimulatedDisk& at, const Acts& acts, std::uint64_t seed, std::int64_t wall_ms) {
    ++crashes;
    const auto disk = at.crashed(seed);
    const auto served = open_and_match(*disk, acts, acts.durable, acts.states.size() - 1, wall_ms);
    if (!served) return;
    // What was served must survive the next cut, at whatever state the opener has left the disk.
    const auto again = disk->crashed(seed + 1);
    ++crashes;
    EXPECT_EQ(open_and_match(*again, acts, *served, *served, wall_ms), served) << "taken back after it was read";
  }
};

struct Script {
  explicit Script(std::uint64_t seed) : disk(seed) {
    model.timeout_ms = kTimeoutMs;
    model.persist = true;
    acts.add(model, true);
  }
  void save(Timeline& timeline, int i) {
    SaveOptions options;
    options.durability = i % 3 == 0 ? Durability::kDisk : Durability::kKernel;
    Saves batch;
    std::map<std::string, TimelineModel::Save> made;
    if (i == 25 || i == 70) {
      batch.erase_all();
      made[""] = {.key = "", .data = {}};
    }
    for (int j = 0; j < (i % 5 == 4 ? 3 : 1); ++j) {
      TimelineModel::Save one{.key = key_of(i * 5 + j * 7), .data = {}};
      const auto last = model.last_save(one.key);
      if ((i + j) % 6 == 5) {
        batch.erase(one.key);
      } else if ((i + j) % 6 == 2 && !made.contains(one.key) && !made.contains("") && model.is_there(last, clock.wall_ms())) {
        one.changed = last->stamp;
        one.data = "";
        one.expiry_ms = clock.wall_ms() + (i % 2 == 0 ? 0 : 1'000'000);
        batch.set_expiry(one.key, Time(std::chrono::milliseconds(one.expiry_ms)));
      } else {
        one.data = std::to_string(i) + std::string(static_cast<std::size_t>(20 + i * 137 % 900), 'x');
        batch.put(one.key, *one.data);
      }
      made[one.key] = one;
    }
    // It may be on disk before the call returns. Its stamp may be a little greater then: that of a block that ended meanwhile.
    const TimelineModel before = model;
    const auto take = [&](std::uint64_t stamp) {
      model = before;
      for (auto& [key, one] : made) {
        one.stamp = stamp;
        model.saves.push_back(one);
      }
      model.last_stamp = stamp;
    };
    take(std::max(model.last_stamp + 1, first_of_ms(clock.wall_ms())));
    acts.add(model, false);
    const auto stamp = timeline.write(batch, options);
    ASSERT_OK(stamp);
    ASSERT_EQ(ms_of(stamp->value), ms_of(model.last_stamp));
    take(stamp->value);
    acts.states.back() = model;
    if (options.durability == Durability::kDisk) acts.durable = acts.states.size() - 1;
  }
  void roll_back(Timeline& timeline, std::size_t saves_back) {
    const std::uint64_t to = model.saves[model.saves.size() - 1 - saves_back].stamp;
    model.rollbacks.push_back({.to = to, .until = model.last_stamp, .undo_until_ms = clock.wall_ms() + 1'000'000});
    acts.add(model, false);
    ASSERT_OK(timeline.rollback(Stamp{to}, {.force = true}));
    acts.durable = acts.states.size() - 1;
  }
  void undo(Timeline& timeline) {
    const TimelineModel::Rollback last = model.rollbacks.back();
    model.rollbacks.back().undone = true;
    if (model.last_stamp > last.until) model.rollbacks.push_back({.to = last.until, .until = model.last_stamp});
    acts.add(model, false);
    ASSERT_OK(timeline.undo(true));
    acts.durable = acts.states.size() - 1;
  }
  void act(Process& process, Timeline& timeline, int i) {
    clock.advance_ms(3 + i % 4);
    save(timeline, i);
    if (testing::Test::HasFatalFailure()) return;
    if (i % 4 == 3) process.run_jobs();
    if (i % 11 == 10) ASSERT_OK(timeline.housekeep());
    if (i == 40) ASSERT_OK(timeline.housekeep(true));
    if (i == 30 || i == 60 || i == 75) roll_back(timeline, static_cast<std::size_t>(i % 7 + 3));
    if (i == 34 || i == 78) undo(timeline);
    if (i == 66) ASSERT_OK(timeline.confirm());
    if (i == 90) clock.advance_ms(400);
    if (i == 95) ASSERT_OK(timeline.housekeep(true));
  }

  storage::SimulatedDisk disk;
  SimulatedClock clock;
  TimelineModel model;
  Acts acts;
};

TEST(TimelineCrashEnumeration, EveryIoOfARun) {
  for (std::uint64_t seed = 1; seed <= sample(1, 5); ++seed) {
    Script script(seed);
    Checker checker;
    std::uint64_t crash_points = 0;
    script.disk.set_hook([&](storage::Io, const std::string& name, std::uint64_t number) -> Result<void> {
      if (testing::Test::HasFailure()) return {};
      ++crash_points;
      SCOPED_TRACE("crash at I/O " + std::to_string(number) + " " + name);
      const auto subsets = sample(3, 8);
      for (std::uint64_t subset = 0; subset < subsets; ++subset) {
        aside([&] { checker.check(script.disk, script.acts, seed * 1000003 + number * 16 + subset, script.clock.wall_ms()); });
      }
      return {};
    });
    Process process(script.disk, script.clock);
    process.timeline_tuning.indexes_in_burst = 0;
    ASSERT_OK(process.open());
    auto opened = process.database().timeline("main", script_options());
    ASSERT_OK(opened);
    {
      Timeline timeline(*std::move(opened));
      for (int i = 0; i < 100 && !testing::Test::HasFailure(); ++i) script.act(process, timeline, i);
      EXPECT_GE(timeline.stats().cycles, 2U);
      EXPECT_GE(timeline.stats().blocks_expired, 5U);
    }
    opened->reset();
    ASSERT_OK(process.close());
    std::printf("%lu crash points, %lu crashes\n", crash_points, checker.crashes);
  }
}

}  // namespace
}  // namespace cairn::test
