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

constexpr int kDepthMax = 32;
constexpr ByteView kKeyCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

std::string place_of(const std::string& file, std::size_t line, std::size_t column) {
  return fmt::format("{}:{}:{}", file, line, column);
}

/// Turns the library's values into Cairn's. The tables that it makes keep the parsed file alive, because their places are found
/// in it.
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

/// Finds the line where brackets, or names of many parts (a.b.c), are nested too deep; the library calls itself for each level.
/// Strings and comments do not count.
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
        if (!text_.substr(at_ + 1).starts_with('\n')) ++at_;
      } else if (text_.substr(at_).starts_with(end)) {
        at_ += end.size() - 1;
        // Up to two quotes may stand before the three that end a string: of five, the last three end it.
        for (int i = 0; i < 2 && end.size() == 3 && text_.substr(at_ + 1).starts_with(quote); ++i) ++at_;
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
    // The message shows the key alone: the value may be a password.
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

}  // namespace cairn
