// Ingest: what it takes in is newer than everything before and older than everything after, for readers of any moment, and
// nothing of a file that is not in order is taken in.
#include <gtest/gtest.h>

#include <thread>

#include "directory/file_name.h"
#include "storage/posix_storage.h"
#include "support/memory_file.h"
#include "support/outside_file.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using Files = std::vector<std::shared_ptr<const storage::MappedFile>>;

struct Ingest : OneProcess {
  std::string value(const std::string& key, const Snapshot& snapshot = kNow) {
    const auto found = process.table().get(key, snapshot);
    return !found ? describe(found) : *found ? std::string((*found)->view()) : "none";
  }
  Result<WriteVersion> ingest(const OutsideRecords& records) {
    CAIRN_TRY(file, outside_file(records));
    return process.impl().ingest(0, {file});
  }
};

TEST_F(Ingest, IsNewerThanWhatWasWrittenAndOlderThanWhatComes) {
  Table table = process.table();
  for (const char* const key : {"a", "b", "c", "d"}) ASSERT_OK(table.put(key, "old"));
  ASSERT_OK(table.flush());
  ASSERT_OK(table.put("b", "in the log"));
  ASSERT_OK(table.erase_range({"c", "e"}));
  const Snapshot before = table.snapshot();
  const auto version = ingest({{"b", "new"}, {"c", "new"}, {"d", std::nullopt}, {"e", "new"}});
  ASSERT_OK(version);
  EXPECT_GT(*version, before.write_version());
  EXPECT_EQ(table.snapshot().write_version(), *version);
  ASSERT_OK(table.put("c", "newer"));
  for (const bool compacted : {false, true}) {
    EXPECT_EQ(value("a") + value("b") + value("c") + value("d") + value("e"), "oldnewnewernonenew");
    EXPECT_EQ(value("a", before) + value("b", before) + value("c", before) + value("e", before), "oldin the lognonenone");
    const auto explained = table.explain("b");
    ASSERT_OK(explained);
    EXPECT_EQ(explained->front().write_version, *version);
    if (!compacted) ASSERT_OK(table.compact());
  }
}

TEST_F(Ingest, OfNothingDoesNothing) {
  ASSERT_OK(process.table().put("a", "1"));
  ASSERT_OK(ingest({}));
  ASSERT_OK(process.impl().ingest(0, {}));
  EXPECT_EQ(process.impl().layer_count(0), 0U);
}

