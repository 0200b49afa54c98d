// The power is cut at every single I/O of a scripted run over a fork store in which forks are made, frozen, purged and rooted,
// accounts stored by two writers, changed in place and synced, and segments collected, with several choices of what survived.
// After each cut: the database opens; the store is the state after the first n acts, for an n not below the last that was durable
// when it returned; and what an open has once served is still there after the next cut. And: every bit of a small store, flipped,
// is reported or harmless.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/one_fork_store.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

constexpr int kAccountsUsed = 8;
Bytes key_of(int n) { return account_key("account" + std::to_string(n % kAccountsUsed)); }

struct ForkSeen {
  ForkNumber parent = 0;
  bool frozen = false;
  std::map<Bytes, Bytes> accounts;
  bool operator==(const ForkSeen&) const = default;
};
using Seen = std::map<ForkNumber, ForkSeen>;

Result<Seen> see(const ForkStore& store) {
  Seen seen;
  for (const ForkInfo& fork : store.list()) {
    ForkSeen& of = seen[fork.number];
    of.parent = fork.parent;
    of.frozen = fork.frozen;
    for (int i = 0; i < kAccountsUsed; ++i) {
      CAIRN_TRY(value, store.load(fork.number, key_of(i)));
      if (value) of.accounts[key_of(i)] = value->view();
    }
  }
  return seen;
}

struct Acts {
  std::vector<Seen> states;  // After each act, the first before any.
  std::size_t durable = 0;
};

struct Checker {
  std::uint64_t crashes = 0;

  static std::optional<std::size_t> open_and_match(storage::SimulatedDisk& disk, const Acts& acts, std::size_t from,
                                                   std::size_t to) {
    SimulatedClock clock;
    Process process(disk, clock);
    EXPECT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate));
    if (testing::Test::HasFailure()) return std::nullopt;
    std::optional<std::size_t> match;
    {
      const auto opened = process.database().forks("main", {});
      EXPECT_OK(opened);
      if (!opened) return std::nullopt;
      const auto seen = see(ForkStore(*opened));
      EXPECT_OK(seen);
      if (!seen) return std::nullopt;
      for (std::size_t n = to + 1; n-- > from && !match;) {
        if (acts.states[n] == *seen) match = n;
      }
    }
    EXPECT_TRUE(match.has_value()) << "not a state between act " << from << " and " << to;
    return match;
  }

  void check(const storage::SimulatedDisk& at, const Acts& acts, std::uint64_t seed) {
    ++crashes;
    const auto disk = at.crashed(seed);
    const auto served = open_and_match(*disk, acts, acts.durable, acts.states.size() - 1);
    if (!served) return;
    const auto again = disk->crashed(seed + 1);
    ++crashes;
    EXPECT_EQ(open_and_match(*again, acts, *served, *served), served) << "taken back after it was read";
  }
};

struct Script {
  explicit Script(std::uint64_t seed) : disk(seed) { acts.states.push_back({{0, {}}}); }

  void will_be(const std::function<void(Seen&)>& change) {
    Seen next = acts.states.back();
    change(next);
    acts.states.push_back(std::move(next));
  }
  void done() { acts.durable = acts.states.size() - 1; }

  void store_some(int i) {
    std::vector<Bytes> keys;
    std::vector<Bytes> values;
    for (int j = 0; j < (i % 4 == 3 ? 3 : 1); ++j) {
      keys.push_back(key_of(i * 5 + j * 3));
      values.push_back(std::to_string(i) + Bytes(static_cast<std::size_t>(i * 137 % 500), 'x'));
    }
    std::vector<AccountUpdate> batch;
    for (std::size_t j = 0; j < keys.size(); ++j) batch.push_back({.key = keys[j], .value = values[j], .erase = i % 7 == 6});
    will_be([&](Seen& next) {
      for (const AccountUpdate& update : batch) {
        if (update.erase) next[tip].accounts.erase(Bytes(update.key));
        if (!update.erase) next[tip].accounts[Bytes(update.key)] = update.value;
      }
    });
    for (const Bytes& key : keys) changed.erase(key);
    ASSERT_OK(i % 2 == 0 ? store->store(tip, batch) : writer->store(tip, batch));
    done();
  }
  void change(int i) {
    auto account = store->get_mut(tip, key_of(i));
    ASSERT_OK(account);
    if (!account->has_value()) return;
    const std::span<char> bytes = (*account)->bytes();
    bytes[0] = 'c';
    changed[key_of(i)] = Bytes(bytes.begin(), bytes.end());
  }
  /// What was changed in place is on disk before anything else of a freeze and the like.
  void will_be_synced() {
    will_be([&](Seen& next) {
      for (const auto& [key, value] : changed) next[tip].accounts[key] = value;
    });
    changed.clear();
  }
  void act(int i) {
    store_some(i);
    if (testing::Test::HasFatalFailure()) return;
    if (i % 3 == 1) change(i);
    if (i % 9 == 4) {
      will_be_synced();
      ASSERT_OK(store->sync(tip));
      done();
    }
    if (i % 9 == 8) {  // Two children: one goes on, the other is abandoned.
      will_be_synced();
      const ForkNumber parent = tip;
      for (const ForkNumber fork : {next_fork, next_fork + 1}) {
        will_be([&](Seen& next) {
          next[parent].frozen = true;
          next[fork] = {.parent = parent, .accounts = next[parent].accounts};
        });
        ASSERT_OK(store->create_fork(fork, parent));
        done();
      }
      tip = next_fork + 1;
      will_be([&](Seen& next) { next[next_fork].accounts[key_of(0)] = "abandoned"; });
      ASSERT_OK(store->store(next_fork, key_of(0), "abandoned"));
      done();
      next_fork += 2;
    }
    if (i % 27 == 20) {
      const ForkNumber abandoned = next_fork - 2;
      will_be([&](Seen& next) { next.erase(abandoned); });
      ASSERT_OK(store->purge(abandoned));
      done();
    }
    if (i % 27 == 26) {
      will_be_synced();
      will_be([&](Seen& next) {
        std::erase_if(next, [&](const auto& each) { return each.first != tip; });
        next[tip].parent = tip;
      });
      ASSERT_OK(store->set_root(tip));
      done();
    }
    if (i % 20 == 13) ASSERT_OK(impl->end_logs());
    if (i % 20 == 15) ASSERT_OK(impl->collect());
    if (i % 20 == 9) ASSERT_OK(impl->seal_index());
    if (i % 5 == 2) process->run_jobs();
  }

