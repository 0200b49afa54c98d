// A string as DUMP gives it and RESTORE takes it: as in an RDB file, with the version and a checksum behind it.
#pragma once
#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn::server {

Bytes dump_string(ByteView value);
/// `body`, a type and a value as an RDB file has them, with the version and the checksum behind it.
Bytes with_checksum(Bytes body);
/// kInvalidArgument, whose message is the whole reply: the version or the checksum is wrong, or it is no string.
Result<Bytes> load_string(ByteView dump);

}  // namespace cairn::server
