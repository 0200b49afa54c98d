// Model: for each fork a map of all it sees, copied from its parent when it is made, twice: as it is, and as a crash gives it
// back. Property: after any mix of stores by several writers, erases, accounts changed in place, freezes, purges, roots, steps of
// the collector, checkpoints that are opened elsewhere, kills and power cuts, with segments read in any order, every fork sees
// what the model says; and a purge leaves all other forks as they were before the purged one was made. A failure prints its seed;
// CAIRN_SEED=<seed> replays it step for step.
#include <algorithm>
#include <array>

#include "support/one_fork_store.h"

namespace cairn::test {
namespace {

constexpr int kSteps = 2000;
constexpr std::uint64_t kAccounts = 24;
constexpr std::size_t kForksMost = 12;

using State = std::map<Bytes, Bytes>;

struct ModelFork {
  ForkNumber parent = 0;
  bool frozen = false;
  State now;
  State synced;
};

struct ForkHistory {
  explicit ForkHistory(std::uint64_t seed)
      : random(seed),
        power_cuts(random.one_in(2)),
        on_drives(seed % 2 == 0),
        disk(std::make_unique<storage::SimulatedDisk>(random.next())) {
    model[0] = {};
    for (std::uint64_t i = 0; i < kAccounts; ++i) keys.push_back(account_key("account" + std::to_string(i)));
  }

  void open() {
    process = std::make_unique<Process>(*disk, clock);
    if (on_drives) process->drives = {"/a", "/b"};
    process->forks_tuning.load_order = random.next() | 1U;
    process->forks_tuning.slack_bytes = 4 * kKiB << random.below(3);
    process->forks_tuning.uncounted_max = random.below(100);
    process->forks_tuning.collect_bytes_max = kKiB << random.below(5);
    process->forks_tuning.unsealed_bytes_max = random.one_in(2) ? 256 * kMiB : random.below(64 * kKiB);
    process->forks_tuning.unsealed_at_close_max = random.below(8);
    ASSERT_OK(process->open());
    auto opened = process->database().forks("main", {});
    ASSERT_OK(opened);
    impl = *opened;
    store.emplace(impl);
    for (int i = 0; i < 2; ++i) writers.push_back(*store->writer());
  }
  void end() {
    writers.clear();
    store.reset();
    impl.reset();
    process.reset();
  }

  ModelFork& one_fork() {
    auto at = model.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random.below(model.size())));
    return at->second;
  }
  ForkNumber number_of(const ModelFork& fork) {
    return std::ranges::find_if(model, [&](const auto& each) { return &each.second == &fork; })->first;
  }
  [[nodiscard]] bool descends(const std::map<ForkNumber, ModelFork>& forks, ForkNumber fork, ForkNumber from) const {
    while (fork > from && fork != root) fork = forks.at(fork).parent;
    return fork == from;
  }
  Bytes value() { return std::to_string(++values) + Bytes(random.below(random.one_in(20) ? 3000 : 60), 'v'); }

  void store_some() {
    ModelFork& fork = one_fork();
    std::vector<Bytes> values_of;
    std::vector<AccountUpdate> batch;
    const std::uint64_t count = random.one_in(2) ? 1 : random.below(12);
    for (std::uint64_t i = 0; i < count; ++i) values_of.push_back(value());
    for (const Bytes& each : values_of) {
      batch.push_back({.key = keys[random.below(kAccounts)], .value = each, .erase = random.one_in(4)});
    }
    const StoreOptions options{.durability = power_cuts || random.one_in(2) ? Durability::kDisk : Durability::kKernel};
    const std::uint64_t writer = random.below(3);
    const auto stored =
        writer == 2 ? store->store(number_of(fork), batch, options) : writers[writer].store(number_of(fork), batch, options);
    if (fork.frozen) {
      ASSERT_FALSE(stored.has_value());
      ASSERT_EQ(stored.error().code, ErrorCode::kInvalidArgument);
      return;
    }
    ASSERT_OK(stored);
    for (const AccountUpdate& update : batch) {
      for (State* const state : {&fork.now, &fork.synced}) {
        if (update.erase) {
          state->erase(Bytes(update.key));
        } else {
          (*state)[Bytes(update.key)] = update.value;
        }
      }
    }
  }

