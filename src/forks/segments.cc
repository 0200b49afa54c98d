#include "forks/segments.h"

#include <algorithm>

#include "base/error.h"

namespace cairn::forks {

void SizeCounts::add(const SizeCounts& other) {
  for (std::size_t i = 0; i < all_.size(); ++i) {
    all_[i].records += other.all_[i].records;
    all_[i].stale += other.all_[i].stale;
    all_[i].bytes += other.all_[i].bytes;
  }
}

namespace {
/// Never above all there is, whatever a damaged file says.
std::uint64_t live_of(const SizeCount& count) {
  return count.stale >= count.records ? 0 : count.bytes * (count.records - count.stale) / count.records;
}
}  // namespace

std::uint64_t SizeCounts::live_bytes() const {
  std::uint64_t bytes = 0;
  for (const SizeCount& count : all_) bytes += live_of(count);
  return bytes;
}

std::uint64_t SizeCounts::live_erase_bytes() const { return live_of(all_[SizeClass(0, true).number()]); }

Result<std::uint32_t> Segments::add(SegmentUse use) {
  use.live->map()->expect_random_reads();  // Of loads; whoever walks asks ahead.
  const auto number = table_.add(use.live, use.seed);
  if (!number) return fail(ErrorCode::kUnavailable, "a fork store has at most 262,144 segments");
  const MutexLock lock(mutex_);
  segments_.emplace(*number, std::move(use));
  return *number;
}

void Segments::remove(std::uint32_t number) {
  SegmentUse removed;  // Its file may be unmapped, which is not for under a lock.
  {
    const MutexLock lock(mutex_);
    const auto found = segments_.find(number);
    removed = std::move(found->second);
    segments_.erase(found);
    std::erase_if(stale_, [&](Place place) { return place.segment() == number; });
  }
  table_.remove(number);
}

void Segments::stored(std::uint32_t number, const Stored& batch) {
  const MutexLock lock(mutex_);
  SegmentUse& use = segments_.at(number);
  if (use.first_version == 0) use.first_version = batch.first_version;
  use.sizes.add(batch.sizes);
  use.bytes = batch.end;
  ++use.storing;
  pending_.push_back(batch.first_version);
  const auto at = std::ranges::lower_bound(use.forks, batch.fork);
  if (at == use.forks.end() || *at != batch.fork) use.forks.insert(at, batch.fork);
}

std::size_t Segments::indexed(std::uint32_t number, std::uint64_t first_version, std::span<const Place> stale) {
  const MutexLock lock(mutex_);
  pending_.erase(std::ranges::find(pending_, first_version));
  --segments_.at(number).storing;
  stale_.insert(stale_.end(), stale.begin(), stale.end());
  return stale_.size();
}

std::optional<std::uint64_t> Segments::first_pending() const {
  const MutexLock lock(mutex_);
  if (pending_.empty()) return std::nullopt;
  return std::ranges::min(pending_);
}

void Segments::loaded(std::uint32_t number, const Stored& all, std::vector<std::uint64_t> forks) {
  const MutexLock lock(mutex_);
  SegmentUse& use = segments_.at(number);
  use.first_version = all.first_version;
  use.sizes = all.sizes;
  use.bytes = all.end;
  use.forks = std::move(forks);
}

void Segments::add_stale(std::span<const Place> stale) {
  const MutexLock lock(mutex_);
  stale_.insert(stale_.end(), stale.begin(), stale.end());
}

Segments::Totals Segments::count() {
  std::vector<Place> stale;
  const MutexLock lock(mutex_);
  stale.swap(stale_);
  for (const Place place : stale) segments_.at(place.segment()).sizes.set_stale(place.size());
  Totals totals;
  for (const auto& [number, use] : segments_) {
    totals.bytes += use.bytes;
    totals.live_bytes += use.sizes.live_bytes() - use.sizes.live_erase_bytes();
  }
  return totals;
}

void Segments::set_sealed(const std::map<std::uint32_t, SegmentUse>& numbers) {
  const MutexLock lock(mutex_);
  for (auto& [number, use] : segments_) use.sealed = numbers.contains(number);
}

std::map<std::uint32_t, SegmentUse> Segments::all() const {
  const MutexLock lock(mutex_);
  return segments_;
}

}  // namespace cairn::forks
