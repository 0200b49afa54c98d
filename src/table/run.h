// A run: sealed files of one age, partitioned by key. Immutable; a merge under way replaces it by one that begins at a
// later key.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "sealed/sealed_reader.h"
#include "table/range_tombstones.h"

namespace cairn::table {

/// One file of a run; runs share it.
struct RunFile {
  std::shared_ptr<directory::LiveFile> live;
  std::shared_ptr<const sealed::SealedReader> reader;
  Bytes first_key;  // Empty, as is last_key: it has no records.
  Bytes last_key;
  Bytes cover_from;
  Bytes cover_to;  // Empty: no end.
  RangeTombstones range_tombstones;

  /// Maps and checks the file `name` of a family. A live file that is missing is kCorruption.
  static Result<std::shared_ptr<const RunFile>> open(directory::Directory& directory, const std::string& name, std::uint16_t view,
                                                     std::uint16_t family);
  /// The same file in a joined run, where it covers [from, to) and not what it says itself.
  [[nodiscard]] std::shared_ptr<const RunFile> covering(Bytes from, Bytes to) const;
  [[nodiscard]] const std::string& name() const { return live->map()->name(); }
  [[nodiscard]] const sealed::Preamble& preamble() const { return reader->preamble(); }
};

class Run : public std::enable_shared_from_this<Run> {
 public:
  /// Files in order of key; with a `from`, keys below it are not of this run any more. kCorruption: the files do not
  /// cover what they should, each where the one before ends. `joined`: they do not say themselves what they cover.
  static Result<std::shared_ptr<const Run>> make(std::vector<std::shared_ptr<const RunFile>> files, std::uint64_t version_first,
                                                 std::uint64_t version_last, Bytes from = {}, bool joined = false);

  /// Maps and checks the files of `entry`. kCorruption, besides: one of a joined run has keys that it should not cover.
  static Result<std::shared_ptr<const Run>> open(directory::Directory& directory, const directory::RunEntry& entry,
                                                 std::uint16_t view, std::uint16_t family);
  /// One run of the files of neighbouring ones, not a byte of which is copied; nullptr if their keys lie among each other, if a
  /// merge would have something to drop, or if the files of one are smaller than `file_bytes_mean_min` on average.
  static std::shared_ptr<const Run> join(std::span<const std::shared_ptr<const Run>> runs, std::uint64_t file_bytes_mean_min);

  [[nodiscard]] const std::vector<std::shared_ptr<const RunFile>>& files() const { return files_; }
  [[nodiscard]] std::uint64_t version_first() const { return version_first_; }
  [[nodiscard]] std::uint64_t version_last() const { return version_last_; }
  [[nodiscard]] const Bytes& from() const { return from_; }
  [[nodiscard]] bool joined() const { return joined_; }
  [[nodiscard]] directory::RunEntry entry() const;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t record_count() const { return record_count_; }
  [[nodiscard]] bool has_range_tombstones() const { return has_range_tombstones_; }

  /// Of the last file that begins at or below `key`, else of the first.
  [[nodiscard]] std::size_t index_of(ByteView key) const;
  /// The file that may hold `key`, or nullptr.
  [[nodiscard]] const RunFile* file_of(ByteView key) const;
  /// A cursor over its entries that keeps their bytes where they are.
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor() const;

 private:
  friend class RunCursor;
  std::vector<std::shared_ptr<const RunFile>> files_;
  std::uint64_t version_first_ = 0;
  std::uint64_t version_last_ = 0;
  Bytes from_;
  bool joined_ = false;
  bool whole_ = false;  // One file, which covers all keys.
  std::uint64_t bytes_ = 0;
  std::uint64_t record_count_ = 0;
  bool has_range_tombstones_ = false;
};

}  // namespace cairn::table
