// The term of a JSON pointer, against a JSON library that reads the same text.
#include "table/json_term.h"

#include <gtest/gtest.h>

#include <bit>
#include <nlohmann/json.hpp>
#include <random>

namespace cairn::test {
namespace {

using nlohmann::json;
using table::json_term;
using table::JsonPath;

/// What nlohmann::json says that `pointer` leads to.
std::optional<Bytes> expected_term(const std::string& text, const std::string& pointer) {
  const json document = json::parse(text, nullptr, false);
  const json::json_pointer where(pointer);
  try {
    if (document.is_discarded() || !document.contains(where)) return std::nullopt;
  } catch (const json::out_of_range&) {
    return std::nullopt;  // A name that cannot be an index of an array.
  }
  const json& found = document.at(where);
  if (found.is_string()) return found.get<std::string>();
  if (found.is_null() || found.is_structured()) return std::nullopt;
  return found.dump();
}

std::optional<Bytes> term(const std::string& text, const std::string& pointer) {
  return json_term(text, *table::parse_json_pointer(pointer));
}

std::string random_text(std::mt19937_64& random, int depth) {
  const auto choose = [&](std::size_t count) { return static_cast<std::size_t>(random() % count); };
  static const std::vector<std::string> scalars{"0",
                                                "-0",
                                                "-0.0",
                                                "17",
                                                "-5",
                                                "1.5",
                                                "100.0",
                                                "1e3",
                                                "1E-7",
                                                "12345678901234567890",
                                                "-9223372036854775808",
                                                "1e400",
                                                "1e-400",
                                                "0.001",
                                                "0.0001",
                                                "0.00001",
                                                "123456789012345.0",
                                                "1234567890123456.0",
                                                "18446744073709551616",
                                                "true",
                                                "false",
                                                "null",
                                                R"("")",
                                                R"("text")",
                                                R"("\u00e9\ud83d\ude00\n")",
                                                R"("\ud800")",
                                                "\"\xc3\xa9\"",
                                                "\"\xff\"",
                                                "01",
                                                "+1",
                                                ".5",
                                                "1.",
                                                "tru",
                                                R"("open)"};
  static const std::vector<std::string> names{R"("a")", R"("b")", R"("\u0061")", R"("0")", R"("")", R"("a/b")"};
  const std::string space = choose(4) == 0 ? " \n" : "";
  if (depth == 0 || choose(3) == 0) return space + scalars[choose(choose(8) == 0 ? scalars.size() : scalars.size() - 9)] + space;
  const bool is_object = choose(2) == 0;
  std::string text(1, is_object ? '{' : '[');
  for (std::size_t i = 0, count = choose(4); i < count; ++i) {
    if (i != 0) text += ",";
    if (is_object) text += space + names[choose(names.size())] + space + ":";
    text += random_text(random, depth - 1);
  }
  return text + space + (is_object ? "}" : "]");
}

TEST(JsonTerm, AgreesWithJsonLibrary) {
  std::mt19937_64 random(7);
  std::size_t found = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::string text = random_text(random, 4);
    if (random() % 4 == 0) text[random() % text.size()] = "{}[]\",:\\0u \x01\xe2"[random() % 13];
    if (random() % 8 == 0) text.resize(random() % text.size() + 1);
    for (const char* const pointer : {"", "/a", "/0", "/a/b", "/a/0", "/1/a", "/", "/a~1b/0/a", "/-", "/00"}) {
      ASSERT_EQ(term(text, pointer), expected_term(text, pointer)) << text << " at " << pointer;
      found += term(text, pointer) ? 1U : 0U;
    }
  }
  EXPECT_GT(found, 10'000U);
}

TEST(JsonTerm, WritesNumbersShortestAndExactly) {
  std::mt19937_64 random(8);
  int other = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    // An amount with up to 15 digits, as applications store them, is found as it was written; so is any double, of which
    // the library gives up to 17 digits where fewer do.
    const std::string amount = std::to_string(random() % 1'000'000'000) + "." + std::to_string(random() % 99'999 * 10 + 1);
    ASSERT_EQ(term(amount, ""), amount);
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const std::string text = json(value).dump();
    const std::string mine = term(text, "").value_or("");
    ASSERT_EQ(std::strtod(mine.c_str(), nullptr), value) << text;
    ASSERT_LE(mine.size(), text.size()) << text;
    other += mine == text ? 0 : 1;
  }
  EXPECT_GT(other, 0);
  EXPECT_LT(other, kCount / 20);
}

TEST(JsonTerm, TakesDeepNesting) {
  constexpr std::size_t kDepth = 1'000'000;
  const std::string text = std::string(kDepth, '[') + "5" + std::string(kDepth, ']');
  EXPECT_EQ(json_term(text, JsonPath(kDepth, "0")), "5");
  EXPECT_EQ(term(text.substr(1), "/0"), std::nullopt);
}

TEST(JsonTerm, EndsAtByteOrderMarkAndZero) {
  EXPECT_EQ(term("\xef\xbb\xbf{\"a\":1}", "/a"), "1");
  EXPECT_EQ(term(std::string("{\"a\":1}\0rest", 12), "/a"), "1");
  EXPECT_EQ(term("{\"a\":1}rest", "/a"), std::nullopt);
}

}  // namespace
}  // namespace cairn::test
