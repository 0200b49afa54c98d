// Walks several cursors as one.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/hash.h"
#include "sealed/entry.h"

namespace cairn::sealed {

/// One sequence by key, newest version first, walked either way. Versions are distinct over all children. A change of
/// direction needs a new seek.
class MergeCursor final : public Cursor {
 public:
  explicit MergeCursor(std::vector<std::unique_ptr<Cursor>> children) {
    children_.reserve(children.size());
    for (auto& child : children) children_.push_back({.cursor = std::move(child)});
  }

  Result<void> seek(ByteView key) override;
  Result<void> seek_first() override;
  using Cursor::seek_before;
  Result<void> seek_before(ByteView key, std::uint64_t version) override;
  Result<void> seek_last() override;
  Result<void> next() override;
  Result<void> prev() override;
  /// head_of() the key it stands on.
  [[nodiscard]] std::uint64_t head() const { return current_->head; }

 private:
  struct Child {
    std::unique_ptr<Cursor> cursor;
    const Entry* entry = nullptr;  // Where it stands; none: at its end.
    std::uint64_t head = 0;        // Of the key there, which settles most comparisons.
    /// Whether it stands on a smaller key, or on the same and a newer version.
    [[nodiscard]] bool before(const Child& other) const {
      return head != other.head ? head < other.head : before_same_head(other);
    }
    [[nodiscard]] bool before_same_head(const Child& other) const;
    void look() {
      entry = cursor->valid() ? &cursor->entry() : nullptr;
      if (entry != nullptr) head = head_of(entry->key);
    }
  };
  [[nodiscard]] bool comes_first(const Child& a, const Child& b) const { return upwards_ ? a.before(b) : b.before(a); }
  template <typename Seek>
  Result<void> start(bool upwards, Seek seek);
  void choose();
  /// As long as the child that moved is still first, which is always where no other covers the range, nothing is searched.
  void moved() {
    current_->look();
    const bool first = current_->entry != nullptr && (second_ == nullptr || comes_first(*current_, *second_));
    if (!first) choose();
    take();
  }
  void take() {
    entry_ = current_ != nullptr ? current_->entry : nullptr;
    hold_ = current_ != nullptr ? &current_->cursor->hold() : &kNoHold;
  }

  // A line-up has few layers, so the next child is found by looking at all of them.
  std::vector<Child> children_;
  Child* current_ = nullptr;
  Child* second_ = nullptr;
  bool upwards_ = true;
};

}  // namespace cairn::sealed
