// Model: the list of all writes in order, and a std::map for each family of what they amount to. Property: after any mix
// of puts, erases, range erases, batches over several families and ingested files, snapshots, flushes, compactions of random
// layers, jobs that stop half-way, crashes and reopens under other options, with records that expire, the table reads as the
// model does, by key, by range and by term; and so do checkpoints of it, what is restored of them, and what repair makes of
// it, in any of which the history goes on.
// After a crash the table is the model after the first n writes, for an n not below the last write that was acknowledged
// as kDisk: one log, so what survives is a prefix.
// Keys are few on purpose: overwrites and tombstones are where LSM trees go wrong. In one history of eight they rise instead, and
// few are overwritten or erased: there runs are joined.
// A failure prints its seed; CAIRN_SEED=<seed> replays it step for step.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "support/outside_file.h"
#include "support/world.h"

namespace cairn::test {
namespace {

constexpr int kSteps = 2000;
constexpr std::uint64_t kKeys = 60;
constexpr std::int64_t kTtlMs = 700;

struct Stored {
  std::string value;
  std::int64_t expiry_ms;  // 0: never.
};
using FamilyModel = std::map<std::string, Stored>;

// "main" is plain; "terms" has two indexes, of which one hashes its terms; "short" expires and has one.
constexpr std::array<const char*, 3> kFamilies = {"main", "terms", "short"};
using Models = std::array<FamilyModel, kFamilies.size()>;

FamilyOptions options_of(std::size_t family, std::uint64_t seed) {
  FamilyOptions options{.compression = static_cast<Compression>((seed + family) % 3)};
  const IndexOptions first{.name = "first", .term_bytes = 3, .extractor = "bytes:0,1"};
  if (family == 1) options.indexes = {first, {.name = "head", .term_bytes = 2, .extractor = "bytes:0,3"}};
  if (family == 2) {
    options.ttl = std::chrono::milliseconds(kTtlMs);
    options.indexes = {first};
  }
  return options;
}

struct Change {
  std::size_t family;
  std::string key;
  std::optional<Stored> stored;   // None: erased.
  std::optional<std::string> to;  // Of a range; "" has no end.
};

struct History {
  explicit History(std::uint64_t the_seed)
      : seed(the_seed), random(seed), disk(std::make_unique<storage::SimulatedDisk>(random.next())) {}

  using Pairs = std::vector<std::pair<std::string, std::string>>;
  struct Taken {
    Snapshot snapshot;
    Models models;
  };

