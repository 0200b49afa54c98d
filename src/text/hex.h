// Bytes as hexadecimal digits.
#pragma once
#include <absl/strings/escaping.h>

#include <string>

#include "cairn/bytes.h"

namespace cairn {

/// Two small hexadecimal digits for each byte.
inline std::string to_hex(ByteView bytes) { return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size())); }

}  // namespace cairn
