// Writes the seeds of the fuzzing corpus: fuzz_seeds DIRECTORY
#include <fstream>
#include <map>
#include <string>

#include "database/database_impl.h"
#include "directory/file_name.h"
#include "directory/manifest.h"
#include "sealed/sealed_writer.h"
#include "segment/segment_writer.h"
#include "storage/file_lease.h"
#include "storage/simulated_storage.h"
#include "support/example_manifest.h"
#include "support/memory_file.h"
#include "support/outside_file.h"

using namespace cairn;  // NOLINT(google-build-using-namespace)

namespace {

void save(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

Bytes segment_seed_file() {
  auto bytes = std::make_shared<Bytes>(2048, '\0');
  auto writer = *segment::SegmentWriter::start(std::make_unique<test::MemoryAppendFile>(bytes),
                                               {.database = {1, 2}, .number = 1, .salt = 3, .epoch = 1, .view = 1}, false);
  writer->append({.write_version = 1, .stamp = 1, .view = 1, .key = "north", .value = "1"});
  writer->append_segment_frame({.predecessor = 7, .end = 4096}, 0, 0);
  writer->append_sync_frame(writer->tail(), 1, 1);
  const std::uint64_t begin = writer->tail();
  segment::RecordInput input{
      .flags = kInBatch, .write_version = 2, .stamp = 2, .view = 1, .account = 7, .key = "{7}south", .value = ""};
  std::vector<std::uint64_t> checksums{writer->append(input).header.checksum};
  input = {
      .kind = RecordKind::kTombstone, .flags = kInBatch, .write_version = 3, .stamp = 2, .view = 1, .key = "north", .value = ""};
  checksums.push_back(writer->append(input).header.checksum);
  writer->append_batch_frame(begin, checksums, input);
  writer->publish();
  return *bytes;
}

Bytes sealed_seed_file(sealed::Compression compression) {
  auto bytes = std::make_shared<Bytes>(256 * 1024, '\0');
  sealed::SealedIdentity identity{
      .database = {1, 2}, .hash_seed = 5, .number = 1, .salt = 3, .epoch = 1, .view = 1, .view_name = "users", .replaces = {4}};
  sealed::SealedWriter writer(std::make_unique<test::MemoryAppendFile>(bytes), identity,
                              {.compression = compression, .unit_bytes = 512, .terms = {{"first", 2}}});
  for (int i = 0; i < 60; ++i) {
    const std::string key = "key" + std::to_string(1000 + i);
    const sealed::TermOf term{0, Bytes("a\0", 2)};
    writer.add({.key = key,
                .value = "a value that compresses, compresses, compresses",
                .write_version = 200 - static_cast<std::uint64_t>(i)},
               {&term, 1});
    if (i % 7 == 0) writer.add({.key = key, .value = "", .kind = RecordKind::kTombstone, .write_version = 3, .account = 9});
  }
  writer.add_range_tombstone({.key = "key1003", .value = "key1009", .kind = RecordKind::kRangeTombstone, .write_version = 77});
  writer.add_range_tombstone({.key = "x", .value = "", .kind = RecordKind::kRangeTombstone, .write_version = 78});
  (void)writer.complete("z");
  return bytes->substr(0, *writer.finish());
}

Bytes outside_seed_file(Compression compression) {
  const auto file = test::outside_file({{"key1001", "in"}, {"key1002", std::nullopt}, {"key1003", Bytes(300, 'L')}}, compression);
  return Bytes((*file)->bytes());
}

/// Files of a fork store that has an index and was closed.
std::map<std::string, Bytes> fork_store_files() {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  directory::Environment environment(clock, false);
  forks::Tuning tuning;
  tuning.segment_bytes_first = tuning.segment_bytes_max = 4 * kKiB;
  auto database = *database::DatabaseImpl::open(std::make_unique<storage::SimulatedStorage>(disk), environment,
                                                database::DatabaseImpl::Mode::kCreate, DatabaseOptions{}, table::Tuning{},
                                                timeline::Tuning{}, tuning);
  {
    const auto impl = *database->forks("main", {});
    ForkStore store(impl);
    for (char c = 'a'; c < 'u'; ++c) (void)store.store(0, Bytes(31, 'k') + c, "value");
    (void)store.create_fork(1, 0);
    (void)store.create_fork(2, 0);
    (void)store.store(1, Bytes(31, 'k') + 'a', "one");
    (void)store.erase(2, Bytes(31, 'k') + 'b');
    (void)impl->end_logs();
    (void)impl->seal_index();
  }
  (void)database->close();
  std::map<std::string, Bytes> files;
  for (const auto& [name, size] : disk.file_sizes()) files[name] = disk.contents(name);
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string to = argv[1];
  for (const char mode : {'\0', '\1'}) {
    const std::string suffix = mode == '\1' ? "-repaired" : "";
    save(to + "/segment/small" + suffix, mode + segment_seed_file());
    save(to + "/sealed/plain" + suffix, mode + sealed_seed_file(sealed::Compression::kNone));
    save(to + "/sealed/lz4" + suffix, mode + sealed_seed_file(sealed::Compression::kLz4));
    save(to + "/sealed/zstd" + suffix, mode + sealed_seed_file(sealed::Compression::kZstd));
    save(to + "/ingest/plain" + suffix, mode + outside_seed_file(Compression::kNone));
    save(to + "/ingest/zstd" + suffix, mode + outside_seed_file(Compression::kZstd));
  }
  for (const auto& [name, bytes] : fork_store_files()) {
    save(to + "/forks-store/" + name, bytes);
    if (!name.ends_with(directory::kSealedSuffix)) continue;
    save(to + "/forks/whole", '\0' + bytes);
    save(to + "/forks/whole-repaired", '\1' + bytes);
  }
  save(to + "/manifest/whole", directory::encode_manifest(test::example_manifest()));
  const std::string text = directory::encode_manifest(test::example_manifest());
  const std::size_t line = text.find("checksum");
  save(to + "/manifest/body", text.substr(text.find('\n', line) + 1));
  save(to + "/manifest/lease",
       storage::encode_lease({.owner = "o", .host = "h", .boot = "b", .pid = 1, .epoch = 2, .lease_ms = 3}));
  save(to + "/manifest/name", "13-7-00009f2c.sealed");
  return 0;
}
