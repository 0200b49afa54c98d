#include "table/merge.h"

namespace cairn::table {
namespace {

/// Whether `a` comes before `b`: smaller key, or the same key and newer.
bool comes_before(const sealed::Entry& a, const sealed::Entry& b) {
  const int order = a.key.compare(b.key);
  return order != 0 ? order < 0 : a.write_version > b.write_version;
}

}  // namespace

void MergeCursor::find_first() {
  current_ = nullptr;
  for (const auto& child : children_) {
    if (child->valid() && (current_ == nullptr || comes_before(child->entry(), current_->entry()))) current_ = child.get();
  }
}

void MergeCursor::find_last() {
  current_ = nullptr;
  for (const auto& child : children_) {
    if (child->valid() && (current_ == nullptr || comes_before(current_->entry(), child->entry()))) current_ = child.get();
  }
}

Result<void> MergeCursor::seek(ByteView key) {
  for (const auto& child : children_) CAIRN_TRY_VOID(child->seek(key));
  find_first();
  return {};
}

Result<void> MergeCursor::seek_first() {
  for (const auto& child : children_) CAIRN_TRY_VOID(child->seek_first());
  find_first();
  return {};
}

Result<void> MergeCursor::seek_before(ByteView key) {
  for (const auto& child : children_) CAIRN_TRY_VOID(child->seek_before(key));
  find_last();
  return {};
}

Result<void> MergeCursor::seek_last() {
  for (const auto& child : children_) CAIRN_TRY_VOID(child->seek_last());
  find_last();
  return {};
}

Result<void> MergeCursor::next() {
  CAIRN_TRY_VOID(current_->next());
  find_first();
  return {};
}

Result<void> MergeCursor::prev() {
  CAIRN_TRY_VOID(current_->prev());
  find_last();
  return {};
}

}  // namespace cairn::table
