#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
// libxxhash's own choice of vector instructions, made once. (Its header cannot be had together with the inline functions.)
extern "C" XXH64_hash_t XXH3_64bits_withSeed_dispatch(const void* input, std::size_t size, XXH64_hash_t seed);
#endif

namespace cairn {

std::uint64_t xxh3(ByteView bytes, std::uint64_t seed) {
#if defined(__x86_64__)
  if (bytes.size() > XXH3_MIDSIZE_MAX) return XXH3_64bits_withSeed_dispatch(bytes.data(), bytes.size(), seed);
#endif
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace cairn
