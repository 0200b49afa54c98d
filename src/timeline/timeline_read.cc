// What a reader sees, and the lookups of one key.
#include <algorithm>

#include "timeline/timeline_impl.h"

namespace cairn::timeline {

/// A save is of the main line until it is as old as the timeout, to the millisecond.
bool TimelineImpl::has_expired(std::uint64_t stamp, std::int64_t now_ms) const {
  return config_.timeout_ms != 0 && directory::ms_of_stamp(stamp) <= now_ms - config_.timeout_ms;
}

std::uint64_t TimelineImpl::main_first(const LineUp& now, std::int64_t now_ms) const {
  const std::int64_t oldest_ms = config_.timeout_ms == 0 ? 0 : std::max<std::int64_t>(now_ms - config_.timeout_ms + 1, 0);
  return std::max(static_cast<std::uint64_t>(oldest_ms) << directory::kStampSequenceBits, now.main_after + 1);
}

/// Without its time.
ReadView TimelineImpl::visible_view() const {
  // In this order: the line-up has whatever was visible before it was taken.
  ReadView view{.visible = log_.visible_stamp()};
  view.line_up = line_up_.get();
  return view;
}

void TimelineImpl::set_time(ReadView& view) const {
  view.now_ms = directory_->now_ms();  // As the clock is now: stamps may be ahead of it, and must not hide what is there.
  view.main_first = main_first(*view.line_up, view.now_ms);
}

ReadView TimelineImpl::read_view(Sees sees) const {
  ReadView view = view_of(sees);
  set_time(view);
  return view;
}

ReadView TimelineImpl::view_of(Sees sees) const {
  if (sees == Sees::kAcknowledged) return visible_view();
  ReadView view;
  {
    const MutexLock lock(log_.mutex);
    view.visible = log_.last_stamp();
  }
  view.line_up = line_up_.get();
  return view;
}

Result<std::optional<Pinned>> TimelineImpl::get(ByteView key, Sees sees) const {
  ReadView view = view_of(sees);
  CAIRN_TRY(save, last_save(key, hash_of(key), view));
  if (!save) return std::nullopt;
  CAIRN_TRY(data, LineUp::data(*save, read_counters_));
  return data;
}

Result<Stamp> TimelineImpl::changed(ByteView key, Sees sees) const {
  const ReadView view = view_of(sees);
  CAIRN_TRY(stamp, view.line_up->changed(key, hash_of(key), view.visible, read_counters_));
  return Stamp{stamp};
}

std::uint64_t TimelineImpl::first_of_get(const ReadView& view) const {
  if (config_.persist) return 0;
  return config_.timeout_ms != 0 ? view.main_first : view.line_up->main_after + 1;
}

/// In steps over all keys: what one step asks for has come when the next reads it.
Result<std::vector<std::optional<Pinned>>> TimelineImpl::multi_get(std::span<const ByteView> keys, Sees sees) const {
  ReadView view = view_of(sees);
  std::vector<std::uint64_t> hashes;
  hashes.reserve(keys.size());
  for (const auto& block : view.line_up->open) block->prefetch(keys);
  for (const ByteView key : keys) {
    hashes.push_back(hash_of(key));
    for (const auto& index : view.line_up->indexes) index->file()->reader->prefetch(hashes.back());
  }
  for (const std::uint64_t hash : hashes) {
    for (const auto& index : view.line_up->indexes) index->file()->reader->prefetch_record(hash);
  }
  std::vector<std::optional<Save>> saves;
  saves.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    CAIRN_TRY(save, last_save(keys[i], hashes[i], view));
    saves.push_back(save);
  }
  std::vector<std::optional<Pinned>> values(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!saves[i]) continue;
    CAIRN_TRY(data, LineUp::data(*saves[i], read_counters_));
    values[i] = std::move(data);
  }
  return values;
}

Result<std::optional<SaveInfo>> TimelineImpl::info(ByteView key, Sees sees) const {
  ReadView view = view_of(sees);
  CAIRN_TRY(save, last_save(key, hash_of(key), view));
  if (!save) return std::nullopt;
  SaveInfo info{.stamp = {save->stamp}, .expires = std::nullopt};
  if (save->expiry_ms != 0) info.expires = Time(std::chrono::milliseconds(save->expiry_ms));
  return info;
}

/// The one that gives data now. The view may get its time.
Result<std::optional<Save>> TimelineImpl::last_save(ByteView key, std::uint64_t hash, ReadView& view) const {
  // Asking for the time costs a twentieth of a lookup, and where nothing can have expired it is not needed.
  const bool may_expire = config_.timeout_ms != 0 && !config_.persist;
  if (may_expire) set_time(view);
  const std::uint64_t first = first_of_get(view);
  CAIRN_TRY(save, view.line_up->find(key, hash, first, view.visible, read_counters_));
  if (!save || save->stamp < first) return std::nullopt;
  if (save->expiry_ms != 0 && !may_expire) set_time(view);
  return save->gives_data(view.now_ms) ? save : std::nullopt;
}

Result<std::optional<Pinned>> TimelineImpl::get_at(ByteView key, Moment at) const {
  const ReadView view = read_view();
  const std::uint64_t last = std::min(at.last().value, view.visible);
  CAIRN_TRY(save, view.line_up->find(key, hash_of(key), view.main_first, last, read_counters_));
  const std::int64_t at_ms = std::min(directory::ms_of_stamp(at.last().value), view.now_ms);
  if (!save || save->stamp < view.main_first || !save->gives_data(at_ms)) return std::nullopt;
  CAIRN_TRY(data, LineUp::data(*save, read_counters_));
  return data;
}

}  // namespace cairn::timeline