  static std::string rising_key(std::uint64_t n) { return "rising" + std::to_string(100'000 + n); }
  std::string key() {
    if (rising) return rising_key(random.one_in(40) ? random.below(next_key) : next_key++);
    const std::uint64_t n = random.below(kKeys);
    // Short, shared and long prefixes; some keys begin others.
    if (n % 4 == 0) return "k" + std::to_string(n);
    if (n % 4 == 1) return "{7}account:" + std::to_string(n);
    if (n % 4 == 2) return std::string("k\0\xff", 3) + std::to_string(n / 8);
    return "a-rather-long-common-prefix-" + std::to_string(n);
  }
  std::string key_to_read() { return rising ? rising_key(random.below(next_key)) : key(); }
  std::string value() {
    std::string bytes(random.one_in(10) ? random.below(1500) : random.below(40), 'v');
    for (char& c : bytes) c = static_cast<char>('a' + random.below(4));
    return bytes;
  }
  static void apply(Models& models, const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      FamilyModel& model = models[change.family];
      if (change.to) {
        model.erase(model.lower_bound(change.key), change.to->empty() ? model.end() : model.lower_bound(*change.to));
      } else if (change.stored) {
        model[change.key] = *change.stored;
      } else {
        model.erase(change.key);
      }
    }
  }
  [[nodiscard]] bool alive(const Stored& stored) const { return stored.expiry_ms == 0 || stored.expiry_ms > clock.wall_ms(); }

  void open() {
    // What must not matter.
    table::Tuning tuning = small_tuning();
    tuning.sealed_runs_max = std::uint64_t{2} << random.below(3);
    tuning.sealed_bytes_max = random.one_in(2) ? 40 * kKiB : 512 * kMiB;
    tuning.segment_bytes_max = (16 * kKiB) << random.below(2);
    tuning.joined_file_bytes_mean_min = random.one_in(4) ? 24 * kKiB : 0;
    TableOptions options{.main = options_of(0, seed), .memtable_bytes_max = (8 * kKiB) << random.below(3)};
    process = std::make_unique<Process>(*disk, clock);
    ASSERT_OK(process->open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning, options));
    tables.assign(1, process->table());
    for (std::size_t i = 1; i < kFamilies.size(); ++i) {
      const auto family = process->table().family(kFamilies[i], options_of(i, seed));
      ASSERT_OK(family);
      tables.push_back(*family);
    }
  }
  void end_process() {
    tables.clear();  // Handles end before their database.
    process.reset();
  }
  Change change() {
    const std::size_t family = random.below(kFamilies.size());
    Change made{.family = family, .key = key(), .stored = {}, .to = {}};
    const std::uint64_t rarely = rising ? 50 : 1;
    if (random.one_in(15 * rarely)) {
      const std::string other = random.one_in(6) ? "" : key();
      made.to = other.empty() ? other : std::max(made.key, other);
      if (!other.empty()) made.key = std::min(made.key, other);
      if (made.key == *made.to) made.to.reset();
    } else if (!random.one_in(4 * rarely)) {
      made.stored = Stored{value(), 0};
    }
    return made;
  }
  void write(std::size_t count) {
    std::vector<Change> changes;
    Batch batch;
    for (std::size_t i = 0; i < count; ++i) {
      changes.push_back(change());
      const Change& made = changes.back();
      const Table& family = tables[made.family];
      if (made.to) {
        batch.erase_range(family, {made.key, *made.to});
      } else if (made.stored) {
        batch.put(family, made.key, made.stored->value);
      } else {
        batch.erase(family, made.key);
      }
    }
    const bool durable = random.one_in(3);
    ASSERT_OK(tables[0].write(batch, {.durability = durable ? Durability::kDisk : Durability::kKernel}));
    for (Change& made : changes) {  // Written at this moment, not before: the write may have been delayed.
      if (made.family == 2 && made.stored) made.stored->expiry_ms = clock.wall_ms() + kTtlMs;
    }
    apply(models, changes);
    writes.push_back(std::move(changes));
    if (durable) acknowledged = writes.size();
  }
  void ingest() {
    const std::size_t family = random.below(kFamilies.size());
    OutsideRecords records;
    for (std::uint64_t i = 1 + random.below(20); i > 0; --i) {
      std::string bytes = value();
      records[key()] = random.one_in(4) ? std::nullopt : std::optional(std::move(bytes));
    }
    // In two files, if it is so.
    OutsideRecords second(records.lower_bound(key()), records.end());
    std::vector<std::shared_ptr<const storage::MappedFile>> files;
    for (const auto& [k, v] : second) records.erase(k);
    for (const OutsideRecords& part : {records, second}) {
      if (part.empty()) continue;
      const auto file = outside_file(part, static_cast<Compression>(random.below(3)));
      ASSERT_OK(file);
      files.push_back(*file);
    }
    ASSERT_OK(process->impl().ingest(static_cast<std::uint16_t>(family), files));
    const std::int64_t expiry_ms = family == 2 ? clock.wall_ms() + kTtlMs : 0;  // It may have been delayed.
    std::vector<Change> changes;
    records.merge(second);
    for (const auto& [k, v] : records) {
      changes.push_back(
          {.family = family, .key = k, .stored = v ? std::optional(Stored{*v, expiry_ms}) : std::nullopt, .to = {}});
    }
    apply(models, changes);
    writes.push_back(std::move(changes));
    acknowledged = writes.size();
  }
  [[nodiscard]] Pairs entries(const FamilyModel& model) const {
    Pairs pairs;
    for (const auto& [key, stored] : model) {
      if (alive(stored)) pairs.emplace_back(key, stored.value);
    }
    return pairs;
  }
  static Result<Pairs> found_by(Scan scan) {
    Pairs pairs;
    for (const auto entry : scan) pairs.emplace_back(entry.key, entry.value);
    CAIRN_TRY_VOID(scan.status());
    return pairs;
  }
  [[nodiscard]] std::vector<Pairs> wanted(const Models& of) const {
    std::vector<Pairs> all;
    for (const FamilyModel& model : of) all.push_back(entries(model));
    return all;
  }
  void crash() {
    snapshots.clear();
    const bool power_cut = random.one_in(2);
    auto next = power_cut ? disk->crashed(random.next()) : disk->killed();
    end_process();
    disk = std::move(next);
    open();
    if (testing::Test::HasFatalFailure()) return;
    std::vector<Pairs> found;
    for (const Table& family : tables) {
      const auto all = found_by(family.scan());
      ASSERT_OK(all);
      found.push_back(*all);
    }
    // Which prefix is it? The longest that fits, as later changes may cancel out.
    std::size_t n = power_cut ? acknowledged : writes.size();
    Models prefix;
    for (std::size_t i = 0; i < n; ++i) apply(prefix, writes[i]);
    std::optional<std::size_t> match;
    for (; n <= writes.size(); ++n) {
      if (wanted(prefix) == found) {
        match = n;
        models = prefix;
      }
      if (n < writes.size()) apply(prefix, writes[n]);
    }
    ASSERT_TRUE(match.has_value()) << "no prefix of the writes from " << acknowledged << " on";
    writes.resize(*match);
    acknowledged = writes.size();  // Read after an open: durable from now on.
  }
  void check_get() {
    const std::size_t family = random.below(kFamilies.size());
    const std::string k = key_to_read();
    const auto hit = tables[family].get(k);
    ASSERT_OK(hit);
    const auto expected = models[family].find(k);
    const bool there = expected != models[family].end() && alive(expected->second);
    ASSERT_EQ(hit->has_value(), there) << kFamilies[family] << " " << k;
    if (there) {
      ASSERT_EQ((*hit)->view(), expected->second.value) << k;
    }
  }
  void check_scan(const Models& expected, const Snapshot& snapshot) {
    const std::size_t family = random.below(kFamilies.size());
    Range range{random.one_in(2) ? key_to_read() : "", random.one_in(2) ? key_to_read() : ""};
    const bool reverse = random.one_in(2);
    const std::uint64_t limit = random.one_in(3) ? 1 + random.below(5) : 0;
    Pairs wanted_pairs;
    for (const auto& entry : entries(expected[family])) {
      if (entry.first >= range.from && (range.to.empty() || entry.first < range.to)) wanted_pairs.push_back(entry);
    }
    if (reverse) std::reverse(wanted_pairs.begin(), wanted_pairs.end());
    if (limit != 0 && wanted_pairs.size() > limit) wanted_pairs.resize(limit);
    Pairs found;
    Scan scan = tables[family].scan(range, reverse ? Direction::kReverse : Direction::kForward, limit, snapshot);
    for (const auto entry : scan) {
      found.emplace_back(entry.key, entry.value);
      if (random.one_in(50)) process->run_jobs();  // Flushed and compacted under the open scan.
    }
    ASSERT_OK(scan.status());
    ASSERT_EQ(found, wanted_pairs) << kFamilies[family];
  }
  void check_terms(const Models& expected, const Snapshot& snapshot) {
    const std::size_t family = 1 + random.below(2);
    const bool head = family == 1 && random.one_in(2);
    std::string term(head ? 3 : 1, 'a');
    for (char& c : term) c = static_cast<char>('a' + random.below(4));
    Pairs wanted_pairs;
    for (const auto& entry : entries(expected[family])) {
      if (entry.second.size() >= term.size() && entry.second.starts_with(term)) wanted_pairs.push_back(entry);
    }
    const auto found = found_by(tables[family].find(head ? "head" : "first", term, snapshot));
    ASSERT_OK(found);
    ASSERT_EQ(*found, wanted_pairs) << kFamilies[family] << " " << term;
  }
  void check_reads() {
    check_get();
    check_terms(models, kNow);
    if (!random.one_in(12)) return;
    check_scan(models, kNow);
    if (snapshots.empty()) return;
    const Taken& taken = snapshots[random.below(snapshots.size())];
    check_scan(taken.models, taken.snapshot);
    check_terms(taken.models, taken.snapshot);
  }
  /// A compaction that finds no room for one of its files: what it has done so far stays.
  void compact_half() {
    std::uint64_t creates = random.below(4);
    disk->set_hook([&creates](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
      if (io != storage::Io::kCreate || creates-- != 0) return {};
      return std::unexpected(Error{ErrorCode::kNoSpace, "injected", "", 0});
    });
    const Result<void> done = process->table().compact();
    disk->set_hook(nullptr);
    if (!done) {
      ASSERT_EQ(done.error().code, ErrorCode::kNoSpace) << describe(done);
    }
  }
  void compact_some() {
    const auto family = static_cast<std::uint16_t>(random.below(kFamilies.size()));
    const std::size_t layers = process->impl().layer_count(family);
    if (layers == 0) return;
    const std::size_t first = random.below(layers);
    const auto done = process->impl().compact_layers(family, first, 1 + random.below(layers - first));
    if (!done) {
      ASSERT_EQ(done.error().code, ErrorCode::kBusy) << "only what an unfinished merge holds";
    }
  }
  /// The history goes on in a copy: a checkpoint, what was restored of it, or what repair made of the killed store.
  void move_to_copy() {
    snapshots.clear();
    auto copy = std::make_unique<storage::SimulatedDisk>(random.next());
    directory::Environment environment(clock, false);
    const auto storage_of = [](storage::SimulatedDisk& of) { return std::make_unique<storage::SimulatedStorage>(of); };
    const std::uint64_t way = random.below(3);
    if (way == 2) {
      auto killed = disk->killed();
      end_process();
      const auto source = storage_of(*killed);
      const auto report = database::DatabaseImpl::repair(*source, storage_of(*copy), environment, {});
      ASSERT_OK(report);
      ASSERT_TRUE(report->lost.empty()) << report->lost[0].to_string();
    } else {
      ASSERT_OK(process->database().checkpoint(storage_of(*copy), {}));
      end_process();
      if (way == 1) {
        auto restored = std::make_unique<storage::SimulatedDisk>(random.next());
        const auto source = storage_of(*copy);
        ASSERT_OK(database::DatabaseImpl::restore(*source, storage_of(*restored), environment, {}));
        copy = std::move(restored);
      }
    }
    disk = std::move(copy);
    open();
    if (testing::Test::HasFatalFailure()) return;
    acknowledged = writes.size();
    check_scan(models, kNow);
  }
  void step() {
    const std::uint64_t dice = random.below(100);
    clock.advance_ms(static_cast<std::int64_t>(random.below(30)));
    if (dice < 66) {
      write(1);
    } else if (dice < 80) {
      write(1 + random.below(8));
    } else if (dice < 83) {
      if (snapshots.size() < 4) snapshots.push_back({process->table().snapshot(), models});
    } else if (dice < 86) {
      if (!snapshots.empty()) snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(random.below(snapshots.size())));
    } else if (dice < 89) {
      ASSERT_OK(process->table().flush());
    } else if (dice < 93) {
      compact_some();
    } else if (dice < 95) {
      process->run_jobs();
    } else if (dice == 95 && random.one_in(3)) {
      ASSERT_OK(process->table().compact());
    } else if (dice == 95) {
      ingest();
    } else if (dice == 96) {
      compact_half();
    } else if (dice == 97) {
      snapshots.clear();
      ASSERT_OK(process->close());
      end_process();
      open();
      acknowledged = writes.size();
    } else if (dice == 98) {
      crash();
    } else if (dice == 99 && random.one_in(3)) {
      move_to_copy();
    }
    if (testing::Test::HasFatalFailure()) return;
    check_reads();
  }

  const std::uint64_t seed;
  const bool rising = seed % 8 == 0;
  std::uint64_t next_key = 1;
  Random random;
  SimulatedClock clock;
  std::unique_ptr<storage::SimulatedDisk> disk;
  std::unique_ptr<Process> process;
  std::vector<Table> tables;  // The families.
  Models models;
  std::vector<std::vector<Change>> writes;
  std::size_t acknowledged = 0;  // So many writes must survive.
  std::vector<Taken> snapshots;
};

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  History history(seed);
  history.open();
  const int steps = history.rising ? kSteps / 3 : kSteps;  // Its keys become more and more.
  for (int step = 0; step < steps; ++step) {
    if (testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE("step " + std::to_string(step));
    history.step();
  }
  for (std::size_t family = 0; family < kFamilies.size(); ++family) {
    const auto found = History::found_by(history.tables[family].scan());
    ASSERT_OK(found);
    EXPECT_EQ(*found, history.entries(history.models[family]));
  }
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
