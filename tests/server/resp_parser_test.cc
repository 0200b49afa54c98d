#include "server/resp_parser.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace cairn::server {
namespace {

using Outcome = RequestParser::Outcome;
using Words = std::vector<std::string>;

/// All requests of `input`, given to the parser in pieces; the error, if there was one, as the last.
std::vector<Words> parse_all(const std::string& input, const std::function<std::size_t()>& piece,
                             const RequestLimits& limits = {}) {
  RequestParser parser;
  std::vector<Words> requests;
  std::string waiting;
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t size = std::min(std::max<std::size_t>(piece(), 1), input.size() - at);
    waiting += input.substr(at, size);
    at += size;
    while (true) {
      const Outcome outcome = parser.parse(waiting, limits);
      if (outcome == Outcome::kMore) break;
      if (outcome == Outcome::kBad) {
        requests.push_back({"bad", parser.error()});
        return requests;
      }
      requests.emplace_back(parser.arguments().begin(), parser.arguments().end());
      waiting.erase(0, parser.consumed());
    }
  }
  return requests;
}
std::vector<Words> parse_whole(const std::string& input, const RequestLimits& limits = {}) {
  return parse_all(input, [&] { return input.size(); }, limits);
}
std::string error_of(const std::string& input, const RequestLimits& limits = {}) {
  const auto requests = parse_whole(input, limits);
  return requests.empty() || requests.back().empty() || requests.back()[0] != "bad" ? "none" : requests.back()[1];
}

TEST(RespParser, TakesArraysOfAnyBytes) {
  const std::string zero("a\0b", 3);
  EXPECT_EQ(parse_whole("*2\r\n$3\r\nGET\r\n$3\r\n" + zero + "\r\n*1\r\n$0\r\n\r\n"), (std::vector<Words>{{"GET", zero}, {""}}));
}

TEST(RespParser, AnEmptyArrayIsARequestWithoutArguments) {
  EXPECT_EQ(parse_whole("*0\r\n*-1\r\n\r\n"), (std::vector<Words>{{}, {}, {}}));
}

TEST(RespParser, SplitsALineIntoWordsAndQuotes) {
  EXPECT_EQ(parse_whole("SET  k 'a b' \"\\x41\\n\\\"\"\r\nPING\n"), (std::vector<Words>{{"SET", "k", "a b", "A\n\""}, {"PING"}}));
  EXPECT_EQ(parse_whole("a 'it\\'s'\r\n"), (std::vector<Words>{{"a", "it's"}}));
}

TEST(RespParser, TellsWhatIsWrong) {
  EXPECT_EQ(error_of("SET 'a\r\n"), "Protocol error: unbalanced quotes in request");
  EXPECT_EQ(error_of("SET \"a\"b\r\n"), "Protocol error: unbalanced quotes in request");
  EXPECT_EQ(error_of("*x\r\n"), "Protocol error: invalid multibulk length");
  EXPECT_EQ(error_of("*1048577\r\n"), "Protocol error: invalid multibulk length");
  EXPECT_EQ(error_of("*1\r\n:5\r\n"), "Protocol error: expected '$', got ':'");
  EXPECT_EQ(error_of("*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(error_of("*1\r\n$536870913\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(error_of("*1\r\n$99999999999999999999\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(error_of("*" + std::string(40, '1')), "Protocol error: too big mbulk count string");
  EXPECT_EQ(error_of("*1\r\n$" + std::string(40, '1')), "Protocol error: too big bulk count string");
  EXPECT_EQ(error_of(std::string(70'000, 'a')), "Protocol error: too big inline request");
}

TEST(RespParser, WhoIsUnknownMaySendLittle) {
  const auto limits = RequestLimits::unauthenticated();
  EXPECT_EQ(error_of("*11\r\n", limits), "Protocol error: unauthenticated multibulk length");
  EXPECT_EQ(error_of("*1\r\n$20000\r\n", limits), "Protocol error: unauthenticated bulk length");
  EXPECT_EQ(error_of("*10\r\n$1\r\na\r\n", limits), "none");
}

TEST(RespParser, ARequestAsAWholeIsBounded) {
  const RequestLimits limits{.request_bytes_max = 100};
  EXPECT_EQ(error_of("*3\r\n$60\r\n" + std::string(60, 'a') + "\r\n$60\r\n", limits), "Protocol error: too big request");
}

TEST(RespParser, AnnouncedBytesTakeNoMemory) {
  RequestParser parser;
  EXPECT_EQ(parser.parse("*1048576\r\n$536870912\r\nabc", {}), Outcome::kMore);
  EXPECT_EQ(parser.missing(), 536'870'912U + 2 - 3);
  EXPECT_LT(parser.memory_bytes(), 1024U);
}

TEST(RespParser, PiecesOfAnySizeGiveTheSameRequests) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    std::string input;
    std::vector<Words> wanted;
    for (int i = 0; i < 20; ++i) {
      Words words;
      input += "*" + std::to_string(1 + i % 4) + "\r\n";
      for (int j = 0; j <= i % 4; ++j) {
        words.emplace_back(random.below(round % 5 == 0 ? 3000 : 20), static_cast<char>(random.below(256)));
        input += "$" + std::to_string(words.back().size()) + "\r\n" + words.back() + "\r\n";
      }
      wanted.push_back(words);
    }
    EXPECT_EQ(parse_all(input, [&] { return random.below(round % 3 == 0 ? 3 : 500); }), wanted);
  }
}

}  // namespace
}  // namespace cairn::server
