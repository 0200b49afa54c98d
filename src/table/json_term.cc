// A JSON reader that builds nothing: it checks a whole text and keeps the one scalar that a path leads to.
//
// The reader does not call itself for nested values: what an input can make it use is one Level for each open bracket.
// The library reads JSON for term indexes alone, so it does without a JSON library (docs/decisions/0040-the-way-in.md).
#include "table/json_term.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <clocale>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"

namespace cairn::table {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(Bytes& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0U | (code >> 6U));
    put(0x80U | (code & 0x3fU));
  } else if (code < 0x10000) {
    put(0xe0U | (code >> 12U));
    put(0x80U | ((code >> 6U) & 0x3fU));
    put(0x80U | (code & 0x3fU));
  } else {
    put(0xf0U | (code >> 18U));
    put(0x80U | ((code >> 12U) & 0x3fU));
    put(0x80U | ((code >> 6U) & 0x3fU));
    put(0x80U | (code & 0x3fU));
  }
}

/// The bytes of the UTF-8 character at the beginning of `text`; 0: it is not UTF-8. Overlong forms and surrogates are not.
std::size_t utf8_length(ByteView text) {
  const auto byte = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  const auto next = [&](std::size_t i) { return byte(i) >= 0x80U && byte(i) <= 0xbfU; };
  if (first < 0x80U) return 1;
  if (first >= 0xc2U && first <= 0xdfU) return next(1) ? 2 : 0;
  if (first >= 0xe0U && first <= 0xefU) {
    const bool second = next(1) && !(first == 0xe0U && byte(1) < 0xa0U) && !(first == 0xedU && byte(1) > 0x9fU);
    return second && next(2) ? 3 : 0;
  }
  if (first >= 0xf0U && first <= 0xf4U) {
    const bool second = next(1) && !(first == 0xf0U && byte(1) < 0x90U) && !(first == 0xf4U && byte(1) > 0x8fU);
    return second && next(2) && next(3) ? 4 : 0;
  }
  return 0;
}

/// See json_term(); `value` is finite.
Bytes text_of(double value) {
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const ByteView scientific(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t e = scientific.find('e');
  Bytes digits;
  for (const char c : scientific.substr(0, e)) {
    if (is_digit(c)) digits.push_back(c);
  }
  int exponent = 0;  // The power of ten of the first digit.
  std::from_chars(scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1), end, exponent);
  const Bytes sign = value < 0 ? "-" : "";
  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;  // Digits in front of the point.
  constexpr int kPointMost = 15;
  constexpr int kPointLeast = -3;
  if (point > kPointMost || point < kPointLeast) {
    if (count > 1) digits.insert(1, ".");
    const int size = std::abs(exponent);
    return sign + digits + (exponent < 0 ? "e-" : "e+") + (size < 10 ? "0" : "") + std::to_string(size);
  }
  if (point <= 0) return sign + "0." + Bytes(static_cast<std::size_t>(-point), '0') + digits;
  if (count <= point) return sign + digits + Bytes(static_cast<std::size_t>(point - count), '0') + ".0";
  return sign + digits.insert(static_cast<std::size_t>(point), ".");
}

