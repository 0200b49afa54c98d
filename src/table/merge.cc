#include "table/merge.h"

#include "base/hash.h"

namespace cairn::table {

bool MergeCursor::Child::before(const Child& other) const {
  if (head != other.head) return head < other.head;
  const int order = entry->key.compare(other.entry->key);
  return order != 0 ? order < 0 : entry->write_version > other.entry->write_version;
}

void MergeCursor::Child::look() {
  entry = cursor->valid() ? &cursor->entry() : nullptr;
  if (entry != nullptr) head = head_of(entry->key);
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
  return {};
}

Result<void> MergeCursor::seek(ByteView key) {
  return start(true, [&](sealed::Cursor& child) { return child.seek(key); });
}
Result<void> MergeCursor::seek_first() {
  return start(true, [](sealed::Cursor& child) { return child.seek_first(); });
}
Result<void> MergeCursor::seek_before(ByteView key) {
  return start(false, [&](sealed::Cursor& child) { return child.seek_before(key); });
}
Result<void> MergeCursor::seek_last() {
  return start(false, [](sealed::Cursor& child) { return child.seek_last(); });
}

Result<void> MergeCursor::next() {
  CAIRN_TRY_VOID(current_->cursor->next());
  return moved();
}
Result<void> MergeCursor::prev() {
  CAIRN_TRY_VOID(current_->cursor->prev());
  return moved();
}

/// As long as the child that moved is still first, which is always where no other covers the range, nothing is searched.
Result<void> MergeCursor::moved() {
  current_->look();
  const bool first = current_->entry != nullptr && (second_ == nullptr || comes_first(*current_, *second_));
  if (!first) choose();
  return {};
}

}  // namespace cairn::table
