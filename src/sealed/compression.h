// lz4 and zstd behind one name.
#pragma once
#include <cstdint>
#include <string>

#include "cairn/bytes.h"
#include "cairn/result.h"
#include "sealed/sealed_format.h"

namespace cairn::sealed {

/// Compresses into `to` and returns true, or returns false if that would not make it smaller.
bool compress(Compression how, ByteView raw, Bytes& to);

/// Decompresses exactly `raw_bytes`; false if `stored` is not what compress() gave.
bool decompress(Compression how, ByteView stored, std::uint64_t raw_bytes, Bytes& to);

}  // namespace cairn::sealed
