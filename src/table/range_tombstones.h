// The range tombstones of one layer, cut into fragments that do not overlap, so that the newest one over a key is found
// by binary search (the idea: RocksDB's FragmentedRangeTombstoneList). Immutable.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "cairn/bytes.h"
#include "sealed/entry.h"

namespace cairn::table {

/// Whether `key` lies before the bound `to`, of which an empty one is no bound.
inline bool below(ByteView key, ByteView to) { return to.empty() || key < to; }

class RangeTombstones {
 public:
  struct Version {
    std::uint64_t write_version = 0;
    std::uint64_t stamp = 0;
    bool operator==(const Version&) const = default;
  };
  /// Keys in [from, to), erased as of each of the versions.
  struct Fragment {
    Bytes from;
    Bytes to;                       // Empty: no end.
    std::vector<Version> versions;  // Newest first.
  };

  RangeTombstones() = default;
  /// From any tombstones: key and value of an entry are its bounds.
  explicit RangeTombstones(std::span<const sealed::Entry> tombstones);
  /// From those of one write, all of which become visible at once: only the newest over each key is kept, so that many that
  /// overlap take no more room than their bounds.
  static RangeTombstones of_one_write(std::span<const sealed::Entry> tombstones);
  /// All of several sets.
  static RangeTombstones merged(std::span<const RangeTombstones* const> sets);

  [[nodiscard]] bool empty() const { return fragments_.empty(); }
  [[nodiscard]] const std::vector<Fragment>& fragments() const { return fragments_; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return memory_bytes_; }
  /// The version of the newest one over `key` that is not above `version_max`; 0: none.
  [[nodiscard]] std::uint64_t newest_over(ByteView key, std::uint64_t version_max) const;
  /// All versions over `key`, newest first; nullptr: none.
  [[nodiscard]] const std::vector<Version>* over(ByteView key) const;

 private:
  explicit RangeTombstones(std::vector<Fragment> fragments);
  std::vector<Fragment> fragments_;  // By key.
  std::uint64_t memory_bytes_ = 0;
};

}  // namespace cairn::table
