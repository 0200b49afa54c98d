#include "server/text.h"

#include <gtest/gtest.h>

#include "server/glob.h"
#include "server/output.h"
#include "server/times.h"

namespace cairn::server {
namespace {

TEST(ServerText, AnIntegerHasOneForm) {
  std::int64_t value = 0;
  for (const char* good : {"0", "-1", "9223372036854775807", "-9223372036854775808"})
    EXPECT_TRUE(parse_integer(good, value)) << good;
  for (const char* bad : {"", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "1x"}) {
    EXPECT_FALSE(parse_integer(bad, value)) << bad;
  }
}

TEST(ServerText, LongDoublesArePrintedWithoutZerosAtTheEnd) {
  long double value = 0;
  ASSERT_TRUE(parse_long_double("10.50", value));
  EXPECT_EQ(format_long_double(value), "10.5");
  ASSERT_TRUE(parse_long_double("5.0e3", value));
  EXPECT_EQ(format_long_double(value), "5000");
  EXPECT_EQ(format_long_double(-0.0L), "0");
  for (const char* bad : {"", " 1", "nan", "1e5000", "1x", "x"}) EXPECT_FALSE(parse_long_double(bad, value)) << bad;
}

TEST(ServerGlob, MatchesAsRedisDoes) {
  struct Case {
    const char* pattern;
    const char* text;
    bool matches;
  };
  for (const Case& each :
       {Case{"*", "", true}, Case{"a*c", "abbc", true}, Case{"a*c", "abb", false}, Case{"h?llo", "hello", true},
        Case{"h?llo", "hllo", false}, Case{"[a-c]x", "bx", true}, Case{"[c-a]x", "bx", true}, Case{"[^a]x", "ax", false},
        Case{"[a\\]]", "]", true}, Case{"\\*", "*", true}, Case{"\\*", "a", false}, Case{"**a", "bba", true},
        Case{"a[", "a[", false}, Case{"", "", true}, Case{"", "a", false}, Case{"*a*b*c*", "xxaxxbxxcxx", true}}) {
    EXPECT_EQ(glob_match(each.pattern, each.text), each.matches) << each.pattern << " " << each.text;
  }
  EXPECT_TRUE(glob_match("MAX*", "maxclients", true));
}

TEST(ServerGlob, HostilePatternsTakeNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(5000, 'a')));
}

TEST(ServerGlob, ThePrefixIsWhatAllMatchesBeginWith) {
  EXPECT_EQ(glob_prefix("user:*"), "user:");
  EXPECT_EQ(glob_prefix("a\\*b?"), "a*b");
  EXPECT_EQ(glob_prefix("[ab]"), "");
  EXPECT_EQ(glob_prefix("whole"), "whole");
}

std::string sent(Output& output, std::size_t at_once) {
  std::string all;
  while (!output.empty()) {
    std::array<iovec, 3> parts{};
    const std::size_t count = output.front(parts.data(), parts.size());
    std::string now;
    for (std::size_t i = 0; i < count; ++i) now.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    now.resize(std::min(now.size(), at_once));
    output.consume(now.size());
    all += now;
  }
  return all;
}

TEST(ServerOutput, SendsBytesAndValuesInOrderWhateverIsTakenAtOnce) {
  for (const std::size_t at_once : {std::size_t{1}, std::size_t{7}, std::size_t{20'000}, std::size_t{1'000'000}}) {
    Output output;
    Output behind;
    std::string wanted;
    for (int i = 0; i < 6; ++i) {
      const auto value =
          std::make_shared<std::string>(Output::kPinnedBytesMin + static_cast<std::size_t>(i), static_cast<char>('a' + i));
      Output& into = i < 3 ? output : behind;
      into.append(ByteView("(" + std::to_string(i)));
      into.append(Pinned(*value, value, nullptr));
      if (i % 2 == 0) into.append(ByteView(")"));
      wanted += "(" + std::to_string(i) + *value + (i % 2 == 0 ? ")" : "");
    }
    output.insert(0, "begin ");
    output.append(std::move(behind));
    EXPECT_EQ(output.size(), wanted.size() + 6);
    EXPECT_EQ(sent(output, at_once), "begin " + wanted) << at_once;
    EXPECT_EQ(output.memory_bytes() <= 16 * kKiB, true);
  }
}

TEST(ServerOutput, TakesBackWhatCameSinceAMark) {
  Output output;
  output.append(ByteView("stays"));
  const Output::Mark mark = output.mark();
  const auto value = std::make_shared<std::string>(Output::kPinnedBytesMin, 'x');
  output.append(ByteView("goes"));
  output.append(Pinned(*value, value, nullptr));
  output.rewind(mark);
  EXPECT_EQ(sent(output, 100), "stays");
}

TEST(ServerTimes, AMomentIsAStampMillisecondsOrADate) {
  const auto stamp = [](const char* text) { return moment_argument(text).value().first().value; };
  EXPECT_EQ(stamp("1700000000000-3"), (std::uint64_t{1'700'000'000'000} << 16) | 3);
  EXPECT_EQ(stamp("1700000000000"), std::uint64_t{1'700'000'000'000} << 16);
  EXPECT_EQ(stamp("2023-11-14T22:13:20Z"), std::uint64_t{1'700'000'000'000} << 16);
  EXPECT_EQ(stamp("2023-11-14T23:13:20.250+01:00"), std::uint64_t{1'700'000'000'250} << 16);
  EXPECT_EQ(stamp("-"), kBeginning.first().value);
  for (const char* bad : {"", "x", "-5", "5-3", "0", "1700000000", "1700000000-0", "1700000000000-70000", "300000000000000",
                          "99999999999999999999", "2023-02-30T00:00:00Z", "2023-11-14T22:13:20"}) {
    EXPECT_FALSE(moment_argument(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace cairn::server
