// Any bytes as a manifest, a lease record and a file name: decoding ends with an answer or an error, and what is decoded is
// written back as it was. The checksum is made right first.
#include <cstdio>

#include "base/hash.h"
#include "directory/file_name.h"
#include "directory/manifest.h"
#include "storage/file_lease.h"

using namespace cairn;             // NOLINT(google-build-using-namespace)
using namespace cairn::directory;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)decode_manifest(text, "fuzz");
  char line[64];
  std::snprintf(line, sizeof line, "checksum = \"%016llx\"\n", static_cast<unsigned long long>(xxh3(text)));
  const auto manifest = decode_manifest(line + text, "fuzz");
  if (manifest) {
    const auto again = decode_manifest(encode_manifest(*manifest), "fuzz");
    if (!again || !(*again == *manifest)) __builtin_trap();
  }
  (void)storage::decode_lease(text, "fuzz");
  (void)FileName::parse(text);
  (void)ManifestName::parse(text);
  return 0;
}
