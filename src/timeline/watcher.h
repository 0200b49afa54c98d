// Follows the saves under a prefix: from a moment on, then as they come. One thread.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "cairn/timeline.h"
#include "timeline/timeline_impl.h"
#include "timeline/walks.h"

namespace cairn::timeline {

class Watcher {
 public:
  Watcher(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, Moment from);
  /// See Watch::next().
  Result<std::optional<WatchEvent>> next(std::int64_t wait_ms);
  /// See Watch::behind().
  [[nodiscard]] bool behind() const;
  [[nodiscard]] const HomeProcess& home() const { return timeline_->home(); }

 private:
  [[nodiscard]] std::optional<WatchEvent> rolled_back(const ReadView& view);
  [[nodiscard]] std::optional<WatchEvent> missed(const ReadView& view);
  Result<void> read(const ReadView& view);
  Result<WatchEvent> give();

  const std::shared_ptr<const TimelineImpl> timeline_;
  const Bytes prefix_;
  std::uint64_t next_;                     // The stamp from which on nothing was read yet.
  std::size_t rollbacks_ = 0;              // Of the line-ups', those that were told.
  std::deque<KeyedSave> waiting_;          // Read, below next_, and not given yet;
  std::shared_ptr<const LineUp> line_up_;  // in this one.
};

}  // namespace cairn::timeline
