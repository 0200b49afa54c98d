// A sealed file against the sorted list it was made from, for every compression.
#include <gtest/gtest.h>

#include "sealed/sealed_reader.h"
#include "sealed/sealed_writer.h"
#include "support/memory_file.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using sealed::object_bytes;
using sealed::sealed_bytes_max;
using sealed::SealedBounds;
using sealed::SealedReader;
using sealed::SealedWriter;

struct Stored {
  std::string key;
  std::string value;
  std::uint64_t version;
  bool tombstone;
};

/// Notes what it is asked to read ahead.
class WatchedFile final : public MemoryFile {
 public:
  using MemoryFile::MemoryFile;
  void will_read(std::uint64_t from, std::uint64_t to) const override { asked.emplace_back(from, to); }
  mutable std::vector<std::pair<std::uint64_t, std::uint64_t>> asked;
};

class SealedFile : public testing::TestWithParam<sealed::Compression> {
 protected:
  void write(const std::vector<Stored>& records) {
    SealedBounds bounds{.replaces = 2};
    for (const Stored& record : records) {
      ++bounds.records;
      bounds.object_bytes += object_bytes(record.key.size(), record.value.size(), 3);
      bounds.key_bytes_max = std::max<std::uint64_t>(bounds.key_bytes_max, record.key.size());
    }
    bytes = std::make_shared<Bytes>(sealed_bytes_max(bounds), '\0');
    SealedWriter writer(std::make_unique<MemoryAppendFile>(bytes),
                        {.database = {1, 2}, .hash_seed = 5, .number = 9, .salt = 1, .epoch = 1, .view = 4, .replaces = {7, 8}},
                        {.compression = GetParam(), .unit_bytes = 1024});
    for (const Stored& record : records) {
      writer.add({.key = record.key,
                  .value = record.value,
                  .kind = record.tombstone ? RecordKind::kTombstone : RecordKind::kPut,
                  .write_version = record.version,
                  .stamp = record.version,
                  .account = record.version % 3});
    }
    ASSERT_OK(writer.complete());
    const auto size = writer.finish();
    ASSERT_OK(size);
    bytes->resize(*size);
    file = std::make_shared<WatchedFile>(bytes);
    const auto opened = SealedReader::open(file, {.database = {1, 2}, .number = 9, .view = 4, .family = 0});
    ASSERT_OK(opened);
    reader = *opened;
  }
  static std::vector<Stored> many(std::uint64_t seed, std::size_t count) {
    Random random(seed);
    std::map<std::string, std::vector<Stored>> by_key;
    for (std::size_t i = 0; i < count; ++i) {
      std::string key = "key" + std::to_string(random.below(count / 2 + 1));
      if (random.one_in(10)) key += std::string(random.below(300), 'k');
      if (random.one_in(10)) key = "keyhot";  // Units of it alone.
      by_key[key].push_back({key, std::string(random.below(random.one_in(30) ? 5000 : 60), 'v'), count - i, random.one_in(5)});
    }
    std::vector<Stored> records;
    for (const auto& [key, versions] : by_key) records.insert(records.end(), versions.begin(), versions.end());
    return records;
  }
  [[nodiscard]] auto get(const std::string& key, std::uint64_t version_max) const {
    return reader->get(key, xxh3(key, 5), version_max);
  }

  std::shared_ptr<Bytes> bytes;
  std::shared_ptr<WatchedFile> file;
  std::shared_ptr<SealedReader> reader;
};

TEST_P(SealedFile, FindsTheNewestVersionNotAboveTheOneAsked) {
  const auto records = many(1, 3000);
  write(records);
  for (const Stored& record : records) {
    const auto hit = get(record.key, record.version);
    ASSERT_OK(hit);
    ASSERT_TRUE(hit->has_value()) << record.key;
    EXPECT_EQ((*hit)->entry.write_version, record.version);
    EXPECT_EQ((*hit)->entry.value, record.value);
    EXPECT_EQ((*hit)->entry.account, record.version % 3);
  }
  for (int i = 0; i < 3000; ++i) {
    const auto miss = get("absent" + std::to_string(i), ~std::uint64_t{0});
    ASSERT_OK(miss);
    EXPECT_FALSE(miss->has_value());
  }
  EXPECT_EQ(reader->replaces(), (std::vector<std::uint64_t>{7, 8}));
  EXPECT_OK(reader->verify([](std::uint64_t) { return Result<void>{}; }));
}

