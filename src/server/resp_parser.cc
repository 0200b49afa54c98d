#include "server/resp_parser.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <algorithm>

#include "server/text.h"

namespace cairn::server {
namespace {

constexpr std::size_t kCountLineMax = 32;  // Digits of a count or size, with room for zeros.

bool is_hex_digit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool ends_word(ByteView line, std::size_t at) { return at == line.size() || is_space(line[at]); }

/// Reads what follows a double quote up to its end; false: there is none, or something stands right behind it.
bool read_double_quoted(ByteView line, std::size_t& at, std::string& word) {
  for (; at < line.size(); ++at) {
    const char c = line[at];
    if (c == '"') return ends_word(line, ++at);
    if (c != '\\' || at + 1 == line.size()) {
      word.push_back(c);
      continue;
    }
    const char escaped = line[++at];
    if (escaped == 'x' && at + 2 < line.size() && is_hex_digit(line[at + 1]) && is_hex_digit(line[at + 2])) {
      word += absl::HexStringToBytes(absl::string_view(line.data() + at + 1, 2));
      at += 2;
      continue;
    }
    constexpr ByteView kFrom = "nrtba";
    constexpr ByteView kTo = "\n\r\t\b\a";
    const std::size_t known = kFrom.find(escaped);
    word.push_back(known == ByteView::npos ? escaped : kTo[known]);
  }
  return false;
}

bool read_single_quoted(ByteView line, std::size_t& at, std::string& word) {
  for (; at < line.size(); ++at) {
    if (line[at] == '\'') return ends_word(line, ++at);
    if (line[at] == '\\' && at + 1 < line.size() && line[at + 1] == '\'') ++at;
    word.push_back(line[at]);
  }
  return false;
}

}  // namespace

bool split_words(ByteView line, std::vector<std::string>& words) {
  words.clear();
  std::size_t at = 0;
  while (true) {
    while (at < line.size() && is_space(line[at])) ++at;
    if (at == line.size()) return true;
    std::string word;
    for (bool ended = false; !ended && at < line.size() && !is_space(line[at]);) {
      const char c = line[at++];
      if (c == '"' || c == '\'') {
        if (!(c == '"' ? read_double_quoted(line, at, word) : read_single_quoted(line, at, word))) return false;
        ended = true;
      } else {
        word.push_back(c);
      }
    }
    words.push_back(std::move(word));
  }
}

void RequestParser::reset() {
  state_ = State::kStart;
  done_ = true;
  at_ = searched_ = 0;
  places_.clear();
  // What one large request took is not kept for the small ones behind it.
  if (places_.capacity() > 64) places_.shrink_to_fit();
  if (arguments_.capacity() > 64) arguments_ = {};
  words_.clear();
}

RequestParser::Outcome RequestParser::bad(std::string error) {
  error_ = "Protocol error: " + std::move(error);
  return Outcome::kBad;
}

RequestParser::Outcome RequestParser::more(std::uint64_t missing) {
  missing_ = missing;
  return Outcome::kMore;
}

RequestParser::Outcome RequestParser::parse(ByteView input, const RequestLimits& limits) {
  if (done_) {
    reset();
    done_ = false;
  }
  if (state_ == State::kStart) {
    if (input.empty()) return more(1);
    const Outcome begun = input[0] == '*' ? parse_array(input, limits) : parse_line(input, limits);
    if (begun != Outcome::kRequest || done_) return begun;
  }
  while (left_ != 0) {
    const Outcome outcome = parse_argument(input, limits);
    if (outcome != Outcome::kRequest) return outcome;
  }
  return finish(input);
}

RequestParser::Outcome RequestParser::finish(ByteView input) {
  arguments_.clear();
  for (const Place& place : places_) arguments_.push_back(input.substr(place.offset, place.size));
  done_ = true;
  return Outcome::kRequest;
}

RequestParser::Outcome RequestParser::parse_line(ByteView input, const RequestLimits& limits) {
  const std::size_t end = input.find('\n', searched_);
  if (end == ByteView::npos) {
    searched_ = input.size();
    if (input.size() > limits.line_bytes_max) return bad("too big inline request");
    return more(1);
  }
  if (end > limits.line_bytes_max) return bad("too big inline request");
  ByteView line = input.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!split_words(line, words_)) return bad("unbalanced quotes in request");
  arguments_.assign(words_.begin(), words_.end());
  at_ = end + 1;
  done_ = true;
  return Outcome::kRequest;
}

/// The "*n" of an array.
RequestParser::Outcome RequestParser::parse_array(ByteView input, const RequestLimits& limits) {
  const std::size_t end = input.find('\r', 1);
  if (std::min(end, input.size()) > kCountLineMax) return bad("too big mbulk count string");
  if (end == ByteView::npos || end + 1 >= input.size()) return more(1);
  std::int64_t count = 0;
  if (!parse_integer(input.substr(1, end - 1), count) || count > static_cast<std::int64_t>(limits.arguments_max)) {
    return bad(count > static_cast<std::int64_t>(limits.arguments_max) && limits.arguments_max <= 10
                   ? "unauthenticated multibulk length"
                   : "invalid multibulk length");
  }
  at_ = end + 2;
  bytes_ = 0;
  left_ = count > 0 ? static_cast<std::uint64_t>(count) : 0;
  state_ = State::kSize;
  return Outcome::kRequest;
}

RequestParser::Outcome RequestParser::parse_argument(ByteView input, const RequestLimits& limits) {
  if (state_ == State::kSize) {
    if (at_ == input.size()) return more(left_ * 6);  // "$0", and two ends of lines.
    if (input[at_] != '$') return bad(fmt::format("expected '$', got '{}'", input[at_]));
    const std::size_t end = input.find('\r', at_ + 1);
    if (std::min(end, input.size()) - at_ > kCountLineMax) return bad("too big bulk count string");
    if (end == ByteView::npos || end + 1 >= input.size()) return more(1);
    std::int64_t size = -1;
    if (!parse_integer(input.substr(at_ + 1, end - at_ - 1), size) || size < 0) return bad("invalid bulk length");
    size_ = static_cast<std::uint64_t>(size);
    if (size_ > limits.argument_bytes_max) {
      return bad(limits.arguments_max <= 10 ? "unauthenticated bulk length" : "invalid bulk length");
    }
    bytes_ += size_;
    if (bytes_ > limits.request_bytes_max) return bad("too big request");
    at_ = end + 2;
    state_ = State::kBytes;
  }
  if (input.size() - at_ < size_ + 2) return more(size_ + 2 - (input.size() - at_));
  places_.push_back({at_, size_});
  at_ += size_ + 2;
  --left_;
  state_ = State::kSize;
  return Outcome::kRequest;
}

}  // namespace cairn::server
