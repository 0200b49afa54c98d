// Repair: what is not damaged is returned, whatever else is; what is damaged is listed; what was erased stays erased.
#include <gtest/gtest.h>

#include <set>

#include "segment/segment_salvage.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

Result<RepairReport> repair(storage::SimulatedDisk& disk, storage::SimulatedDisk& target, const Progress& progress = {}) {
  SimulatedClock clock;
  directory::Environment environment(clock, false);
  storage::SimulatedStorage source(disk);
  return database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(target), environment, progress);
}

Result<Model> open_and_scan(storage::SimulatedDisk& disk) {
  SimulatedClock clock;
  Process process(disk, clock);
  CAIRN_TRY_VOID(process.open(database::DatabaseImpl::Mode::kOpen));
  CAIRN_TRY(report, process.database().verify({}));
  EXPECT_TRUE(report.damages.empty());
  return scan_all(process.table());
}

/// A store with runs of several files, frozen and active memtables, two families and erased ranges, as a kill leaves it.
struct Store {
  explicit Store(std::uint64_t seed, int writes = 260) {
    storage::SimulatedDisk live(seed);
    SimulatedClock clock;
    Process process(live, clock);
    EXPECT_OK(process.open());
    for (int i = 0; i < writes; ++i) {
      EXPECT_OK(scripted_write(process.table(), written, i, i % 3 == 0 ? Durability::kDisk : Durability::kKernel));
      if (i % 11 == 0) process.run_jobs();
      if (i == writes / 2) EXPECT_OK(process.table().compact());
      if (i % 97 == 96) EXPECT_OK(process.table().flush());
    }
    clock.advance_ms(100);
    process.environment().syncs.run_due();
    const directory::Manifest manifest = process.database().directory().manifest();
    for (const std::string& name : manifest.files()) files.insert(name);
    disk = live.killed();
    model = written.after(written.writes.size());
    for (const auto& write : written.writes) {
      for (const Written::Change& change : write) {
        if (change.value) ever[change.key].insert(*change.value);
      }
    }
  }
  void lose_manifests() {
    for (const auto& [name, size] : disk->file_sizes()) {
      if (name.starts_with("manifest-")) disk->erase(name);
    }
  }
  Written written;
  Model model;
  std::map<std::string, std::set<std::string>> ever;  // All values each key has had.
  std::set<std::string> files;                        // Live ones.
  std::unique_ptr<storage::SimulatedDisk> disk;
};

TEST(Repair, OfASoundStoreReturnsAllOfItAndFindsNothing) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Store store(seed, 100 + static_cast<int>(seed) * 53);
    storage::SimulatedDisk target(seed);
    const auto report = repair(*store.disk, target);
    ASSERT_OK(report);
    EXPECT_TRUE(report->lost.empty()) << report->lost[0].to_string();
    EXPECT_EQ(report->tables, 1U);
    EXPECT_EQ(report->records, store.model.size());
    const auto found = open_and_scan(target);
    ASSERT_OK(found);
    EXPECT_EQ(*found, store.model);
    SimulatedClock clock;
    Process process(target, clock);
    ASSERT_OK(process.open());
    expect_terms(process.table(), store.model);
  }
}

TEST(Repair, WithoutAnyManifestReturnsAllOfItUnderItsNamesAndErasedKeysStayErased) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Store store(seed, 100 + static_cast<int>(seed) * 13);
    store.lose_manifests();
    EXPECT_EQ(open_and_scan(*store.disk).error().code, ErrorCode::kCorruption);
    storage::SimulatedDisk target(seed);
    const auto report = repair(*store.disk, target);
    ASSERT_OK(report);
    EXPECT_EQ(report->lost.size(), 1U) << "the manifest";
    const auto found = open_and_scan(target);
    ASSERT_OK(found);
    EXPECT_EQ(*found, store.model);
  }
}