TEST_P(SealedFile, WalksBothWaysFromAnywhere) {
  const auto records = many(2, 1200);
  write(records);
  const auto cursor = reader->cursor();
  std::size_t i = 0;
  ASSERT_OK(cursor->seek_first());
  for (; cursor->valid(); ++i) {
    ASSERT_EQ(cursor->entry().key, records[i].key);
    ASSERT_EQ(cursor->entry().write_version, records[i].version);
    ASSERT_OK(cursor->next());
  }
  EXPECT_EQ(i, records.size());
  ASSERT_OK(cursor->seek_last());
  while (cursor->valid()) {
    --i;
    ASSERT_EQ(cursor->entry().write_version, records[i].version);
    ASSERT_OK(cursor->prev());
  }
  EXPECT_EQ(i, 0U);
  Random random(3);
  for (int n = 0; n < 500; ++n) {
    const std::string key =
        random.one_in(2) ? records[random.below(records.size())].key : "key" + std::to_string(random.below(2000));
    const auto at =
        std::lower_bound(records.begin(), records.end(), key, [](const Stored& a, const std::string& b) { return a.key < b; });
    ASSERT_OK(cursor->seek(key));
    ASSERT_EQ(cursor->valid(), at != records.end());
    if (cursor->valid()) {
      ASSERT_EQ(cursor->entry().write_version, at->version);
    }
    ASSERT_OK(cursor->seek_before(key));
    ASSERT_EQ(cursor->valid(), at != records.begin());
    if (cursor->valid()) {
      ASSERT_EQ(cursor->entry().write_version, std::prev(at)->version);
    }
    const std::uint64_t version = random.below(records.size() + 2);
    auto before = at;
    while (before != records.end() && before->key == key && before->version > version) ++before;
    ASSERT_OK(cursor->seek_before(key, version));
    ASSERT_EQ(cursor->valid(), before != records.begin());
    if (cursor->valid()) {
      ASSERT_EQ(cursor->entry().key, std::prev(before)->key);
      ASSERT_EQ(cursor->entry().write_version, std::prev(before)->version);
    }
  }
}

TEST_P(SealedFile, IsSentToAnyVersionOfAKey) {
  const auto records = many(8, 3000);
  write(records);
  const auto cursor = reader->cursor();
  for (std::size_t i = 0; i < records.size(); ++i) {
    ASSERT_OK(cursor->seek_before(records[i].key, records[i].version));
    ASSERT_EQ(cursor->valid(), i != 0);
    if (i == 0) continue;
    ASSERT_EQ(cursor->entry().key, records[i - 1].key);
    ASSERT_EQ(cursor->entry().write_version, records[i - 1].version);
  }
}

TEST_P(SealedFile, StepsBackFromWhereItWasSentLast) {
  const std::vector<Stored> records = many(5, 400);
  write(records);
  const auto cursor = reader->cursor();
  for (std::size_t i = 1; i < records.size(); i += 7) {
    if (records[i].key == records[i - 1].key) continue;
    ASSERT_OK(cursor->seek_last());
    ASSERT_OK(cursor->seek(records[i].key));
    ASSERT_OK(cursor->prev());
    ASSERT_TRUE(cursor->valid());
    EXPECT_EQ(cursor->entry().key, records[i - 1].key);
    EXPECT_EQ(cursor->entry().write_version, records[i - 1].version);
  }
}