  void change_in_place() {
    ModelFork& fork = one_fork();
    if (fork.frozen) return;
    const Bytes& key = keys[random.below(kAccounts)];
    auto account = store->get_mut(number_of(fork), key);
    ASSERT_OK(account);
    const auto found = fork.now.find(key);
    ASSERT_EQ(account->has_value(), found != fork.now.end());
    if (!account->has_value()) return;
    const std::span<char> bytes = (*account)->bytes();
    ASSERT_EQ(ByteView(bytes.data(), bytes.size()), found->second);
    bytes[random.below(bytes.size())] = 'c';
    found->second.assign(bytes.begin(), bytes.end());
  }

  void create() {
    if (model.size() >= kForksMost) return;
    ModelFork& parent = one_fork();
    const ForkNumber number = next_fork + random.below(3);
    ASSERT_OK(store->create_fork(number, number_of(parent)));
    next_fork = number + 1;
    parent.frozen = true;
    parent.synced = parent.now;
    model[number] = {.parent = number_of(parent), .now = parent.now, .synced = parent.now};
  }
  void freeze() {
    ModelFork& fork = one_fork();
    const bool freezes = random.one_in(3);
    ASSERT_OK(freezes ? store->freeze(number_of(fork)) : store->sync(number_of(fork)));
    fork.frozen = fork.frozen || freezes;
    fork.synced = fork.now;
  }
  void purge() {
    const ForkNumber number = number_of(one_fork());
    if (number == root) return;
    ASSERT_OK(store->purge(number));
    const auto before = model;
    std::erase_if(model, [&](const auto& each) { return descends(before, each.first, number); });
    // The next one may have the number of one that was.
    next_fork = random.one_in(2) ? std::max(next_fork, number) : model.rbegin()->first + 1;
  }
  void set_root() {
    const ForkNumber number = number_of(one_fork());
    ASSERT_OK(store->set_root(number));
    if (number == root) return;
    model.at(number).synced = model.at(number).now;
    const auto before = model;
    std::erase_if(model, [&](const auto& each) { return !descends(before, each.first, number); });
    root = number;
    next_fork = std::max(next_fork, root + 1);
  }
  void reopen() {
    const std::uint64_t how = random.below(3);
    std::optional<std::uint64_t> live_bytes;
    if (how == 0) {
      for (auto& [number, fork] : model) {
        ASSERT_OK(store->sync(number));
        fork.synced = fork.now;
      }
      process->run_jobs();  // close() ends what waits, and a collector then forgets erases, which count until then.
      ASSERT_OK(impl->collect());
      live_bytes = store->stats().live_bytes;
      writers.clear();
      ASSERT_OK(process->close());
      end();
    } else {
      auto next = power_cuts ? disk->crashed(random.next()) : disk->killed();
      end();
      disk = std::move(next);
      for (auto& [number, fork] : model) fork.now = fork.synced;
    }
    open();
    if (!live_bytes) return;
    ASSERT_EQ(store->stats().live_bytes, *live_bytes) << "what is stale was not counted as it is";
  }
  void collect() {
    if (random.one_in(2)) ASSERT_OK(impl->seal_index());
    if (random.one_in(2)) ASSERT_OK(impl->end_logs());
    ASSERT_OK(impl->collect());
  }
  void checkpoint() {
    storage::SimulatedDisk other(1);
    ASSERT_OK(process->database().checkpoint(std::make_unique<storage::SimulatedStorage>(other), {}));
    Process second(other, clock);
    ASSERT_OK(second.open());
    const auto copy = second.database().forks("main", {.create_if_missing = false});
    ASSERT_OK(copy);
    expect_equal(ForkStore(*copy), &ModelFork::synced);
  }

