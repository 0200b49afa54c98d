// A directory of format version 1, kept in tests/golden: every later version opens it, or says that it cannot.
// CAIRN_WRITE_GOLDEN=1 writes it anew, which only an unreleased format may need.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/hash.h"
#include "directory/file_name.h"
#include "storage/posix_storage.h"
#include "support/one_fork_store.h"
#include "support/temporary_directory.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
const std::string kGolden = std::string(CAIRN_SOURCE_DIR) + "/tests/golden/version-1";
const std::string kGolden2 = std::string(CAIRN_SOURCE_DIR) + "/tests/golden/version-2";
constexpr std::array<const char*, 3> kFamilies = {"main", "lz4", "zstd"};

std::string value_of(int i) { return std::to_string(i) + std::string(static_cast<std::size_t>(i % 7) * 60, 'v'); }

const std::string kOutside = std::string(CAIRN_SOURCE_DIR) + "/tests/golden/outside-version-1.sealed";

Time golden_time(int i) { return Time(std::chrono::milliseconds(1'600'000'000'000 + i * 60'000)); }

/// Closed blocks, a persistent line that has been through a cycle, a rollback that was confirmed and one that can be undone for
/// ever, and a log. Its saves are old: the timeout is longer than anybody will wait.
void write_golden_timeline(database::DatabaseImpl& database) {
  const auto longest = std::chrono::milliseconds(std::int64_t{1} << 45);
  auto impl =
      database.timeline("events", {.timeout = longest, .expired = Expired::kPersist, .block_keys_max = 8, .undo_time = longest});
  ASSERT_OK(impl);
  Timeline timeline(*impl);
  for (int i = 0; i < 40; ++i) {
    SaveOptions options;
    options.time = golden_time(i);
    ASSERT_OK(timeline.put("key" + std::to_string(i % 10), value_of(i), options));
    if (i == 20) {
      ASSERT_OK(timeline.rollback(golden_time(15)));
      ASSERT_OK(timeline.confirm());
    }
    if (i == 30) ASSERT_OK(timeline.close_block());
  }
  ASSERT_OK(timeline.housekeep());
  SaveOptions options;
  options.time = golden_time(39);
  options.expires_after = std::chrono::milliseconds(std::int64_t{1} << 42);
  ASSERT_OK(timeline.put("lease", "prolonged", options));
  ASSERT_OK(timeline.set_expiry("lease", std::nullopt, options));
  options.expires_after = {};
  Saves batch;
  batch.erase("key1");
  batch.put("of a batch", "one");
  options.time = golden_time(40);
  ASSERT_OK(timeline.write(batch, options));
  options.time = golden_time(41);
  options.keep_empty = true;
  ASSERT_OK(timeline.erase_all(options));
  ASSERT_OK(timeline.put("nothing", "", options));
  ASSERT_OK(timeline.put("cut off", "later", options));
  ASSERT_OK(timeline.rollback(golden_time(40)));
}

Bytes golden_account(int i) { return account_key("account" + std::to_string(i)); }

/// A tree above a root that has moved, a purged fork whose records are still there, a collected segment, a sealed index, a log of
/// a second writer.
void write_golden_forks(database::DatabaseImpl& database) {
  auto impl = database.forks("bank", {});
  ASSERT_OK(impl);
  ForkStore store(*impl);
  for (int i = 0; i < 60; ++i) ASSERT_OK(store.store(0, golden_account(i % 40), value_of(i)));
  ASSERT_OK(store.erase(0, golden_account(39)));
  ASSERT_OK(store.create_fork(2, 0));
  ASSERT_OK(store.store(2, golden_account(0), "of two"));
  ASSERT_OK(store.set_root(2));
  ASSERT_OK(store.create_fork(5, 2));
  ASSERT_OK(store.create_fork(6, 2));
  ASSERT_OK(store.store(5, golden_account(1), "of five"));
  ASSERT_OK((*impl)->end_logs());
  ASSERT_OK((*impl)->collect());
  ASSERT_OK(store.store(6, golden_account(1), "of six"));
  ASSERT_OK(store.erase(6, golden_account(2)));
  ASSERT_OK(store.create_fork(7, 2));
  ASSERT_OK(store.store(7, golden_account(1), "never"));
  ASSERT_OK((*impl)->end_logs());
  ASSERT_OK((*impl)->seal_index());
  ASSERT_OK(store.purge(7));
  auto writer = store.writer();
  ASSERT_OK(writer);
  const Bytes key = golden_account(3);
  const AccountUpdate update{.key = key, .value = "behind the index"};
  ASSERT_OK(writer->store(6, {&update, 1}));
}

/// Families of all compressions, an index, a time to live, an erased range, large values, a run of several files, ingested
/// files, a log; and a file to be ingested.
void write_golden(const std::string& path) {
  fs::create_directories(path);
  directory::Environment environment(system_clock(), true);
  auto storage = storage::PosixStorage::open(path, true);
  ASSERT_OK(storage);
  auto database = database::DatabaseImpl::open(*std::move(storage), environment, database::DatabaseImpl::Mode::kCreate,
                                               {.owner = "golden"}, small_tuning(), timeline::Tuning{}, small_forks_tuning());
  ASSERT_OK(database);
  {
    auto impl = (*database)->table("users", small_options());
    ASSERT_OK(impl);
    Table table(*impl);
    const IndexOptions index{.name = "first", .term_bytes = 1, .extractor = "bytes:0,1"};
    std::vector<Table> families = {table};
    for (const auto& [name, compression] : {std::pair{"lz4", Compression::kLz4}, std::pair{"zstd", Compression::kZstd}}) {
      auto family =
          table.family(name, {.compression = compression, .ttl = std::chrono::hours(24 * 365 * 100), .indexes = {index}});
      ASSERT_OK(family);
      families.push_back(*family);
    }
    for (int i = 0; i < 120; ++i) {
      for (Table& family : families) ASSERT_OK(family.put("key" + std::to_string(1000 + i), value_of(i)));
    }
    ASSERT_OK(table.compact());
    for (Table& family : families) {
      ASSERT_OK(family.erase_range({"key1050", "key1060"}));
      ASSERT_OK(family.erase("key1001"));
      ASSERT_OK(family.put("large", std::string(3000, 'L'), {.durability = Durability::kDisk, .account = 17}));
    }
    ASSERT_OK(table.flush());
    auto outside = SealedFileWriter::create(kOutside, Compression::kZstd);
    ASSERT_OK(outside);
    ASSERT_OK(outside->put("key1002", "ingested"));
    ASSERT_OK(outside->erase("key1003"));
    ASSERT_OK(outside->finish());
    for (Table& family : families) ASSERT_OK(family.ingest({&kOutside, 1}));
    Batch batch;
    for (Table& family : families) batch.put(family, "last", "in the log");
    ASSERT_OK(table.write(batch));
    write_golden_timeline(**database);
    write_golden_forks(**database);
  }
  ASSERT_OK((*database)->close());
}

Model golden_model() {
  Model model;
  for (const std::string family : kFamilies) {
    for (int i = 0; i < 120; ++i) {
      if (i != 1 && (i < 50 || i >= 60)) model[model_key(family, "key" + std::to_string(1000 + i))] = value_of(i);
    }
    model[model_key(family, "key1002")] = "ingested";
    model.erase(model_key(family, "key1003"));
    model[model_key(family, "large")] = std::string(3000, 'L');
    model[model_key(family, "last")] = "in the log";
  }
  return model;
}

TEST(Golden, ADirectoryOfVersion1OpensAndHoldsWhatWasWritten) {
  if (std::getenv("CAIRN_WRITE_GOLDEN") != nullptr) {
    fs::remove_all(kGolden);
    fs::remove(kOutside);
    write_golden(kGolden);
  }
  const TemporaryDirectory directory;
  fs::copy(kGolden, directory.file("copy"));
  auto database = Database::open(directory.file("copy"));
  ASSERT_OK(database);
  const auto report = database->verify();
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty()) << report->damages[0].to_string();
  EXPECT_GE(report->files, 8U);
  auto table = database->table("users", {.create_if_missing = false});
  ASSERT_OK(table);
  const auto found = scan_all(*table);
  ASSERT_OK(found);
  EXPECT_EQ(*found, golden_model());
  EXPECT_EQ(table->stats().large_values, 3U);
  auto family = table->family("zstd");
  ASSERT_OK(family);
  EXPECT_EQ(family->find("first", "L").entry().key, "large");
  ASSERT_OK(table->put("key1002", "later"));
  ASSERT_OK(table->ingest({&kOutside, 1}));
  EXPECT_EQ(*scan_all(*table), golden_model()) << "the file is still taken in";
}

TEST(Golden, ATimelineOfVersion1HoldsWhatWasSaved) {
  const TemporaryDirectory directory;
  fs::copy(kGolden, directory.file("copy"));
  auto database = Database::open(directory.file("copy"));
  ASSERT_OK(database);
  auto timeline = database->timeline("events", {.create_if_missing = false});
  ASSERT_OK(timeline);
  const auto get = [&](const std::string& key, Moment at) {
    const auto hit = timeline->get_at(key, at);
    EXPECT_OK(hit);
    return hit && *hit ? Bytes((*hit)->view()) : "(none)";
  };
  EXPECT_EQ(get("key3", kEndOfTime), value_of(33));
  EXPECT_EQ(get("key3", golden_time(32)), value_of(23));
  EXPECT_EQ(get("key8", golden_time(22)), value_of(8)) << "18 was rolled back";
  EXPECT_EQ(get("key1", golden_time(39)), value_of(31));
  EXPECT_EQ(get("key1", kEndOfTime), "(none)");
  EXPECT_EQ(get("of a batch", kEndOfTime), "one");
  EXPECT_EQ(get("lease", kEndOfTime), "prolonged");
  EXPECT_EQ(timeline->info("lease")->value().expires, std::nullopt);
  EXPECT_EQ(get("cut off", kEndOfTime), "(none)");
  std::string keys;
  SaveList list = timeline->keys("", golden_time(36), golden_time(60));
  for (const auto entry : list) keys += Bytes(entry.key) + " ";
  ASSERT_OK(list.status());
  EXPECT_EQ(keys, "key6 key7 key8 key9 lease of a batch ");
  const TimelineStats stats = timeline->stats();
  EXPECT_GE(stats.blocks.size(), 4U);
  EXPECT_GE(stats.index_files, 1U);
  ASSERT_OK(timeline->undo());
  EXPECT_EQ(get("cut off", kEndOfTime), "later");
  EXPECT_EQ(get("nothing", kEndOfTime), "");
  EXPECT_EQ(get("key3", kEndOfTime), "(none)") << "all were erased";
}

TEST(Golden, AForkStoreOfVersion1HoldsWhatItsForksSee) {
  const TemporaryDirectory directory;
  fs::copy(kGolden, directory.file("copy"));
  auto database = Database::open(directory.file("copy"));
  ASSERT_OK(database);
  auto store = database->forks("bank", {.create_if_missing = false});
  ASSERT_OK(store);
  const auto get = [&](ForkNumber fork, int i) {
    const auto hit = store->load(fork, golden_account(i));
    return hit ? (*hit ? Bytes((*hit)->view()) : "(none)") : std::string(name_of(hit.error().code));
  };
  EXPECT_EQ(store->list().size(), 3U);
  EXPECT_EQ(store->list().front().number, 2U);
  EXPECT_EQ(get(5, 0), "of two");
  EXPECT_EQ(get(5, 1), "of five");
  EXPECT_EQ(get(6, 1), "of six");
  EXPECT_EQ(get(2, 1), value_of(41));
  EXPECT_EQ(get(6, 2), "(none)");
  EXPECT_EQ(get(6, 3), "behind the index");
  EXPECT_EQ(get(5, 3), value_of(43));
  EXPECT_EQ(get(6, 30), value_of(30));
  EXPECT_EQ(get(6, 39), "(none)");
  EXPECT_EQ(get(7, 1), "kNotFound");
  ASSERT_OK(store->set_root(6));
  EXPECT_EQ(get(6, 1), "of six");
}

/// A fork store that remembers a purged number: the one thing of version 2.
void write_golden_2(const std::string& path) {
  auto database = Database::create(path);
  ASSERT_OK(database);
  auto store = database->forks("bank");
  ASSERT_OK(store);
  ASSERT_OK(store->store(0, golden_account(1), "of the root"));
  for (const auto& [fork, parent] : {std::pair(2, 0), std::pair(5, 2), std::pair(6, 5), std::pair(9, 2)}) {
    ASSERT_OK(store->create_fork(static_cast<ForkNumber>(fork), static_cast<ForkNumber>(parent)));
  }
  ASSERT_OK(store->purge(5));
  ASSERT_OK(database->close());
}

TEST(Golden, ADirectoryOfVersion2RemembersPurgedNumbers) {
  if (std::getenv("CAIRN_WRITE_GOLDEN") != nullptr) {
    fs::remove_all(kGolden2);
    write_golden_2(kGolden2);
  }
  const TemporaryDirectory directory;
  fs::copy(kGolden2, directory.file("copy"));
  auto database = Database::open(directory.file("copy"));
  ASSERT_OK(database);
  auto store = database->forks("bank", {.create_if_missing = false});
  ASSERT_OK(store);
  for (const ForkNumber there : {0U, 1U, 2U, 3U, 4U, 7U, 8U, 9U, 10U})
    EXPECT_TRUE(store->load(there, golden_account(1))) << there;
  for (const ForkNumber purged : {5U, 6U}) {
    EXPECT_EQ(store->load(purged, golden_account(1)).error().code, ErrorCode::kNotFound) << purged;
  }
}

TEST(Golden, ADirectoryOfANewerVersionIsRefusedByName) {
  const TemporaryDirectory directory;
  fs::copy(kGolden, directory.file("copy"));
  std::string newest;
  for (const auto& file : fs::directory_iterator(directory.file("copy"))) {
    const std::string name = file.path().filename();
    if (name.starts_with("manifest-") &&
        (newest.empty() || *directory::ManifestName::parse(name) > *directory::ManifestName::parse(newest)))
      newest = name;
  }
  const std::string path = directory.file("copy") + "/" + newest;
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const std::size_t line = text.find("checksum = ");
  const std::size_t next = text.find('\n', line) + 1;
  std::string rest = text.substr(0, line) + text.substr(next);
  rest.replace(rest.find("format = 1"), 10, "format = 3");
  char checksum[40];
  std::snprintf(checksum, sizeof checksum, "checksum = \"%016lx\"\n", static_cast<unsigned long>(xxh3(rest)));
  rest.insert(line, checksum);
  std::ofstream(path, std::ios::trunc) << rest;
  const auto database = Database::open(directory.file("copy"));
  ASSERT_FALSE(database.has_value());
  EXPECT_EQ(database.error().code, ErrorCode::kUnsupported) << database.error().to_string();
  EXPECT_EQ(database.error().file, newest);
  EXPECT_NE(database.error().message.find("format 3"), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
