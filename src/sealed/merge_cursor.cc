#include "sealed/merge_cursor.h"

namespace cairn::sealed {

bool MergeCursor::Child::before_same_head(const Child& other) const {
  const int order = entry->key.compare(other.entry->key);
  return order != 0 ? order < 0 : entry->write_version > other.entry->write_version;
}

/// Finds the child that comes first in the direction of the walk, and the one after it.
void MergeCursor::choose() {
  current_ = nullptr;
  second_ = nullptr;
  for (Child& child : children_) {
    if (child.entry == nullptr) continue;
    if (current_ == nullptr || comes_first(child, *current_)) {
      second_ = current_;
      current_ = &child;
    } else if (second_ == nullptr || comes_first(child, *second_)) {
      second_ = &child;
    }
  }
}

template <typename Seek>
Result<void> MergeCursor::start(bool upwards, Seek seek) {
  upwards_ = upwards;
  for (Child& child : children_) {
    CAIRN_TRY_VOID(seek(*child.cursor));
    child.look();
  }
  choose();
  take();
  return {};
}

Result<void> MergeCursor::seek(ByteView key) {
  if (children_.size() > 1) {
    for (Child& child : children_) CAIRN_TRY_VOID(child.cursor->prepare_seek(key));
  }
  return start(true, [&](Cursor& child) { return child.seek(key); });
}
Result<void> MergeCursor::seek_first() {
  return start(true, [](Cursor& child) { return child.seek_first(); });
}
Result<void> MergeCursor::seek_before(ByteView key, std::uint64_t version) {
  return start(false, [&](Cursor& child) { return child.seek_before(key, version); });
}
Result<void> MergeCursor::seek_last() {
  return start(false, [](Cursor& child) { return child.seek_last(); });
}

Result<void> MergeCursor::next() {
  CAIRN_TRY_VOID(current_->cursor->next());
  moved();
  return {};
}
Result<void> MergeCursor::prev() {
  CAIRN_TRY_VOID(current_->cursor->prev());
  moved();
  return {};
}

}  // namespace cairn::sealed
