// Any bytes as a sealed file: opening, point reads, walks both ways and verify end with an answer or an error. An odd first
// byte asks for all checksums to be made right first, so that what lies behind them is reached too.
#include "sealed/sealed_reader.h"
#include "sealed/sealed_salvage.h"
#include "sound_file.h"
#include "support/memory_file.h"

using namespace cairn;          // NOLINT(google-build-using-namespace)
using namespace cairn::sealed;  // NOLINT(google-build-using-namespace)

namespace {

constexpr DatabaseId kDatabase{1, 2};

void walk(const SealedReader& reader) {
  const auto cursor = reader.cursor();
  int steps = 0;
  for (Result<void> at = cursor->seek_first(); at && cursor->valid() && ++steps < 1000; at = cursor->next()) {
    const Bytes key(cursor->entry().key);
    (void)reader.get(key, xxh3(key, reader.preamble().hash_seed), ~std::uint64_t{0});
  }
  for (Result<void> at = cursor->seek_last(); at && cursor->valid() && ++steps < 2000; at = cursor->prev()) {
  }
  (void)cursor->seek("m");
  (void)cursor->seek_before("m");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto bytes = std::make_shared<Bytes>(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) != 0) test::make_sound(*bytes, kDatabase, 1, 1);
  if (const auto salvage = SealedSalvage::open(std::make_shared<test::MemoryFile>(bytes))) {
    std::vector<Error> lost;
    (void)(*salvage)->records(lost);
    (void)(*salvage)->range_tombstones(lost);
  }
  const auto reader =
      SealedReader::open(std::make_shared<test::MemoryFile>(bytes), {.database = kDatabase, .number = 1, .view = 1, .family = 0});
  if (!reader) return 0;
  walk(**reader);
  (void)(*reader)->get("key1", xxh3("key1", (*reader)->preamble().hash_seed), 5);
  (void)(*reader)->verify([](std::uint64_t) { return Result<void>{}; });
  (void)(*reader)->replaces();
  (void)(*reader)->key_bounds();
  (void)(*reader)->range_tombstones();
  (void)(*reader)->may_contain(xxh3("key1", 5));
  (void)(*reader)->find_term("first", "a\0", [](const Entry&) { return Result<void>{}; });
  return 0;
}
