// Writes saves that stand elsewhere into segments of their own, which nobody sees before they are listed: what a cycle keeps, and
// what small blocks become.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "directory/directory.h"

namespace cairn::timeline {

class BlockWriter {
 public:
  /// `bytes_expected`: of records, at most; of a segment they fill `block_bytes_max`.
  BlockWriter(directory::Directory& directory, std::uint16_t view, std::string view_name, std::uint64_t block_bytes_max,
              std::uint64_t bytes_expected);
  /// Deletes what was not taken.
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  /// Adds a save as it is; in order. Its bytes stay where they are until finish(). Those of one stamp stay in one segment.
  Result<void> add(const segment::RecordView& record);
  struct Made {
    std::string file;
    std::uint64_t end = 0;
  };
  /// All of it is durable, names included. None if nothing was added.
  Result<void> finish();
  [[nodiscard]] const std::vector<Made>& made() const { return made_; }
  /// They are listed: not to be deleted.
  void keep() { made_.clear(); }

 private:
  Result<void> write_group();
  Result<void> finish_segment();

  directory::Directory& directory_;
  const std::uint16_t view_;
  const std::string view_name_;
  const std::uint64_t block_bytes_max_;
  std::uint64_t bytes_expected_;
  std::shared_ptr<segment::SegmentWriter> writer_;
  std::vector<segment::RecordView> group_;  // Of one stamp.
  std::vector<Made> made_;
};

}  // namespace cairn::timeline
