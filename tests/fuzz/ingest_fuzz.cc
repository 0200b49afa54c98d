// Any bytes as a file to ingest: it is refused and nothing was taken in, or what was taken in is sound. An odd first byte asks
// for all checksums to be made right first.
#include "database/database_impl.h"
#include "sound_file.h"
#include "storage/simulated_storage.h"
#include "support/memory_file.h"

using namespace cairn;  // NOLINT(google-build-using-namespace)

namespace {

/// What must not be false, whatever the input.
void check(bool holds) {
  if (!holds) __builtin_trap();
}

std::uint64_t count(Scan scan) {
  std::uint64_t entries = 0;
  for (const auto entry : scan) entries += entry.key.empty() ? 0 : 1;
  check(scan.status().has_value());
  return entries;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto bytes = std::make_shared<Bytes>(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) != 0) test::make_sound(*bytes, {}, 0, 0);
  SimulatedClock clock;
  storage::SimulatedDisk disk(1);
  directory::Environment environment(clock, false);
  table::Tuning tuning;
  tuning.segment_bytes_first = 4 * kKiB;
  tuning.large_value_bytes = 200;
  tuning.sealed_bytes_max = 64 * kKiB;
  tuning.write_wait_ms_max = 0;
  auto database = database::DatabaseImpl::open(std::make_unique<storage::SimulatedStorage>(disk), environment,
                                               database::DatabaseImpl::Mode::kCreate, {.owner = "fuzz"}, tuning);
  check(database.has_value());
  const FamilyOptions family{.compression = Compression::kLz4, .indexes = {{.name = "first", .extractor = "bytes:0,1"}}};
  auto impl = (*database)->table("main", {.main = family, .memtable_bytes_max = kMiB});
  check(impl.has_value());
  Table table(*impl);
  check(table.put("key1001", "before").has_value());
  const auto ingested = (*impl)->ingest(0, {std::make_shared<test::MemoryFile>(bytes)});
  const std::uint64_t entries = count(table.scan());
  check(ingested.has_value() || entries == 1);
  check(table.compact().has_value());
  check(count(table.scan()) == entries);
  const auto report = (*database)->verify({});
  check(report.has_value() && report->damages.empty());
  return 0;
}
