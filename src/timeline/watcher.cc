#include "timeline/watcher.h"

#include <algorithm>

#include "base/error.h"

namespace cairn::timeline {
namespace {

constexpr std::size_t kGivenAtOnce = 256;
constexpr std::uint64_t kSavesReadAtOnce = 65'536;  // Under whatever prefix.
constexpr std::int64_t kLookMs = 1000;              // One that waits looks again so soon.
constexpr std::int64_t kWaitMsMost = std::int64_t{1} << 46;

WatchEvent::Kind event_of(RecordKind kind) {
  if (kind == RecordKind::kRangeTombstone) return WatchEvent::Kind::kErasedAll;
  return kind == RecordKind::kTombstone ? WatchEvent::Kind::kErased : WatchEvent::Kind::kSaved;
}

/// Never beyond what comes next: by a clock that is far ahead for a moment later saves would have expired too.
std::uint64_t first_there(const ReadView& view) { return std::min(view.main_first, view.visible + 1); }

/// Whether saves were made with stamps in [first, last], though they may have left the main line. After a time without saves
/// there are none.
bool any_between(const LineUp& line_up, std::uint64_t first, std::uint64_t last) {
  if (line_up.main_after >= first || !line_up.erases_between(first, last).empty()) return true;
  TimeWalk walk(line_up, first, last);
  const auto save = walk.next();
  return !save || *save != nullptr;  // What cannot be read was there.
}

}  // namespace

Watcher::Watcher(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, Moment from)
    : timeline_(std::move(timeline)), prefix_(prefix) {
  const ReadView view = timeline_->read_view();
  rollbacks_ = view.line_up->rolled_back_to.size();
  next_ = std::max(from.first().value, first_there(view));
}

Result<std::optional<WatchEvent>> Watcher::next(std::int64_t wait_ms) {
  const std::int64_t end_ms = timeline_->boot_ms() + std::clamp<std::int64_t>(wait_ms, 0, kWaitMsMost);
  while (true) {
    const ReadView view = timeline_->read_view();
    if (auto event = rolled_back(view)) return event;
    if (auto event = missed(view)) return event;
    if (waiting_.empty()) CAIRN_TRY_VOID(read(view));
    if (!waiting_.empty()) {
      CAIRN_TRY(event, give());
      return event;
    }
    if (next_ <= view.visible && timeline_->boot_ms() < end_ms) continue;  // There is more under other prefixes.
    if (next_ <= view.visible) return std::nullopt;
    if (timeline_->closed()) return fail(ErrorCode::kUnavailable, "the timeline is closed");
    const std::int64_t left_ms = end_ms - timeline_->boot_ms();
    if (left_ms <= 0) return std::nullopt;
    timeline_->wait_beyond(view.visible, std::min(left_ms, kLookMs));
  }
}

bool Watcher::behind() const { return !waiting_.empty() || next_ <= timeline_->last().value; }

std::optional<WatchEvent> Watcher::rolled_back(const ReadView& view) {
  if (rollbacks_ == view.line_up->rolled_back_to.size()) return std::nullopt;
  const std::uint64_t to = view.line_up->rolled_back_to[rollbacks_++];
  std::erase_if(waiting_, [&](const KeyedSave& each) { return each.save.stamp > to; });
  next_ = std::min(next_, to + 1);
  return WatchEvent{.kind = WatchEvent::Kind::kRolledBack, .key = {}, .stamp = {to}, .data = {}};
}

std::optional<WatchEvent> Watcher::missed(const ReadView& view) {
  bool any = next_ < view.main_first && next_ <= view.visible && any_between(*view.line_up, next_, view.main_first - 1);
  for (; !waiting_.empty() && waiting_.front().save.stamp < view.main_first; waiting_.pop_front()) any = true;
  next_ = std::max(next_, first_there(view));
  if (!any) return std::nullopt;
  return WatchEvent{.kind = WatchEvent::Kind::kMissed, .key = {}, .stamp = {view.main_first - 1}, .data = {}};
}

Result<void> Watcher::read(const ReadView& view) {
  line_up_ = view.line_up;
  const std::vector<std::uint64_t> erases = line_up_->erases_between(next_, view.visible);
  auto erase = erases.begin();
  // Those up to `stamp`, which come before the saves of that stamp.
  const auto give_erases = [&](std::uint64_t stamp) {
    for (; erase != erases.end() && *erase <= stamp; ++erase) {
      waiting_.push_back({{}, Save{.stamp = *erase, .kind = RecordKind::kRangeTombstone, .place = {}}});
    }
  };
  TimeWalk walk(*line_up_, next_, view.visible);
  std::uint64_t last = 0;
  for (std::uint64_t count = 0;; ++count) {
    const Result<const KeyedSave*> next = walk.next();
    if (!next) {
      next_ = walk.behind();
      give_erases(next_ - 1);
      return std::unexpected(next.error());
    }
    const KeyedSave* const save = *next;
    if (save == nullptr) break;
    const std::uint64_t stamp = save->save.stamp;
    if ((waiting_.size() >= kGivenAtOnce || count >= kSavesReadAtOnce) && stamp != last) {
      next_ = stamp;
      give_erases(stamp - 1);
      return {};
    }
    last = stamp;
    give_erases(stamp);
    if (save->key.starts_with(prefix_) && save->save.kind != RecordKind::kExpiryChange) waiting_.push_back(*save);
  }
  give_erases(view.visible);
  next_ = std::max(next_, view.visible + 1);
  return {};
}

Result<WatchEvent> Watcher::give() {
  const KeyedSave given = waiting_.front();
  WatchEvent event{.kind = event_of(given.save.kind), .key = Bytes(given.key), .stamp = {given.save.stamp}, .data = {}};
  if (event.kind == WatchEvent::Kind::kSaved) {
    const Result<Pinned> data = LineUp::data(given.save, timeline_->counters());
    if (!data && data.error().code != ErrorCode::kCorruption) return std::unexpected(data.error());  // It may be there next time.
    waiting_.pop_front();
    CAIRN_TRY_VOID(data);
    event.data = *data;
  } else {
    waiting_.pop_front();
  }
  if (waiting_.empty()) line_up_.reset();
  return event;
}

}  // namespace cairn::timeline
