#include "table/dead_ranges.h"

#include <algorithm>

#include "table/range_tombstones.h"

namespace cairn::table {
namespace {

constexpr std::size_t kRangesMax = 64;
constexpr std::size_t kWatchesMax = 16;

bool within(ByteView key, ByteView from, ByteView to) { return key >= from && below(key, to); }
bool is_empty(ByteView from, ByteView to) { return !below(from, to); }

/// The range of `list` that `key` lies in, or its end.
template <typename L>
auto find(L& list, ByteView key) {
  auto next = std::upper_bound(list.begin(), list.end(), key,
                               [](ByteView bytes, const DeadRanges::Range& range) { return bytes < range.from; });
  if (next == list.begin()) return list.end();
  --next;
  return within(key, next->from, next->to) ? next : list.end();
}

}  // namespace

const DeadRanges::Range* DeadRanges::over(const List& list, ByteView key, std::uint64_t version) {
  const auto found = find(list, key);
  return found != list.end() && found->since <= version ? &*found : nullptr;
}

void DeadRanges::set(List list) {
  used_ += list.size();
  used_ -= list_.get()->size();
  list_.set(std::make_shared<const List>(std::move(list)));
}

/// Takes away `ended`, if it is there, and the watches of scans that are gone.
bool DeadRanges::prune(const Watch* ended) {
  bool found = false;
  used_ -= std::erase_if(watches_, [&](const auto& each) {
    const auto held = each.lock();
    found = found || (held && held.get() == ended);
    return !held || held.get() == ended;
  });
  return found;
}

void DeadRanges::clear() {
  const MutexLock lock(mutex_);
  used_ -= watches_.size();
  watches_.clear();
  set({});
}

std::shared_ptr<DeadRanges::Watch> DeadRanges::watch(bool upwards, const Bytes& bound) {
  if (!mutex_.try_lock()) return nullptr;
  prune(nullptr);
  std::shared_ptr<Watch> watch;
  if (watches_.size() < kWatchesMax) {
    watch =
        std::make_shared<Watch>(Watch{.upwards = upwards, .from = upwards ? bound : Bytes(), .to = upwards ? Bytes() : bound});
    watches_.push_back(watch);
    ++used_;
  }
  mutex_.unlock();
  return watch;
}

void DeadRanges::finish(const std::shared_ptr<Watch>& watch, const Bytes& end, std::uint64_t since) {
  if (!mutex_.try_lock()) return;  // The watch goes with whoever looks next.
  if (!prune(watch.get())) {       // It was given up.
    mutex_.unlock();
    return;
  }
  Range found{.from = watch->from, .to = watch->to, .since = since};
  if (watch->upwards && (found.to.empty() || (!end.empty() && end < found.to))) found.to = end;
  if (!watch->upwards && end > found.from) found.from = end;
  List list = *list_.get();
  // With what it touches it becomes one; what was dead before is so still.
  const auto touches = [&](const Range& range) {
    const bool behind = !found.to.empty() && range.from > found.to;
    const bool before = !range.to.empty() && range.to < found.from;
    return !behind && !before;
  };
  if (!is_empty(found.from, found.to)) {
    for (const Range& range : list) {
      if (!touches(range)) continue;
      found.from = std::min(found.from, range.from);
      if (range.to.empty() || (!found.to.empty() && range.to > found.to)) found.to = range.to;
      found.since = std::max(found.since, range.since);
    }
    std::erase_if(list, touches);
    if (list.size() >= kRangesMax) list.erase(list.begin());
    list.insert(std::upper_bound(list.begin(), list.end(), found, [](const Range& a, const Range& b) { return a.from < b.from; }),
                found);
    set(std::move(list));
  }
  mutex_.unlock();
}

void DeadRanges::cut_here(ByteView key) {
  const MutexLock lock(mutex_);
  const Bytes after = Bytes(key) + '\0';
  prune(nullptr);
  for (const auto& each : watches_) {
    const auto watch = each.lock();
    if (!watch || !within(key, watch->from, watch->to)) continue;
    if (watch->upwards) {
      watch->to = key;
    } else {
      watch->from = after;
    }
  }
  List list = *list_.get();
  const auto found = find(list, key);
  if (found == list.end()) return;
  const Range range = std::move(*found);
  const auto place = list.erase(found);
  if (list.size() + 2 <= kRangesMax) {  // Where puts have made many pieces already, this one is given up.
    std::vector<Range> pieces;
    if (!is_empty(range.from, key)) pieces.push_back({.from = range.from, .to = Bytes(key), .since = range.since});
    if (!is_empty(after, range.to)) pieces.push_back({.from = after, .to = range.to, .since = range.since});
    list.insert(place, pieces.begin(), pieces.end());
  }
  set(std::move(list));
}

}  // namespace cairn::table
