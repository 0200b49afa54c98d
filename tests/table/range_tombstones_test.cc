// Range tombstones against the list they were made from.
#include "table/range_tombstones.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace cairn::test {
namespace {

struct Range {
  std::string from;
  std::string to;  // Empty: no end.
  std::uint64_t version;
};

std::uint64_t newest_over(const std::vector<Range>& ranges, const std::string& key, std::uint64_t version_max) {
  std::uint64_t newest = 0;
  for (const Range& range : ranges) {
    const bool over = key >= range.from && (range.to.empty() || key < range.to);
    if (over && range.version <= version_max) newest = std::max(newest, range.version);
  }
  return newest;
}

table::RangeTombstones set_of(const std::vector<Range>& ranges) {
  std::vector<sealed::Entry> entries;
  for (const Range& range : ranges) {
    entries.push_back(
        {.key = range.from, .value = range.to, .kind = RecordKind::kRangeTombstone, .write_version = range.version});
  }
  return table::RangeTombstones(entries);
}

TEST(RangeTombstones, AnyMixOfRangesSaysWhatTheListSays) {
  Random random(1);
  const auto key = [&] { return std::string(1 + random.below(2), static_cast<char>('a' + random.below(6))); };
  for (int round = 0; round < 300; ++round) {
    std::vector<Range> ranges;
    for (std::uint64_t i = random.below(12); i > 0; --i) {
      Range range{random.one_in(8) ? "" : key(), random.one_in(6) ? "" : key(), i};
      if (range.to.empty() || range.from < range.to) ranges.push_back(range);
    }
    const std::size_t half = ranges.size() / 2;
    const auto first = set_of({ranges.begin(), ranges.begin() + static_cast<std::ptrdiff_t>(half)});
    const auto second = set_of({ranges.begin() + static_cast<std::ptrdiff_t>(half), ranges.end()});
    const std::array<const table::RangeTombstones*, 2> both = {&first, &second};
    const auto merged = table::RangeTombstones::merged(both);
    for (int probe = 0; probe < 60; ++probe) {
      const std::string at = random.one_in(10) ? "" : key();
      const std::uint64_t version_max = random.below(14);
      ASSERT_EQ(merged.newest_over(at, version_max), newest_over(ranges, at, version_max)) << at << " at " << version_max;
    }
    for (std::size_t i = 1; i < merged.fragments().size(); ++i) {
      ASSERT_FALSE(merged.fragments()[i - 1].to.empty());
      ASSERT_LE(merged.fragments()[i - 1].to, merged.fragments()[i].from);
    }
  }
}

std::string number(std::size_t i) { return "range" + std::to_string(1'000'000 + i); }

/// As many of one write, by how they lie to each other.
std::vector<Range> many(std::size_t count, const std::string& how) {
  std::vector<Range> ranges;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t version = i + 1;
    if (how == "apart") ranges.push_back({number(2 * i), number(2 * i + 1), version});
    if (how == "nested") ranges.push_back({number(i), number(2 * count - i), version});
    if (how == "nested outwards") ranges.push_back({number(count - i), number(count + i + 1), version});
    if (how == "overlapping") ranges.push_back({number(i), number(i + 1000), version});
    if (how == "without an end") ranges.push_back({number(i), "", version});
    if (how == "equal") ranges.push_back({number(0), number(1), version});
  }
  return ranges;
}

TEST(RangeTombstones, HundredThousandOfOneWriteTakeLittleRoom) {
  constexpr std::size_t kCount = 100'000;
  for (const char* const how : {"apart", "nested", "nested outwards", "overlapping", "without an end", "equal"}) {
    SCOPED_TRACE(how);
    const std::vector<Range> ranges = many(kCount, how);
    std::vector<sealed::Entry> entries;
    for (const Range& range : ranges) {
      entries.push_back(
          {.key = range.from, .value = range.to, .kind = RecordKind::kRangeTombstone, .write_version = range.version});
    }
    const auto set = table::RangeTombstones::of_one_write(entries);
    EXPECT_LE(set.memory_bytes(), 100 * kMiB);
    EXPECT_LE(set.fragments().size(), 2 * kCount);
    Random random(1);
    for (int probe = 0; probe < 50; ++probe) {
      const std::string at = number(random.below(2 * kCount + 10)) + (random.one_in(2) ? "x" : "");
      EXPECT_EQ(set.newest_over(at, kCount), newest_over(ranges, at, kCount)) << at;
    }
  }
}

}  // namespace
}  // namespace cairn::test
