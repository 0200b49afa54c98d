// The binary form of objects: every value comes back bit for bit, and no bytes harm the decoder.
#include "cairn/objects/codec.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "base/random.h"

namespace cairn::test {
namespace {

using objects::Decoder;
using objects::Encoder;

enum class Mood : std::uint8_t { kCalm, kWild };
constexpr const char* kMoodNames[] = {"calm", "wild"};

struct Place {
  std::string street;
  std::optional<std::int64_t> number;
  bool operator==(const Place&) const = default;
  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("street", self.street);
    visit("number", self.number);
  }
};

struct Everything {
  std::int64_t integer = 0;
  double number = 0;
  bool flag = false;
  std::string text;
  Time time{};
  Id<Everything> reference;
  Mood mood = Mood::kCalm;
  std::optional<Mood> maybe_mood;
  std::vector<Mood> moods;
  std::optional<std::string> maybe_text;
  std::vector<std::optional<std::int64_t>> numbers;
  std::vector<bool> flags;
  Place place;
  std::optional<Place> maybe_place;
  std::vector<Place> places;
  std::optional<std::vector<std::string>> maybe_list;
  bool operator==(const Everything&) const = default;
  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("integer", self.integer);
    visit("number", self.number);
    visit("flag", self.flag);
    visit("text", self.text);
    visit("time", self.time);
    visit("reference", self.reference);
    visit("mood", self.mood, kMoodNames);
    visit("maybe_mood", self.maybe_mood, kMoodNames);
    visit("moods", self.moods, kMoodNames);
    visit("maybe_text", self.maybe_text);
    visit("numbers", self.numbers);
    visit("flags", self.flags);
    visit("place", self.place);
    visit("maybe_place", self.maybe_place);
    visit("places", self.places);
    visit("maybe_list", self.maybe_list);
  }
};

Bytes encoded(const Everything& value) {
  Bytes bytes;
  Encoder to(bytes);
  Everything::visit_members(value, to);
  Encoder counter;
  Everything::visit_members(value, counter);
  EXPECT_EQ(counter.size(), bytes.size());
  return bytes;
}
Result<Everything> decoded(ByteView bytes) {
  Everything value;
  Decoder from(bytes);
  Everything::visit_members(value, from);
  CAIRN_TRY_VOID(from.done());
  return value;
}

Everything full() {
  return {.integer = -5,
          .number = 0.1,
          .flag = true,
          .text = std::string("a\0b", 3),
          .time = Time(std::chrono::milliseconds(-1)),
          .reference = {77},
          .mood = Mood::kWild,
          .maybe_mood = Mood::kWild,
          .moods = {Mood::kWild, Mood::kCalm},
          .maybe_text = "",
          .numbers = {1, std::nullopt, -1},
          .flags = {true, false},
          .place = {"Elm", 3},
          .maybe_place = Place{"Oak", std::nullopt},
          .places = {{"Ash", 1}, {"", std::nullopt}},
          .maybe_list = std::vector<std::string>{}};
}

TEST(Codec, RoundTripsEveryKind) {
  for (const Everything& value : {Everything{}, full()}) EXPECT_EQ(decoded(encoded(value)).value(), value);
}

TEST(Codec, RoundTripsLimits) {
  for (const std::int64_t integer : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}, std::int64_t{0},
                                     std::int64_t{63}, std::int64_t{64}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(decoded(encoded({.integer = integer})).value().integer, integer);
  }
  for (const double number : {std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max(), -0.0, 5e-310}) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(decoded(encoded({.number = number})).value().number),
              std::bit_cast<std::uint64_t>(number));
  }
}

TEST(Codec, TellsEmptyFromAbsent) {
  Everything value;
  value.maybe_text = "";
  EXPECT_EQ(decoded(encoded(value)).value().maybe_text, std::optional<std::string>(""));
  value.maybe_text.reset();
  EXPECT_EQ(decoded(encoded(value)).value().maybe_text, std::nullopt);
}

// A change of these bytes is a change of the format of stored objects.
TEST(Codec, FormIsAsDocumented) {
  EXPECT_EQ(encoded({.integer = 300, .text = "ab"}), Bytes("\xD8\x04" + std::string(8, '\0') +
                                                           std::string("\0\x02"
                                                                       "ab",
                                                                       4) +
                                                           std::string(13, '\0')));
}

TEST(Codec, RefusesEveryPrefixAndExtraBytes) {
  const Bytes bytes = encoded(full());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto read = decoded(ByteView(bytes).substr(0, size));
    ASSERT_FALSE(read.has_value()) << size;
    EXPECT_EQ(read.error().code, ErrorCode::kCorruption);
  }
  const auto more = decoded(bytes + "x");
  ASSERT_FALSE(more.has_value());
  EXPECT_EQ(more.error().message, "1 bytes are left over, from byte " + std::to_string(bytes.size()) + " on");
}

TEST(Codec, NamesTheMemberThatDoesNotFit) {
  Bytes bytes = encoded({});
  bytes[9] = 7;  // The flag.
  EXPECT_EQ(decoded(bytes).error().message,
            "the member 'flag' has a flag that is neither 0 nor 1, at byte 10 of " + std::to_string(bytes.size()));
}

TEST(Codec, SurvivesAnyBytes) {
  Random random(7);
  const Bytes sound = encoded(full());
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes = sound;
    for (std::uint64_t flips = 0; flips <= random.below(4); ++flips) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    }
    const auto read = decoded(bytes);
    if (!read) continue;
    const Bytes again = encoded(*read);
    ASSERT_EQ(encoded(decoded(again).value()), again);
  }
}

TEST(Codec, CountsReserveNoMemory) {
  Bytes bytes;
  Encoder to(bytes);
  to.varint(std::uint64_t{1} << 60);
  std::vector<std::string> values;
  Decoder from(bytes);
  from("values", values);
  EXPECT_EQ(from.done().error().message, "the member 'values' has more values than bytes, at byte 9 of 9");
}

}  // namespace
}  // namespace cairn::test
