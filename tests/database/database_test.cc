// The public interface on a real disk.
#include "cairn/cairn.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "storage/bus_error.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

Result<Database> open(const std::string& path) { return Database::open(path, {.create_if_missing = true}); }

TEST(Database, KeepsWhatWasWrittenAcrossReopening) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("db");
  {
    auto database = open(path);
    ASSERT_OK(database);
    auto table = database->table("users");
    ASSERT_OK(table);
    ASSERT_OK(table->put("alice", "1"));
    ASSERT_OK(table->put("empty", ""));
    ASSERT_OK(table->put("gone", "x"));
    ASSERT_OK(table->erase("gone"));
    ASSERT_OK(database->close());
  }
  auto database = open(path);
  ASSERT_OK(database);
  EXPECT_EQ(database->tables(), std::vector<std::string>{"users"});
  auto table = database->table("users");
  ASSERT_OK(table);
  const auto alice = table->get("alice");
  ASSERT_OK(alice);
  ASSERT_TRUE(alice->has_value());
  EXPECT_EQ((*alice)->view(), "1");
  const auto empty = table->get("empty");
  ASSERT_OK(empty);
  ASSERT_TRUE(empty->has_value()) << "an empty value is a value";
  EXPECT_EQ((*empty)->size(), 0U);
  const auto gone = table->get("gone");
  ASSERT_OK(gone);
  EXPECT_FALSE(gone->has_value());
}

TEST(Database, OpeningNothingIsNotFoundAndMakesNothing) {
  const TemporaryDirectory directory;
  const auto absent = Database::open(directory.file("absent"));
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  const auto empty = Database::open(directory.path());
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Database, CreateRefusesADatabaseThatIsThere) {
  const TemporaryDirectory directory;
  ASSERT_OK(Database::create(directory.path()));
  const auto again = Database::create(directory.path());
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kConflict);
}

