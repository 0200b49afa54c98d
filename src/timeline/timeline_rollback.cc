// Rolling back: an interval of stamps that do not count any more, in the manifest. No byte of a file changes; blocks that lie
// wholly within go when the rollback is confirmed.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/write_rules.h"
#include "timeline/timeline_impl.h"
#include "timeline/walks.h"

namespace cairn::timeline {
namespace {

constexpr std::int64_t kCountMs = 100;      // Longer than this a rollback does not count what it cuts off.
constexpr std::uint64_t kCountStep = 1024;  // Saves between two looks at the clock.

}  // namespace

Result<RolledBack> TimelineImpl::rollback(Moment to, const RollbackOptions& options) {
  Result<RolledBack> done = roll_back(to, options);
  schedule_close();  // Of the block that ended.
  return done;
}

/// How many saves with stamps above `after`, up to `last`, a rollback cuts off, as far as they can be counted in kCountMs.
RolledBack TimelineImpl::count_saves(const LineUp& now, std::uint64_t after, std::uint64_t last) const {
  RolledBack cut;
  const std::int64_t end_ms = environment_.clock.boot_ms() + kCountMs;
  const std::vector<std::uint64_t> erases = now.erases_between(after + 1, last);
  cut.saves = erases.size();
  if (!erases.empty()) cut.since = Stamp{erases.front()};
  TimeWalk walk(now, after + 1, last);
  for (std::uint64_t walked = 0;; ++walked) {
    const Result<const KeyedSave*> next = walk.next();
    // A save that cannot be read is cut off all the same: verify names the damage.
    cut.at_least = !next || (walked % kCountStep == kCountStep - 1 && environment_.clock.boot_ms() >= end_ms);
    if (!next && !cut.since) cut.since = Stamp{after + 1};
    if (cut.at_least || *next == nullptr) return cut;
    const std::uint64_t stamp = (*next)->save.stamp;
    if (!cut.since || stamp < cut.since->value) cut.since = Stamp{stamp};
    ++cut.saves;
  }
}

Result<RolledBack> TimelineImpl::roll_back(Moment to, const RollbackOptions& options) {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(check_open());
  CAIRN_TRY_VOID(end_block());
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const std::int64_t now_ms = directory_->now_ms();
  const std::uint64_t wanted = to.last().value;
  if (has_expired(wanted, now_ms - 1) || wanted < now->main_after) {
    const std::int64_t first_ms = std::max(now_ms - config_.timeout_ms, directory::ms_of_stamp(now->main_after) + 1);
    return fail(ErrorCode::kInvalidArgument, "the timeline can be rolled back to " + std::to_string(first_ms) +
                                                 " ms since 1970 at the earliest; what is older has expired");
  }
  const std::uint64_t last = log_.last_stamp();
  const std::uint64_t stays = now->not_rolled_back(std::min(wanted, last));
  if (stays >= now->not_rolled_back(last)) return RolledBack{};  // Nothing came after.
  return log_.exclusively([&]() -> Result<RolledBack> {
    if (!options.force) {
      const std::uint64_t first_stamp = config_.persist ? 0 : main_first(*now, now_ms);
      TimeWalk walk(*now, first_stamp, stays);
      CAIRN_TRY(first, walk.next());
      if (first == nullptr && now->last_erase(stays) <= first_stamp) {
        TimeWalk all(*now, first_stamp, last);
        CAIRN_TRY(oldest, all.next());
        const std::string of = oldest == nullptr ? "" : ": the first save is of " + Stamp{oldest->save.stamp}.to_string();
        return fail(ErrorCode::kInvalidArgument, "the timeline has no save from before that moment" + of +
                                                     ". The rollback would empty the timeline; force it if that is meant");
      }
    }
    RolledBack cut = count_saves(*now, stays, last);
    const directory::RollbackEntry rollback{
        .to = stays, .until = last, .undo_until_ms = directory::time_after(now_ms, config_.undo_ms)};
    cut.undo_until = Time(std::chrono::milliseconds(rollback.undo_until_ms));
    CAIRN_TRY_VOID(change(
        [&](directory::ViewEntry& view) -> Result<void> {
          if (view.timeline->main_after > wanted)
            return fail(ErrorCode::kInvalidArgument, "what it is to be rolled back to has expired");
          view.timeline->rollbacks.push_back(rollback);
          return {};
        },
        [&](LineUp& next) { next.rolled_back_to.push_back(stays); }));
    return cut;
  });
}

Result<void> TimelineImpl::undo(bool discard) {
  const Result<void> done = undo_last(discard);
  schedule_close();
  return done;
}

Result<void> TimelineImpl::undo_last(bool discard) {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(check_open());
  CAIRN_TRY_VOID(end_block());
  const std::shared_ptr<const LineUp> now = line_up_.get();
  const std::int64_t now_ms = directory_->now_ms();
  const auto undone = std::find_if(now->rollbacks.rbegin(), now->rollbacks.rend(),
                                   [&](const directory::RollbackEntry& each) { return each.undo_until_ms > now_ms; });
  if (undone == now->rollbacks.rend()) return fail(ErrorCode::kNotFound, "there is no rollback that can be undone");
  const directory::RollbackEntry entry = *undone;
  const std::uint64_t last = log_.last_stamp();
  const bool saves_since = now->not_rolled_back(last) > entry.until;
  if (saves_since && !discard) {
    return fail(ErrorCode::kConflict, "there are saves since the rollback; only if they are discarded it can be undone");
  }
  return log_.exclusively([&] {
    return change(
        [&](directory::ViewEntry& view) -> Result<void> {
          std::vector<directory::RollbackEntry>& rollbacks = view.timeline->rollbacks;
          if (std::erase(rollbacks, entry) == 0) return fail(ErrorCode::kNotFound, "the rollback was confirmed meanwhile");
          if (saves_since) rollbacks.push_back({.to = entry.until, .until = last, .undo_until_ms = 0});
          return {};
        },
        [&](LineUp& next) { next.rolled_back_to.push_back(entry.to); });
  });
}

Result<void> TimelineImpl::confirm() {
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
  }
  CAIRN_TRY_VOID(change([](directory::ViewEntry& view) -> Result<void> {
    for (directory::RollbackEntry& rollback : view.timeline->rollbacks) rollback.undo_until_ms = 0;
    drop_rolled_back(*view.timeline);
    return {};
  }));
  schedule_housekeeping();
  return {};
}

