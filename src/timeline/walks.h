// Walks in the order of time, and in that of keys.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cairn/timeline.h"
#include "sealed/merge_cursor.h"
#include "timeline/timeline_impl.h"

namespace cairn::timeline {

/// Where the entries of a SaveList come from. One thread.
class SaveSource {
 public:
  /// `limit`: of entries; 0: all.
  SaveSource(std::uint64_t limit, ReadView view) : view_(std::move(view)), left_(limit == 0 ? ~std::uint64_t{0} : limit) {}
  SaveSource(const SaveSource&) = delete;
  SaveSource& operator=(const SaveSource&) = delete;
  virtual ~SaveSource() = default;
  void next();
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] const SaveList::Entry& entry() const { return entry_; }
  [[nodiscard]] const Result<void>& status() const { return status_; }
  [[nodiscard]] const HomeProcess& home() const { return home_; }
  [[nodiscard]] virtual Result<Pinned> data() const = 0;

 protected:
  /// Sets the entry; whether there is another.
  virtual Result<bool> step() = 0;
  const HomeProcess home_;
  const ReadView view_;
  SaveList::Entry entry_;
  Result<void> status_;
  std::uint64_t left_;

 private:
  bool valid_ = false;
};

/// The source of a list that cannot be had.
std::unique_ptr<SaveSource> failed_source(Error error);

/// A save with its key, whose bytes stay as long as the line-up.
struct KeyedSave {
  ByteView key;
  Save save;
};

/// All saves of a line-up with stamps in [first, last] that are not rolled back, some at a time. Without erases of all keys.
class TimeWalk {
 public:
  TimeWalk(const LineUp& line_up, std::uint64_t first, std::uint64_t last);
  /// The next one; nullptr: there is none. Valid until the next call.
  Result<const KeyedSave*> next();
  /// After an error: the first stamp behind the index that could not be read.
  [[nodiscard]] std::uint64_t behind() const;

 private:
  Result<void> fill();

  const LineUp& line_up_;
  std::uint64_t first_;  // Of what was not read yet.
  const std::uint64_t last_;
  std::size_t index_ = 0;  // Of line_up_.indexes,
  std::size_t open_ = 0;   // then of line_up_.open.
  std::vector<KeyedSave> read_;
  std::size_t at_ = 0;
  Result<void> filled_;  // What ended reading behind read_.
};

/// See Timeline::keys().
std::unique_ptr<SaveSource> walk_keys(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, Moment from, Moment to,
                                      std::uint64_t limit);
/// See Timeline::history().
std::unique_ptr<SaveSource> walk_history(std::shared_ptr<const TimelineImpl> timeline, ByteView key, Moment from, Moment to,
                                         std::uint64_t limit);

/// See Timeline::present().
std::unique_ptr<SaveSource> walk_present(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, ByteView from,
                                         std::uint64_t limit, Sees sees);
/// Calls `begin` with what the walk sees, then `visit` with each key under which get() finds something and its last save, in the
/// order of keys. kIo, kCorruption.
Result<void> visit_present(const TimelineImpl& timeline, Sees sees, const std::function<void(const ReadView&)>& begin,
                           const std::function<void(ByteView key, const Save&)>& visit);
/// See Timeline::random_key().
Result<std::optional<Bytes>> random_key(const TimelineImpl& timeline, std::uint64_t random, Sees sees);

}  // namespace cairn::timeline