TEST(Database, RefusesBadArgumentsWithoutHarm) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  for (const char* const name : {"", "with space", "slash/", "ünicode"}) {
    const auto table = database->table(name);
    ASSERT_FALSE(table.has_value()) << name;
    EXPECT_EQ(table.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(database->table("t", {.memtable_bytes_max = 1}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(database->table("t", {.create_if_missing = false}).error().code, ErrorCode::kNotFound);
  auto table = database->table("t");
  ASSERT_OK(table);
  EXPECT_EQ(table->put("", "v").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(table->put(std::string(65'536, 'k'), "v").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(table->put("k", ByteView("v", kValueBytesMax + 1)).error().code, ErrorCode::kInvalidArgument);
  Batch batch;
  batch.put("good", "v");
  batch.put("", "v");
  EXPECT_EQ(table->write(batch).error().code, ErrorCode::kInvalidArgument);
  const auto good = table->get("good");
  ASSERT_OK(good);
  EXPECT_FALSE(good->has_value()) << "nothing of a refused batch is applied";
  const auto empty = table->get("");
  ASSERT_OK(empty);
  EXPECT_FALSE(empty->has_value());
}

TEST(Database, KeepsLargeValuesInFilesOfTheirOwnAndDropsThemWithTheirKeys) {
  const TemporaryDirectory directory;
  const auto value_of = [](int i, std::uint64_t bytes) { return std::string(bytes, static_cast<char>('a' + i)); };
  const std::uint64_t largest = soaking() ? kValueBytesMax : 40 * kMiB;
  const IndexOptions first{.name = "first", .term_bytes = 1, .extractor = "bytes:0,1"};
  {
    auto database = open(directory.path());
    ASSERT_OK(database);
    auto table = database->table("t", {.main = {.indexes = {first}}});
    ASSERT_OK(table);
    for (int i = 0; i < 4; ++i) ASSERT_OK(table->put("large" + std::to_string(i), value_of(i, 16 * kMiB + 7)));
    Batch batch;  // One of a batch, with small ones.
    batch.put("small", "a small one");
    batch.put("large4", value_of(4, largest));
    batch.erase("large0");
    ASSERT_OK(table->write(batch));
    EXPECT_LT(table->stats().unsealed_bytes, 1 * kMiB) << "a reference is small";
    EXPECT_EQ(table->stats().large_values, 5U);
    const Snapshot before = table->snapshot();
    ASSERT_OK(table->put("large1", "now small"));
    ASSERT_OK(table->compact());
    EXPECT_EQ(table->stats().large_values, 4U) << "large0 is dropped, large1 is pinned";
    EXPECT_EQ((*table->get("large1", before))->view(), value_of(1, 16 * kMiB + 7));
  }
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  EXPECT_EQ((*table->get("large1"))->view(), "now small");
  EXPECT_TRUE((*table->get("large4"))->view() == value_of(4, largest));
  EXPECT_EQ(table->find("first", "e").entry().key, "large4");
  ASSERT_OK(table->erase_range(prefix("large")));
  ASSERT_OK(table->compact());
  EXPECT_EQ(table->stats().large_values, 0U);
  std::uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory.path())) bytes += file.file_size();
  EXPECT_LT(bytes, 4 * kMiB) << "their files are gone";
}

TEST(Database, TakesABatchLargerThanASegment) {
  const TemporaryDirectory directory;
  {
    auto database = open(directory.path());
    ASSERT_OK(database);
    auto table = database->table("t");
    ASSERT_OK(table);
    Batch batch;
    for (int i = 0; i < 100; ++i) batch.put("key" + std::to_string(i), std::string(1 * kMiB, static_cast<char>('a' + i % 26)));
    ASSERT_OK(table->write(batch));
    ASSERT_OK(table->put("after", "it"));
  }
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ((*table->get("key" + std::to_string(i)))->view(), std::string(1 * kMiB, static_cast<char>('a' + i % 26)));
  }
}

TEST(Database, TakesTheLargestKeyAndAValueOfManyMiB) {
  const TemporaryDirectory directory;
  const std::string key(kKeyBytesMax, '\xff');
  const std::string value(15 * kMiB, 'v');
  {
    auto database = open(directory.path());
    ASSERT_OK(database);
    auto table = database->table("t", {.main = {.compression = Compression::kZstd}});
    ASSERT_OK(table);
    ASSERT_OK(table->put(key, value));
    ASSERT_OK(table->put(std::string(1, '\0'), "nul"));
    ASSERT_OK(table->flush());
  }
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  const auto hit = table->get(key);
  ASSERT_OK(hit);
  ASSERT_TRUE(hit->has_value());
  EXPECT_TRUE((*hit)->view() == value);
  std::size_t found = 0;
  Scan scan = table->scan(prefix("\xff"));
  for (const auto entry : scan) found += entry.value.size();
  EXPECT_EQ(found, value.size());
}

TEST(Database, TablesOfOneDirectoryAreApart) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto one = database->table("one");
  auto two = database->table("two");
  ASSERT_OK(one);
  ASSERT_OK(two);
  ASSERT_OK(one->put("key", "1"));
  ASSERT_OK(two->put("key", "2"));
  ASSERT_OK(one->compact());
  EXPECT_EQ((*two->get("key"))->view(), "2");
  EXPECT_EQ((*one->get("key"))->view(), "1");
}

TEST(Database, MultiGetAnswersInOrder) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  ASSERT_OK(table->put("a", "1"));
  ASSERT_OK(table->flush());
  ASSERT_OK(table->put("b", "2"));
  const std::vector<ByteView> keys = {"b", "missing", "a"};
  const auto values = table->multi_get(keys);
  ASSERT_OK(values);
  EXPECT_EQ(values->at(0)->view(), "2");
  EXPECT_FALSE(values->at(1).has_value());
  EXPECT_EQ(values->at(2)->view(), "1");
}

TEST(Database, APinnedValueOutlivesFlushCompactionAndTheDatabase) {
  const TemporaryDirectory directory;
  Pinned from_log;
  Pinned from_sealed;
  Pinned from_last;
  {
    auto database = open(directory.path());
    ASSERT_OK(database);
    auto table = database->table("t");
    ASSERT_OK(table);
    ASSERT_OK(table->put("key", "value"));
    from_log = **table->get("key");
    ASSERT_OK(table->flush());
    from_sealed = **table->get("key");
    for (int i = 0; i < 10; ++i) {
      ASSERT_OK(table->put("key", "other"));
      ASSERT_OK(table->compact());
    }
    from_last = **table->get("key");
  }
  auto again = open(directory.path());  // Which deletes what was dropped and still held,
  ASSERT_OK(again);
  auto table = again->table("t");
  ASSERT_OK(table);
  ASSERT_OK(table->put("key", "new"));
  ASSERT_OK(table->compact());  // and drops and deletes what it knows no reader of.
  EXPECT_EQ(from_log.view(), "value");
  EXPECT_EQ(from_sealed.view(), "value");
  EXPECT_EQ(from_last.view(), "other");
  EXPECT_TRUE(from_sealed.status().has_value());
  EXPECT_TRUE(from_last.status().has_value());
}

TEST(Database, TheNumberOfMapsIsBoundedAndOneOverItIsAnErrorThatSaysSo) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  ASSERT_OK(table->put("key", "value"));
  {
    std::vector<storage::BusErrorGuard> others;
    static const char byte = 0;
    while (storage::maps_open() < storage::kMapsMax) {
      auto guard = storage::BusErrorGuard::watch(&byte, 1, false);
      ASSERT_OK(guard);
      others.push_back(std::move(*guard));
    }
    const auto refused = table->flush();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << refused.error().to_string();
    const auto hit = table->get("key");
    ASSERT_OK(hit);
    EXPECT_EQ((*hit)->view(), "value");
  }
  EXPECT_OK(table->flush());
}

TEST(Database, ABusErrorIsAnErrorOfThatReadAndNotTheEndOfTheProcess) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  for (int i = 0; i < 1000; ++i)
    ASSERT_OK(table->put("key" + std::to_string(i), std::string(100, 'v'), {.durability = Durability::kKernel}));
  ASSERT_OK(table->flush());
  const auto pinned = table->get("key500");
  ASSERT_OK(pinned);
  ASSERT_TRUE(pinned->has_value());
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() == ".sealed") std::filesystem::resize_file(entry.path(), 4096);
  }
  const auto hit = table->get("key700");
  ASSERT_FALSE(hit.has_value());
  EXPECT_EQ(hit.error().code, ErrorCode::kIo) << hit.error().to_string();
  Scan scan = table->scan();
  while (scan.valid()) scan.next();
  ASSERT_FALSE(scan.status().has_value());
  EXPECT_EQ(scan.status().error().code, ErrorCode::kIo) << scan.status().error().to_string();
  EXPECT_FALSE((*pinned)->status().has_value()) << "bytes handed out before say so too";
  ASSERT_OK(table->put("still", "writable"));
}

