#include "sealed/compression.h"

#include <lz4.h>
#include <zstd.h>

namespace cairn::sealed {

bool compress(Compression how, ByteView raw, Bytes& to) {
  if (how == Compression::kNone || raw.size() < 2) return false;
  to.resize(raw.size() - 1);  // A result that does not fit is not worth having.
  std::size_t n = 0;
  if (how == Compression::kLz4) {
    if (raw.size() > LZ4_MAX_INPUT_SIZE) return false;
    n = static_cast<std::size_t>(
        LZ4_compress_default(raw.data(), to.data(), static_cast<int>(raw.size()), static_cast<int>(to.size())));
  } else {
    n = ZSTD_compress(to.data(), to.size(), raw.data(), raw.size(), ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(n) != 0) n = 0;
  }
  to.resize(n);
  return n != 0;
}

bool decompress(Compression how, ByteView stored, std::uint64_t raw_bytes, Bytes& to) {
  // What no input of this size can become is damage, found before memory is taken for it: a byte of LZ4 gives at most
  // 255, a block of zstd (4 bytes at least) at most 128 KiB, and its frame says its size.
  const std::uint64_t ratio_max = how == Compression::kLz4 ? 255 : 128 * kKiB / 4;
  if (raw_bytes / ratio_max > stored.size()) return false;
  if (how == Compression::kZstd && ZSTD_getFrameContentSize(stored.data(), stored.size()) != raw_bytes) return false;
  if (how == Compression::kLz4 && raw_bytes > LZ4_MAX_INPUT_SIZE) return false;
  to.resize(raw_bytes);
  if (how == Compression::kLz4) {
    const int n = LZ4_decompress_safe(stored.data(), to.data(), static_cast<int>(stored.size()), static_cast<int>(raw_bytes));
    return n >= 0 && static_cast<std::uint64_t>(n) == raw_bytes;
  }
  const std::size_t n = ZSTD_decompress(to.data(), raw_bytes, stored.data(), stored.size());
  return ZSTD_isError(n) == 0 && n == raw_bytes;
}

}  // namespace cairn::sealed