class Reader {
 public:
  Reader(ByteView text, const JsonPath& path) : text_(text), path_(path) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
  }

  std::optional<Bytes> run() {
    bool ok = read_value();
    while (ok && !levels_.empty()) ok = read_next();
    skip_space();
    const bool ended = at_ == text_.size() || text_[at_] == '\0';
    return ok && ended ? std::move(found_) : std::nullopt;
  }

 private:
  struct Level {
    bool is_object;
    bool is_empty = true;
    std::uint64_t index = 0;  // In an array, the index of the next element.
  };

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(ByteView word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  /// What `path_` leads to is the next value.
  [[nodiscard]] bool is_wanted() const { return matched_ == path_.size() && levels_.size() == path_.size(); }
  void found(Bytes term) {
    if (is_wanted()) found_ = std::move(term);
  }

  /// A scalar, or the opening bracket of an object or an array.
  bool read_value() {
    skip_space();
    if (at_ == text_.size()) return false;
    switch (text_[at_]) {
      case '{':
      case '[': levels_.push_back({.is_object = text_[at_++] == '{'}); return true;
      case '"': {
        Bytes text;
        if (!read_string(text)) return false;
        found(std::move(text));
        return true;
      }
      case 't': found("true"); return take_word("true");
      case 'f': found("false"); return take_word("false");
      case 'n': return take_word("null");
      default: return read_number();
    }
  }

  /// In an object or array: its end, or its next element.
  bool read_next() {
    Level& level = levels_.back();
    skip_space();
    if (take(level.is_object ? '}' : ']')) {
      levels_.pop_back();
      matched_ = std::min(matched_, levels_.size());
      return true;
    }
    if (!level.is_empty && !take(',')) return false;
    level.is_empty = false;
    if (!level.is_object) {
      enter(std::to_string(level.index++));
      return read_value();
    }
    skip_space();
    Bytes name;
    if (!read_string(name)) return false;
    enter(name);
    skip_space();
    return take(':') && read_value();
  }

  /// The next value is called `name` in the innermost object or array.
  void enter(const Bytes& name) {
    const std::size_t above = levels_.size() - 1;
    if (matched_ < above) return;
    const bool matches = above < path_.size() && path_[above] == name;
    matched_ = above + (matches ? 1 : 0);
    if (matches) found_.reset();  // This member takes the place of an earlier one of the same name.
  }

  bool read_string(Bytes& out) {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (take('"')) return true;
      if (take('\\')) {
        if (!read_escape(out)) return false;
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0 || static_cast<unsigned char>(c) < 0x20U) return false;
      out.append(text_.substr(at_, length));
      at_ += length;
    }
    return false;
  }

  bool read_escape(Bytes& out) {
    constexpr ByteView kFrom = "\"\\/bfnrt";
    constexpr ByteView kTo = "\"\\/\b\f\n\r\t";
    if (at_ == text_.size()) return false;
    if (const std::size_t known = kFrom.find(text_[at_]); known != ByteView::npos) {
      out.push_back(kTo[known]);
      ++at_;
      return true;
    }
    std::uint32_t code = 0;
    if (!take('u') || !read_hex(code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {  // The first half of a character beyond 16 bits.
      std::uint32_t low = 0;
      if (!take_word("\\u") || !read_hex(low) || low < 0xdc00 || low > 0xdfff) return false;
      code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
      return false;
    }
    append_utf8(out, code);
    return true;
  }

  bool read_hex(std::uint32_t& code) {
    const ByteView digits = text_.substr(at_, 4);
    at_ += digits.size();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    return digits.size() == 4 && error == std::errc{} && end == digits.data() + 4;
  }

  bool read_digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ != begin;
  }

  bool read_number() {
    const std::size_t begin = at_;
    take('-');
    if (!take('0') && !read_digits()) return false;
    bool is_integer = true;
    if (take('.')) {
      is_integer = false;
      if (!read_digits()) return false;
    }
    if (take('e') || take('E')) {
      is_integer = false;
      if (!take('+')) take('-');
      if (!read_digits()) return false;
    }
    return number_term(text_.substr(begin, at_ - begin), is_integer);
  }

  bool number_term(ByteView number, bool is_integer) {
    if (is_integer) {
      std::int64_t small = 0;
      std::uint64_t large = 0;
      const auto fits = [&](auto& value) {
        return std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc{};
      };
      if (fits(small) || fits(large)) {
        found(number == "-0" ? Bytes("0") : Bytes(number));
        return true;
      }
    }
    static const locale_t c_locale = newlocale(LC_ALL_MASK, "C", nullptr);
    const double value = strtod_l(Bytes(number).c_str(), nullptr, c_locale);
    if (!std::isfinite(value)) return false;
    if (is_wanted()) found_ = text_of(value);
    return true;
  }

  const ByteView text_;
  const JsonPath& path_;
  std::size_t at_ = 0;
  std::vector<Level> levels_;
  std::size_t matched_ = 0;  // So many levels, counted from the outermost, stand at the names of path_.
  std::optional<Bytes> found_;
};

}  // namespace

Result<JsonPath> parse_json_pointer(ByteView pointer) {
  const auto wrong = [&](const char* why) {
    return fail(ErrorCode::kInvalidArgument, "extractor 'json:" + Bytes(pointer) + "': " + why);
  };
  JsonPath path;
  if (!pointer.empty() && pointer[0] != '/') return wrong("a JSON pointer begins with /");
  for (std::size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] == '/') {
      path.emplace_back();
    } else if (pointer[i] != '~') {
      path.back().push_back(pointer[i]);
    } else {
      ++i;
      if (i == pointer.size() || (pointer[i] != '0' && pointer[i] != '1')) return wrong("~ is written ~0 and / is written ~1");
      path.back().push_back(pointer[i] == '0' ? '~' : '/');
    }
  }
  return path;
}

std::optional<Bytes> json_term(ByteView json, const JsonPath& path) { return Reader(json, path).run(); }

}  // namespace cairn::table
