// One table of a manifest's text being read, and what parts of a view do with theirs.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "directory/manifest.h"
#include "directory/toml.h"

namespace cairn::directory {

/// One table being read: takes its keys one by one and complains about what is missing, wrong or left over.
class Section {
 public:
  Section(const TomlTable& table, std::string path, std::string file)
      : table_(table), path_(std::move(path)), file_(std::move(file)) {}

  Result<std::uint64_t> integer(const char* key, std::uint64_t most = std::uint64_t{1} << 62) {
    const auto* const value = take<std::int64_t>(key);
    if (value == nullptr || *value < 0 || static_cast<std::uint64_t>(*value) > most) {
      return wrong(key, "is not an integer from 0 to " + std::to_string(most));
    }
    return static_cast<std::uint64_t>(*value);
  }
  Result<std::string> string(const char* key) {
    const auto* const value = take<std::string>(key);
    if (value == nullptr) return wrong(key, "is not a string");
    return *value;
  }
  /// 64 bits as 16 hexadecimal digits, `words` of them.
  Result<std::vector<std::uint64_t>> hex(const char* key, std::size_t words) {
    CAIRN_TRY(text, string(key));
    std::vector<std::uint64_t> values(words);
    if (text.size() != words * 16) return wrong(key, "has the wrong length");
    for (std::size_t i = 0; i < words; ++i) {
      const char* const begin = text.data() + i * 16;
      const auto [end, error] = std::from_chars(begin, begin + 16, values[i], 16);
      if (error != std::errc{} || end != begin + 16) return wrong(key, "is not hexadecimal");
    }
    return values;
  }
  /// Bytes as hexadecimal digits; at least one.
  Result<Bytes> hex_bytes(const char* key) {
    CAIRN_TRY(text, string(key));
    return bytes_of_hex(key, text);
  }
  Result<Bytes> bytes_of_hex(const char* key, const std::string& text) const {
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
      std::uint8_t byte = 0;
      const char* const begin = text.data() + i;
      const auto [end, error] = std::from_chars(begin, text.data() + std::min(i + 2, text.size()), byte, 16);
      if (error != std::errc{} || end != begin + 2) return wrong(key, "is not hexadecimal");
      bytes.push_back(static_cast<char>(byte));
    }
    if (bytes.empty()) return wrong(key, "is empty");
    return bytes;
  }
  [[nodiscard]] bool has(const char* key) const { return table_.values.contains(key); }
  Result<std::vector<std::string>> strings(const char* key) {
    const auto* const value = take<std::vector<std::string>>(key);
    if (value == nullptr || value->empty()) return wrong(key, "is not a list of strings");
    return *value;
  }
  /// Calls `each` with the sections of an array of tables, which may be absent.
  template <typename Each>
  Result<void> sections(const char* key, Each each) {
    taken_.insert(key);
    const auto found = table_.tables.find(key);
    if (found == table_.tables.end()) return {};
    for (std::size_t i = 0; i < found->second.size(); ++i) {
      Section section(found->second[i], fmt::format("{}{}[{}].", path_, key, i), file_);
      CAIRN_TRY_VOID(each(section));
      CAIRN_TRY_VOID(section.done());
    }
    return {};
  }
  [[nodiscard]] Result<void> done() const {
    for (const auto& [key, value] : table_.values) CAIRN_TRY_VOID(known(key));
    for (const auto& [key, tables] : table_.tables) CAIRN_TRY_VOID(known(key));
    return {};
  }
  [[nodiscard]] std::unexpected<Error> wrong(const char* key, const std::string& what) const {
    return corruption(fmt::format("manifest key {}{} {}", path_, key, what), file_);
  }

 private:
  template <typename T>
  const T* take(const char* key) {
    taken_.insert(key);
    const auto found = table_.values.find(key);
    return found == table_.values.end() ? nullptr : std::get_if<T>(&found->second);
  }
  [[nodiscard]] Result<void> known(const std::string& key) const {
    if (taken_.contains(key)) return {};
    return fail(ErrorCode::kUnsupported, fmt::format("manifest key {}{} needs a newer Cairn", path_, key), file_);
  }

  const TomlTable& table_;
  std::string path_;
  std::string file_;
  std::set<std::string> taken_;
};

Result<TimelineEntry> read_timeline(Section& section);
std::string encode_timeline(const TimelineEntry& timeline);
Result<ForksEntry> read_forks(Section& section);
std::string encode_forks(const ForksEntry& forks);
/// The format that it takes.
std::uint64_t format_of(const ForksEntry& forks);

}  // namespace cairn::directory
