// Patterns of KEYS, SCAN and CONFIG GET.
#pragma once
#include "cairn/bytes.h"

namespace cairn::server {

/// Whether `text` is as `pattern` says: * for any bytes, ? for one, [abc], [^a-c] for one of those, \ before what means itself.
/// Takes at most about |pattern| * |text| steps.
bool glob_match(ByteView pattern, ByteView text, bool ignore_case = false);
/// What everything that matches begins with.
Bytes glob_prefix(ByteView pattern);

}  // namespace cairn::server
