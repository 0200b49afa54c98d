// Parsed JSON, for the sources that read lines of it. Apart from json_lines.h because the JSON library takes 5 s to compile.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "cairn/bytes.h"

namespace cairn::cli {

/// A JSON text; kInvalidArgument with the position.
Result<nlohmann::json> parse_json(ByteView text);
/// The bytes that `object` has under `name` or `name`64. kInvalidArgument, naming the JSON pointer.
Result<Bytes> take_bytes(const nlohmann::json& object, const std::string& name);

}  // namespace cairn::cli
