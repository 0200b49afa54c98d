#include "directory/toml.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"

namespace cairn::directory {
namespace {

ByteView trim(ByteView text) {
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  const std::size_t end = text.find_last_not_of(' ');
  return text.substr(begin, end == ByteView::npos ? 0 : end + 1 - begin);
}

bool is_key(ByteView text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

/// A string in quotes, without escapes: printable ASCII but quotes and backslashes.
std::optional<std::string> parse_string(ByteView text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (!plain) return std::nullopt;
  return std::string(text);
}

std::optional<TomlTable::Value> parse_value(ByteView text) {
  if (text.starts_with('"')) return parse_string(text);
  if (text.starts_with('[') && text.ends_with(']')) {
    std::vector<std::string> list;
    for (ByteView rest = text.substr(1, text.size() - 2); !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const auto item = parse_string(trim(rest.substr(0, comma)));
      if (!item) return std::nullopt;
      list.push_back(*item);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return list;
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The new table that a line [[a.b.c]] opens: one more c in the last b of the last a.
TomlTable* open_table(TomlTable& root, ByteView path) {
  TomlTable* at = &root;
  while (true) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const ByteView name = path.substr(0, dot);
    if (!is_key(name)) return nullptr;
    std::vector<TomlTable>& tables = at->tables[std::string(name)];
    if (dot == path.size()) return &tables.emplace_back();
    if (tables.empty()) return nullptr;
    at = &tables.back();
    path.remove_prefix(dot + 1);
  }
}

}  // namespace

Result<TomlTable> parse_toml(ByteView text, const std::string& file) {
  TomlTable root;
  TomlTable* at = &root;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const ByteView line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const auto wrong = [&](const char* what) { return corruption("line " + std::to_string(number) + " " + what, file); };
    if (line.empty() || line.front() == '#') continue;
    if (line.starts_with("[[") && line.ends_with("]]") && line.size() > 4) {
      at = open_table(root, line.substr(2, line.size() - 4));
      if (at == nullptr) return wrong("opens a table that has no place");
      continue;
    }
    const std::size_t equals = std::min(line.find('='), line.size());
    const ByteView key = trim(line.substr(0, equals));
    if (!is_key(key) || equals == line.size()) return wrong("is neither a table nor 'key = value'");
    auto value = parse_value(trim(line.substr(equals + 1)));
    if (!value) return wrong("has no integer, string or list of strings as its value");
    if (!at->values.emplace(key, std::move(*value)).second) return wrong("gives a key a second time");
  }
  return root;
}

}  // namespace cairn::directory
