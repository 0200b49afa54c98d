// Writes versions of accounts, ascending in their write versions, into segments that end: what the collector moves and what
// repair found.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "directory/directory.h"
#include "forks/segments.h"
#include "segment/record.h"

namespace cairn::forks {

class VersionWriter {
 public:
  /// `bytes_expected`: of all records.
  VersionWriter(directory::Directory& directory, std::uint16_t view, std::string view_name, std::uint64_t segment_bytes_max,
                std::uint64_t bytes_expected);
  /// Deletes what it made, unless keep() was called.
  ~VersionWriter();
  VersionWriter(const VersionWriter&) = delete;
  VersionWriter& operator=(const VersionWriter&) = delete;

  struct At {
    std::size_t made;  // In made().
    std::uint64_t offset;
    SizeClass size;
  };
  /// `record` as a version of `fork`.
  Result<At> add(const segment::RecordView& record, std::uint64_t fork, std::uint64_t write_version);
  Result<void> finish();

  struct Made {
    std::string file;
    std::uint16_t root;  // The drive it is on.
    std::shared_ptr<const storage::MappedFile> map;
    Segments::Stored all;
    std::vector<std::uint64_t> forks;  // Ascending.
  };
  [[nodiscard]] const std::vector<Made>& made() const { return made_; }
  /// They are in the manifest.
  void keep() { kept_ = true; }

 private:
  Result<void> start(std::uint64_t bytes);
  Result<void> finish_segment();

  directory::Directory& directory_;
  const std::uint16_t view_;
  const std::string view_name_;
  const std::uint64_t segment_bytes_max_;
  std::uint64_t bytes_expected_;
  std::shared_ptr<segment::SegmentWriter> writer_;  // Of the last that was made.
  std::vector<Made> made_;
  bool kept_ = false;
};

}  // namespace cairn::forks
