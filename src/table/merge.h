// The merge of several cursors: one sequence by key, newest version first, walked either way.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "sealed/entry.h"

namespace cairn::table {

/// Versions are distinct over all children. A change of direction needs a new seek.
class MergeCursor final : public sealed::Cursor {
 public:
  explicit MergeCursor(std::vector<std::unique_ptr<sealed::Cursor>> children) : children_(std::move(children)) {}

  Result<void> seek(ByteView key) override;
  Result<void> seek_first() override;
  Result<void> seek_before(ByteView key) override;
  Result<void> seek_last() override;
  Result<void> next() override;
  Result<void> prev() override;
  [[nodiscard]] bool valid() const override { return current_ != nullptr; }
  [[nodiscard]] const sealed::Entry& entry() const override { return current_->entry(); }
  [[nodiscard]] std::shared_ptr<const void> hold() const override { return current_->hold(); }

 private:
  void find_first();
  void find_last();

  // A line-up has few layers, so the next child is found by looking at all of them.
  std::vector<std::unique_ptr<sealed::Cursor>> children_;
  sealed::Cursor* current_ = nullptr;
};

}  // namespace cairn::table
