// Sealed files for ingest, on a simulated disk of their own.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "storage/simulated_storage.h"
#include "table/sealed_file.h"

namespace cairn::test {

/// What a file holds; none: a tombstone.
using OutsideRecords = std::map<std::string, std::optional<std::string>>;

inline Result<std::shared_ptr<const storage::MappedFile>> outside_file(const OutsideRecords& records,
                                                                       Compression compression = Compression::kNone) {
  storage::SimulatedDisk disk(1);
  CAIRN_TRY(file, table::SealedFile::create(std::make_unique<storage::SimulatedStorage>(disk), "outside.sealed", compression));
  for (const auto& [key, value] : records) {
    const RecordKind kind = value ? RecordKind::kPut : RecordKind::kTombstone;
    CAIRN_TRY_VOID(file->add({.key = key, .value = value ? ByteView(*value) : ByteView(), .kind = kind}));
  }
  CAIRN_TRY_VOID(file->finish());
  return storage::SimulatedStorage(disk).open("outside.sealed");
}

}  // namespace cairn::test
