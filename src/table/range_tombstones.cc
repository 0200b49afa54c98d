#include "table/range_tombstones.h"

#include <algorithm>
#include <set>

namespace cairn::table {
namespace {

using Fragment = RangeTombstones::Fragment;
using Version = RangeTombstones::Version;

/// Where a range begins or ends; borrows the key.
struct Edge {
  ByteView key;
  bool opens;
  Version version;
};

/// Which versions over a fragment are kept.
enum class Keep : std::uint8_t {
  kAll,
  kNewest,  // Where all became visible at once: no reader can tell the older ones from absent.
};

/// Cuts ranges where any of them begins or ends. Ranges without an end have no closing edge.
std::vector<Fragment> sweep(std::vector<Edge> edges, Keep keep) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.key < b.key; });
  const auto newer = [](const Version& a, const Version& b) { return a.write_version > b.write_version; };
  std::multiset<Version, decltype(newer)> open(newer);
  std::vector<Fragment> fragments;
  for (std::size_t i = 0; i < edges.size();) {
    const ByteView key = edges[i].key;
    for (; i < edges.size() && edges[i].key == key; ++i) {
      if (edges[i].opens) {
        open.insert(edges[i].version);
      } else {
        open.erase(open.find(edges[i].version));
      }
    }
    if (open.empty()) continue;
    const ByteView to = i < edges.size() ? edges[i].key : ByteView();
    const auto last = keep == Keep::kAll ? open.end() : std::next(open.begin());
    Fragment* const before = fragments.empty() || fragments.back().to != key ? nullptr : &fragments.back();
    const bool same = before != nullptr && std::equal(open.begin(), last, before->versions.begin(), before->versions.end());
    if (same) {
      before->to = to;
    } else {
      fragments.push_back({Bytes(key), Bytes(to), std::vector<Version>(open.begin(), last)});
    }
  }
  return fragments;
}

void add_edges(std::vector<Edge>& edges, ByteView from, ByteView to, const Version& version) {
  edges.push_back({from, true, version});
  if (!to.empty()) edges.push_back({to, false, version});
}

std::vector<Edge> edges_of(std::span<const sealed::Entry> tombstones) {
  std::vector<Edge> edges;
  edges.reserve(2 * tombstones.size());
  for (const sealed::Entry& each : tombstones) add_edges(edges, each.key, each.value, {each.write_version, each.stamp});
  return edges;
}

}  // namespace

RangeTombstones::RangeTombstones(std::span<const sealed::Entry> tombstones)
    : RangeTombstones(sweep(edges_of(tombstones), Keep::kAll)) {}

RangeTombstones::RangeTombstones(std::vector<Fragment> fragments) : fragments_(std::move(fragments)) {
  for (const Fragment& fragment : fragments_) {
    // Short strings lie in the fragment itself.
    const auto heap = [](const Bytes& text) { return text.capacity() < sizeof(Bytes) / 2 ? 0 : text.capacity() + 1; };
    memory_bytes_ += sizeof fragment + heap(fragment.from) + heap(fragment.to) + fragment.versions.capacity() * sizeof(Version);
  }
}

RangeTombstones RangeTombstones::of_one_write(std::span<const sealed::Entry> tombstones) {
  return RangeTombstones(sweep(edges_of(tombstones), Keep::kNewest));
}

RangeTombstones RangeTombstones::merged(std::span<const RangeTombstones* const> sets) {
  std::vector<Edge> edges;
  for (const RangeTombstones* const set : sets) {
    for (const Fragment& fragment : set->fragments_) {
      for (const Version& version : fragment.versions) add_edges(edges, fragment.from, fragment.to, version);
    }
  }
  return RangeTombstones(sweep(std::move(edges), Keep::kAll));
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
