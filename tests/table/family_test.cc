// Families, range erase, time to live and term indexes at the public interface.
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

struct Families : OneProcess {
  [[nodiscard]] Table family(const std::string& name, const FamilyOptions& options = {}) {
    const auto made = process.table().family(name, options);
    EXPECT_OK(made);
    return *made;
  }
  static std::optional<std::string> get(const Table& table, const std::string& key) {
    const auto hit = table.get(key);
    EXPECT_OK(hit);
    return hit->has_value() ? std::optional(std::string((*hit)->view())) : std::nullopt;
  }
  static std::vector<std::string> keys(Scan scan) {
    std::vector<std::string> found;
    for (const auto entry : scan) found.emplace_back(entry.key);
    EXPECT_OK(scan.status());
    return found;
  }
  void reopen() {
    ASSERT_OK(process.close());
    ASSERT_OK(process.open());
  }
};

TEST_F(Families, HaveKeysOfTheirOwnAndShareSnapshotsAndBatches) {
  Table main = process.table();
  const Table side = family("side");
  Batch batch;
  batch.put("key", "of main");
  batch.put(side, "key", "of side");
  ASSERT_OK(main.write(batch));
  const Snapshot before = main.snapshot();
  Batch more;
  more.erase("key");
  more.put(side, "key", "changed");
  ASSERT_OK(main.write(more));
  EXPECT_EQ(get(main, "key"), std::nullopt);
  EXPECT_EQ(get(side, "key"), "changed");
  EXPECT_EQ((*side.get("key", before))->view(), "of side");
  EXPECT_EQ((*main.get("key", before))->view(), "of main");
  EXPECT_EQ(main.families(), (std::vector<std::string>{"main", "side"}));
}

TEST_F(Families, ABatchForAnotherTableIsRefused) {
  const auto other = process.database().table("other", small_options());
  ASSERT_OK(other);
  Batch batch;
  batch.put("mine", "1");
  batch.put(Table(*other), "theirs", "1");
  EXPECT_EQ(process.table().write(batch).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(get(process.table(), "mine"), std::nullopt);
}

TEST_F(Families, AreThereAgainAfterAReopenWithWhatTheyHold) {
  ASSERT_OK(family("side").put("a", "1"));
  ASSERT_OK(process.table().flush());
  ASSERT_OK(family("late").put("b", "2"));
  reopen();
  EXPECT_EQ(get(family("side", {.create_if_missing = false}), "a"), "1");
  EXPECT_EQ(get(family("late", {.create_if_missing = false}), "b"), "2");
  EXPECT_EQ(process.table().family("never", {.create_if_missing = false}).error().code, ErrorCode::kNotFound);
}

TEST_F(Families, AnErasedRangeIsGoneForEveryWayOfReading) {
  Table table = process.table();
  for (const char* const key : {"a", "b", "c", "d"}) ASSERT_OK(table.put(key, key));
  ASSERT_OK(table.flush());
  ASSERT_OK(table.erase_range({"b", "d"}));
  ASSERT_OK(table.put("c", "again"));
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(keys(table.scan()), (std::vector<std::string>{"a", "c", "d"}));
    EXPECT_EQ(keys(table.scan(everything(), Direction::kReverse)), (std::vector<std::string>{"d", "c", "a"}));
    EXPECT_EQ(get(table, "b"), std::nullopt);
    EXPECT_EQ(get(table, "c"), "again");
    ASSERT_OK(round == 0 ? table.flush() : table.compact());
  }
  EXPECT_EQ(table.stats().layers.front().records, 3U) << "nothing is left of what was erased, nor of the tombstone";
}