TEST_F(Ingest, RefusesKeysThatDoNotAscendFromFileToFile) {
  const auto first = outside_file({{"a", "1"}, {"c", "1"}});
  const auto second = outside_file({{"b", "1"}});
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_EQ(process.impl().ingest(0, {*first, *second}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process.impl().ingest(0, {*first, *first}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(value("a"), "none");
}

TEST_F(Ingest, RefusesAFileOfADatabase) {
  ASSERT_OK(process.table().put("a", "1"));
  ASSERT_OK(process.table().flush());
  const std::string name = process.impl().line_up()->families[0].layers[0].files()[0];
  const auto file = storage::SimulatedStorage(disk).open(name);
  ASSERT_OK(file);
  const auto refused = process.impl().ingest(0, {*file});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().to_string().find("another database (" + name), std::string::npos) << refused.error().to_string();
}

TEST_F(Ingest, RefusesWhatOurWriterDoesNotWrite) {
  const auto refused = [&](const std::vector<sealed::Entry>& entries, const std::vector<sealed::Entry>& ranges) {
    auto bytes = std::make_shared<Bytes>(64 * kKiB, '\0');
    sealed::SealedWriter writer(std::make_unique<MemoryAppendFile>(bytes), {.replaces = {}}, {.terms = {}});
    for (const sealed::Entry& entry : entries) writer.add(entry);
    for (const sealed::Entry& range : ranges) writer.add_range_tombstone(range);
    EXPECT_OK(writer.complete());
    bytes->resize(*writer.finish());
    const auto done = process.impl().ingest(0, {std::make_shared<MemoryFile>(bytes)});
    return done ? "taken in" : std::string(name_of(done.error().code));
  };
  const sealed::Entry put{.key = "k", .value = "v", .write_version = 5};
  EXPECT_EQ(refused({put}, {}), "taken in") << "its version is nothing to us";
  EXPECT_EQ(value("k"), "v");
  const sealed::Entry older{.key = "k", .value = "old", .write_version = 4};
  EXPECT_EQ(refused({put, older}, {}), "kInvalidArgument");
  const sealed::Entry reference{.key = "r", .value = "123456789012345678901234", .kind = RecordKind::kReference};
  EXPECT_EQ(refused({reference}, {}), "kUnsupported");
  const sealed::Entry range{.key = "a", .value = "z", .kind = RecordKind::kRangeTombstone};
  EXPECT_EQ(refused({put}, {range}), "kUnsupported");
}

TEST_F(Ingest, LeavesNothingBehindWhereThereIsNoRoom) {
  ASSERT_OK(process.table().put("a", "old"));
  const auto before = disk.file_sizes();
  OutsideRecords records;
  for (int i = 100; i < 400; ++i) records["key" + std::to_string(i)] = std::string(i % 100 == 0 ? 900 : 100, 'v');
  for (std::uint64_t fail_at = 0; fail_at < 40; ++fail_at) {
    std::uint64_t creates = fail_at;
    disk.set_hook([&](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
      const bool grows = io == storage::Io::kCreate || io == storage::Io::kPublish;
      if (!grows || creates-- != 0) return {};
      return std::unexpected(Error{ErrorCode::kNoSpace, "injected", "", 0});
    });
    const auto done = ingest(records);
    disk.set_hook(nullptr);
    if (done) {
      EXPECT_GT(fail_at, 4U) << "several files";
      EXPECT_EQ(value("key100").size(), 900U);
      return;
    }
    ASSERT_EQ(done.error().code, ErrorCode::kNoSpace) << describe(done);
    ASSERT_EQ(value("key100"), "none");
    ASSERT_EQ(value("a"), "old");
    for (const auto& [name, size] : disk.file_sizes()) {
      ASSERT_TRUE(!name.ends_with(".sealed") || before.contains(name)) << name << " was left behind at " << fail_at;
    }
  }
  FAIL() << "it never went through";
}

/// Whatever is wrong with a file: nothing of it is taken in, or what it really holds.
TEST_F(Ingest, OfADamagedFileTakesNothing) {
  const OutsideRecords records{{"k1", "one"}, {"k2", std::nullopt}, {"k3", std::string(300, 'x')}};
  for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
    const auto sound = outside_file(records, compression);
    ASSERT_OK(sound);
    std::uint64_t refused = 0;
    for (std::uint64_t bit = 0; bit < (*sound)->size() * 8; bit += 1 + bit % 5) {
      auto bytes = std::make_shared<Bytes>((*sound)->bytes());
      (*bytes)[bit / 8] = static_cast<char>((*bytes)[bit / 8] ^ (1 << (bit % 8)));
      const auto done = process.impl().ingest(0, {std::make_shared<MemoryFile>(bytes)});
      if (done) {
        ASSERT_EQ(value("k1") + value("k2") + value("k3"), "onenone" + std::string(300, 'x')) << bit;
        ASSERT_OK(process.table().erase_range(everything()));
        ASSERT_OK(process.table().compact());
        continue;
      }
      ++refused;
      ASSERT_TRUE(done.error().code == ErrorCode::kCorruption || done.error().code == ErrorCode::kUnsupported) << bit;
      ASSERT_EQ(value("k1") + value("k3"), "nonenone") << bit;
    }
    EXPECT_GT(refused, 1000U);
    for (std::uint64_t size = 0; size < (*sound)->size(); size += 512) {
      const auto bytes = std::make_shared<Bytes>((*sound)->bytes().substr(0, size));
      ASSERT_EQ(process.impl().ingest(0, {std::make_shared<MemoryFile>(bytes)}).error().code, ErrorCode::kCorruption) << size;
    }
  }
}

TEST_F(Ingest, IsFoundByScansThatHadLearntWhatIsDead) {
  Table table = process.table();
  for (int i = 100; i < 160; ++i) ASSERT_OK(table.put("q" + std::to_string(i), "v"));
  for (int i = 100; i < 150; ++i) ASSERT_OK(table.erase("q" + std::to_string(i)));
  const auto first = [&] {
    Scan scan = table.scan();
    return scan.valid() ? std::string(scan.entry().key) : "none";
  };
  EXPECT_EQ(first(), "q150");
  EXPECT_FALSE(process.impl().line_up()->families[0].dead->list()->empty());
  ASSERT_OK(ingest({{"q120", "back"}}));
  EXPECT_EQ(first(), "q120");
}

TEST_F(Ingest, SurvivesAKillAndARepairWithoutManifest) {
  Table table = process.table();
  for (int i = 0; i < 20; ++i) ASSERT_OK(table.put("key" + std::to_string(i), "old"));
  ASSERT_OK(ingest({{"key3", "in"}, {"key4", std::nullopt}, {"key5", std::string(800, 'L')}}));
  ASSERT_OK(table.put("key3", "newer"));
  const auto wanted = scan_all(table);
  ASSERT_OK(wanted);
  const auto killed = disk.killed();
  {
    Process again(*killed, clock);
    ASSERT_OK(again.open());
    const auto found = scan_all(again.table());
    ASSERT_OK(found);
    EXPECT_EQ(*found, *wanted);
  }
  // Without a manifest; and with a file that does not verify, all of whose records do.
  const std::string ingested = process.impl().line_up()->families[0].layers.back().files()[0];
  for (const bool flipped : {false, true}) {
    const auto damaged = disk.killed();
    for (const auto& [name, size] : damaged->file_sizes()) {
      if (directory::ManifestName::parse(name)) damaged->erase(name);
    }
    if (flipped) damaged->flip_bit(ingested, sealed::kPageBytes * 8);
    storage::SimulatedDisk target(3);
    storage::SimulatedStorage source(*damaged);
    directory::Environment environment(clock, false);
    ASSERT_OK(database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(target), environment, {}));
    Process repaired(target, clock);
    ASSERT_OK(repaired.open());
    const auto found = scan_all(repaired.table());
    ASSERT_OK(found);
    EXPECT_EQ(*found, *wanted) << flipped;
  }
}

