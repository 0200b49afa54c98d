// Options of families: given and different is refused, alter() changes what can be changed, stats show what holds.
#include <gtest/gtest.h>

#include <thread>

#include "support/workload.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr const char* kSection = "json:/Section";

struct FamilyOptionsTest : OneProcess {
  static bool has(const Table& table, const std::string& key) {
    const auto found = table.get(key);
    EXPECT_OK(found);
    return found && found->has_value();
  }
  /// The message of the refusal to open the family "mail" with `options`.
  std::string refusal(const FamilyOptions& options) {
    const auto opened = process.table().family("mail", options);
    EXPECT_FALSE(opened.has_value());
    if (opened) return "";
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
    return opened.error().message;
  }
  void reopen() {
    ASSERT_OK(process.close());
    ASSERT_OK(process.open());
  }
  FamilyStats stats_of(const std::string& name) {
    for (const FamilyStats& family : process.table().stats().families) {
      if (family.name == name) return family;
    }
    ADD_FAILURE() << "no family " << name;
    return {};
  }
};

TEST_F(FamilyOptionsTest, RefusesTtlThatDiffers) {
  Table mail = *process.table().family("mail", {.ttl = hours(1)});
  ASSERT_OK(mail.put("key", "value"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(
        refusal({.ttl = milliseconds(100)}),
        "family 'mail' of table 'main' has time to live 1 h, not 100 ms as given; leave it out to open the family as it is, or "
        "change it with alter()");
    EXPECT_NE(refusal({.ttl = milliseconds(0)}).find("has time to live 1 h, not none"), std::string::npos);
    EXPECT_OK(process.table().family("mail"));
    EXPECT_OK(process.table().family("mail", {.ttl = hours(1)}));
    mail = *process.table().family("mail");
    clock.advance_ms(1000);
    EXPECT_TRUE(has(mail, "key"));
    if (round == 0) reopen();
  }
}

TEST_F(FamilyOptionsTest, RefusesCompressionAndIndexesThatDiffer) {
  const FamilyOptions options{.compression = Compression::kZstd,
                              .indexes = {{.name = "a", .extractor = kSection}, {.name = "b", .extractor = "bytes:0,1"}}};
  ASSERT_OK(process.table().family("mail", options));
  EXPECT_NE(refusal({.compression = Compression::kNone}).find("has compression zstd, not none as given"), std::string::npos);
  EXPECT_EQ(refusal({.indexes = {{.name = "a", .term_bytes = 17, .extractor = kSection}}}),
            "family 'mail' of table 'main' has indexes a:16:json:/Section, b:16:bytes:0,1, not a:17:json:/Section as given; the "
            "indexes of a family cannot be changed");
  EXPECT_OK(process.table().family("mail", {.indexes = {options.indexes[1], options.indexes[0]}}));  // In another order.
  EXPECT_NE(refusal({.compression = static_cast<Compression>(3)}).find("is 3, which is no Compression"), std::string::npos);
  EXPECT_EQ(process.table().alter("main", {.compression = static_cast<Compression>(77)}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_NE(refusal({.ttl = milliseconds(-5)}).find("negative: -5 ms"), std::string::npos);
}

TEST_F(FamilyOptionsTest, RefusesMainThatDiffersOpenOrNot) {
  ASSERT_OK(process.database().table("brief", {.main = {.ttl = hours(36)}}));
  for (int round = 0; round < 2; ++round) {
    const auto opened = process.database().table("brief", {.main = {.ttl = hours(24)}});
    ASSERT_FALSE(opened.has_value());
    EXPECT_NE(opened.error().message.find("has time to live 36 h, not 1 d"), std::string::npos) << opened.error().message;
    if (round == 0) reopen();
  }
  EXPECT_OK(process.database().table("brief", {.main = {.ttl = hours(36)}, .memtable_bytes_max = 2 * kMiB}));
  EXPECT_OK(process.database().table("brief", {}));
}

// The threads that come later find a family that another one made while they waited for the log.
TEST_F(FamilyOptionsTest, ManyThreadsCreateOneFamily) {
  for (int round = 0; round < 20; ++round) {
    const std::string name = "family" + std::to_string(round);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const auto family = process.table().family(name, {.ttl = hours(i == 3 ? 2 : 1)});
        EXPECT_TRUE(family || family.error().code == ErrorCode::kInvalidArgument);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(FamilyOptionsTest, AlterKeepsTheEndOfStoredRecords) {
  Table mail = *process.table().family("mail", {.ttl = milliseconds(1000)});
  ASSERT_OK(mail.put("old", "value"));
  ASSERT_OK(mail.alter("mail", {.ttl = milliseconds(100)}));
  ASSERT_OK(mail.put("new", "value"));
  Batch batch;
  batch.put(mail, "of batch", "value");
  ASSERT_OK(mail.write(batch));
  EXPECT_TRUE(has(mail, "old"));
  clock.advance_ms(100);
  EXPECT_TRUE(has(mail, "old")) << "nothing ends at once";
  EXPECT_FALSE(has(mail, "new"));
  EXPECT_FALSE(has(mail, "of batch"));
  ASSERT_OK(process.table().alter("mail", {.ttl = milliseconds(0)}));
  ASSERT_OK(mail.put("for ever", "value"));
  reopen();
  mail = *process.table().family("mail", {.ttl = milliseconds(0)});
  ASSERT_OK(mail.put("after", "value"));
  clock.advance_ms(900);
  EXPECT_FALSE(has(mail, "old"));
  clock.advance_ms(1'000'000'000);
  EXPECT_TRUE(has(mail, "for ever"));
  EXPECT_TRUE(has(mail, "after"));
}

TEST_F(FamilyOptionsTest, ThousandsOfYearsAreNever) {
  ASSERT_OK(process.table().family("mail", {.ttl = milliseconds::max()}));
  EXPECT_EQ(stats_of("mail").ttl.count(), 0);
  EXPECT_OK(process.table().family("mail", {.ttl = milliseconds(0)}));
}

TEST_F(FamilyOptionsTest, AlterCompressesFilesSealedFromThenOn) {
  ASSERT_OK(process.close());
  ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpen, table::Tuning{}));  // Files of more than a page.
  Table table = process.table();
  const auto fill = [&] {
    for (int i = 0; i < 200; ++i) ASSERT_OK(table.put("key" + std::to_string(i), std::string(500, 'v')));
    ASSERT_OK(table.compact());
  };
  const auto sealed_bytes = [&] { return table.stats().layers.front().bytes; };
  fill();
  const std::uint64_t plain = sealed_bytes();
  ASSERT_OK(table.alter("main", {.compression = Compression::kZstd}));
  EXPECT_EQ(sealed_bytes(), plain) << "files stay what they are";
  fill();
  EXPECT_LT(sealed_bytes(), plain / 2);
  EXPECT_EQ(stats_of("main").compression, Compression::kZstd);
}

TEST_F(FamilyOptionsTest, AlterRefusesWhatCannotChange) {
  Table table = process.table();
  const IndexOptions index{.name = "a", .extractor = kSection};
  ASSERT_OK(table.family("mail", {.indexes = {index}}));
  EXPECT_EQ(table.alter("none", {.ttl = hours(1)}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(table.alter("mail", {.ttl = milliseconds(-1)}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(table.alter("main", {.ttl = hours(1), .indexes = {index}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(stats_of("main").ttl.count(), 0) << "nothing is half applied";
  EXPECT_OK(table.alter("mail", {.indexes = {index}}));  // The same.
  ASSERT_OK(process.close());
  EXPECT_EQ(table.alter("mail", {.ttl = hours(1)}).error().code, ErrorCode::kUnavailable);
}

TEST_F(FamilyOptionsTest, StatsShowTheOptions) {
  const FamilyOptions options{
      .compression = Compression::kLz4, .ttl = hours(2), .indexes = {{.name = "a", .term_bytes = 9, .extractor = kSection}}};
  ASSERT_OK(process.table().family("mail", options));
  for (int round = 0; round < 2; ++round) {
    const FamilyStats stats = stats_of("mail");
    EXPECT_EQ(stats.compression, Compression::kLz4);
    EXPECT_EQ(stats.ttl, hours(2));
    ASSERT_EQ(stats.indexes.size(), 1U);
    EXPECT_EQ(stats.indexes[0].name, "a");
    EXPECT_EQ(stats.indexes[0].term_bytes, 9U);
    EXPECT_EQ(stats.indexes[0].extractor, kSection);
    EXPECT_EQ(process.table().stats().families.front().name, "main");
    reopen();
  }
}

TEST_F(FamilyOptionsTest, AlterSurvivesACutAtEveryIo) {
  ASSERT_OK(process.table().family("mail", {.ttl = hours(1)}));
  bool acknowledged = false;
  std::size_t cuts = 0;
  const auto check = [&](std::uint64_t seed) {
    const std::shared_ptr<storage::SimulatedDisk> crashed(disk.crashed(seed));
    aside([&] {
      ++cuts;
      SimulatedClock later;
      Process next(*crashed, later);
      ASSERT_OK(next.open());
      const auto ttl = next.table().stats().families[1].ttl;
      EXPECT_TRUE(ttl == hours(2) || (ttl == hours(1) && !acknowledged)) << ttl.count();
    });
  };
  disk.set_hook([&](storage::Io, const std::string&, std::uint64_t number) -> Result<void> {
    check(number);
    return {};
  });
  ASSERT_OK(process.table().alter("mail", {.ttl = hours(2)}));
  acknowledged = true;
  check(0);
  disk.set_hook({});
  EXPECT_GT(cuts, 2U);
}

TEST_F(FamilyOptionsTest, TimelineOpenWithOtherOptionsIsRefused) {
  ASSERT_OK(process.database().timeline("saves", {.timeout = hours(1)}));
  EXPECT_OK(process.database().timeline("saves", {}));
  EXPECT_OK(process.database().timeline("saves", {.timeout = hours(1), .expired = Expired::kDrop}));
  const auto refused = process.database().timeline("saves", {.timeout = milliseconds(100)});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("open with timeout 1 h, not 100 ms"), std::string::npos) << refused.error().message;
  const auto policy = process.database().timeline("saves", {.expired = Expired::kPersist});
  ASSERT_FALSE(policy.has_value());
  EXPECT_NE(policy.error().message.find("expired drop, not persist"), std::string::npos) << policy.error().message;
}

}  // namespace
}  // namespace cairn::test