TEST(Repair, ALogThatWaitsToBeRecycledIsNoLog) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  Table table = process.table();
  for (const char* const key : {"one", "two"}) {
    ASSERT_OK(table.put(key, "dead"));
    ASSERT_OK(table.compact());  // Two logs wait.
  }
  ASSERT_OK(table.erase_range(everything()));
  ASSERT_OK(table.compact());  // Nothing lives, so no file says so, and this log is one too many to wait.
  for (const auto& [name, size] : disk.file_sizes()) {
    if (name.starts_with("manifest-")) disk.erase(name);
  }
  const auto killed = disk.killed();
  storage::SimulatedDisk target(1);
  ASSERT_OK(repair(*killed, target));
  EXPECT_FALSE(open_and_scan(target)->contains("one"));
}

TEST(Repair, ADamagedNewestManifestCostsNothing) {
  Store store(3);
  std::string newest;
  for (const auto& [name, size] : store.disk->file_sizes()) {
    const auto parsed = directory::ManifestName::parse(name);
    if (parsed && (newest.empty() || *parsed > *directory::ManifestName::parse(newest))) newest = name;
  }
  store.disk->flip_bit(newest, 777);
  storage::SimulatedDisk target(3);
  const auto report = repair(*store.disk, target);
  ASSERT_OK(report);
  ASSERT_EQ(report->lost.size(), 1U);
  EXPECT_EQ(report->lost[0].file, newest);
  EXPECT_EQ(*open_and_scan(target), store.model);
}

/// Does up to `count` random damages to the files of the store.
void damage(Store& store, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    const auto sizes = store.disk->file_sizes();
    auto file = sizes.begin();
    std::advance(file, random.below(sizes.size()));
    if (file->second == 0 || file->first.starts_with("lease")) continue;
    switch (random.below(12)) {
      case 0: store.disk->erase(file->first); break;
      case 1: store.disk->truncate(file->first, random.below(file->second)); break;
      case 2:
        if (random.one_in(3)) store.lose_manifests();
        break;
      default: store.disk->flip_bit(file->first, random.below(file->second * 8));
    }
  }
}

/// File and offset of each record in the logs of a sound store.
std::set<std::pair<std::string, std::uint64_t>> records_of_logs(const Store& store) {
  std::set<std::pair<std::string, std::uint64_t>> found;
  storage::SimulatedStorage storage(*store.disk);
  for (const std::string& name : store.files) {
    const auto parsed = directory::FileName::parse(name);
    const auto map = storage.open(name);
    if (parsed->suffix != directory::kSegmentSuffix || !map) continue;
    std::vector<Error> lost;
    segment::SegmentSalvage::open(*map, parsed->number, std::nullopt)
        ->read(0, [&](const segment::RecordView& record) { found.insert({name, record.offset}); }, lost);
  }
  return found;
}

