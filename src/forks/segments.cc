#include "forks/segments.h"

#include <algorithm>

#include "base/error.h"
#include "segment/record.h"
#include "storage/bus_error.h"

namespace cairn::forks {
namespace {
constexpr std::size_t kAskedAhead = 64;
}

Result<std::uint32_t> Segments::add(SegmentUse use) {
  use.live->map()->expect_random_reads();  // Of loads; whoever walks asks ahead.
  const auto number = table_.add(use.live, use.seed);
  if (!number) return fail(ErrorCode::kUnavailable, "a fork store has at most a million segments");
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
  use.live_bytes += batch.live_bytes;
  use.erase_bytes += batch.erase_bytes;
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
  use.live_bytes = all.live_bytes;
  use.erase_bytes = all.erase_bytes;
  use.bytes = all.end;
  use.forks = std::move(forks);
}

void Segments::add_stale(std::span<const Place> stale) {
  const MutexLock lock(mutex_);
  stale_.insert(stale_.end(), stale.begin(), stale.end());
}

Result<void> Segments::count() {
  std::vector<Place> stale;
  {
    const MutexLock lock(mutex_);
    stale.swap(stale_);
  }
  std::ranges::sort(stale, {}, &Place::word);
  for (std::size_t begin = 0; begin < stale.size();) {
    const std::uint32_t number = stale[begin].segment();
    std::uint64_t bytes = 0;
    std::uint64_t erase_bytes = 0;
    std::size_t end = begin;
    std::size_t asked = begin;
    for (; end < stale.size() && stale[end].segment() == number; ++end) {
      for (; storage::memory_is_short() && asked < std::min(end + kAskedAhead, stale.size()); ++asked) {
        table_.hold(stale[asked])->map()->will_read(stale[asked].offset(), stale[asked].offset() + 1);
      }
      const segment::RecordView record = segment::view_record(table_.at(stale[end]), stale[end].offset());
      const std::uint64_t seed = table_.seed(stale[end]);
      const char* why = "";
      if (seed != 0 &&
          !segment::check_header(table_.at(stale[end]), record.bytes, segment::record_seed(seed, record.offset), why)) {
        add_stale(std::span(stale).subspan(begin));
        return corruption(why, table_.hold(stale[end])->map()->name(), record.offset);
      }
      bytes += record.bytes;
      if (record.kind() == RecordKind::kTombstone) erase_bytes += record.bytes;
    }
    const Result<void> read = table_.hold(stale[begin])->map()->status();
    if (!read) add_stale(std::span(stale).subspan(begin));
    CAIRN_TRY_VOID(read);
    const MutexLock lock(mutex_);
    SegmentUse& use = segments_.at(number);
    use.live_bytes -= bytes;
    use.erase_bytes -= erase_bytes;
    begin = end;
  }
  return {};
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
