#include "timeline/line_up.h"

#include <algorithm>

namespace cairn::timeline {
namespace {

Result<std::optional<Save>> last_of(const LineUp& line_up, ByteView key, std::uint64_t hash, std::uint64_t stamp_min,
                                    std::uint64_t stamp_max, std::uint64_t& probes) {
  for (auto block = line_up.open.rbegin(); block != line_up.open.rend(); ++block) {
    if ((*block)->empty() || (*block)->stamp_first() > stamp_max) continue;
    ++probes;
    if (const auto found = (*block)->find(key, stamp_max)) return found;
  }
  for (auto index = line_up.indexes.rbegin(); index != line_up.indexes.rend(); ++index) {
    if ((*index)->stamp_first() > stamp_max) continue;
    if ((*index)->stamp_last() < stamp_min) break;
    ++probes;
    CAIRN_TRY(found, (*index)->find(key, hash, stamp_max));
    if (found) return found;
  }
  return std::nullopt;
}

/// The same, of what is not rolled back.
Result<std::optional<Save>> last_that_counts(const LineUp& line_up, ByteView key, std::uint64_t hash, std::uint64_t stamp_min,
                                             std::uint64_t stamp_max, std::uint64_t& probes) {
  while (true) {
    stamp_max = line_up.not_rolled_back(stamp_max);
    CAIRN_TRY(found, last_of(line_up, key, hash, stamp_min, stamp_max, probes));
    if (!found || !line_up.rolled_back(found->stamp)) return found;
    stamp_max = found->stamp;
  }
}

}  // namespace

std::uint64_t LineUp::not_rolled_back(std::uint64_t stamp) const {
  // From the last on: what one leads to may be rolled back by an earlier one.
  for (auto each = rollbacks.rbegin(); each != rollbacks.rend(); ++each) {
    if (stamp > each->to && stamp <= each->until) stamp = each->to;
  }
  return stamp;
}

Result<std::optional<Save>> LineUp::find(ByteView key, std::uint64_t hash, std::uint64_t stamp_min, std::uint64_t stamp_max,
                                         const ReadCounters& counters) const {
  if (indexes.size() > 1) {
    for (const auto& index : indexes) index->file()->reader->prefetch(hash);
  }
  std::uint64_t probes = 0;
  Result<std::optional<Save>> found = last_that_counts(*this, key, hash, stamp_min, stamp_max, probes);
  if (found && *found) {
    const std::uint64_t erase = last_erase(stamp_max);
    if (erase > (*found)->stamp) *found = Save{.stamp = erase, .kind = RecordKind::kTombstone, .place = {}};
  }
  if (found && *found && (*found)->kind == RecordKind::kExpiryChange) {
    const Save change = **found;
    found = last_that_counts(*this, key, hash, stamp_min, change.changed, probes);
    if (found && *found) {
      if ((*found)->stamp == change.changed) {
        (*found)->expiry_ms = change.expiry_ms;
      } else {
        *found = std::nullopt;  // It has left the timeline.
      }
    }
  }
  counters.add({.lookups = 1, .probes = probes});
  return found;
}

Result<std::uint64_t> LineUp::changed(ByteView key, std::uint64_t hash, std::uint64_t stamp_max,
                                      const ReadCounters& counters) const {
  std::uint64_t probes = 0;
  CAIRN_TRY(found, last_that_counts(*this, key, hash, 0, stamp_max, probes));
  counters.add({.lookups = 1, .probes = probes});
  if (!found) return 0;
  if (found->kind == RecordKind::kTombstone) return found->stamp;
  const std::vector<std::uint64_t> since = erases_between(found->stamp + 1, stamp_max);
  if (since.empty()) return found->stamp;
  // To a key that had expired by then an erase of all keys is nothing.
  const bool had_expired = found->expiry_ms != 0 && found->expiry_ms <= directory::ms_of_stamp(since.front());
  return had_expired ? found->stamp : since.front();
}

std::uint64_t LineUp::last_erase(std::uint64_t stamp_max) const {
  while (true) {
    stamp_max = not_rolled_back(stamp_max);
    std::uint64_t found = 0;
    for (auto block = open.rbegin(); block != open.rend() && found == 0; ++block) {
      const OpenBlock::EraseOfAll* erase = (*block)->erases();
      while (erase != nullptr && erase->stamp > stamp_max) erase = erase->older;
      if (erase != nullptr) found = erase->stamp;
    }
    const auto behind = std::ranges::upper_bound(erases, stamp_max);
    if (found == 0 && behind != erases.begin()) found = *std::prev(behind);
    if (!rolled_back(found)) return found;
    stamp_max = found;
  }
}

std::vector<std::uint64_t> LineUp::erases_between(std::uint64_t first, std::uint64_t last) const {
  std::vector<std::uint64_t> found;
  for (std::uint64_t at = last_erase(last); at >= first && at != 0; at = last_erase(at - 1)) found.push_back(at);
  std::ranges::reverse(found);
  return found;
}

Result<bool> LineUp::has_later(ByteView key, std::uint64_t hash, std::uint64_t stamp) const {
  std::uint64_t probes = 0;
  CAIRN_TRY(found, last_of(*this, key, hash, stamp + 1, ~std::uint64_t{0}, probes));
  return found && found->stamp > stamp;
}

Result<Pinned> LineUp::data(const Save& save, const ReadCounters& counters) {
  if (save.open != nullptr) return save.open->data(save.place.offset);
  counters.add({.blocks_touched = 1});
  return save.block->data(save.place.offset, save.stamp);
}

}  // namespace cairn::timeline
