#include "directory/liveness.h"

#include <algorithm>

namespace cairn::directory {

std::vector<bool> live_versions(std::span<const StoredVersion> versions, const Visibility& visibility, bool oldest_layer) {
  std::vector<bool> live(versions.size());
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const std::uint64_t mine = versions[i].write_version;
    // Seen by whoever stands at or above it and below the next newer version; "now" stands at or above the horizon.
    const std::uint64_t next = i == 0 ? ~std::uint64_t{0} : versions[i - 1].write_version;
    const auto pin = std::lower_bound(visibility.pins.begin(), visibility.pins.end(), mine);
    live[i] = next > visibility.horizon || (pin != visibility.pins.end() && *pin < next);
  }
  if (!oldest_layer) return live;
  // From the oldest: a tombstone over nothing says what absence says. One above the horizon stays all the same, as
  // what it hides may be a version that only looks dead from here.
  bool something_below = false;
  for (std::size_t i = versions.size(); i-- > 0;) {
    if (live[i] && versions[i].tombstone && !something_below && versions[i].write_version <= visibility.horizon) {
      live[i] = false;
    }
    something_below = something_below || live[i];
  }
  return live;
}

std::vector<bool> live_range_tombstones(std::span<const std::uint64_t> versions, const Visibility& visibility,
                                        bool oldest_layer) {
  std::vector<StoredVersion> stored;
  for (const std::uint64_t version : versions) stored.push_back({version, true});
  std::vector<bool> live = live_versions(stored, visibility, false);
  for (std::size_t i = 0; i < versions.size() && oldest_layer; ++i) {
    const bool seen_below = !visibility.pins.empty() && visibility.pins.front() < versions[i];
    if (versions[i] <= visibility.horizon && !seen_below) live[i] = false;
  }
  return live;
}

}  // namespace cairn::directory
