// Reads records out of one segment, and finds where one that was being written ends.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cairn/result.h"
#include "segment/record.h"
#include "segment/segment_writer.h"
#include "storage/storage.h"

namespace cairn::segment {

/// Where a segment that was being written ends, and what we know of it.
struct Recovered {
  std::uint64_t end = 0;          // X: everything below verifies.
  std::uint64_t data_end = 0;     // Where the last record or batch ends; frames may follow.
  std::uint64_t durable_end = 0;  // D: everything below is known to be on disk; at most `end`.
  std::uint64_t trimmed_end = 0;  // Remains of records in [end, trimmed_end) were cut off; `end` if there are none.
  const char* why = "";           // Why the record at `end` was refused.
};

class SegmentReader {
 public:
  /// Checks the header of `file` against what the manifest says it is. kCorruption, kUnsupported.
  static Result<SegmentReader> open(std::shared_ptr<const storage::MappedFile> file, const DatabaseId& database,
                                    std::uint64_t number, std::uint16_t view);

  /// Called with each record that is no frame; the views stay valid as long as file() lives.
  using Visitor = std::function<Result<void>(const RecordView&)>;
  /// Visits the records in [begin, end), where one begins, each verified; batches whole. kCorruption at the first that does
  /// not verify: below an end, everything must.
  Result<void> replay(std::uint64_t end, const Visitor& visit, std::uint64_t begin = kHeaderBytes) const;

  /// The record at `offset`, below `end`. kCorruption: it does not verify, or none begins there.
  [[nodiscard]] Result<RecordView> read(std::uint64_t offset, std::uint64_t end) const;

  /// The recovery rule for an active segment (docs/guarantees.md). `manifest_durable_end` is the durable end the
  /// manifest knows. kCorruption: bytes that were durable are damaged.
  Result<Recovered> recover(std::uint64_t manifest_durable_end) const;

  /// What it says it follows, if its first record does.
  [[nodiscard]] std::optional<SegmentFrame> segment_frame() const;

  [[nodiscard]] const SegmentIdentity& identity() const { return identity_; }
  [[nodiscard]] const std::shared_ptr<const storage::MappedFile>& file() const { return file_; }

 private:
  SegmentReader(std::shared_ptr<const storage::MappedFile> file, const SegmentIdentity& identity);
  struct Walk;
  Result<void> walk(std::uint64_t begin, std::uint64_t end, Walk& state, const Visitor* visit) const;
  [[nodiscard]] std::optional<RecordView> record_at(std::uint64_t offset, std::uint64_t end, const char*& why) const;
  struct Behind {
    std::uint64_t durable_end;  // The greatest that sync frames say.
    std::uint64_t remains_end;  // Where the last trace of a record of this life of the file ends: bytes right at the place, which
                                // the writer keeps zero, or a header further on. The place if there is none.
  };
  [[nodiscard]] Behind look_behind(std::uint64_t from) const;

  std::shared_ptr<const storage::MappedFile> file_;
  SegmentIdentity identity_;
  std::uint64_t seed_;
};

}  // namespace cairn::segment
