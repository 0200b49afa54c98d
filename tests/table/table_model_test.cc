// Model: the list of all writes in order, and a std::map of what they amount to. Property: after any mix of puts, erases,
// batches, snapshots, flushes, compactions of random layers, crashes and reopens the table reads as the model does.
// After a crash the table is the model after the first n writes, for an n not below the last write that was acknowledged
// as kDisk: one log, so what survives is a prefix.
// Keys are few on purpose: overwrites and tombstones are where LSM trees go wrong.
// A failure prints its seed; CAIRN_SEED=<seed> replays it step for step.
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

constexpr int kSteps = 2000;
constexpr std::uint64_t kKeys = 60;

struct History {
  explicit History(std::uint64_t seed) : random(seed), disk(std::make_unique<storage::SimulatedDisk>(random.next())) {}

  using Change = std::vector<std::pair<std::string, std::optional<std::string>>>;
  struct Taken {
    Snapshot snapshot;
    Model model;
  };

  std::string key() {
    const std::uint64_t n = random.below(kKeys);
    // Short, shared and long prefixes; some keys begin others.
    if (n % 4 == 0) return "k" + std::to_string(n);
    if (n % 4 == 1) return "{7}account:" + std::to_string(n);
    if (n % 4 == 2) return std::string("k\0\xff", 3) + std::to_string(n / 8);
    return "a-rather-long-common-prefix-" + std::to_string(n);
  }
  std::string value() {
    std::string bytes(random.one_in(20) ? random.below(1500) : random.below(40), 'v');
    for (char& c : bytes) c = static_cast<char>('a' + random.below(4));
    return bytes;
  }
  static void apply(Model& model, const Change& change) {
    for (const auto& [key, value] : change) {
      if (value) {
        model[key] = *value;
      } else {
        model.erase(key);
      }
    }
  }

  void open() {
    process = std::make_unique<Process>(*disk, clock);
    ASSERT_OK(process->open(database::DatabaseImpl::Mode::kOpenOrCreate, small_tuning(), options));
  }
  void write(std::size_t count) {
    Change change;
    Batch batch;
    for (std::size_t i = 0; i < count; ++i) {
      change.emplace_back(key(), random.one_in(4) ? std::nullopt : std::optional(value()));
      const auto& [k, v] = change.back();
      if (v) {
        batch.put(k, *v);
      } else {
        batch.erase(k);
      }
    }
    const bool durable = random.one_in(3);
    ASSERT_OK(process->table().write(batch, {.durability = durable ? Durability::kDisk : Durability::kKernel}));
    apply(model, change);
    writes.push_back(std::move(change));
    if (durable) acknowledged = writes.size();
  }
  void crash() {
    snapshots.clear();
    const bool power_cut = random.one_in(2);
    auto next = power_cut ? disk->crashed(random.next()) : disk->killed();
    process.reset();
    disk = std::move(next);
    open();
    if (testing::Test::HasFatalFailure()) return;
    const Result<Model> found = scan_all(process->table());
    ASSERT_OK(found);
    // Which prefix is it? The longest that fits, as later changes may cancel out.
    std::size_t n = power_cut ? acknowledged : writes.size();
    Model prefix;
    for (std::size_t i = 0; i < n; ++i) apply(prefix, writes[i]);
    std::optional<std::size_t> match;
    for (; n <= writes.size(); ++n) {
      if (prefix == *found) {
        match = n;
        model = prefix;
      }
      if (n < writes.size()) apply(prefix, writes[n]);
    }
    ASSERT_TRUE(match.has_value()) << "no prefix of the writes from " << acknowledged << " on";
    writes.resize(*match);
    acknowledged = writes.size();  // Read after an open: durable from now on.
  }
  void check_reads() {
    const std::string k = key();
    const auto hit = process->table().get(k);
    ASSERT_OK(hit);
    const auto expected = model.find(k);
    ASSERT_EQ(hit->has_value(), expected != model.end()) << k;
    if (hit->has_value()) {
      ASSERT_EQ((*hit)->view(), expected->second) << k;
    }
  }
  void check_scan(const Model& expected, const Snapshot& snapshot) {
    Range range{random.one_in(2) ? key() : "", random.one_in(2) ? key() : ""};
    const bool reverse = random.one_in(2);
    const std::uint64_t limit = random.one_in(3) ? 1 + random.below(5) : 0;
    std::vector<std::pair<std::string, std::string>> wanted;
    for (const auto& entry : expected) {
      if (entry.first >= range.from && (range.to.empty() || entry.first < range.to)) wanted.push_back(entry);
    }
    if (reverse) std::reverse(wanted.begin(), wanted.end());
    if (limit != 0 && wanted.size() > limit) wanted.resize(limit);
    std::vector<std::pair<std::string, std::string>> found;
    Scan scan = process->table().scan(range, reverse ? Direction::kReverse : Direction::kForward, limit, snapshot);
    for (const auto entry : scan) {
      found.emplace_back(entry.key, entry.value);
      if (random.one_in(50)) process->run_jobs();  // Flushed and compacted under the open scan.
    }
    ASSERT_OK(scan.status());
    ASSERT_EQ(found, wanted);
  }
  void step() {
    const std::uint64_t dice = random.below(100);
    clock.advance_ms(static_cast<std::int64_t>(random.below(30)));
    if (dice < 60) {
      write(1);
    } else if (dice < 75) {
      write(1 + random.below(8));
    } else if (dice < 79) {
      if (snapshots.size() < 4) snapshots.push_back({process->table().snapshot(), model});
    } else if (dice < 82) {
      if (!snapshots.empty()) snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(random.below(snapshots.size())));
    } else if (dice < 85) {
      ASSERT_OK(process->table().flush());
    } else if (dice < 88) {
      const std::size_t layers = process->impl().layer_count();
      if (layers != 0) {
        const std::size_t first = random.below(layers);
        ASSERT_OK(process->impl().compact_layers(first, 1 + random.below(layers - first)));
      }
    } else if (dice < 90) {
      process->run_jobs();
    } else if (dice < 96) {
      check_scan(model, kNow);
      if (!snapshots.empty()) {
        const Taken& taken = snapshots[random.below(snapshots.size())];
        check_scan(taken.model, taken.snapshot);
      }
    } else if (dice == 96 && random.one_in(4)) {
      ASSERT_OK(process->table().compact());
    } else if (dice == 97) {
      snapshots.clear();
      ASSERT_OK(process->close());
      process.reset();
      open();
      acknowledged = writes.size();
    } else if (dice == 98) {
      crash();
    }
    if (testing::Test::HasFatalFailure()) return;
    check_reads();
  }

  Random random;
  SimulatedClock clock;
  std::unique_ptr<storage::SimulatedDisk> disk;
  std::unique_ptr<Process> process;
  TableOptions options = small_options();
  Model model;
  std::vector<Change> writes;
  std::size_t acknowledged = 0;  // So many writes must survive.
  std::vector<Taken> snapshots;
};

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  History history(seed);
  history.options.compression = static_cast<Compression>(seed % 3);
  history.open();
  for (int step = 0; step < kSteps; ++step) {
    if (testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE("step " + std::to_string(step));
    history.step();
  }
  const Result<Model> found = scan_all(history.process->table());
  ASSERT_OK(found);
  EXPECT_EQ(*found, history.model);
  const Result<VerifyReport> report = history.process->database().verify({});
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty()) << report->damages[0].to_string();
  history.snapshots.clear();
}

TEST(TableModel, ReadsLikeAMapAcrossCrashes) {
  for (const std::uint64_t seed : seeds_to_run(sample(200, 1000))) {
    run_history(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace cairn::test
