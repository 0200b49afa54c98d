// The only source that includes toml11. The library's exceptions and values end here: callers see places and plain values.
#include "text/toml_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <toml.hpp>

#include "base/error.h"
#include "text/json.h"

namespace cairn {
namespace {

constexpr std::size_t kFileBytesMax = kMiB;
constexpr int kDepthMax = 32;
constexpr ByteView kKeyCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

std::string place_of(const std::string& file, std::size_t line, std::size_t column) {
  return fmt::format("{}:{}:{}", file, line, column);
}

/// Turns the library's values into Cairn's. What it makes keeps the whole parsed file, to find places in it.
class Converter {
 public:
  Converter(std::shared_ptr<const toml::value> root, std::string file) : root_(std::move(root)), file_(std::move(file)) {}

  TomlTable table(const toml::value& from) const {
    TomlTable into{.values = {}, .place = place(from)};
    for (const auto& [name, value] : from.as_table()) {
      TomlValue& made = into.values[name];
      made.place = place(value);
      made.key_place = [root = root_, file = file_, at = &value, key = name] {
        const toml::source_location where = at->location();
        // The library keeps places of values only: the key stands before its value, most often on the same line.
        const std::size_t found = where.line_str().find(key);
        return place_of(file, where.line(), found == std::string::npos ? where.column() : found + 1);
      };
      convert(value, made);
    }
    return into;
  }

 private:
  std::function<std::string()> place(const toml::value& value) const {
    return [root = root_, file = file_, at = &value] {
      const toml::source_location where = at->location();
      return place_of(file, where.line(), where.column());
    };
  }
  void convert(const toml::value& value, TomlValue& into) const {
    into.is_section = value.is_table();
    if (value.is_integer()) into.data = std::int64_t{value.as_integer()};
    if (value.is_boolean()) into.data = bool{value.as_boolean()};
    if (value.is_string()) into.data = value.as_string().str;
    if (!value.is_array()) return;
    const toml::array& items = value.as_array();
    if (std::ranges::all_of(items, [](const toml::value& item) { return item.is_string(); })) {
      std::vector<std::string> texts;
      for (const toml::value& item : items) texts.push_back(item.as_string().str);
      into.data = std::move(texts);
    } else if (std::ranges::all_of(items, [](const toml::value& item) { return item.is_table(); })) {
      std::vector<TomlTable> tables;
      for (const toml::value& item : items) tables.push_back(table(item));
      into.data = std::move(tables);
    }
  }

  const std::shared_ptr<const toml::value> root_;
  const std::string file_;
};

/// Finds what the library would call itself for without bound: brackets, and names of many parts (a.b.c), outside of strings and
/// comments.
class DepthCheck {
 public:
  explicit DepthCheck(ByteView text) : text_(text) {}

  /// The line on which something is nested deeper than kDepthMax; nullopt: none.
  std::optional<std::size_t> too_deep_line() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size()) - 1;
      } else if (c == '\n') {
        ++line_;
        dots_ = 0;
      } else if (c == '[' || c == '{') {
        ++depth_;
      } else if (c == ']' || c == '}') {
        depth_ = std::max(depth_ - 1, 0);
      } else if (c == '.') {
        ++dots_;
      }
      if (depth_ > kDepthMax || dots_ > kDepthMax) return line_;
    }
    return std::nullopt;
  }

 private:
  /// Goes to the last quote of the string, or to the character before the end of the line or text that ends it.
  void skip_string(char quote) {
    const std::string three(3, quote);
    const std::string end = text_.substr(at_).starts_with(three) ? three : std::string(1, quote);
    for (at_ += end.size(); at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n' && end.size() == 1) break;  // Not closed, which the library says.
      if (text_[at_] == '\n') ++line_;
      if (quote == '"' && text_[at_] == '\\') {
        ++at_;
      } else if (text_.substr(at_).starts_with(end)) {
        at_ += end.size() - 1;
        return;
      }
    }
    --at_;
  }

  const ByteView text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  int depth_ = 0;
  int dots_ = 0;
};

/// Letters inserted, left out, replaced or swapped with the next (optimal string alignment).
std::size_t edit_distance(ByteView a, ByteView b) {
  std::vector<std::size_t> before;  // The row before the last.
  std::vector<std::size_t> last;
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

Result<TomlTable> parse_toml_file(ByteView text, const std::string& file,
                                  const std::function<std::string(const std::string& key)>& hint) {
  const auto wrong = [&](const std::string& what) { return fail(ErrorCode::kInvalidArgument, what); };
  if (text.size() > kFileBytesMax) return wrong(file + ": the file is longer than 1 MiB");
  if (!is_utf8(text) || text.find('\0') != ByteView::npos) return wrong(file + ": the file is not UTF-8 text");
  if (const auto line = DepthCheck(text).too_deep_line()) {
    return wrong(place_of(file, *line, 1) + ": brackets or names are nested more than 32 deep");
  }
  try {
    std::istringstream in{std::string(text)};
    const auto root = std::make_shared<const toml::value>(toml::parse(in, file));
    return Converter(root, file).table(*root);
  } catch (const toml::exception& error) {
    const toml::source_location& where = error.location();
    const std::string& line = where.line_str();
    // Of the line only the key is shown: the value may be a password.
    const std::size_t begin = std::min(line.find_first_not_of(" \t"), line.size());
    const std::size_t end = std::min(line.find_first_not_of(kKeyCharacters, begin), line.size());
    const std::string key = line.substr(begin, end - begin);
    const std::string near = key.empty() ? "" : fmt::format(" near '{}'", key);
    const std::string place = place_of(file, where.line(), where.column());
    if (ByteView(error.what()).find("already exists") != ByteView::npos) return wrong(place + ": a key is given twice" + near);
    return wrong(place + ": not valid TOML" + near + "; write NAME = VALUE with 1, true, \"text\" or [\"a\", \"list\"]" +
                 (hint && !key.empty() ? hint(key) : ""));
  } catch (const std::exception&) {
    return wrong(file + ": the file is not valid TOML");
  }
}

std::string suggestion(ByteView word, const std::vector<std::string>& names) {
  const auto distance = [&](const std::string& name) { return edit_distance(word.substr(0, 64), name); };
  const auto nearest = std::ranges::min_element(names, {}, distance);
  if (nearest == names.end() || distance(*nearest) > std::max<std::size_t>(nearest->size() / 3, 1)) return "";
  return "; did you mean '" + *nearest + "'?";
}

}  // namespace cairn