  storage::SimulatedDisk disk;
  SimulatedClock clock;
  Process* process = nullptr;
  std::shared_ptr<forks::ForkStoreImpl> impl;
  std::optional<ForkStore> store;
  std::optional<ForkWriter> writer;
  Acts acts;
  ForkNumber tip = 0;
  ForkNumber next_fork = 1;
  std::map<Bytes, Bytes> changed;
};

TEST(ForksCrashEnumeration, EveryIoOfARun) {
  for (std::uint64_t seed = 1; seed <= sample(2, 6); ++seed) {
    Script script(seed);
    Checker checker;
    std::uint64_t crash_points = 0;
    script.disk.set_hook([&](storage::Io, const std::string& name, std::uint64_t number) -> Result<void> {
      if (testing::Test::HasFailure()) return {};
      ++crash_points;
      SCOPED_TRACE("crash at I/O " + std::to_string(number) + " " + name);
      const auto subsets = sample(3, 8);
      for (std::uint64_t subset = 0; subset < subsets; ++subset) {
        aside([&] { checker.check(script.disk, script.acts, seed * 1000003 + number * 16 + subset); });
      }
      return {};
    });
    Process process(script.disk, script.clock);
    if (seed % 2 == 0) process.drives = {"/a", "/b"};  // Those who open it after a crash find them in the manifest.
    ASSERT_OK(process.open());
    script.process = &process;
    auto opened = process.database().forks("main", {});
    ASSERT_OK(opened);
    script.impl = *opened;
    script.store.emplace(*opened);
    script.writer.emplace(*script.store->writer());
    for (int i = 0; i < 120 && !testing::Test::HasFailure(); ++i) script.act(i);
    EXPECT_GE(script.store->stats().segments_reclaimed, 5U);
    if (testing::Test::HasFailure()) return;
    script.writer.reset();
    script.store.reset();
    script.impl.reset();
    opened->reset();
    script.acts.states.push_back(script.acts.states.back());
    for (const auto& [key, value] : script.changed) script.acts.states.back()[script.tip].accounts[key] = value;
    ASSERT_OK(process.close());
    std::printf("%lu crash points, %lu crashes\n", crash_points, checker.crashes);
  }
}

TEST(BitFlip, AForkStore) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Seen expected;
  {
    Process process(disk, clock);
    ASSERT_OK(process.open());
    const auto opened = process.database().forks("main", {});
    ASSERT_OK(opened);
    ForkStore store(*opened);
    ASSERT_OK(store.store(0, key_of(0), "zero"));
    ASSERT_OK(store.create_fork(1, 0));
    ASSERT_OK(store.create_fork(2, 0));
    ASSERT_OK(store.create_fork(3, 1));
    const Bytes one = key_of(1);
    const Bytes two = key_of(2);
    ASSERT_OK(store.store(3, std::vector<AccountUpdate>{{.key = one, .value = "one"}, {.key = two, .value = "two"}}));
    ASSERT_OK(store.store(2, key_of(0), "two"));
    ASSERT_OK(store.purge(2));
    ASSERT_OK(store.erase(3, key_of(0)));
    const auto seen = see(store);
    ASSERT_OK(seen);
    expected = *seen;
  }
  const auto clean = disk.killed();
  std::uint64_t reported = 0;
  for (const auto& [name, size] : clean->file_sizes()) {
    const std::uint64_t bits = size * 8;
    const std::uint64_t step = std::max<std::uint64_t>(1, bits / sample(3000, 30'000));
    for (std::uint64_t bit = 0; bit < bits; bit += step) {
      SCOPED_TRACE("bit " + std::to_string(bit) + " of " + name);
      const auto damaged = clean->killed();
      damaged->flip_bit(name, bit);
      Process process(*damaged, clock);
      const Result<void> open = process.open(database::DatabaseImpl::Mode::kOpen);
      auto opened = open ? process.database().forks("main", {}) : std::unexpected(open.error());
      Result<Seen> found = opened ? see(ForkStore(*opened)) : std::unexpected(opened.error());
      if (found) {
        ASSERT_EQ(*found, expected) << "a wrong answer without a word";
      } else {
        ASSERT_EQ(found.error().file, name) << found.error().to_string();
        ++reported;
      }
    }
  }
  EXPECT_GT(reported, 300U);
}

}  // namespace
}  // namespace cairn::test
