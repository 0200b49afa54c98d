// Files of records made outside any database, for Table::ingest() to take in: the way to load much at once without
// passing it through the log and its merges.
#pragma once
#include <memory>
#include <string>

#include "cairn/bytes.h"
#include "cairn/export.h"
#include "cairn/result.h"
#include "cairn/table.h"

namespace cairn {

namespace table {
class SealedFile;
}

/// Writes one sealed file (docs/formats.md) of keys in order. Moves only; one thread at a time. Until finish() the records
/// wait in unnamed files beside it, so that for a moment both take room; if it is destroyed before, nothing is left.
/// Calls for different files need no coordination, and no database is touched.
class CAIRN_API SealedFileWriter {
 public:
  /// Begins the file `path`, whose directory must exist. `compression` is of this file only. kConflict: `path` exists.
  static Result<SealedFileWriter> create(const std::string& path, Compression compression = Compression::kNone);

  explicit SealedFileWriter(std::unique_ptr<table::SealedFile> impl);
  SealedFileWriter(SealedFileWriter&&) noexcept;
  SealedFileWriter& operator=(SealedFileWriter&&) noexcept;
  ~SealedFileWriter();

  /// Adds a record. kInvalidArgument: `key` does not come after the one before; a key or value is over its limit; the file
  /// would be larger than 32 GiB. kNoSpace. After an error the file is as it was before the call.
  Result<void> put(ByteView key, ByteView value);
  /// Adds a tombstone: what is ingested erases `key`. Errors: as put().
  Result<void> erase(ByteView key);
  /// Writes the file, durably, and takes 16 to 32 bytes of memory a record meanwhile. After an error there is none. Nothing can
  /// be added afterwards.
  Result<void> finish();

 private:
  std::shared_ptr<table::SealedFile> impl_;  // Not shared: a shared_ptr for its deleter.
};

}  // namespace cairn
