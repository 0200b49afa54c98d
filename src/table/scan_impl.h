// One walk over a table: the merge of its layers, reduced to the newest visible version of each key.
#pragma once
#include <memory>
#include <optional>

#include "cairn/table.h"
#include "table/line_up.h"
#include "table/merge.h"

namespace cairn::table {

class ScanImpl {
 public:
  ScanImpl(std::shared_ptr<const LineUp> line_up, std::shared_ptr<const directory::Pin> pin, WriteVersion version_max,
           Range range, Direction direction, std::uint64_t limit);

  [[nodiscard]] bool valid() const { return found_; }
  [[nodiscard]] Scan::Entry entry() const { return {key_, value_}; }
  void next();
  [[nodiscard]] const Result<void>& status() const { return status_; }

 private:
  void run(Result<void> (ScanImpl::*step)());
  Result<void> start();
  Result<void> find_forward();
  Result<void> find_reverse();
  [[nodiscard]] bool in_range(ByteView key) const;

  std::shared_ptr<const LineUp> line_up_;
  std::shared_ptr<const directory::Pin> pin_;  // Of the snapshot read, if any.
  WriteVersion version_max_;
  Range range_;
  Direction direction_;
  std::uint64_t left_;  // Entries still allowed.
  MergeCursor cursor_;
  Result<void> status_;
  bool found_ = false;
  ByteView value_;
  std::shared_ptr<const void> hold_;  // Of value_, which may lie in a decoded buffer the cursor has left.
  Bytes key_;
};

}  // namespace cairn::table