TEST(Database, AJobHoldsNoReaderUpAndWritersReadersAndJobsAgree) {
  // Under TSan this is the test of the commit path, the line-up and the pins. Each batch moves one unit between two
  // keys, so that every consistent view has the same sum.
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t", {.memtable_bytes_max = kMiB});
  ASSERT_OK(table);
  constexpr int kAccounts = 16;
  constexpr int kStart = 1000;
  Batch start;
  for (int i = 0; i < kAccounts; ++i) start.put("account" + std::to_string(i), std::to_string(kStart));
  ASSERT_OK(table->write(start));
  std::atomic<bool> stop{false};
  std::atomic<int> sums{0};
  std::vector<std::thread> threads;
  std::mutex transfers;
  for (int w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      Random random(static_cast<std::uint64_t>(w));
      for (int i = 0; i < 1500; ++i) {
        const std::string from = "account" + std::to_string(random.below(kAccounts));
        const std::string to = "account" + std::to_string(random.below(kAccounts));
        if (from == to) continue;
        const std::lock_guard<std::mutex> lock(transfers);
        Batch batch;
        batch.put(from, std::to_string(std::stoi(Bytes(**table->get(from))) - 1));
        batch.put(to, std::to_string(std::stoi(Bytes(**table->get(to))) + 1));
        batch.put("filler" + std::to_string(i), std::string(400, 'f'));
        EXPECT_OK(table->write(batch, {.durability = i % 50 == 0 ? Durability::kDisk : Durability::kKernel}));
      }
    });
  }
  for (int s = 0; s < 2; ++s) {  // Lone writers, so that groups form.
    threads.emplace_back([&, s] {
      for (int i = 0; i < 60; ++i) EXPECT_OK(table->put("lone" + std::to_string(s), std::to_string(i)));
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      while (!stop) {
        const Snapshot snapshot = r == 0 ? kNow : table->snapshot();
        int sum = 0;
        Scan scan = table->scan(prefix("account"), r == 0 ? Direction::kForward : Direction::kReverse, 0, snapshot);
        for (const auto entry : scan) sum += std::stoi(Bytes(entry.value));
        EXPECT_OK(scan.status());
        EXPECT_EQ(sum, kAccounts * kStart);
        ++sums;
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      EXPECT_OK(table->flush());
      EXPECT_OK(table->compact());
      (void)table->stats();
    }
  });
  for (int i = 0; i < 4; ++i) threads[static_cast<std::size_t>(i)].join();
  stop = true;
  for (std::size_t i = 4; i < threads.size(); ++i) threads[i].join();
  EXPECT_GT(sums.load(), 0);
  const Result<VerifyReport> report = database->verify();
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty());
}

TEST(Database, StatsNameTheOldestPinAndTheLayers) {
  const TemporaryDirectory directory;
  auto database = open(directory.path());
  ASSERT_OK(database);
  auto table = database->table("t");
  ASSERT_OK(table);
  ASSERT_OK(table->put("key", "value"));
  const Snapshot snapshot = table->snapshot("the report of May");
  ASSERT_OK(table->put("key", "newer"));
  ASSERT_OK(table->compact());
  const TableStats stats = table->stats();
  ASSERT_TRUE(stats.oldest_pin.has_value());
  EXPECT_EQ(stats.oldest_pin->label, "the report of May");
  ASSERT_EQ(stats.layers.size(), 2U);
  EXPECT_EQ(stats.layers[0].kind, "sealed");
  EXPECT_EQ(stats.layers[0].records, 2U) << "the pinned version is kept";
  EXPECT_EQ((*table->get("key", snapshot))->view(), "value");
}

