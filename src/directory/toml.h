// The part of TOML that manifests are written in: comments, [[arrays.of.tables]], integers, plain strings and lists of
// them, one a line. Why not a library: docs/decisions/0007-own-toml-reader.md.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn::directory {

struct TomlTable {
  using Value = std::variant<std::int64_t, std::string, std::vector<std::string>>;
  std::map<std::string, Value> values;
  std::map<std::string, std::vector<TomlTable>> tables;
};

/// kCorruption, with the line, for anything else. `file` is for messages.
Result<TomlTable> parse_toml(ByteView text, const std::string& file);

}  // namespace cairn::directory
