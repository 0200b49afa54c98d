// The handles of cairn/timeline.h.
#include "cairn/timeline.h"

#include <charconv>

#include "base/handle.h"
#include "directory/write_rules.h"
#include "timeline/timeline_impl.h"
#include "timeline/walks.h"
#include "timeline/watcher.h"

namespace cairn {
namespace {

RecordKind kind_of(ByteView data, const SaveOptions& options) {
  return data.empty() && !options.keep_empty ? RecordKind::kTombstone : RecordKind::kPut;
}
/// 0 would be never.
std::optional<std::int64_t> ms_of(std::optional<Time> time) {
  if (!time) return std::nullopt;
  const std::int64_t ms = time->time_since_epoch().count();
  return ms == 0 ? 1 : ms;
}

Result<Stamp> stamp_of(const Result<Applied>& applied) {
  CAIRN_TRY_VOID(applied);
  return applied->stamp;
}

}  // namespace

std::string Stamp::to_string() const {
  return std::to_string(value >> kSequenceBits) + "-" + std::to_string(value & ((std::uint64_t{1} << kSequenceBits) - 1));
}

std::optional<Stamp> Stamp::parse(ByteView text) {
  const std::size_t dash = text.find('-');
  if (dash == ByteView::npos) return std::nullopt;
  std::uint64_t ms = 0;
  std::uint64_t sequence = 0;
  const auto whole = [](ByteView digits, std::uint64_t& number) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  if (!whole(text.substr(0, dash), ms) || !whole(text.substr(dash + 1), sequence)) return std::nullopt;
  if (ms >> (64 - kSequenceBits) != 0 || sequence >> kSequenceBits != 0) return std::nullopt;
  return Stamp{(ms << kSequenceBits) | sequence};
}

SaveList::SaveList(std::unique_ptr<timeline::SaveSource> source) : source_(share_at_home(source.release())) {}
SaveList::SaveList(SaveList&&) noexcept = default;
SaveList& SaveList::operator=(SaveList&&) noexcept = default;
SaveList::~SaveList() = default;
bool SaveList::valid() const { return is_usable(source_) && source_->valid(); }
SaveList::Entry SaveList::entry() const { return source_->entry(); }
Result<Pinned> SaveList::data() const {
  if (!is_usable(source_)) return why_unusable(source_);
  return source_->data();
}
void SaveList::next() {
  if (is_usable(source_)) source_->next();
}
Result<void> SaveList::status() const {
  if (!is_usable(source_)) return why_unusable(source_);
  return source_->status();
}

Watch::Watch(std::unique_ptr<timeline::Watcher> watcher) : watcher_(share_at_home(watcher.release())) {}
Watch::Watch(Error why) : why_not_(std::move(why)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;
bool Watch::behind() const { return is_usable(watcher_) && watcher_->behind(); }
Result<std::optional<WatchEvent>> Watch::next(std::chrono::milliseconds wait) {
  if (why_not_) return std::unexpected(*why_not_);
  if (!is_usable(watcher_)) return why_unusable(watcher_);
  return watcher_->next(wait.count());
}

Result<Stamp> Timeline::put(ByteView key, ByteView data, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  timeline::SaveRef save{.key = key, .data = data, .kind = kind_of(data, options), .expiry_ms = {}};
  return stamp_of(impl_->write({&save, 1}, options));
}

Result<Stamp> Timeline::erase(ByteView key, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  timeline::SaveRef save{.key = key, .data = {}, .kind = RecordKind::kTombstone, .expiry_ms = {}};
  return stamp_of(impl_->write({&save, 1}, options));
}

Result<Stamp> Timeline::erase_all(const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  timeline::SaveRef save{.key = {}, .data = {}, .kind = RecordKind::kRangeTombstone, .expiry_ms = {}};
  return stamp_of(impl_->write({&save, 1}, options));
}

Result<Stamp> Timeline::set_expiry(ByteView key, std::optional<Time> when, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  timeline::SaveRef save{.key = key, .data = {}, .kind = RecordKind::kExpiryChange, .expiry_ms = ms_of(when).value_or(0)};
  return stamp_of(impl_->write({&save, 1}, options));
}

std::vector<timeline::SaveRef> Timeline::refs_of(const Saves& saves, const SaveOptions& options) {
  std::vector<timeline::SaveRef> refs;
  refs.reserve(saves.size());
  for (const Saves::Save& save : saves.saves_) {
    switch (save.kind) {
      case Saves::Kind::kPut:
        refs.push_back({.key = save.key, .data = save.data, .kind = kind_of(save.data, options), .expiry_ms = ms_of(save.time)});
        break;
      case Saves::Kind::kErase:
        refs.push_back({.key = save.key, .data = {}, .kind = RecordKind::kTombstone, .expiry_ms = {}});
        break;
      case Saves::Kind::kEraseAll:
        refs.push_back({.key = {}, .data = {}, .kind = RecordKind::kRangeTombstone, .expiry_ms = {}});
        break;
      case Saves::Kind::kSetExpiry:
        refs.push_back(
            {.key = save.key, .data = {}, .kind = RecordKind::kExpiryChange, .expiry_ms = ms_of(save.time).value_or(0)});
        break;
    }
  }
  return refs;
}

Result<Stamp> Timeline::write(const Saves& saves, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  std::vector<timeline::SaveRef> refs = refs_of(saves, options);
  return stamp_of(impl_->write(refs, options));
}

Result<Applied> Timeline::apply(const Saves& saves, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  std::vector<timeline::SaveRef> refs = refs_of(saves, options);
  return impl_->write(refs, options, timeline::TimelineImpl::Until::kApplied);
}

Result<Applied> Timeline::apply_put(ByteView key, ByteView data, std::optional<Time> expires, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  timeline::SaveRef save{.key = key, .data = data, .kind = kind_of(data, options), .expiry_ms = ms_of(expires)};
  return impl_->write({&save, 1}, options, timeline::TimelineImpl::Until::kApplied);
}

Result<Applied> Timeline::apply_each(std::span<const Put> puts, const SaveOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  std::vector<timeline::SaveRef> saves;
  saves.reserve(puts.size());
  for (const Put& put : puts)
    saves.push_back({.key = put.key, .data = put.data, .kind = kind_of(put.data, options), .expiry_ms = {}});
  return impl_->write(saves, options, timeline::TimelineImpl::Until::kApplied, timeline::TimelineImpl::As::kOneEach);
}

bool Timeline::applies_at_once(std::uint64_t bytes) const {
  if (!is_usable(impl_)) return {};
  return impl_->applies_at_once(bytes);
}
Result<void> Timeline::settle(const Applied& applied) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->settle(applied);
}
Result<void> Timeline::sync() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->sync();
}

