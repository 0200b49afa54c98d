#include <gtest/gtest.h>

#include "segment/segment_reader.h"
#include "segment/segment_writer.h"
#include "support/memory_file.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using namespace segment;  // NOLINT(google-build-using-namespace)

/// A segment in memory with a writer, and readers of what it holds.
struct Log {
  explicit Log(bool recycled = false, std::uint64_t salt = 3)
      : bytes(std::make_shared<Bytes>(16 * kKiB, recycled ? '\x5a' : '\0')) {
    writer = *SegmentWriter::start(std::make_unique<MemoryAppendFile>(bytes),
                                   {.database = {1, 2}, .number = 9, .salt = salt, .epoch = 1, .view = 4}, recycled);
  }
  std::uint64_t put(const std::string& key, std::uint64_t version, std::uint8_t flags = 0) {
    const RecordView record =
        writer->append({.flags = flags, .write_version = version, .stamp = version, .view = 4, .key = key, .value = "value"});
    if (flags == 0) writer->publish();
    return record.header.checksum;
  }
  [[nodiscard]] SegmentReader reader() const {
    return *SegmentReader::open(std::make_shared<MemoryFile>(bytes, "9-1-00000001.segment"), {1, 2}, 9, 4);
  }
  std::vector<std::string> keys(std::uint64_t end) const {
    std::vector<std::string> found;
    EXPECT_OK(reader().replay(end, [&](const RecordView& record) -> Result<void> {
      found.emplace_back(record.key);
      return {};
    }));
    return found;
  }
  std::shared_ptr<Bytes> bytes;
  std::unique_ptr<SegmentWriter> writer;
};

TEST(Segment, ReadsBackWhatWasAppended) {
  Log log;
  log.put("a", 1);
  log.put("b", 2);
  EXPECT_EQ(log.keys(log.writer->end()), (std::vector<std::string>{"a", "b"}));
}

TEST(Segment, KeepsAccountExpiryAndEmptyValues) {
  Log log;
  log.writer->append({.kind = RecordKind::kPut,
                      .write_version = 1,
                      .stamp = 77,
                      .view = 4,
                      .family = 5,
                      .account = 6,
                      .expiry_ms = 8,
                      .key = "k",
                      .value = ""});
  log.writer->publish();
  EXPECT_OK(log.reader().replay(log.writer->end(), [&](const RecordView& record) -> Result<void> {
    EXPECT_EQ(record.account, 6U);
    EXPECT_EQ(record.expiry_ms, 8);
    EXPECT_EQ(record.header.family, 5);
    EXPECT_EQ(record.header.stamp, 77U);
    EXPECT_EQ(record.key, "k");
    EXPECT_TRUE(record.value.empty());
    return {};
  }));
}

TEST(Segment, EndsAtTheFirstTornRecordPastTheDurableEnd) {
  Log log;
  log.put("a", 1);
  const std::uint64_t durable = log.writer->end();
  log.writer->append_sync_frame(durable, 1, 1);
  log.put("b", 2);
  const std::uint64_t torn = log.writer->end();
  log.put("c", 3);
  log.put("d", 4);
  (*log.bytes)[torn + 44] ^= 1;

  const auto found = log.reader().recover(0);

  ASSERT_OK(found);
  EXPECT_EQ(found->end, torn) << "a later sound record does not count";
  EXPECT_EQ(found->durable_end, durable);
  EXPECT_EQ(found->trimmed_end, log.writer->end());
}

TEST(Segment, DamageBelowASyncFrameIsCorruptionWithItsOffset) {
  Log log;
  log.put("a", 1);
  const std::uint64_t second = log.writer->end();
  log.put("b", 2);
  log.writer->append_sync_frame(log.writer->end(), 2, 2);
  log.writer->publish();
  (*log.bytes)[second + 41] ^= 1;

  const auto found = log.reader().recover(0);

  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kCorruption);
  EXPECT_EQ(found.error().offset, second);
  EXPECT_EQ(found.error().file, "9-1-00000001.segment");
}

TEST(Segment, TheManifestsDurableEndCountsToo) {
  Log log;
  log.put("a", 1);
  (*log.bytes)[kHeaderBytes + 41] ^= 1;
  EXPECT_TRUE(log.reader().recover(kHeaderBytes).has_value());
  EXPECT_FALSE(log.reader().recover(log.writer->end()).has_value());
}