/// Drops what was rolled back and confirmed: whole blocks, and the notes of it once no block is left that they concern.
void TimelineImpl::drop_rolled_back(directory::TimelineEntry& entry) {
  std::set<std::uint64_t> gone;
  for (const directory::RollbackEntry& rollback : entry.rollbacks) {
    if (rollback.undo_until_ms != 0) continue;
    for (const directory::BlockEntry& block : entry.blocks) {
      if (block.stamp_first <= rollback.to || block.stamp_last > rollback.until) continue;
      CAIRN_REACHED("block dropped that was rolled back");
      entry.given_until = std::max(entry.given_until, block.stamp_last);
      gone.insert(block.number());
    }
  }
  entry.erase_blocks(gone);
  // Blocks close in order: what is closed or gone reaches so far.
  const std::uint64_t closed_until =
      std::max({entry.given_until, entry.main_after, entry.blocks.empty() ? 0 : entry.blocks.back().stamp_last});
  std::erase_if(entry.rollbacks, [&](const directory::RollbackEntry& rollback) {
    const bool concerned = std::ranges::any_of(entry.blocks, [&](const directory::BlockEntry& block) {
      return block.stamp_last > rollback.to && block.stamp_first <= rollback.until;
    });
    return rollback.undo_until_ms == 0 && !concerned && rollback.until <= closed_until;
  });
}

}  // namespace cairn::timeline
