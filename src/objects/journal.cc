// The dirty list. Invariant: dirty_[p].object has the place p, and the bytes of all entries are in list_bytes_ and in bytes_.
#include "objects/journal.h"

#include <algorithm>

#include "base/error.h"
#include "objects/model_core.h"

namespace cairn::objects {

Result<void> Journal::admit(const std::vector<Pending>& pendings) const {
  CAIRN_TRY_VOID(home_.check());
  if (closed_.load(std::memory_order_relaxed)) return fail(ErrorCode::kUnavailable, "the Model is closed");
  std::uint64_t bytes = 0;
  for (const Pending& pending : pendings) bytes += pending.bytes;
  if (bytes > bounds_.bytes_max) {
    return fail(ErrorCode::kInvalidArgument, "a change of " + std::to_string(bytes) +
                                                 " bytes is too large for one save, which has at most " +
                                                 std::to_string(bounds_.bytes_max));
  }
  if (bytes_.load() + bytes <= bounds_.bytes_max) return {};
  return fail(ErrorCode::kUnavailable, std::to_string(bytes_.load()) + " bytes of changes are not saved yet, and at most " +
                                           std::to_string(bounds_.bytes_max) + " may be; wait_for_room() waits until they are");
}

void Journal::note(const Pending& pending, Change change) {
  const std::int64_t now_ms = clock_.boot_ms();
  last_change_ms_.store(now_ms, std::memory_order_relaxed);
  ObjectAccess::use(*pending.after);
  if (pending.before != nullptr) {
    // Another list, or an older one, may have given `before` its place: the entry itself tells.
    const std::uint32_t place = ObjectAccess::dirty_place(*pending.before);
    if (place < dirty_.size() && dirty_[place].object == pending.before) {
      Dirty& dirty = dirty_[place];
      ObjectAccess::set_dirty_place(*pending.after, place);
      bytes_.fetch_add(pending.bytes - dirty.bytes);
      list_bytes_.fetch_add(pending.bytes - dirty.bytes);
      dirty = {pending.after, change.number, pending.bytes, pending.number, dirty.is_new};
      ObjectAccess::release(*pending.before);  // The containers use it until it is retired.
      if (list_bytes_.load() >= bounds_.save_bytes) want_wake();
      return;
    }
  }
  if (dirty_.empty()) {
    first_change_ms_.store(now_ms);
    want_wake();
  }
  append({pending.after, change.number, pending.bytes, pending.number, pending.before == nullptr});
  bytes_.fetch_add(pending.bytes);
  count_.fetch_add(1);
  if (list_bytes_.load() >= bounds_.save_bytes) want_wake();
}

void Journal::append(const Dirty& dirty) {
  ObjectAccess::set_dirty_place(*dirty.object, static_cast<std::uint32_t>(dirty_.size()));
  dirty_.push_back(dirty);
  list_bytes_.fetch_add(dirty.bytes);
}

void Journal::wake_if_wanted() {
  if (wake_wanted_.load(std::memory_order_relaxed) && wake_wanted_.exchange(false)) wake_();
}

DirtyList Journal::take(Change change) {
  DirtyList taken{.entries = {}, .change = change.number, .since_ms = first_change_ms_.exchange(0)};
  taken.entries.swap(dirty_);
  list_bytes_.store(0);
  return taken;
}

void Journal::put_back(const Dirty& dirty, std::int64_t since_ms) {
  append(dirty);
  const std::int64_t first = first_change_ms_.load();
  first_change_ms_.store(first == 0 ? since_ms : std::min(first, since_ms));
}

}  // namespace cairn::objects
