// Where the entries of a Scan come from: a walk over a range, or the records that have a term.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/home_process.h"
#include "base/published.h"
#include "cairn/table.h"
#include "sealed/merge_cursor.h"
#include "table/line_up.h"

namespace cairn::table {

/// Where a long scan looks for what has changed since it began.
struct ScanHome {
  directory::Directory& directory;
  std::uint16_t view;
  const Published<LineUp>& line_ups;
  const std::atomic<std::uint64_t>& merges;         // Begun: each has decided by then what nothing sees.
  const std::atomic<std::uint64_t>& written_bytes;  // Keys and values.
};

/// What a read sees: a line-up, the version it stands on, and the time at which records end.
struct ReadView {
  std::shared_ptr<const LineUp> line_up;
  const ScanHome* home = nullptr;
  std::uint64_t merges = 0;                   // home->merges, before the rest was taken.
  std::shared_ptr<const directory::Pin> pin;  // Of the snapshot read, if any.
  std::uint16_t family = 0;
  WriteVersion version_max = 0;
  mutable std::int64_t now_ms = 0;  // 0: not asked for yet. One read or scan judges all records by one time.
  std::uint64_t hash_seed = 0;

  [[nodiscard]] const LineUp::OfFamily& layers() const { return line_up->families[family]; }
  /// Whether `entry` is a value that is there now, range tombstones apart.
  [[nodiscard]] bool is_value(const sealed::Entry& entry) const {
    return cairn::is_value(entry.kind) && (entry.expiry_ms == 0 || entry.expiry_ms > now());
  }
  /// Whether the record says so or its family has a time to live: each carries its own expiry.
  [[nodiscard]] std::int64_t now() const {
    if (now_ms == 0) now_ms = home->directory.now_ms();
    return now_ms;
  }
  [[nodiscard]] Result<std::optional<Pinned>> get(ByteView key) const;
};

class EntrySource {
 public:
  EntrySource() = default;
  EntrySource(const EntrySource&) = delete;
  EntrySource& operator=(const EntrySource&) = delete;
  virtual ~EntrySource() = default;
  virtual void next() = 0;  // To be called only while valid().
  [[nodiscard]] bool valid() const { return found_; }
  [[nodiscard]] const Scan::Entry& entry() const { return entry_; }
  [[nodiscard]] const Result<void>& status() const { return status_; }
  [[nodiscard]] const HomeProcess& home() const { return home_; }

 protected:
  const HomeProcess home_;
  bool found_ = false;
  Scan::Entry entry_;
  Result<void> status_;
};

/// A scan that could not begin.
class NoEntries final : public EntrySource {
 public:
  explicit NoEntries(const Error& why) { status_ = std::unexpected(why); }
  void next() override {}
};

/// The merge of the layers, reduced to the newest visible version of each key.
class RangeScan final : public EntrySource {
 public:
  RangeScan(ReadView view, Range range, Direction direction, std::uint64_t limit);
  void next() override;

 private:
  void ended(const Result<void>& how);
  /// The cursor stands on the key that is looked at from now on.
  void begin_key() {
    entry_.key = cursor_->entry().key;
    head_ = cursor_->head();
    if (hold_ != cursor_->hold()) hold_ = cursor_->hold();  // Counting references costs more than comparing them.
  }
  /// Whether the cursor stands on a version of entry_.key.
  [[nodiscard]] bool at_key() const { return cursor_->valid() && cursor_->head() == head_ && cursor_->entry().key == entry_.key; }
  Result<bool> jump();
  Result<void> note_dead(bool newer);
  [[nodiscard]] Bytes bound_at_key() const;
  [[nodiscard]] bool in_dead_run() const { return dead_keys_ != 0 || watch_ != nullptr; }
  void end_dead_run(const Bytes& end);
  Result<void> start();
  Result<void> step();
  void open_cursors();
  bool pin_itself();
  Result<bool> take_newer_line_up();
  Result<void> find_forward();
  Result<void> find_reverse();
  [[nodiscard]] bool in_range(ByteView key) const {
    if (direction_ == Direction::kForward) return range_.to.empty() || key < range_.to;
    return range_.from.empty() || key >= range_.from;
  }
  [[nodiscard]] bool erased(const sealed::Entry& entry) const;
  [[nodiscard]] bool has_only_expired(const sealed::Entry& entry) const;
  Result<void> take(const sealed::Entry& entry);

  ReadView view_;
  Range range_;
  Direction direction_;
  std::uint64_t left_;  // Entries still allowed.
  std::vector<const RangeTombstones*> range_tombstones_;
  std::optional<sealed::MergeCursor> cursor_;
  std::uint64_t steps_ = 0;
  bool pinned_ = true;                 // What it sees is in every line-up from its own on, as long as its pin is not ended.
  std::shared_ptr<const void> hold_;   // Of entry_, which may lie in a decoded buffer that the cursor has left.
  std::shared_ptr<const void> large_;  // Or its value in a file of its own.
  std::uint64_t head_ = 0;             // Of entry_.key.

  // What is found on the way of dead ranges, and those that are jumped over.
  std::shared_ptr<const DeadRanges::List> dead_;
  std::uint64_t dead_keys_ = 0;               // In a row, before a watch.
  Bytes dead_bound_;                          // Where they began.
  std::shared_ptr<DeadRanges::Watch> watch_;  // On what is walked now.
};

/// Index entries are blind: each record they lead to is read again, as get() sees it, and asked for its term.
class TermScan final : public EntrySource {
 public:
  TermScan(ReadView view, const std::string& index, ByteView term);
  void next() override;

 private:
  Result<void> collect();
  Result<void> find();

  ReadView view_;
  const Index* index_;
  Bytes term_;
  std::vector<Bytes> keys_;  // Of all records the indexes lead to, in order.
  std::size_t at_ = 0;
  std::optional<Pinned> value_;
};

}  // namespace cairn::table
