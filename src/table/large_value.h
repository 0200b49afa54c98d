// Values too large for the log: each is the one record of a segment of its own, and what the log, memtables and sealed
// files hold of it is a reference. It is written once and never copied by a merge.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "directory/directory.h"
#include "sealed/entry.h"
#include "segment/segment_reader.h"

namespace cairn::table {

/// The value of a reference record.
struct LargeReference {
  std::uint64_t file;    // Its number.
  std::uint64_t offset;  // Of the value's first byte.
  std::uint64_t bytes;

  /// kCorruption: `entry` is no sound reference.
  static Result<LargeReference> of(const sealed::Entry& entry);
};
static_assert(sizeof(LargeReference) == 24);

/// One of them, mapped. Safe to use from any thread.
class LargeValue {
 public:
  LargeValue(std::shared_ptr<directory::LiveFile> live, segment::SegmentReader reader, std::uint64_t end)
      : live_(std::move(live)), reader_(std::move(reader)), end_(end) {}
  /// A live file that is missing is kCorruption.
  static Result<std::shared_ptr<const LargeValue>> open(directory::Directory& directory, const directory::LargeEntry& entry,
                                                        std::uint16_t view);

  /// The value, all of it verified the first time anybody asks. Valid as long as this. kCorruption, kIo.
  [[nodiscard]] Result<ByteView> value(const sealed::Entry& reference) const;
  [[nodiscard]] const std::shared_ptr<directory::LiveFile>& live() const { return live_; }
  [[nodiscard]] std::uint64_t bytes() const { return end_; }

 private:
  std::shared_ptr<directory::LiveFile> live_;
  segment::SegmentReader reader_;
  std::uint64_t end_;
  mutable std::atomic<bool> verified_{false};
};

/// By file number.
using LargeValues = std::map<std::uint64_t, std::shared_ptr<const LargeValue>>;

/// What became of a large value in a merge.
struct LargeFate {
  std::uint64_t file;
  bool kept;
};

}  // namespace cairn::table
