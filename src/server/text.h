// Words and numbers as Redis reads and prints them. Letters are those of ASCII.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "cairn/bytes.h"

namespace cairn::server {

constexpr char to_capital(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
constexpr char to_small(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string capitals(ByteView text);
std::string small_letters(ByteView text);
/// Capitals and small letters are the same.
bool same_word(ByteView a, ByteView b);

/// With spaces in place of ends of lines, as texts stand in replies.
std::string one_line(ByteView text);
/// As C prints it.
inline ByteView up_to_zero(ByteView text) { return text.substr(0, text.find('\0')); }

/// A decimal integer of 64 bits in its only form: no sign but '-', no zeros in front, nothing around it.
bool parse_integer(ByteView text, std::int64_t& value);
/// What strtold() takes as a whole, but no NaN and nothing out of range.
bool parse_long_double(ByteView text, long double& value);
/// With at most 17 digits behind the point, and no zeros at the end.
std::string format_long_double(long double value);

/// Whether an IP address is one of this machine's loopback network; nullopt: `text` is no IP address.
std::optional<bool> is_loopback_address(const std::string& text);

}  // namespace cairn::server
