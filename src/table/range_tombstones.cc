#include "table/range_tombstones.h"

#include <algorithm>
#include <set>

namespace cairn::table {
namespace {

using Fragment = RangeTombstones::Fragment;
using Version = RangeTombstones::Version;

struct Edge {
  Bytes key;
  bool opens;
  Version version;
};

/// Cuts ranges where any of them begins or ends. Ranges without an end have no closing edge.
std::vector<Fragment> sweep(std::vector<Edge> edges) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.key < b.key; });
  const auto newer = [](const Version& a, const Version& b) { return a.write_version > b.write_version; };
  std::multiset<Version, decltype(newer)> open(newer);
  std::vector<Fragment> fragments;
  for (std::size_t i = 0; i < edges.size();) {
    const Bytes key = edges[i].key;
    for (; i < edges.size() && edges[i].key == key; ++i) {
      if (edges[i].opens) {
        open.insert(edges[i].version);
      } else {
        open.erase(open.find(edges[i].version));
      }
    }
    if (open.empty()) continue;
    fragments.push_back({key, i < edges.size() ? edges[i].key : Bytes(), std::vector<Version>(open.begin(), open.end())});
  }
  return fragments;
}

}  // namespace

RangeTombstones::RangeTombstones(std::span<const sealed::Entry> tombstones) {
  std::vector<Edge> edges;
  for (const sealed::Entry& each : tombstones) {
    const Version version{each.write_version, each.stamp};
    edges.push_back({Bytes(each.key), true, version});
    if (!each.value.empty()) edges.push_back({Bytes(each.value), false, version});
  }
  fragments_ = sweep(std::move(edges));
}

RangeTombstones RangeTombstones::merged(std::span<const RangeTombstones* const> sets) {
  std::vector<Edge> edges;
  for (const RangeTombstones* const set : sets) {
    for (const Fragment& fragment : set->fragments_) {
      for (const Version& version : fragment.versions) {
        edges.push_back({fragment.from, true, version});
        if (!fragment.to.empty()) edges.push_back({fragment.to, false, version});
      }
    }
  }
  RangeTombstones all;
  all.fragments_ = sweep(std::move(edges));
  return all;
}

const std::vector<RangeTombstones::Version>* RangeTombstones::over(ByteView key) const {
  const auto after = std::upper_bound(fragments_.begin(), fragments_.end(), key,
                                      [](ByteView wanted, const Fragment& fragment) { return wanted < fragment.from; });
  if (after == fragments_.begin()) return nullptr;
  const Fragment& fragment = *std::prev(after);
  return below(key, fragment.to) ? &fragment.versions : nullptr;
}

std::uint64_t RangeTombstones::newest_over(ByteView key, std::uint64_t version_max) const {
  const std::vector<Version>* const versions = over(key);
  if (versions == nullptr) return 0;
  for (const Version& version : *versions) {
    if (version.write_version <= version_max) return version.write_version;
  }
  return 0;
}

}  // namespace cairn::table
