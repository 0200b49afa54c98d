// What a process that asks the owner of a directory sends, and what the owner answers: any bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "database/owner_message.h"

namespace {

/// What is read is written as it was.
template <typename T>
void check(cairn::ByteView bytes) {
  const auto read = cairn::database::decode_message<T>(bytes);
  if (read && cairn::database::encode_message(*read).size() != bytes.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cairn::ByteView bytes(reinterpret_cast<const char*>(data), size);  // NOLINT
  check<cairn::database::Request>(bytes);
  check<cairn::Error>(bytes);
  check<cairn::TableStats>(bytes);
  check<cairn::TimelineStats>(bytes);
  check<cairn::ForkStoreStats>(bytes);
  check<cairn::VerifyReport>(bytes);
  return 0;
}
