// The index of closed blocks: a sealed file whose records are the saves of one block or of neighbouring ones, by key, then newest
// first. Their values are places (save.h); their write versions are stamps, which is what a timeline goes by; the term table
// kTimes has them by stamp. Blocks that have left the timeline, and saves rolled back, may still stand in it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "sealed/sealed_reader.h"
#include "timeline/block.h"
#include "timeline/save.h"

namespace cairn::timeline {

inline constexpr const char* kTimes = "times";  // Terms: stamps, big-endian.
Bytes term_of_stamp(std::uint64_t stamp);

/// The file; index after index is made over it as blocks leave.
struct IndexFile {
  std::shared_ptr<directory::LiveFile> live;
  std::shared_ptr<const sealed::SealedReader> reader;
  std::vector<std::uint64_t> erases;  // Stamps of those of all keys, ascending.

  /// A live file that is missing is kCorruption.
  static Result<std::shared_ptr<const IndexFile>> open(directory::Directory& directory, const std::string& name,
                                                       std::uint16_t view);
  [[nodiscard]] const std::string& name() const { return live->map()->name(); }
  [[nodiscard]] std::uint64_t bytes() const { return live->map()->size(); }
  [[nodiscard]] std::uint64_t saves() const { return reader->preamble().record_count + reader->preamble().range_tombstone_count; }
};

class BlockIndex {
 public:
  /// `blocks`: those of its blocks that are in the timeline, oldest first; one at least.
  BlockIndex(std::shared_ptr<const IndexFile> file, std::vector<std::shared_ptr<const Block>> blocks)
      : file_(std::move(file)), blocks_(std::move(blocks)) {}

  /// The last save of `key`, in blocks that are there, with a stamp not above `stamp_max`.
  [[nodiscard]] Result<std::optional<Save>> find(ByteView key, std::uint64_t hash, std::uint64_t stamp_max) const;
  /// Calls `visit` with the saves with stamps in [first, last], in order, as long as it returns true; also of blocks that have
  /// left.
  Result<void> visit(std::uint64_t first, std::uint64_t last,
                     const std::function<Result<bool>(const sealed::Entry&)>& visit) const;
  /// By key, newest first; also what is in blocks that have left.
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor() const { return file_->reader->cursor(); }
  /// Stamps of the erases of all keys in blocks that are there, ascending.
  [[nodiscard]] std::vector<std::uint64_t> erases() const;
  /// The save that `entry` of this index is; nullopt: its block has left.
  [[nodiscard]] Result<std::optional<Save>> save(const sealed::Entry& entry) const;

  [[nodiscard]] const std::shared_ptr<const IndexFile>& file() const { return file_; }
  [[nodiscard]] const std::vector<std::shared_ptr<const Block>>& blocks() const { return blocks_; }
  [[nodiscard]] std::uint64_t stamp_first() const { return blocks_.front()->stamp_first(); }
  [[nodiscard]] std::uint64_t stamp_last() const { return blocks_.back()->stamp_last(); }
  /// Of the blocks that are there.
  [[nodiscard]] std::uint64_t saves() const;

 private:
  [[nodiscard]] std::size_t first_block_from(std::uint64_t stamp) const;

  std::shared_ptr<const IndexFile> file_;
  std::vector<std::shared_ptr<const Block>> blocks_;
};

}  // namespace cairn::timeline
