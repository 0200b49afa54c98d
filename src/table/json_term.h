// The term that a JSON pointer names in a JSON text, for term indexes of values that are JSON.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn::table {

/// The names and numbers of a JSON pointer (RFC 6901), unescaped; empty: the whole text.
using JsonPath = std::vector<std::string>;

/// kInvalidArgument: `pointer` is neither empty nor begins with '/', or a '~' is not followed by 0 or 1.
Result<JsonPath> parse_json_pointer(ByteView pointer);

/// The string at `path`, unescaped, or the text of the number or boolean. nullopt: there is none, it is null, an object or an
/// array, or `json` is not a JSON text (RFC 8259, with or without a byte order mark; a zero byte ends it). If two members have
/// the same name, the last one counts.
///
/// Integers of 64 bits have their decimal digits as their text. Other numbers are rounded to a double and have the
/// shortest digits that give this double again, written as in JavaScript but with ".0" where they are whole ("100.0") and two
/// digits in the exponent ("1.5e-07"). Stored indexes depend on these texts: they must not change.
std::optional<Bytes> json_term(ByteView json, const JsonPath& path);

}  // namespace cairn::table
