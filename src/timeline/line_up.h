// What a reader of a timeline reads. Immutable; a change makes a new one.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/striped.h"
#include "directory/manifest.h"
#include "timeline/block.h"
#include "timeline/block_index.h"
#include "timeline/open_block.h"

namespace cairn::timeline {

/// What readers did since open. Threads that count do not share a cache line.
class ReadCounters {
 public:
  struct Counts {
    std::uint64_t lookups = 0;
    std::uint64_t probes = 0;  // Of indexes.
    std::uint64_t blocks_touched = 0;
  };
  void add(const Counts& counts) const {
    Stripe& stripe = stripes_[stripe_of_thread()];
    // To add nothing takes as long as to add something.
    if (counts.lookups != 0) stripe.lookups.fetch_add(counts.lookups, std::memory_order_relaxed);
    if (counts.probes != 0) stripe.probes.fetch_add(counts.probes, std::memory_order_relaxed);
    if (counts.blocks_touched != 0) stripe.blocks_touched.fetch_add(counts.blocks_touched, std::memory_order_relaxed);
  }
  [[nodiscard]] Counts sum() const {
    Counts sum;
    for (const Stripe& stripe : stripes_) {
      sum.lookups += stripe.lookups.load(std::memory_order_relaxed);
      sum.probes += stripe.probes.load(std::memory_order_relaxed);
      sum.blocks_touched += stripe.blocks_touched.load(std::memory_order_relaxed);
    }
    return sum;
  }

 private:
  struct alignas(kCacheLineBytes) Stripe {
    std::atomic<std::uint64_t> lookups{0};
    std::atomic<std::uint64_t> probes{0};
    std::atomic<std::uint64_t> blocks_touched{0};
  };
  mutable std::array<Stripe, kStripes> stripes_;
};

struct LineUp {
  struct Placed {
    std::shared_ptr<const Block> block;
    directory::Line line = directory::Line::kMain;
  };
  std::vector<Placed> blocks;                              // Closed; oldest first.
  std::vector<std::shared_ptr<const BlockIndex>> indexes;  // Of those; by their first blocks.
  std::vector<std::shared_ptr<const OpenBlock>> open;      // Behind them; oldest first.
  std::vector<std::uint64_t> erases;                       // Of all keys, in closed blocks: their stamps, ascending.
  std::vector<directory::RollbackEntry> rollbacks;         // By `until`.
  std::vector<std::uint64_t> rolled_back_to;               // Each rollback and undo of this open, for watchers.
  std::uint64_t main_after = 0;                            // As in the manifest.
  std::shared_ptr<std::atomic<bool>> ended;                // Lists that read in it are to let go of it.

  /// The greatest stamp not above `stamp` that is not rolled back.
  [[nodiscard]] std::uint64_t not_rolled_back(std::uint64_t stamp) const;
  [[nodiscard]] bool rolled_back(std::uint64_t stamp) const { return not_rolled_back(stamp) != stamp; }
  /// The last save of `key` with a stamp in [stamp_min, stamp_max], or one below, with the expiry it has as of stamp_max; a
  /// tombstone with the stamp of the erase of all keys that hides it; nullopt: there is none from stamp_min on.
  [[nodiscard]] Result<std::optional<Save>> find(ByteView key, std::uint64_t hash, std::uint64_t stamp_min,
                                                 std::uint64_t stamp_max, const ReadCounters& counters) const;
  /// Stamp of what last happened to `key` up to stamp_max, an erase of all keys that erased it included; 0: nothing.
  [[nodiscard]] Result<std::uint64_t> changed(ByteView key, std::uint64_t hash, std::uint64_t stamp_max,
                                              const ReadCounters& counters) const;
  /// Stamp of the last erase of all keys up to stamp_max that is not rolled back; 0: there is none.
  [[nodiscard]] std::uint64_t last_erase(std::uint64_t stamp_max) const;
  /// Stamps of those in [first, last], ascending.
  [[nodiscard]] std::vector<std::uint64_t> erases_between(std::uint64_t first, std::uint64_t last) const;
  /// Whether anything of `key` has a stamp above `stamp`, rolled back or not.
  [[nodiscard]] Result<bool> has_later(ByteView key, std::uint64_t hash, std::uint64_t stamp) const;
  /// The data of a save that was found in this line-up.
  [[nodiscard]] static Result<Pinned> data(const Save& save, const ReadCounters& counters);
};

}  // namespace cairn::timeline
