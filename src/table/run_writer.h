// Writes one run: live versions in order of key, into as many sealed files as it takes.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "sealed/sealed_writer.h"
#include "table/family.h"
#include "table/run.h"

namespace cairn::table {

struct RunTarget {
  std::uint16_t view = 0;
  std::string view_name;
  std::shared_ptr<const Family> family;
  std::uint64_t version_first = 0;
  std::uint64_t version_last = 0;
  bool one_version = false;  // Not known yet: see publish().
  std::vector<std::uint64_t> replaces;
  Bytes from;  // The first key that the run, or what is left to write of it, covers.
  std::uint64_t file_bytes_max = 0;
  sealed::SealedBounds bounds;                                        // Of everything that may be added, range tombstones too.
  RangeTombstones range_tombstones;                                   // Those that stay.
  std::function<Result<ByteView>(const sealed::Entry&)> large_value;  // What a reference stands for, for its terms.
  std::atomic<std::uint64_t>* extractor_failures = nullptr;  // Counted there; none: a record whose extractor throws ends the run.
};

class RunWriter {
 public:
  /// `on_file` gets each file once it is complete and durable, name included, and has it from then on; an error it
  /// returns ends the run. A file that `on_file` did not get is deleted.
  using OnFile = std::function<Result<void>(std::shared_ptr<const RunFile>)>;
  RunWriter(directory::Directory& directory, RunTarget target, OnFile on_file);
  ~RunWriter();
  RunWriter(const RunWriter&) = delete;
  RunWriter& operator=(const RunWriter&) = delete;

  /// Adds the versions of one key, newest first. Keys ascend.
  Result<void> add(std::span<const sealed::Entry> versions);
  /// Ends the run: its last file covers all keys that are left. No file at all if nothing was added.
  Result<void> finish();
  /// With one_version, after finish(): all was written at `write_version`. Only now `on_file` gets the files.
  Result<void> publish(std::uint64_t write_version, std::uint64_t stamp);

 private:
  Result<void> open_file(const sealed::SealedBounds& first);
  Result<void> finish_file(ByteView cover_to);
  Result<void> hand_over();
  [[nodiscard]] bool range_tombstones_from(ByteView key) const;

  directory::Directory& directory_;
  RunTarget target_;
  OnFile on_file_;
  sealed::SealedBounds range_bounds_;
  std::unique_ptr<sealed::SealedWriter> writer_;  // Of the open file.
  std::unique_ptr<MemoryUse> memory_;
  std::uint64_t capacity_ = 0;
  bool takes_all_ = false;      // The open file has room for whatever may still come.
  sealed::SealedBounds added_;  // To the open file.
  std::deque<std::unique_ptr<sealed::SealedWriter>> complete_;
};

}  // namespace cairn::table
