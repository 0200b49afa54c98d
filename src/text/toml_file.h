// A TOML file that people write: settings, users. (The manifest has a reader of its own, src/directory/toml.h.)
#pragma once
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "cairn/bytes.h"

namespace cairn {

/// A longer file is refused.
inline constexpr std::size_t kFileBytesMax = kMiB;

struct TomlTable;

struct TomlValue {
  /// A number with a fraction, a date, a section and a list of mixed values are none of these: monostate.
  std::variant<std::monostate, std::int64_t, bool, std::string, std::vector<std::string>, std::vector<TomlTable>> data;
  /// "FILE:LINE:COLUMN" of the key, and of the value. Functions, since finding a line takes time that grows with the file.
  std::function<std::string()> key_place;
  std::function<std::string()> place;
  bool is_section = false;  ///< [NAME], or NAME.OTHER = VALUE.
};

struct TomlTable {
  std::map<std::string, TomlValue> values;
  std::function<std::string()> place;
};

/// kInvalidArgument, with file, line and column: `text` is not TOML 1.0, is longer than 1 MiB or nested deeper than 32. `hint` is
/// asked what to add to the message when the line of a key is not TOML.
Result<TomlTable> parse_toml_file(ByteView text, const std::string& file,
                                  const std::function<std::string(const std::string& key)>& hint = {});

}  // namespace cairn