/// The manifest that lists the ingest is the only one that does, and its files are older than the one before says.
TEST_F(Ingest, ComesBackFromARepairWhereTheManifestThatListsItIsDamaged) {
  ASSERT_OK(process.table().put("a", "in the log"));
  ASSERT_OK(ingest({{"b", "in"}}));
  std::optional<directory::ManifestName> newest;
  for (const auto& [name, size] : disk.file_sizes()) {
    const auto parsed = directory::ManifestName::parse(name);
    if (parsed && (!newest || *parsed > *newest)) newest = parsed;
  }
  const auto damaged = disk.killed();
  damaged->flip_bit(newest->to_string(), 800);
  storage::SimulatedDisk target(3);
  storage::SimulatedStorage source(*damaged);
  directory::Environment environment(clock, false);
  const auto report =
      database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(target), environment, {});
  ASSERT_OK(report);
  EXPECT_EQ(report->lost.size(), 1U);
  Process repaired(target, clock);
  ASSERT_OK(repaired.open());
  EXPECT_EQ(*scan_all(repaired.table()), (Model{{"a", "in the log"}, {"b", "in"}}));
}

TEST_F(Ingest, EndsWhereTheTableIsClosedMeanwhile) {
  std::thread closer;
  std::atomic<bool> closed{false};
  disk.set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io != storage::Io::kCreate || !name.ends_with(".sealed") || closer.joinable()) return {};
    closer = std::thread([&] {
      ASSERT_OK(process.impl().close());
      closed = true;
    });
    while (process.impl().end_log()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(closed) << "it waits for the ingest";
    return {};
  });
  const auto refused = ingest({{"b", "in"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  closer.join();
  disk.set_hook(nullptr);
  EXPECT_EQ(value("b"), "none");
  for (const auto& [name, size] : disk.file_sizes()) EXPECT_FALSE(name.ends_with(".sealed")) << name;
}

TEST_F(Ingest, SaysSoWhereNobodyKnowsWhetherItIsThere) {
  for (const bool there : {false, true}) {
    storage::SimulatedDisk other(5);
    {
      Process owner(other, clock);
      ASSERT_OK(owner.open());
      ASSERT_OK(owner.table().put("a", "1"));
      ASSERT_OK(owner.table().flush());  // The next switch of the manifest is the ingest's.
      const auto file = outside_file({{"b", "in"}});
      ASSERT_OK(file);
      bool published = false;
      other.set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
        const bool manifest = io == storage::Io::kPublish && name.starts_with("manifest");
        const bool fails = (manifest && !there) || (published && io == storage::Io::kSyncNames);
        published = published || manifest;
        return fails ? Result<void>(std::unexpected(Error{ErrorCode::kIo, "injected", "", 0})) : Result<void>{};
      });
      const auto done = owner.impl().ingest(0, {*file});
      other.set_hook(nullptr);
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error().code, ErrorCode::kReadOnly) << describe(done);
      EXPECT_FALSE(owner.table().get("b")->has_value());
    }
    const auto killed = other.killed();
    Process again(*killed, clock);
    ASSERT_OK(again.open());
    EXPECT_EQ(again.table().get("b")->has_value(), there);
  }
}

