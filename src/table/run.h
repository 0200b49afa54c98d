// A run: sealed files of one age, partitioned by key. Immutable; a merge under way replaces it by one that begins at a
// later key.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
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
  Bytes cover_from;
  Bytes cover_to;  // Empty: no end.
  RangeTombstones range_tombstones;

  /// Maps and checks the file `name` of a family. A live file that is missing is kCorruption.
  static Result<std::shared_ptr<const RunFile>> open(directory::Directory& directory, const std::string& name, std::uint16_t view,
                                                     std::uint16_t family);
  [[nodiscard]] const std::string& name() const { return live->map()->name(); }
  [[nodiscard]] const sealed::Preamble& preamble() const { return reader->preamble(); }
};

class Run : public std::enable_shared_from_this<Run> {
 public:
  /// Files in order of key; with a `from`, keys below it are not of this run any more. kCorruption: the files do not
  /// cover what they should, each where the one before ends.
  static Result<std::shared_ptr<const Run>> make(std::vector<std::shared_ptr<const RunFile>> files, std::uint64_t version_first,
                                                 std::uint64_t version_last, Bytes from = {});

  [[nodiscard]] const std::vector<std::shared_ptr<const RunFile>>& files() const { return files_; }
  [[nodiscard]] std::uint64_t version_first() const { return version_first_; }
  [[nodiscard]] std::uint64_t version_last() const { return version_last_; }
  [[nodiscard]] const Bytes& from() const { return from_; }
  [[nodiscard]] directory::RunEntry entry() const;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t record_count() const { return record_count_; }
  [[nodiscard]] bool has_range_tombstones() const { return has_range_tombstones_; }

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
  std::uint64_t bytes_ = 0;
  std::uint64_t record_count_ = 0;
  bool has_range_tombstones_ = false;
};

}  // namespace cairn::table