  void expect_equal(const ForkStore& of, State ModelFork::* state) {
    const std::vector<ForkInfo> forks = of.list();
    ASSERT_EQ(forks.size(), model.size());
    const std::vector<ByteView> views(keys.begin(), keys.end());
    for (const ForkInfo& info : forks) {
      ASSERT_TRUE(model.contains(info.number)) << info.number;
      const ModelFork& fork = model.at(info.number);
      ASSERT_EQ(info.frozen, fork.frozen) << info.number;
      ASSERT_EQ(info.parent, info.number == root ? root : fork.parent) << info.number;
      const auto values_of = of.load_many(info.number, views);
      ASSERT_OK(values_of);
      for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto found = (fork.*state).find(keys[i]);
        const auto& value = (*values_of)[i];
        ASSERT_EQ(value.has_value(), found != (fork.*state).end()) << "fork " << info.number << " account " << i;
        if (!value) continue;
        ASSERT_EQ(value->view(), found->second) << "fork " << info.number << " account " << i;
      }
    }
  }

  /// Walks find what loads do.
  void walk() {
    const ModelFork& a = one_fork();
    const ModelFork& b = one_fork();
    State found;
    ASSERT_OK(store->scan(number_of(a), [&](ByteView key, const Pinned& value) -> Result<void> {
      EXPECT_TRUE(found.emplace(key, value.view()).second) << "an account twice";
      return {};
    }));
    ASSERT_EQ(found, a.now);
    std::map<Bytes, std::pair<std::optional<Bytes>, std::optional<Bytes>>> differences;
    const auto copy = [](const std::optional<Pinned>& value) {
      return value ? std::optional<Bytes>(value->view()) : std::nullopt;
    };
    ASSERT_OK(
        store->diff(number_of(a), number_of(b),
                    [&](ByteView key, const std::optional<Pinned>& in_a, const std::optional<Pinned>& in_b) -> Result<void> {
                      EXPECT_TRUE(differences.emplace(key, std::pair(copy(in_a), copy(in_b))).second);
                      return {};
                    }));
    const auto value_in = [](const State& state, const Bytes& key) {
      const auto at = state.find(key);
      return at == state.end() ? std::nullopt : std::optional<Bytes>(at->second);
    };
    for (const Bytes& key : keys) {
      const std::pair expected(value_in(a.now, key), value_in(b.now, key));
      ASSERT_EQ(differences.contains(key), expected.first != expected.second);
      ASSERT_TRUE(!differences.contains(key) || differences[key] == expected);
    }
    const auto hash_a = store->state_hash(number_of(a));
    const auto hash_b = store->state_hash(number_of(b));
    ASSERT_OK(hash_a);
    ASSERT_OK(hash_b);
    ASSERT_EQ(*hash_a == *hash_b, a.now == b.now);
  }

  void run(int steps) {
    open();
    for (int step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const std::uint64_t dice = random.below(100);
      if (dice < 45) {
        store_some();
      } else if (dice < 60) {
        change_in_place();
      } else if (dice < 70) {
        create();
      } else if (dice < 75) {
        freeze();
      } else if (dice < 80) {
        purge();
      } else if (dice < 83) {
        set_root();
      } else if (dice < 86) {
        reopen();
      } else if (dice < 89) {
        collect();
      } else if (dice < 90) {
        checkpoint();
      } else if (dice < 91) {
        walk();
      } else {
        process->run_jobs();
      }
      if (testing::Test::HasFatalFailure()) return;
      expect_equal(*store, &ModelFork::now);
    }
    ASSERT_TRUE(store->stats().job_errors.empty()) << store->stats().job_errors.front();
    const auto report = process->database().verify({});
    ASSERT_OK(report);
    ASSERT_TRUE(report->damages.empty()) << report->damages.front().to_string();
    end();
  }

  Random random;
  const bool power_cuts;
  const bool on_drives;
  std::unique_ptr<storage::SimulatedDisk> disk;
  SimulatedClock clock;
  std::unique_ptr<Process> process;
  std::shared_ptr<forks::ForkStoreImpl> impl;
  std::optional<ForkStore> store;
  std::vector<ForkWriter> writers;
  std::vector<Bytes> keys;
  std::map<ForkNumber, ModelFork> model;
  ForkNumber root = 0;
  ForkNumber next_fork = 1;
  std::uint64_t values = 0;
};

TEST(ForkStoreModel, EveryForkReadsLikeAMapOfItsOwn) {
  for (const std::uint64_t seed : seeds_to_run(sample(60, 1000))) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    ForkHistory history(seed);
    history.run(kSteps);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace cairn::test