TEST_F(Families, AnEmptyRangeIsRefused) {
  EXPECT_EQ(process.table().erase_range({"b", "b"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process.table().erase_range({"c", "b"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_OK(process.table().erase_range(everything()));
}

TEST_F(Families, ManyRangeTombstonesFreezeTheMemtable) {
  Table table = process.table();
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(1000 + i);
    ASSERT_OK(table.put(key, "value", {.durability = Durability::kKernel}));
    if (i % 2 == 0) ASSERT_OK(table.erase_range({key, key + "z"}, {.durability = Durability::kKernel}));
  }
  EXPECT_EQ(keys(table.scan()).size(), 500U);
  ASSERT_OK(table.compact());
  EXPECT_EQ(keys(table.scan()).size(), 500U);
}

TEST_F(Families, ARecordIsThereToTheMillisecondBeforeItsTimeIsOver) {
  Table brief = family("brief", {.ttl = std::chrono::milliseconds(100)});
  ASSERT_OK(brief.put("key", "value"));
  for (int round = 0; round < 2; ++round) {
    clock.advance_ms(99);
    EXPECT_EQ(get(brief, "key"), "value");
    EXPECT_EQ(keys(brief.scan()).size(), 1U);
    clock.advance_ms(1);
    EXPECT_EQ(get(brief, "key"), std::nullopt) << "whether it is still stored or not";
    EXPECT_EQ(keys(brief.scan()).size(), 0U);
    ASSERT_OK(brief.put("key", "value"));
    ASSERT_OK(brief.flush());
  }
}

constexpr std::int64_t kTenYearsMs = 10LL * 365 * 86'400'000;

TEST_F(Families, OneWrongClockReadingChangesNothing) {
  Table brief = family("brief", {.ttl = std::chrono::milliseconds(500)});
  ASSERT_OK(brief.put("before", "value"));
  ASSERT_OK(brief.flush());
  clock.step_wall_ms(kTenYearsMs);
  EXPECT_EQ(get(brief, "before"), std::nullopt) << "judged by the clock as it is";
  ASSERT_OK(brief.put("glitch", "value"));
  ASSERT_OK(brief.compact());
  clock.step_wall_ms(-kTenYearsMs);
  EXPECT_EQ(get(brief, "before"), "value") << "what only seemed to have expired was not deleted";
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    ASSERT_OK(brief.put("later", "value"));
    EXPECT_EQ(get(brief, "later"), "value");
    clock.advance_ms(500);
    EXPECT_EQ(get(brief, "later"), std::nullopt);
    if (round == 1) reopen();
    brief = family("brief");
  }
}

TEST_F(Families, AScanByAWrongClockHidesNothingFromLaterScans) {
  Table brief = family("brief", {.ttl = std::chrono::milliseconds(500)});
  for (int i = 0; i < 200; ++i) ASSERT_OK(brief.put("key" + std::to_string(1000 + i), "value"));
  clock.step_wall_ms(kTenYearsMs);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(keys(brief.scan()).size(), 0U);
    EXPECT_EQ(keys(brief.scan({}, Direction::kReverse)).size(), 0U);
  }
  clock.step_wall_ms(-kTenYearsMs);
  EXPECT_EQ(keys(brief.scan()).size(), 200U);
  EXPECT_EQ(keys(brief.scan({}, Direction::kReverse)).size(), 200U);
}

TEST_F(Families, OtherJumpsDoNotAddUpToAClockThatIsBelieved) {
  Table brief = family("brief", {.ttl = std::chrono::hours(24 * 365)});
  ASSERT_OK(brief.put("key", "value"));
  ASSERT_OK(brief.flush());
  clock.step_wall_ms(120'000);
  ASSERT_OK(brief.compact());
  clock.advance_ms(3'599'000);
  ASSERT_OK(brief.compact());
  clock.advance_ms(1'000);
  clock.step_wall_ms(kTenYearsMs);
  ASSERT_OK(brief.put("other", "value"));
  ASSERT_OK(brief.compact());
  clock.step_wall_ms(-kTenYearsMs);
  EXPECT_EQ(get(brief, "key"), "value");
}

TEST_F(Families, AClockThatIsSetRightIsFollowedAtOnce) {
  clock.step_wall_ms(-clock.wall_ms());  // No battery: the machine starts in 1970.
  reopen();
  Table brief = family("brief", {.ttl = std::chrono::milliseconds(500)});
  ASSERT_OK(brief.put("old", "value"));
  clock.step_wall_ms(5 * kTenYearsMs);
  EXPECT_EQ(get(brief, "old"), std::nullopt);
  ASSERT_OK(brief.put("new", "value"));
  EXPECT_EQ(get(brief, "new"), "value");
  clock.advance_ms(500);
  EXPECT_EQ(get(brief, "new"), std::nullopt);
  ASSERT_OK(brief.compact());
  EXPECT_NE(brief.stats().layers.size(), 1U) << "a jump deletes nothing at first";
  clock.advance_ms(2 * 3'600'000);
  ASSERT_OK(brief.compact());  // It looks, and the jump is an hour old by then.
  clock.advance_ms(2 * 3'600'000);
  ASSERT_OK(brief.put("one", "more"));
  ASSERT_OK(brief.compact());
  for (const LayerStats& layer : brief.stats().layers) EXPECT_LE(layer.records, 1U);
}

TEST_F(Families, TheLongestTimeToLiveIsForEver) {
  for (const auto ttl : {std::chrono::milliseconds::max(), std::chrono::milliseconds(std::int64_t{1} << 62),
                         std::chrono::milliseconds(std::chrono::hours(24 * 365 * 1000))}) {
    Table table = family("t" + std::to_string(ttl.count() % 1000), {.ttl = ttl});
    ASSERT_OK(table.put("key", "value"));
    ASSERT_OK(table.compact());
    EXPECT_EQ(get(table, "key"), "value");
  }
  reopen();
  for (const std::string& name : process.table().families()) {
    if (name == "main") continue;
    EXPECT_EQ(get(family(name), "key"), "value") << name;
  }
}

TEST_F(Families, ManyTakeOneLogSegmentTogether) {
  for (std::size_t i = 1; i < kFamiliesMax; ++i) ASSERT_OK(family("f" + std::to_string(i)).put("key", "v"));
  EXPECT_EQ(process.table().family("one too many").error().code, ErrorCode::kInvalidArgument);
  std::uint64_t bytes = 0;
  for (const auto& [name, size] : disk.file_sizes()) bytes += name.ends_with(".segment") ? size : 0;
  EXPECT_LE(bytes, 100 * kKiB) << "of a log with 255 records";
  reopen();
  for (std::size_t i = 1; i < kFamiliesMax; ++i) EXPECT_EQ(get(family("f" + std::to_string(i)), "key"), "v");
}

/// Throws for some values as long as `throwing`.
struct Throwing {
  static inline bool throwing = false;
  static std::optional<Bytes> extract(ByteView value) {
    if (throwing && value == "boom") throw std::runtime_error("bad value");
    return Bytes(value.substr(0, 1));
  }
};

TEST_F(Families, AnExtractorThatThrowsRefusesTheWrite) {
  ASSERT_OK(register_extractor("thrower", Throwing::extract));
  const FamilyOptions options{.indexes = {{.name = "first", .term_bytes = 1, .extractor = "thrower"}}};
  Table indexed = family("indexed", options);
  Throwing::throwing = true;
  const auto refused = indexed.put("bad", "boom");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("index 'first' threw (bad value)"), std::string::npos) << refused.error().message;
  Batch batch;
  batch.put("good", "fine");
  batch.put("bad", "boom");
  EXPECT_EQ(indexed.write(batch).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(get(indexed, "good"), std::nullopt) << "nothing is applied";
  ASSERT_OK(indexed.put("good", "fine"));
  ASSERT_OK(indexed.flush());
  EXPECT_EQ(keys(indexed.find("first", "f")).size(), 1U);
  Throwing::throwing = false;
}

TEST_F(Families, AStoredRecordWhoseExtractorThrowsHasNoTerm) {
  ASSERT_OK(register_extractor("thrower", Throwing::extract));
  const FamilyOptions options{.indexes = {{.name = "first", .term_bytes = 1, .extractor = "thrower"}}};
  ASSERT_OK(family("indexed", options).put("odd", "boom"));
  ASSERT_OK(family("indexed").put("even", "bang"));
  Throwing::throwing = true;
  reopen();
  Table indexed = family("indexed");
  EXPECT_EQ(get(indexed, "odd"), "boom");
  EXPECT_EQ(keys(indexed.find("first", "b")), (std::vector<std::string>{"even"}));
  EXPECT_EQ(indexed.stats().extractor_failures, 1U);
  ASSERT_EQ(indexed.stats().open_reports.size(), 1U);
  ASSERT_OK(indexed.flush());
  ASSERT_OK(indexed.compact());
  EXPECT_EQ(keys(indexed.find("first", "b")), (std::vector<std::string>{"even"}));
  EXPECT_GT(indexed.stats().extractor_failures, 1U);
  Throwing::throwing = false;
}

TEST_F(Families, AnExpiredRecordHidesWhatItReplaced) {
  Table brief = family("brief", {.ttl = std::chrono::milliseconds(100)});
  ASSERT_OK(brief.put("key", "old"));
  ASSERT_OK(brief.flush());
  clock.advance_ms(50);
  ASSERT_OK(brief.put("key", "new"));
  clock.advance_ms(100);
  ASSERT_OK(brief.flush());
  EXPECT_EQ(get(brief, "key"), std::nullopt);
  ASSERT_OK(brief.compact());
  EXPECT_EQ(get(brief, "key"), std::nullopt);
}

TEST_F(Families, ATombstoneOverNothingOlderIsDroppedByTheFlushAlready) {
  Table table = process.table();
  ASSERT_OK(table.put("far", "away"));
  ASSERT_OK(table.flush());
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(table.put("key" + std::to_string(i), "value"));
    ASSERT_OK(table.erase("key" + std::to_string(i)));
  }
  ASSERT_OK(table.flush());
  std::uint64_t records = 0;
  for (const LayerStats& layer : table.stats().layers) records += layer.records;
  EXPECT_LE(records, 2U) << "all but what a tag of the hash index cannot tell apart";
}

TEST_F(Families, IndexesFindByJsonPointerAndByBytes) {
  Table table = family("documents", {.indexes = {{.name = "section", .term_bytes = 4, .extractor = "json:/a~1b/0"},
                                                 {.name = "head", .term_bytes = 2, .extractor = "bytes:0,2"}}});
  ASSERT_OK(table.put("1", R"({"a/b":["mail"]})"));
  ASSERT_OK(table.put("2", R"({"a/b":["mailing lists"]})"));  // Longer than a term: hashed.
  ASSERT_OK(table.put("3", R"({"a/b":[17]})"));
  ASSERT_OK(table.put("4", "not json"));
  ASSERT_OK(table.put("5", R"({"a/b":[{"no":"term"}]})"));
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(keys(table.find("section", "mail")), (std::vector<std::string>{"1"}));
    EXPECT_EQ(keys(table.find("section", "mailing lists")), (std::vector<std::string>{"2"}));
    EXPECT_EQ(keys(table.find("section", "mailing list")), (std::vector<std::string>{}));
    EXPECT_EQ(keys(table.find("section", "17")), (std::vector<std::string>{"3"}));
    EXPECT_EQ(keys(table.find("head", "no")), (std::vector<std::string>{"4"}));
    EXPECT_EQ(table.find("none", "x").status().error().code, ErrorCode::kInvalidArgument);
    if (round == 0) ASSERT_OK(table.flush());
    if (round == 1) ASSERT_OK(table.compact());
  }
  ASSERT_OK(table.put("1", R"({"a/b":["moved"]})"));
  EXPECT_TRUE(keys(table.find("section", "mail")).empty()) << "the index still has the entry, the record not";
}

TEST_F(Families, OptionsThatMakeNoSenseAreRefusedAndNothingIsMade) {
  const auto refused = [&](const FamilyOptions& options) {
    return process.table().family("bad", options).error().code == ErrorCode::kInvalidArgument;
  };
  for (const char* const extractor :
       {"", "json:Section", "json:/a~2", "bytes:", "bytes:1", "bytes:1,0", "bytes:1,2,3", "nobody", "a\"b"}) {
    EXPECT_TRUE(refused({.indexes = {{.name = "index", .extractor = extractor}}})) << extractor;
  }
  EXPECT_TRUE(refused({.indexes = {{.name = "no name!", .extractor = "bytes:0,1"}}}));
  EXPECT_TRUE(refused({.indexes = {{.name = "i", .term_bytes = 0, .extractor = "bytes:0,1"}}}));
  EXPECT_TRUE(refused({.indexes = {{.name = "i", .extractor = "bytes:0,1"}, {.name = "i", .extractor = "bytes:0,1"}}}));
  EXPECT_TRUE(refused({.ttl = std::chrono::milliseconds(-1)}));
  EXPECT_EQ(process.table().family("no name!").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process.table().families().size(), 1U);
}

TEST_F(Families, ARegisteredExtractorIsFoundByNameAndAnUnknownOneIsAnErrorAtOpen) {
  ASSERT_OK(register_extractor("last", [](ByteView value) { return std::optional(Bytes(value.substr(value.size() - 1))); }));
  EXPECT_EQ(register_extractor("json:mine", nullptr).error().code, ErrorCode::kInvalidArgument);
  Table table = family("words", {.indexes = {{.name = "last", .term_bytes = 1, .extractor = "last"}}});
  ASSERT_OK(table.put("1", "one"));
  EXPECT_EQ(keys(table.find("last", "e")), (std::vector<std::string>{"1"}));
  // The manifest of a program that knew another one.
  ASSERT_OK(process.database().directory().commit([](directory::Manifest& manifest) -> Result<void> {
    manifest.views.edit(0).families[1].indexes[0].extractor = "forgotten";
    return {};
  }));
  ASSERT_OK(process.close());
  const auto opened = process.open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument) << describe(opened);
}

}  // namespace
}  // namespace cairn::test
