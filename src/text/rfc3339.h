// Times as people write them.
#pragma once
#include <optional>

#include "cairn/bytes.h"
#include "cairn/timeline.h"

namespace cairn {

/// RFC 3339, with a zone; what is beyond milliseconds is passed over. nullopt: it is nothing of the kind.
std::optional<Time> parse_rfc3339(ByteView text);

}  // namespace cairn