TEST(Database, ManyTablesShareTheThreadsOfTheProcess) {
  const TemporaryDirectory directory;
  const auto count = static_cast<int>(sample(200, 5000));
  const auto name = [](int i) { return "table" + std::to_string(i); };
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator{});
  };
  for (const bool made : {false, true}) {
    auto database = open(directory.path());
    ASSERT_OK(database);
    ASSERT_OK(database->table("first"));
    const auto before = threads();
    for (int i = 0; i < count; ++i) {
      auto table = database->table(name(i), {.create_if_missing = !made});
      ASSERT_OK(table);
      if (!made) ASSERT_OK(table->put("key", name(i), {.durability = Durability::kKernel}));
    }
    EXPECT_EQ(threads(), before);
    for (int i = 0; i < count; ++i) EXPECT_EQ((*database->table(name(i))->get("key"))->view(), name(i));
    ASSERT_OK(database->close());
  }
}

std::filesystem::perms permissions_of(const std::filesystem::path& path) {
  return std::filesystem::status(path).permissions() & std::filesystem::perms::all;
}
/// All files in the directory have these permissions.
void expect_files(const std::string& directory, unsigned mode) {
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    EXPECT_EQ(permissions_of(file.path()), std::filesystem::perms(mode)) << file.path();
  }
}
struct Umask {
  explicit Umask(mode_t mask) : before(umask(mask)) {}
  ~Umask() { umask(before); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  const mode_t before;
};

TEST(Database, MakesFilesForTheirOwnerAlone) {
  const TemporaryDirectory directory;
  const Umask open_to_all(0);
  auto database = open(directory.file("db"));
  ASSERT_OK(database);
  ASSERT_OK(database->table("t")->put("a", "1"));
  ASSERT_OK(database->timeline("main")->put("a", "1"));
  ASSERT_OK(database->checkpoint(directory.file("copy")));
  ASSERT_OK(database->close());
  for (const char* name : {"db", "copy"}) {
    expect_files(directory.file(name), 0600);
    EXPECT_EQ(permissions_of(directory.file(name)), std::filesystem::perms(0700)) << name;
  }
}

TEST(Database, MakesFilesWithTheModeThatIsGiven) {
  const TemporaryDirectory directory;
  const Umask closed(0077);
  auto database = Database::open(directory.file("db"), {.create_if_missing = true, .file_mode = 0640});
  ASSERT_OK(database);
  ASSERT_OK(database->table("t")->put("a", "1"));
  ASSERT_OK(database->checkpoint(directory.file("copy")));
  ASSERT_OK(database->close());
  for (const char* name : {"db", "copy"}) {
    expect_files(directory.file(name), 0640);
    EXPECT_EQ(permissions_of(directory.file(name)), std::filesystem::perms(0750)) << name;
  }
  for (const unsigned mode : {0U, 0400U, 0200U, 01600U, 07777U}) {
    const auto refused = Database::open(directory.file("other"), {.create_if_missing = true, .file_mode = mode});
    ASSERT_FALSE(refused.has_value()) << mode;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(std::filesystem::exists(directory.file("other")));
  }
}

TEST(Database, LeavesThePermissionsOfFilesThatAreThere) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("db");
  {
    auto database = open(path);
    ASSERT_OK(database);
    ASSERT_OK(database->table("t")->put("a", "1"));
    ASSERT_OK(database->close());
  }
  std::set<std::filesystem::path> there;
  for (const auto& file : std::filesystem::directory_iterator(path)) {
    std::filesystem::permissions(file.path(), std::filesystem::perms(0644));
    there.insert(file.path());
  }
  std::filesystem::permissions(path, std::filesystem::perms(0755));
  auto database = open(path);
  ASSERT_OK(database);
  const auto value = database->table("t")->get("a");
  ASSERT_TRUE(value && *value);
  EXPECT_EQ((*value)->view(), "1");
  for (const auto& file : std::filesystem::directory_iterator(path)) {
    const unsigned mode = there.contains(file.path()) ? 0644 : 0600;
    EXPECT_EQ(permissions_of(file.path()), std::filesystem::perms(mode)) << file.path();
  }
  EXPECT_EQ(permissions_of(path), std::filesystem::perms(0755));
  ASSERT_OK(database->close());
}

}  // namespace
}  // namespace cairn::test