TEST(Segment, ABatchWithoutItsFrameDoesNotExist) {
  Log log;
  log.put("a", 1);
  const std::uint64_t before = log.writer->end();
  std::vector<std::uint64_t> checksums{log.put("b", 2, kInBatch), log.put("c", 3, kInBatch)};
  log.writer->publish();
  const auto without = log.reader().recover(0);
  ASSERT_OK(without);
  EXPECT_EQ(without->end, before);

  log.writer->append_batch_frame(before, checksums, {.write_version = 3, .stamp = 3, .key = {}, .value = {}});
  log.writer->publish();
  const auto with = log.reader().recover(0);
  ASSERT_OK(with);
  EXPECT_EQ(with->end, log.writer->end());
  EXPECT_EQ(log.keys(with->end), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Segment, AFrameOfOtherMembersIsRefused) {
  Log log;
  const std::uint64_t begin = log.writer->tail();
  std::vector<std::uint64_t> checksums{log.put("b", 2, kInBatch), log.put("c", 3, kInBatch)};
  checksums[1] ^= 1;
  log.writer->append_batch_frame(begin, checksums, {.write_version = 3, .stamp = 3, .key = {}, .value = {}});
  log.writer->publish();
  const auto found = log.reader().recover(0);
  ASSERT_OK(found);
  EXPECT_EQ(found->end, kHeaderBytes);
}

TEST(Segment, BytesOfAnEarlierLifeAreNeitherReadNorReported) {
  Log old(false, 99);
  for (std::uint64_t i = 1; i < 50; ++i) old.put("old" + std::to_string(i), i);
  Log log(true);
  std::copy(old.bytes->begin() + kHeaderBytes + 72, old.bytes->end(), log.bytes->begin() + kHeaderBytes + 72);
  log.put("new", 1);
  const auto found = log.reader().recover(0);
  ASSERT_OK(found);
  EXPECT_EQ(found->end, log.writer->end());
  EXPECT_EQ(found->trimmed_end, found->end) << "stale bytes are no torn record";
}

TEST(Segment, ARecordMovedToAnotherPlaceDoesNotValidate) {
  Log log;
  log.put("a", 1);
  const std::uint64_t size = log.writer->end() - kHeaderBytes;
  std::copy_n(log.bytes->begin() + kHeaderBytes, size, log.bytes->begin() + static_cast<std::ptrdiff_t>(log.writer->end()));
  const auto found = log.reader().recover(0);
  ASSERT_OK(found);
  EXPECT_EQ(found->end, log.writer->end());
}

TEST(Segment, AnotherFilesHeaderIsRefused) {
  const Log log;
  const auto file = std::make_shared<MemoryFile>(log.bytes);
  EXPECT_EQ(SegmentReader::open(file, {1, 3}, 9, 4).error().message, "segment belongs to another database");
  EXPECT_EQ(SegmentReader::open(file, {1, 2}, 8, 4).error().message, "segment carries another file's number");
  EXPECT_EQ(SegmentReader::open(file, {1, 2}, 9, 5).error().message, "segment belongs to another view");
  const auto short_file = std::make_shared<MemoryFile>(std::make_shared<Bytes>(log.bytes->substr(0, 64)));
  EXPECT_EQ(SegmentReader::open(short_file, {1, 2}, 9, 4).error().code, ErrorCode::kCorruption);
}

TEST(Segment, ReservedKindsAreUnsupportedNotDamage) {
  Log log;
  log.writer->append({.kind = RecordKind::kExpiryChange, .write_version = 1, .stamp = 1, .view = 4, .key = "a", .value = ""});
  log.writer->publish();
  const auto found = log.reader().recover(0);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kUnsupported);
}

TEST(Segment, AnExpiryChangeNamesItsSave) {
  Log log;
  const std::uint64_t begin = log.writer->tail();
  for (const char* const value : {"", "8 bytes."}) {
    log.writer->append({.kind = RecordKind::kExpiryChange,
                        .write_version = 1,
                        .stamp = 1,
                        .view = 4,
                        .family = kTimelineFamily,
                        .key = "a",
                        .value = value});
    log.writer->publish();
    const auto found = log.reader().recover(0);
    ASSERT_OK(found);
    EXPECT_EQ(found->end, begin) << "the first one is none, so nothing behind it counts";
  }
}

TEST(Segment, AnEndedSegmentMustVerifyToItsEnd) {
  Log log;
  log.put("a", 1);
  const auto short_of_end = log.reader().replay(log.writer->end() + 8, [](const RecordView&) { return Result<void>{}; });
  ASSERT_FALSE(short_of_end.has_value());
  EXPECT_EQ(short_of_end.error().code, ErrorCode::kCorruption);
  const auto beyond_file = log.reader().replay(kMiB, [](const RecordView&) { return Result<void>{}; });
  EXPECT_EQ(beyond_file.error().message, "segment is shorter than its end in the manifest");
}

}  // namespace
}  // namespace cairn::test
