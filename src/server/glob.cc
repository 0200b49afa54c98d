#include "server/glob.h"

#include <algorithm>
#include <cctype>

namespace cairn::server {
namespace {

unsigned char folded(char c, bool ignore_case) {
  const auto byte = static_cast<unsigned char>(c);
  return ignore_case ? static_cast<unsigned char>(std::tolower(byte)) : byte;
}

/// Matches one byte against the [set] at the front of `pattern`, and says how long that is.
bool match_set(ByteView pattern, char c, bool ignore_case, std::size_t& length) {
  std::size_t at = 1;
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  const unsigned char byte = folded(c, ignore_case);
  for (; at < pattern.size() && pattern[at] != ']'; ++at) {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      found |= pattern[++at] == c;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      const unsigned char from = folded(pattern[at], ignore_case);
      const unsigned char to = folded(pattern[at + 2], ignore_case);
      found |= byte >= std::min(from, to) && byte <= std::max(from, to);
      at += 2;
    } else {
      found |= folded(pattern[at], ignore_case) == byte;
    }
  }
  length = std::min(at + 1, pattern.size());
  return found != negated;
}

/// Matches one byte against what stands at the front of `pattern`, which is no '*'.
bool match_one(ByteView pattern, char c, bool ignore_case, std::size_t& length) {
  length = 1;
  switch (pattern[0]) {
    case '?': return true;
    case '[': return match_set(pattern, c, ignore_case, length);
    case '\\':
      if (pattern.size() > 1) {
        length = 2;
        return folded(pattern[1], ignore_case) == folded(c, ignore_case);
      }
      [[fallthrough]];
    default: return folded(pattern[0], ignore_case) == folded(c, ignore_case);
  }
}

}  // namespace

bool glob_match(ByteView pattern, ByteView text, bool ignore_case) {
  std::size_t at = 0;
  std::size_t in_text = 0;
  // Where to go on when what follows the last '*' does not match: that star takes one byte more.
  std::size_t star = ByteView::npos;
  std::size_t star_text = 0;
  while (in_text < text.size() || (at < pattern.size() && pattern[at] == '*')) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      star_text = in_text;
      continue;
    }
    std::size_t length = 0;
    if (at < pattern.size() && match_one(pattern.substr(at), text[in_text], ignore_case, length)) {
      at += length;
      ++in_text;
      continue;
    }
    if (star == ByteView::npos) return false;
    at = star;
    in_text = ++star_text;
  }
  return at == pattern.size();
}

Bytes glob_prefix(ByteView pattern) {
  Bytes prefix;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '*' || c == '?' || c == '[') break;
    if (c == '\\' && at + 1 < pattern.size()) ++at;
    prefix.push_back(pattern[at]);
  }
  return prefix;
}

}  // namespace cairn::server
