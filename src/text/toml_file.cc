// The only source that includes toml11. The library's exceptions and values end here: callers see places and plain values.
#include "text/toml_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <toml.hpp>

#include "base/error.h"

namespace cairn {
namespace {

constexpr std::size_t kFileBytesMax = kMiB;
constexpr int kDepthMax = 32;  // The library calls itself for each nested bracket.

class Converter {
 public:
  explicit Converter(const std::string& file) : file_(file) {}

  TomlTable table(const toml::table& from, const std::string& at) const {
    TomlTable into{.values = {}, .place = at};
    for (const auto& [name, value] : from) {
      const toml::source_location where = value.location();
      TomlValue& made = into.values[name];
      made.place = place(where.line(), where.column());
      // The library keeps places of values only: the key stands before it, most often on the same line.
      const std::size_t key = where.line_str().find(name);
      made.key_place = place(where.line(), key == std::string::npos ? where.column() : key + 1);
      convert(value, made);
    }
    return into;
  }
  [[nodiscard]] std::string place(std::size_t line, std::size_t column) const {
    return fmt::format("{}:{}:{}", file_, line, column);
  }

 private:
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
      for (const toml::value& item : items) {
        tables.push_back(table(item.as_table(), place(item.location().line(), item.location().column())));
      }
      into.data = std::move(tables);
    }
  }
  const std::string& file_;
};

/// The line on which brackets are nested deeper than kDepthMax, whatever stands in quotes.
std::optional<std::size_t> too_deep_line(ByteView text) {
  int depth = 0;
  std::size_t line = 1;
  for (const char c : text) {
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == '\n') ++line;
    if (depth > kDepthMax) return line;
  }
  return std::nullopt;
}

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

Result<TomlTable> parse_toml_file(ByteView text, const std::string& file) {
  const Converter converter(file);
  if (text.size() > kFileBytesMax) return fail(ErrorCode::kInvalidArgument, file + " is longer than 1 MiB");
  if (const auto line = too_deep_line(text)) {
    return fail(ErrorCode::kInvalidArgument, converter.place(*line, 1) + ": brackets are nested more than 32 deep");
  }
  try {
    std::istringstream in{std::string(text)};
    const toml::value parsed = toml::parse(in, file);
    return converter.table(parsed.as_table(), converter.place(1, 1));
  } catch (const toml::exception& error) {
    const toml::source_location& where = error.location();
    const std::string line = where.line_str();
    // Without what follows '=': it may be a password.
    const std::string shown = line.substr(0, std::min(line.find('='), line.size()));
    const bool twice = ByteView(error.what()).find("already exists") != ByteView::npos;
    const std::string near = shown.empty() ? "" : fmt::format(" near '{}'", shown.substr(0, 40));
    return fail(ErrorCode::kInvalidArgument,
                converter.place(where.line(), where.column()) + ": " +
                    (twice ? "a key is given twice" + near
                           : "not valid TOML" + near + "; write NAME = VALUE with 1, true, \"text\" or [\"a\", \"list\"]"));
  } catch (const std::exception&) {
    return fail(ErrorCode::kInvalidArgument, file + ": not valid TOML, or not UTF-8");
  }
}

std::string suggestion(ByteView word, const std::vector<std::string>& names) {
  const auto distance = [&](const std::string& name) { return edit_distance(word.substr(0, 64), name); };
  const auto nearest = std::ranges::min_element(names, {}, distance);
  if (nearest == names.end() || distance(*nearest) > std::max<std::size_t>(nearest->size() / 3, 1)) return "";
  return "; did you mean '" + *nearest + "'?";
}

}  // namespace cairn
