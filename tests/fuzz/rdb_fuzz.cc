// What RESTORE is given, with a checksum that is right and without: it is refused or it is a string that DUMP gives back.
#include <cstdlib>

#include "server/rdb.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cairn::ByteView input(reinterpret_cast<const char*>(data), size);
  (void)cairn::server::load_string(input);
  const auto value = cairn::server::load_string(cairn::server::with_checksum(cairn::Bytes(input)));
  if (!value) return 0;
  const auto again = cairn::server::load_string(cairn::server::dump_string(*value));
  if (!again || *again != *value) std::abort();
  return 0;
}