TEST(Repair, AfterTenRandomDamagesReturnsEveryRecordWhoseBytesAreIntact) {
  std::uint64_t expected = 0;
  std::uint64_t records = 0;
  for (std::uint64_t seed = 1; seed <= sample(150, 2000); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Store store(seed % 10, 150 + static_cast<int>(seed % 10) * 30);
    Random random(seed);
    std::map<std::string, Bytes> before;
    for (const std::string& name : store.files) before[name] = store.disk->contents(name);
    const auto log_records = records_of_logs(store);
    damage(store, random, 10);
    const auto sizes = store.disk->file_sizes();
    // A record is intact if its bytes, from its header on, are as they were in some file; key and value stand together.
    const auto intact = [&](const std::string& model_key, const std::string& value) {
      const std::string record = (model_key.starts_with("side:") ? model_key.substr(5) : model_key) + value;
      for (const auto& [name, bytes] : before) {
        const std::size_t at = bytes.find(record);
        if (at == std::string::npos || !sizes.contains(name)) continue;
        // Without a manifest nothing tells a large value whose reference is lost from one that was overwritten.
        if (at < 512 && name.ends_with(".segment") && value.size() >= small_tuning().large_value_bytes) continue;
        const std::size_t begin = at - (name.ends_with(".sealed") ? 28 : 40);
        const Bytes now = store.disk->contents(name);
        const bool preambles = !name.ends_with(".sealed") || now.substr(0, 4096) == bytes.substr(0, 4096) ||
                               (now.size() == bytes.size() && now.substr(now.size() - 4096) == bytes.substr(bytes.size() - 4096));
        const std::size_t end = name.ends_with(".sealed") ? at + record.size() : round_up(at + record.size(), 8);  // Its pad too.
        // A recycled segment has whole records of its earlier life, too.
        if (name.ends_with(".segment") && !log_records.contains({name, begin})) continue;
        if (preambles && now.size() >= end && now.substr(begin, end - begin) == bytes.substr(begin, end - begin)) {
          return true;
        }
      }
      return false;
    };
    storage::SimulatedDisk target(seed);
    const auto report = repair(*store.disk, target);
    ASSERT_OK(report);
    auto found = open_and_scan(target);
    if (!found) {
      ASSERT_EQ(report->tables, 0U) << describe(found);
      continue;
    }
    // A family's number names it where everything that has its name is damaged.
    for (auto entry = found->lower_bound("family-1:"); entry != found->end() && entry->first.starts_with("family-1:");) {
      auto node = found->extract(entry++);
      node.key().replace(0, std::string("family-1").size(), "side");
      found->insert(std::move(node));
    }
    bool complete = true;
    for (const auto& [key, value] : store.model) {
      const auto hit = found->find(key);
      if (hit == found->end() || hit->second != value) {
        complete = false;
        EXPECT_FALSE(intact(key, value)) << key << " is intact and not returned";
      } else {
        ++expected;
      }
    }
    for (const auto& [key, value] : *found) {
      ++records;
      EXPECT_TRUE(store.ever.contains(key) && store.ever[key].contains(value)) << "never written: " << key;
    }
    if (!complete) {
      EXPECT_FALSE(report->lost.empty());
    }
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%lu records returned, %lu of them the newest\n", records, expected);
}

/// Three tables, two timelines and two fork stores, with `count` records each.
std::unique_ptr<storage::SimulatedDisk> every_view(int count) {
  storage::SimulatedDisk disk(7);
  SimulatedClock clock;
  Process process(disk, clock);
  EXPECT_OK(process.open());
  for (const char* const name : {"main", "b", "c"}) {
    Table table(*process.database().table(name, small_options()));
    const Table brief = *table.family("brief", {.ttl = std::chrono::milliseconds(1000)});
    for (int i = 0; i < count; ++i) {
      EXPECT_OK(table.put(std::to_string(i), name));
      EXPECT_OK(Table(brief).put(std::to_string(i), name));
    }
    EXPECT_OK(table.flush());
  }
  for (const char* const name : {"l", "m"}) {
    Timeline timeline(*process.database().timeline(name, {}));
    for (int i = 0; i < count; ++i) EXPECT_OK(timeline.put(std::to_string(i), name));
    const auto cut = timeline.last();
    EXPECT_OK(timeline.put("rolled back", "x"));
    EXPECT_OK(timeline.rollback(cut));
  }
  for (const char* const name : {"f", "g"}) {
    ForkStore store(*process.database().forks(name, {}));
    for (int i = 0; i < count; ++i) EXPECT_OK(store.store(0, std::to_string(i) + std::string(i < 10 ? 31 : 30, '.'), name));
    EXPECT_OK(store.create_fork(1, 0));
    EXPECT_OK(store.store(1, std::string(32, 'p'), "purged"));
    EXPECT_OK(store.purge(1));
  }
  EXPECT_OK(process.close());
  return disk.killed();
}

/// The name of the first view of that which the database lacks or has in part; "": it is whole.
std::string missing_in(storage::SimulatedDisk& disk, int count) {
  SimulatedClock clock;
  Process process(disk, clock);
  if (const Result<void> opened = process.open(database::DatabaseImpl::Mode::kOpen); !opened) return describe(opened);
  for (const char* const name : {"main", "b", "c"}) {
    const auto table = process.database().table(name, {.create_if_missing = false});
    if (!table || scan_all(Table(*table))->size() != static_cast<std::size_t>(2 * count)) return name;
  }
  for (const char* const name : {"l", "m"}) {
    const auto timeline = process.database().timeline(name, {.create_if_missing = false});
    if (!timeline || !*Timeline(*timeline).get(std::to_string(count - 1))) return name;
  }
  for (const char* const name : {"f", "g"}) {
    const auto store = process.database().forks(name, {.create_if_missing = false});
    if (!store || ForkStore(*store).stats().accounts < static_cast<std::uint64_t>(count)) return name;
  }
  return "";
}

TEST(Repair, TargetIsNoDatabaseBeforeItsLastStep) {
  constexpr int kCount = 12;
  const auto source = every_view(kCount);
  std::uint64_t whole = 0;
  for (std::uint64_t at = 0;; ++at) {
    SCOPED_TRACE("killed at I/O " + std::to_string(at));
    storage::SimulatedDisk target(at);
    std::unique_ptr<storage::SimulatedDisk> killed;
    target.set_hook([&](storage::Io, const std::string&, std::uint64_t number) -> Result<void> {
      if (number == at) killed = number % 2 == 0 ? target.killed() : target.crashed(at);
      return {};
    });
    ASSERT_OK(repair(*source->killed(), target));
    if (!killed) break;
    const std::string missing = missing_in(*killed, kCount);
    if (missing.empty()) {
      ++whole;
    } else {
      ASSERT_TRUE(missing.starts_with("kNotFound") || missing.starts_with("kCorruption: the directory holds files of a database"))
          << missing;
    }
  }
  EXPECT_GT(whole, 0U) << "once it is published it is whole";
}

TEST(Repair, WithoutRoomLeavesNothingBehind) {
  constexpr int kCount = 12;
  const auto source = every_view(kCount);
  for (std::uint64_t room = 1000; room < 400'000; room += 13'000) {
    storage::SimulatedDisk target(room);
    target.set_space_max(room);
    const auto report = repair(*source->killed(), target);
    if (report) {
      EXPECT_EQ(missing_in(target, kCount), "");
      continue;
    }
    EXPECT_EQ(report.error().code, ErrorCode::kNoSpace);
    EXPECT_TRUE(target.file_sizes().empty()) << target.file_sizes().begin()->first;
    target.set_space_max(~std::uint64_t{0});
    EXPECT_OK(repair(*source->killed(), target));  // Into the same directory.
  }
}

TEST(Repair, WithoutAManifestRecordsKeepTheirExpiry) {
  constexpr int kCount = 12;
  const auto source = every_view(kCount);
  for (const auto& [name, size] : source->file_sizes()) {
    if (name.starts_with("manifest-")) source->erase(name);
  }
  storage::SimulatedDisk target(1);
  const auto report = repair(*source, target);
  ASSERT_OK(report);
  std::map<std::string, int> kinds;
  for (const Error& each : report->lost) {
    for (const char* const kind : {"times to live", "rollbacks", "forks of fork store", "options of families"}) {
      kinds[kind] += each.message.find(kind) != std::string::npos ? 1 : 0;
    }
  }
  EXPECT_EQ(kinds, (std::map<std::string, int>{
                       {"times to live", 3}, {"rollbacks", 2}, {"forks of fork store", 2}, {"options of families", 1}}));
  SimulatedClock clock;
  Process process(target, clock);
  ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpen));
  for (const bool compacted : {false, true}) {
    EXPECT_EQ(scan_all(process.table())->size(), std::size_t{2 * kCount});
    if (compacted) clock.advance_ms(1000);
    if (!compacted) {
      ASSERT_OK(process.table().compact());
    }
  }
  const Table brief = *process.table().family("brief", {.create_if_missing = false});
  EXPECT_FALSE(brief.get("3")->has_value()) << "it expires when it would have";
  EXPECT_EQ(scan_all(process.table())->size(), std::size_t{kCount});
}

TEST(Repair, CanBeCancelledAndRefusesAnOwnedOrAFullDirectory) {
  Store store(1);
  storage::SimulatedDisk target(1);
  EXPECT_EQ(repair(*store.disk, target, [](std::uint64_t, std::uint64_t) { return false; }).error().code,
            ErrorCode::kUnavailable);
  EXPECT_TRUE(target.file_sizes().empty());
  target.put("something", "there");
  EXPECT_EQ(repair(*store.disk, target).error().code, ErrorCode::kConflict);
  SimulatedClock clock;
  Process owner(*store.disk, clock);
  ASSERT_OK(owner.open());
  storage::SimulatedDisk other(1);
  EXPECT_EQ(repair(*store.disk, other).error().code, ErrorCode::kBusy);
}

}  // namespace
}  // namespace cairn::test