/// A reader takes its line-up first, its version after that: nothing newer may come into a line-up that has not what was
/// taken in.
TEST_F(Ingest, BeginsANewMemtable) {
  ASSERT_OK(process.table().put("a", "1"));
  std::vector<std::shared_ptr<const table::LineUp>> taken;
  disk.set_hook([&](storage::Io, const std::string&, std::uint64_t) -> Result<void> {
    taken.push_back(process.impl().line_up());
    return {};
  });
  ASSERT_OK(ingest({{"b", "2"}}));
  disk.set_hook(nullptr);
  ASSERT_OK(process.table().put("c", "3"));
  ASSERT_GT(taken.size(), 3U);
  for (const auto& line_up : taken) {
    EXPECT_FALSE(line_up->active.memtable->get(0, "c", ~std::uint64_t{0}).has_value());
  }
}

/// One thread takes in generations, and after each writes which it was; who sees that sees the generation.
TEST(IngestThreads, ReadersSeeItWholeAndBeforeWhatCameAfter) {
  const TemporaryDirectory folder;
  auto database = Database::create(folder.path() + "/db");
  ASSERT_OK(database);
  auto table = database->table("main");
  ASSERT_OK(table);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    Table into = *table;
    for (int i = 0; !done; ++i) (void)into.put("z" + std::to_string(i % 50), "v", {.durability = Durability::kKernel});
  });
  std::thread reader([&] {
    while (!done) {
      Scan scan = table->scan({"a", "c"});
      std::map<std::string, std::string> found;
      for (const auto entry : scan) found.emplace(entry.key, entry.value);
      ASSERT_OK(scan.status());
      if (found.empty()) continue;
      ASSERT_TRUE(found.contains("b1"));
      ASSERT_EQ(found["b1"], found["b9"]);
      if (!found.contains("a")) continue;
      const int after = std::stoi(found["a"]);
      ASSERT_GE(std::stoi(found["b1"]), after);
    }
  });
  const int generations = static_cast<int>(sample(40, 400));
  for (int i = 0; i < generations && !testing::Test::HasFailure(); ++i) {
    const std::string path = folder.path() + "/" + std::to_string(i) + ".sealed";
    auto outside = SealedFileWriter::create(path);
    ASSERT_OK(outside);
    ASSERT_OK(outside->put("b1", std::to_string(i)));
    ASSERT_OK(outside->erase("b5"));
    ASSERT_OK(outside->put("b9", std::to_string(i)));
    ASSERT_OK(outside->finish());
    const std::vector<std::string> paths{path};
    ASSERT_OK(table->ingest(paths));
    ASSERT_OK(table->put("a", std::to_string(i), {.durability = Durability::kKernel}));
  }
  done = true;
  writer.join();
  reader.join();
  ASSERT_OK(database->close());
}

TEST(SealedFileWriterTest, WritesWhatIngestReads) {
  const TemporaryDirectory folder;
  const std::string path = folder.path() + "/outside.sealed";
  auto writer = SealedFileWriter::create(path, Compression::kLz4);
  ASSERT_OK(writer);
  Model wanted;
  for (int i = 100'000; i < 140'000; ++i) {  // Of several chunks of spool.
    const std::string key = "key" + std::to_string(i);
    wanted[key] = std::string(i % 200, 'v');
    ASSERT_OK(writer->put(key, wanted[key]));
  }
  wanted["large"] = std::string(20 * kMiB, 'L');
  ASSERT_OK(writer->put("large", wanted["large"]));
  EXPECT_EQ(writer->put("large", "again").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(writer->put("", "").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(writer->put(std::string(65'536, 'z'), "").error().code, ErrorCode::kInvalidArgument);
  ASSERT_OK(writer->finish());
  EXPECT_EQ(writer->put("z", "").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(SealedFileWriter::create(path).error().code, ErrorCode::kConflict);
  auto database = Database::create(folder.path() + "/db");
  ASSERT_OK(database);
  auto table = database->table("main");
  ASSERT_OK(table);
  const std::vector<std::string> paths{path};
  ASSERT_OK(table->ingest(paths));
  std::filesystem::remove(path);
  const auto found = scan_all(*table);
  ASSERT_OK(found);
  EXPECT_TRUE(*found == wanted);
  EXPECT_LT(table->stats().write_amplification, 1.1) << "written once, the large value where it stays";
  const std::vector<std::string> missing{folder.path() + "/none.sealed"};
  EXPECT_EQ(table->ingest(missing).error().code, ErrorCode::kNotFound);
}

TEST(SealedFileWriterTest, LeavesNothingIfItIsGivenUp) {
  const TemporaryDirectory folder;
  {
    auto writer = SealedFileWriter::create(folder.path() + "/outside.sealed");
    ASSERT_OK(writer);
    ASSERT_OK(writer->put("a", "b"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(SealedFileWriter::create(folder.path() + "/no/such").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(SealedFileWriter::create("").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn::test