std::vector<Stored> incompressible(std::size_t count, std::size_t value_bytes) {
  Random random(6);
  std::vector<Stored> records;
  for (std::size_t i = 0; i < count; ++i) {
    records.push_back({"key" + std::to_string(100'000 + i), {}, 1, false});
    for (std::size_t n = 0; n < value_bytes; ++n) records.back().value.push_back(static_cast<char>(random.next()));
  }
  return records;
}

TEST_P(SealedFile, ASeekAsksForNothingButALongValue) {
  Random random(7);
  for (const std::size_t value_bytes : {100, 1000, 5000, 15'000, 40'000}) {
    const std::vector<Stored> records = incompressible(2'000'000 / value_bytes, value_bytes);
    write(records);
    const auto cursor = reader->cursor();
    const std::size_t steps = 5000 / value_bytes;
    for (int n = 0; n < 100; ++n) {
      const std::string& key = records[random.below(records.size())].key;
      ASSERT_OK(cursor->seek(key));
      for (std::size_t step = 0; step < steps && cursor->valid(); ++step) ASSERT_OK(cursor->next());
      ASSERT_OK(cursor->seek_before(key));
      for (std::size_t step = 0; step < steps && cursor->valid(); ++step) ASSERT_OK(cursor->prev());
      ASSERT_OK(get(key, 1));
    }
    for (const auto& [from, to] : file->asked) {
      EXPECT_GT(value_bytes, 16 * kKiB);
      EXPECT_LT(to - from, value_bytes + 4096);
    }
    EXPECT_EQ(file->asked.empty(), value_bytes <= 16 * kKiB) << value_bytes;
  }
}

TEST_P(SealedFile, AWalkAsksForWhatItWillRead) {
  const std::vector<Stored> records = incompressible(20'000, 100);
  write(records);
  const auto cursor = reader->cursor();
  const std::uint64_t value_bytes = records.size() * 100;

  ASSERT_OK(cursor->seek_first());
  while (cursor->valid()) ASSERT_OK(cursor->next());
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> forward = std::exchange(file->asked, {});
  ASSERT_FALSE(forward.empty());
  EXPECT_LT(forward.front().first, 64 * kKiB);
  EXPECT_LE(forward.size(), 16U);
  for (std::size_t i = 1; i < forward.size(); ++i) EXPECT_EQ(forward[i].first, forward[i - 1].second);
  EXPECT_GT(forward.back().second, value_bytes);
  EXPECT_LT(forward.back().second, bytes->size());

  ASSERT_OK(cursor->seek_last());
  while (cursor->valid()) ASSERT_OK(cursor->prev());
  const auto& backward = file->asked;
  ASSERT_FALSE(backward.empty());
  EXPECT_GT(backward.front().second + 48 * kKiB, forward.back().second);
  EXPECT_LE(backward.size(), 16U);
  for (std::size_t i = 1; i < backward.size(); ++i) EXPECT_EQ(backward[i].second, backward[i - 1].first);
  EXPECT_LT(backward.back().first, forward.front().first);
}

TEST_P(SealedFile, AKeyWithVersionsOverManyUnitsIsFoundAtEach) {
  std::vector<Stored> records{{"a", "first", 1, false}};
  for (std::uint64_t version = 500; version > 0; --version) records.push_back({"b", std::string(100, 'v'), version + 10, false});
  records.push_back({"c", "last", 2, false});
  write(records);
  for (const std::uint64_t version : {11, 12, 250, 510}) {
    const auto hit = get("b", version);
    ASSERT_OK(hit);
    ASSERT_TRUE(hit->has_value());
    EXPECT_EQ((*hit)->entry.write_version, version);
  }
  EXPECT_FALSE((*get("b", 10)).has_value());
}

TEST_P(SealedFile, EveryFlippedBitIsCaughtByVerify) {
  write(many(4, 30));
  Random random(5);
  for (int i = 0; i < 3000; ++i) {
    const std::uint64_t bit = random.below(bytes->size() * 8);
    auto damaged = std::make_shared<Bytes>(*bytes);
    (*damaged)[bit / 8] = static_cast<char>((*damaged)[bit / 8] ^ (1 << (bit % 8)));
    auto opened =
        SealedReader::open(std::make_shared<MemoryFile>(damaged), {.database = {1, 2}, .number = 9, .view = 4, .family = 0});
    ASSERT_FALSE(opened.has_value() && (*opened)->verify([](std::uint64_t) { return Result<void>{}; }).has_value())
        << "bit " << bit;
  }
}

TEST_P(SealedFile, FindsRecordsByTermAndKeepsRangeTombstonesAndBounds) {
  bytes = std::make_shared<Bytes>(256 * kKiB, '\0');
  SealedWriter writer(std::make_unique<MemoryAppendFile>(bytes),
                      {.database = {1, 2}, .hash_seed = 5, .number = 9, .view = 4, .cover_from = "c", .replaces = {}},
                      {.compression = GetParam(), .unit_bytes = 256, .terms = {{"one", 3}, {"none", 2}}});
  std::map<std::string, std::vector<std::string>> wanted;
  for (int i = 100; i < 400; ++i) {
    const std::string key = "key" + std::to_string(i);
    const sealed::TermOf term{0, "t" + std::to_string(10 + i * 7 % 13)};
    wanted[term.term].push_back(key);
    writer.add({.key = key, .value = term.term, .write_version = 5}, {&term, 1});
  }
  writer.add_range_tombstone({.key = "key3", .value = "key7", .kind = RecordKind::kRangeTombstone, .write_version = 3});
  writer.add_range_tombstone({.key = "key3", .value = "key7", .kind = RecordKind::kRangeTombstone, .write_version = 2});
  ASSERT_OK(writer.complete("m"));
  const auto size = writer.finish();
  ASSERT_OK(size);
  bytes->resize(*size);
  const auto opened =
      SealedReader::open(std::make_shared<MemoryFile>(bytes), {.database = {1, 2}, .number = 9, .view = 4, .family = 0});
  ASSERT_OK(opened);
  for (const auto& [term, keys] : wanted) {
    std::vector<std::string> found;
    ASSERT_OK((*opened)->find_term("one", term, [&](const sealed::Entry& entry) -> Result<void> {
      if (entry.value == term) found.emplace_back(entry.key);  // Compressed: others of the unit come along.
      return {};
    }));
    std::sort(found.begin(), found.end());
    ASSERT_EQ(found, keys) << term;
  }
  int visits = 0;
  const auto count = [&](const sealed::Entry&) -> Result<void> {
    ++visits;
    return {};
  };
  ASSERT_OK((*opened)->find_term("none", "xx", count));
  EXPECT_EQ(visits, 0);
  EXPECT_EQ((*opened)->find_term("missing", "xx", count).error().code, ErrorCode::kCorruption);
  const auto ranges = (*opened)->range_tombstones();
  ASSERT_OK(ranges);
  ASSERT_EQ(ranges->size(), 2U);
  EXPECT_EQ((*ranges)[1].write_version, 2U);
  EXPECT_EQ((*ranges)[1].key, "key3");
  EXPECT_EQ((*ranges)[1].value, "key7");
  const auto keys = (*opened)->key_bounds();
  ASSERT_OK(keys);
  EXPECT_EQ(keys->first, "key100");
  EXPECT_EQ(keys->last, "key399");
  EXPECT_EQ(keys->cover_from, "c");
  EXPECT_EQ(keys->cover_to, "m");
  EXPECT_OK((*opened)->verify([](std::uint64_t) { return Result<void>{}; }));
}

TEST_P(SealedFile, ATruncatedFileIsRefused) {
  write(many(6, 50));
  for (std::size_t size = 0; size < bytes->size(); size += 97) {
    const auto cut = std::make_shared<Bytes>(bytes->substr(0, size));
    const auto opened =
        SealedReader::open(std::make_shared<MemoryFile>(cut), {.database = {1, 2}, .number = 9, .view = 4, .family = 0});
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruption);
  }
}

TEST_P(SealedFile, APreambleThatSaysOtherThanTheRecordsIsDamage) {
  write(many(1, 50));
  const auto with = [&](const std::function<void(sealed::Preamble&)>& change) {
    auto preamble = load<sealed::Preamble>(bytes->data());
    change(preamble);
    preamble.checksum = xxh3(bytes_of(preamble).substr(0, offsetof(sealed::Preamble, checksum)));
    auto changed = std::make_shared<Bytes>(*bytes);
    store(changed->data(), preamble);
    store(changed->data() + changed->size() - sizeof(preamble), preamble);
    const auto opened =
        SealedReader::open(std::make_shared<MemoryFile>(changed), {.database = {1, 2}, .number = 9, .view = 4, .family = 0});
    return opened ? (*opened)->verify([](std::uint64_t) { return Result<void>{}; })
                  : Result<void>(std::unexpected(opened.error()));
  };
  EXPECT_OK(with([](sealed::Preamble& /*same*/) {}));
  const auto says = [&](const std::string& what, const std::function<void(sealed::Preamble&)>& change) {
    const Result<void> verified = with(change);
    ASSERT_FALSE(verified.has_value()) << what;
    EXPECT_EQ(verified.error().code, ErrorCode::kCorruption);
    EXPECT_NE(verified.error().message.find(what), std::string::npos) << verified.error().message;
  };
  says("first key", [](sealed::Preamble& of) { --of.first_key_bytes, ++of.last_key_bytes; });
  says("last key", [](sealed::Preamble& of) { --of.last_key_bytes, ++of.cover_from_bytes; });
  says("tombstones", [](sealed::Preamble& of) { ++of.tombstone_count; });
  says("records that expire, not", [](sealed::Preamble& of) { ++of.expiring_count; });
}

INSTANTIATE_TEST_SUITE_P(All, SealedFile,
                         testing::Values(sealed::Compression::kNone, sealed::Compression::kLz4, sealed::Compression::kZstd));

}  // namespace
}  // namespace cairn::test
