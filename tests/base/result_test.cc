// Result: what it is made of, how it is asked, and what value() throws.
#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "cairn/result.h"

namespace cairn::test {
namespace {

Error sample_error() { return {.code = ErrorCode::kCorruption, .message = "record checksum", .file = "7.log", .offset = 4096}; }

static_assert(std::is_nothrow_move_constructible_v<Result<std::string>>);
static_assert(!std::is_default_constructible_v<Result<std::reference_wrapper<int>>>);
static_assert(!std::is_convertible_v<int, Result<std::unique_ptr<int>>>);
static_assert(std::is_same_v<decltype(*std::declval<Result<std::string>>()), std::string&&>);

TEST(Result, ValueOfAFailureThrowsItsError) {
  const Result<int> failed = std::unexpected(sample_error());
  const Result<void> failed_too = std::unexpected(sample_error());
  EXPECT_FALSE(failed);
  for (const auto& ask :
       std::vector<std::function<void()>>{[&] { static_cast<void>(failed.value()); }, [&] { failed_too.value(); },
                                          [&] { static_cast<void>(Result<int>(failed).value()); }}) {
    try {
      ask();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const BadResult& bad) {
      EXPECT_STREQ(bad.what(), "kCorruption: record checksum (7.log, offset 4096)");
      const BadResult copy = bad;
      EXPECT_EQ(copy.error().file, "7.log");
    }
  }
  EXPECT_THROW(failed_too.value(), std::runtime_error);
}

TEST(Result, ValueOfASuccessIsTheValue) {
  Result<std::string> text("abc");
  text.value() += "d";
  EXPECT_EQ(*text, "abcd");
  EXPECT_EQ(text->size(), 4U);
  EXPECT_EQ(std::move(text).value(), "abcd");
  EXPECT_NO_THROW(Result<void>().value());
  EXPECT_EQ(Result<int>(7).value_or(9), 7);
  EXPECT_EQ(Result<int>(std::unexpected(sample_error())).value_or(9), 9);
}

TEST(Result, CopyOfAFailureStaysAFailure) {
  Result<bool> failed = std::unexpected(sample_error());
  const Result<bool> copy(failed);  // Not from the value of operator bool.
  EXPECT_FALSE(copy.has_value());
  Result<bool> no = false;
  const Result<bool> still_no(no);
  ASSERT_TRUE(still_no.has_value());
  EXPECT_FALSE(*still_no);
}

TEST(Result, ConvertsWhereItsValueConverts) {
  const auto made = []() -> Result<std::shared_ptr<const int>> {
    const Result<std::shared_ptr<int>> inner = std::make_shared<int>(5);
    return inner;
  };
  EXPECT_EQ(**made(), 5);
  const Result<std::shared_ptr<int>> failed = std::unexpected(sample_error());
  const Result<std::shared_ptr<const int>> outer = failed;
  ASSERT_FALSE(outer.has_value());
  EXPECT_EQ(outer.error().file, "7.log");
  const Result<std::optional<std::string>> optional = "text";
  EXPECT_EQ(optional->value(), "text");
}

Result<std::string> twice(const Result<int>& from) {
  CAIRN_TRY_VOID(from);
  CAIRN_TRY(number, from);
  return std::to_string(2 * number);
}

TEST(Result, TryLeavesTheErrorOfAVariable) {
  const auto pass = [](Result<void>& saved) -> Result<void> {
    CAIRN_TRY_VOID(saved);
    return {};
  };
  Result<void> saved = std::unexpected(sample_error());
  for (int round = 0; round < 2; ++round) EXPECT_EQ(pass(saved).error().message, "record checksum");
}

TEST(Result, ValueOfATemporaryOutlivesIt) {
  std::string all;
  const auto made = [] {
    return Result<std::vector<std::string>>(std::vector<std::string>{"first, too long to be kept inside", "b"});
  };
  for (const std::string& each : made().value()) all += each.substr(0, 1);
  EXPECT_EQ(all, "fb");
}

TEST(Result, TryPassesAFailureOn) {
  EXPECT_EQ(*twice(21), "42");
  EXPECT_EQ(twice(std::unexpected(sample_error())).error().message, "record checksum");
  EXPECT_EQ(twice(fail(ErrorCode::kIo, "device")).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace cairn::test
