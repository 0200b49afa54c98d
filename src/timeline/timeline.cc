// The handles of cairn/timeline.h.
#include "cairn/timeline.h"

#include "directory/write_rules.h"
#include "timeline/timeline_impl.h"
#include "timeline/walks.h"
#include "timeline/watcher.h"

namespace cairn {

SaveList::SaveList(std::unique_ptr<timeline::SaveSource> source) : source_(std::move(source)) {}
SaveList::SaveList(SaveList&&) noexcept = default;
SaveList& SaveList::operator=(SaveList&&) noexcept = default;
SaveList::~SaveList() = default;
bool SaveList::valid() const { return source_->valid(); }
SaveList::Entry SaveList::entry() const { return source_->entry(); }
Result<Pinned> SaveList::data() const { return source_->data(); }
void SaveList::next() { source_->next(); }
Result<void> SaveList::status() const { return source_->status(); }

Watch::Watch(std::unique_ptr<timeline::Watcher> watcher) : watcher_(std::move(watcher)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;
Result<std::optional<WatchEvent>> Watch::next(std::chrono::milliseconds wait) { return watcher_->next(wait.count()); }

Result<Stamp> Timeline::put(ByteView key, ByteView data, const SaveOptions& options) {
  timeline::SaveRef save{.key = key, .data = data, .erases = data.empty() && !options.keep_empty};
  return impl_->write({&save, 1}, options);
}

Result<Stamp> Timeline::erase(ByteView key, const SaveOptions& options) {
  timeline::SaveRef save{.key = key, .data = {}, .erases = true};
  return impl_->write({&save, 1}, options);
}

Result<Stamp> Timeline::write(const Saves& saves, const SaveOptions& options) {
  std::vector<timeline::SaveRef> refs;
  refs.reserve(saves.size());
  for (const Saves::Save& save : saves.saves_) {
    refs.push_back({.key = save.key, .data = save.data, .erases = save.erases || (save.data.empty() && !options.keep_empty)});
  }
  return impl_->write(refs, options);
}

Result<std::optional<Pinned>> Timeline::get(ByteView key) const { return impl_->get(key); }
Result<std::optional<Pinned>> Timeline::get_at(ByteView key, Moment at) const { return impl_->get_at(key, at); }
SaveList Timeline::keys(ByteView prefix, Moment from, Moment to, std::uint64_t limit) const {
  return SaveList(timeline::walk_keys(impl_, prefix, from, to, limit));
}
SaveList Timeline::history(ByteView key, Moment from, Moment to, std::uint64_t limit) const {
  const Result<void> checked = directory::check_record(key, {});
  if (!checked) return SaveList(timeline::failed_source(checked.error()));
  return SaveList(timeline::walk_history(impl_, key, from, to, limit));
}
Watch Timeline::watch(ByteView prefix, Moment from) const {
  return Watch(std::make_unique<timeline::Watcher>(impl_, prefix, from));
}
Result<void> Timeline::rollback(Moment to) { return impl_->rollback(to); }
Result<void> Timeline::undo(bool discard) { return impl_->undo(discard); }
Result<void> Timeline::confirm() { return impl_->confirm(); }
Result<void> Timeline::close_block() { return impl_->close_block(); }
Result<void> Timeline::housekeep(bool until_done) { return impl_->housekeep(until_done); }
TimelineStats Timeline::stats() const { return impl_->stats(); }

}  // namespace cairn