Result<std::optional<Pinned>> Timeline::get(ByteView key, Sees sees) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->get(key, sees);
}
Result<std::vector<std::optional<Pinned>>> Timeline::multi_get(std::span<const ByteView> keys, Sees sees) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->multi_get(keys, sees);
}
Result<std::optional<SaveInfo>> Timeline::info(ByteView key, Sees sees) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->info(key, sees);
}
Result<Stamp> Timeline::changed(ByteView key, Sees sees) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->changed(key, sees);
}
Result<std::optional<Pinned>> Timeline::get_at(ByteView key, Moment at) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->get_at(key, at);
}
SaveList Timeline::keys(ByteView prefix, Moment from, Moment to, std::uint64_t limit) const {
  if (!is_usable(impl_)) return SaveList(timeline::failed_source(why_unusable(impl_).error()));
  return SaveList(timeline::walk_keys(impl_, prefix, from, to, limit));
}
Stamp Timeline::last() const {
  if (!is_usable(impl_)) return {};
  return impl_->last();
}
SaveList Timeline::present(ByteView prefix, ByteView from, std::uint64_t limit, Sees sees) const {
  if (!is_usable(impl_)) return SaveList(timeline::failed_source(why_unusable(impl_).error()));
  return SaveList(timeline::walk_present(impl_, prefix, from, limit, sees));
}
Result<KeyCounts> Timeline::key_counts() const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->key_counts();
}
Result<std::optional<Bytes>> Timeline::random_key(std::uint64_t random, Sees sees) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return timeline::random_key(*impl_, random, sees);
}
SaveList Timeline::history(ByteView key, Moment from, Moment to, std::uint64_t limit) const {
  if (!is_usable(impl_)) return SaveList(timeline::failed_source(why_unusable(impl_).error()));
  const Result<void> checked = directory::check_record(key, {});
  if (!checked) return SaveList(timeline::failed_source(checked.error()));
  return SaveList(timeline::walk_history(impl_, key, from, to, limit));
}
Watch Timeline::watch(ByteView prefix, Moment from) const {
  if (!is_usable(impl_)) return Watch(why_unusable(impl_).error());
  return Watch(std::make_unique<timeline::Watcher>(impl_, prefix, from));
}
Result<RolledBack> Timeline::rollback(Moment to, const RollbackOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->rollback(to, options);
}
Result<void> Timeline::undo(bool discard) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->undo(discard);
}
Result<void> Timeline::confirm() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->confirm();
}
Result<void> Timeline::close_block() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->close_block();
}
Result<void> Timeline::housekeep(bool until_done) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->housekeep(until_done);
}
Result<void> Timeline::end_held(std::uint64_t id) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->end_held(id);
}
TimelineStats Timeline::stats() const {
  if (!is_usable(impl_)) return {};
  return impl_->stats();
}

}  // namespace cairn
