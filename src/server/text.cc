#include "server/text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace cairn::server {

std::string capitals(ByteView text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_capital);
  return result;
}

std::string small_letters(ByteView text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_small);
  return result;
}

std::string one_line(ByteView text) {
  std::string line(text);
  std::ranges::replace_if(line, [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return line;
}

bool same_word(ByteView a, ByteView b) { return a.size() == b.size() && std::ranges::equal(a, b, {}, to_small, to_small); }

bool parse_integer(ByteView text, std::int64_t& value) {
  const ByteView digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || (digits[0] == '0' && text.size() != 1)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

bool parse_long_double(ByteView text, long double& value) {
  constexpr std::size_t kTextMax = 5UL * 1024;
  if (text.empty() || text.size() >= kTextMax || std::isspace(static_cast<unsigned char>(text[0])) != 0) return false;
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  value = std::strtold(copy.c_str(), &end);
  if (static_cast<std::size_t>(end - copy.c_str()) != copy.size() || std::isnan(value)) return false;
  return errno != ERANGE || (std::fabs(value) != HUGE_VALL && std::fpclassify(value) != FP_ZERO);
}

std::string format_long_double(long double value) {
  std::array<char, 5UL * 1024> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), "%.17Lf", value);
  std::string text(buffer.data(), static_cast<std::size_t>(length));
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

std::optional<bool> is_loopback_address(const std::string& text) {
  in_addr v4{};
  in6_addr v6{};
  if (text.find('\0') != std::string::npos) return std::nullopt;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127U;
  if (inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  return std::nullopt;
}

}  // namespace cairn::server
