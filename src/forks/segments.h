// The segments of a fork store and how much of each still counts.
//
// What is stale is counted by the classes of sizes that places have: nothing that was stored is read for it. Of a class in a
// segment what is stale is taken to be as large as the average, which is right where sizes are equal or do not depend on what is
// replaced.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cairn/result.h"
#include "directory/directory.h"
#include "forks/segment_table.h"

namespace cairn::forks {

/// Records of one class.
struct SizeCount {
  std::uint32_t records = 0;
  std::uint32_t stale = 0;  // Of those.
  std::uint64_t bytes = 0;  // Of all.
};

class SizeCounts {
 public:
  using All = std::array<SizeCount, SizeClass::kCount>;
  SizeCounts() = default;
  explicit SizeCounts(const All& all) : all_(all) {}
  [[nodiscard]] const All& all() const { return all_; }

  void add(SizeClass size, std::uint64_t bytes) {
    ++all_[size.number()].records;
    all_[size.number()].bytes += bytes;
  }
  void add(const SizeCounts& other);
  void set_stale(SizeClass size) { ++all_[size.number()].stale; }
  /// Of what is not stale.
  [[nodiscard]] std::uint64_t live_bytes() const;
  [[nodiscard]] std::uint64_t live_erase_bytes() const;

 private:
  All all_{};
};

struct SegmentUse {
  std::shared_ptr<directory::LiveFile> live;
  std::uint64_t recyclable_bytes = 0;  // Its capacity; 0: not to be recycled.
  std::uint64_t bytes = 0;             // Up to its last record.
  SizeCounts sizes;                    // Of versions of accounts.
  std::uint64_t first_version = 0;     // Of what is in it; 0: nothing.
  std::uint64_t as_of = 0;             // It has no version that one of the root up to this one replaces.
  std::vector<std::uint64_t> forks;    // It has records of, ascending.
  std::uint64_t seed = 0;              // Of its records, if nobody has verified them in this open.
  bool sealed = false;                 // The index that the manifest lists has what is in it.
  unsigned storing = 0;                // Batches in it that are not in the index yet.

  [[nodiscard]] const std::string& file() const { return live->map()->name(); }
  /// Whether it may have a version that this one of the root replaces.
  [[nodiscard]] bool may_hide(std::uint64_t version) const {
    return first_version != 0 && first_version < version && as_of < version;
  }
};

/// Thread-safe.
class Segments {
 public:
  explicit Segments(SegmentTable& table) : table_(table) {}
  Segments(const Segments&) = delete;
  Segments& operator=(const Segments&) = delete;

  /// One that counts from now on; its number. kUnavailable: there are too many.
  Result<std::uint32_t> add(SegmentUse use) CAIRN_EXCLUDES(mutex_);
  /// It is gone from the manifest, no place in it is referred to, and no reader has one.
  void remove(std::uint32_t number) CAIRN_EXCLUDES(mutex_);

  struct Stored {
    std::uint64_t fork = 0;
    std::uint64_t first_version = 0;
    SizeCounts sizes;
    std::uint64_t end = 0;  // Of the records.
  };
  /// A batch is in the segment, and not in the index before indexed().
  void stored(std::uint32_t number, const Stored& batch) CAIRN_EXCLUDES(mutex_);
  /// `stale`: what the batch replaced. How many such are not counted yet.
  std::size_t indexed(std::uint32_t number, std::uint64_t first_version, std::span<const Place> stale) CAIRN_EXCLUDES(mutex_);
  /// Of batches that are stored and not in the index; nullopt: there is none.
  [[nodiscard]] std::optional<std::uint64_t> first_pending() const CAIRN_EXCLUDES(mutex_);
  /// All that is in one was read, and what counts is in the index. `forks`: as in SegmentUse.
  void loaded(std::uint32_t number, const Stored& all, std::vector<std::uint64_t> forks) CAIRN_EXCLUDES(mutex_);
  void add_stale(std::span<const Place> stale) CAIRN_EXCLUDES(mutex_);

  /// Of all segments, what is stale counted by now.
  struct Totals {
    std::uint64_t bytes = 0;
    std::uint64_t live_bytes = 0;  // Erases not counted: they are for what is stale.
  };
  Totals count() CAIRN_EXCLUDES(mutex_);

  /// The index that the manifest lists has what is in these, and in no other.
  void set_sealed(const std::map<std::uint32_t, SegmentUse>& numbers) CAIRN_EXCLUDES(mutex_);
  /// As they are now, by number.
  [[nodiscard]] std::map<std::uint32_t, SegmentUse> all() const CAIRN_EXCLUDES(mutex_);

 private:
  SegmentTable& table_;
  mutable Mutex mutex_{Rank::kFiles};
  std::map<std::uint32_t, SegmentUse> segments_ CAIRN_GUARDED_BY(mutex_);
  std::vector<Place> stale_ CAIRN_GUARDED_BY(mutex_);
  std::vector<std::uint64_t> pending_ CAIRN_GUARDED_BY(mutex_);  // First versions; as many as store at once.
};

}  // namespace cairn::forks
