// Reads what can still be read of a damaged segment, for repair: every record carries its own checksum, seeded by its
// place, so none needs another.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cairn/result.h"
#include "segment/record.h"
#include "segment/segment_writer.h"
#include "storage/storage.h"

namespace cairn::segment {

class SegmentSalvage {
 public:
  /// `number` is that of the file's name. Without a sound header the identity follows from the name and `database`;
  /// nullopt if there is no way to know it, or if the file is a spare, which belongs to another name.
  static std::optional<SegmentSalvage> open(std::shared_ptr<const storage::MappedFile> file, std::uint64_t number,
                                            const std::optional<DatabaseId>& database);

  [[nodiscard]] const SegmentIdentity& identity() const { return identity_; }
  [[nodiscard]] bool header_sound() const { return header_sound_; }
  /// Calls `visit` with each data record below `end` (0: not known) that verifies, in order; the views stay valid as long
  /// as the file. What does not verify is added to `lost`; so are the members of a batch that is not whole,
  /// which are visited all the same.
  void read(std::uint64_t end, const std::function<void(const RecordView&)>& visit, std::vector<Error>& lost) const;

 private:
  SegmentSalvage(std::shared_ptr<const storage::MappedFile> file, SegmentIdentity identity, bool header_sound)
      : file_(std::move(file)), identity_(std::move(identity)), header_sound_(header_sound) {}

  std::shared_ptr<const storage::MappedFile> file_;
  SegmentIdentity identity_;
  bool header_sound_;
};

}  // namespace cairn::segment
