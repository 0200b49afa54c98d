#include "timeline/walks.h"

#include <algorithm>

#include "base/error.h"
#include "base/reached.h"

namespace cairn::timeline {
namespace {

constexpr std::size_t kReadAtOnce = 256;

std::uint64_t before(Stamp stamp) { return stamp.value == 0 ? 0 : stamp.value - 1; }

class FailedSource final : public SaveSource {
 public:
  explicit FailedSource(Error error) : SaveSource(1, {}) { status_ = std::unexpected(std::move(error)); }
  [[nodiscard]] Result<Pinned> data() const override { return std::unexpected(status_.error()); }

 private:
  Result<bool> step() override { return false; }
};

}  // namespace

void SaveSource::next() {
  valid_ = false;
  if (left_ == 0) return;
  const bool ended = view_.line_up && *view_.line_up->ended;
  const Result<bool> found = ended ? fail(ErrorCode::kUnavailable, "the list was ended") : step();
  if (!found) status_ = std::unexpected(found.error());
  valid_ = found && *found;
  if (valid_) --left_;
}

std::unique_ptr<SaveSource> failed_source(Error error) { return std::make_unique<FailedSource>(std::move(error)); }

TimeWalk::TimeWalk(const LineUp& line_up, std::uint64_t first, std::uint64_t last)
    : line_up_(line_up), first_(first), last_(last) {}

Result<const KeyedSave*> TimeWalk::next() {
  if (at_ == read_.size()) {
    CAIRN_TRY_VOID(filled_);
    filled_ = fill();
    if (read_.empty()) {
      CAIRN_TRY_VOID(filled_);
      return nullptr;
    }
  }
  return &read_[at_++];
}

std::uint64_t TimeWalk::behind() const {
  return index_ < line_up_.indexes.size() ? line_up_.indexes[index_]->stamp_last() + 1 : last_ + 1;
}

/// Reads on until there is something. Saves of one stamp are read together, so that it is known where to go on.
Result<void> TimeWalk::fill() {
  read_.clear();
  at_ = 0;
  const auto take = [&](ByteView key, const Save& save) {
    if (!key.empty() && !line_up_.rolled_back(save.stamp)) read_.push_back({key, save});
  };
  while (read_.empty() && first_ <= last_) {
    std::uint64_t reached = 0;  // The stamp of the first save that was not taken; 0: all were.
    const auto full = [&](std::uint64_t stamp) {
      if (read_.size() < kReadAtOnce || read_.back().save.stamp == stamp) return false;
      reached = stamp;
      return true;
    };
    if (index_ < line_up_.indexes.size()) {
      const BlockIndex& index = *line_up_.indexes[index_];
      if (index.stamp_last() >= first_) {
        if (index.stamp_first() > last_) return {};
        CAIRN_TRY_VOID(index.visit(first_, std::min(last_, index.stamp_last()), [&](const sealed::Entry& entry) -> Result<bool> {
          if (full(entry.stamp)) return false;
          CAIRN_TRY(save, index.save(entry));
          if (save) take(entry.key, *save);
          return true;
        }));
      }
      if (reached == 0) ++index_;
    } else if (open_ < line_up_.open.size()) {
      const OpenBlock& block = *line_up_.open[open_];
      CAIRN_TRY_VOID(block.visit(first_, last_, [&](const sealed::Entry& entry) -> Result<bool> {
        if (full(entry.stamp)) return false;
        take(entry.key, block.save(entry));
        return true;
      }));
      if (reached == 0) ++open_;
    } else {
      return {};
    }
    if (reached != 0) first_ = reached;
  }
  return {};
}

namespace {

/// The last saves of keys, in two ways at once: by walking through the saves in the order of time and looking each up, which
/// gives the first results soon, and by looking at all saves under the prefix, which is over soon if they are few. Neither gets
/// much more work than the other, so that the cost is at most about twice that of the better.
class KeyWalk final : public SaveSource {
 public:
  KeyWalk(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, Moment from, Moment to, std::uint64_t limit)
      : SaveSource(limit, timeline->read_view()),
        timeline_(std::move(timeline)),
        prefix_(prefix),
        first_(std::max(from.first().value, view_.main_first)),
        last_(std::min(before(to.first()), view_.visible)),
        end_ms_(std::min(directory::ms_of_stamp(before(to.first())), view_.now_ms)),
        walk_(*view_.line_up, first_, last_),
        step_saves_(timeline_->tuning().collect_step_saves) {
    if (prefix_.empty()) collecting_ = false;
    if (first_ > last_) left_ = 0;
    next();
  }

  [[nodiscard]] Result<Pinned> data() const override { return LineUp::data(now_.save, timeline_->counters()); }

 private:
  void show(const KeyedSave& found) {
    now_ = found;
    entry_ = {.key = found.key, .stamp = {found.save.stamp}, .erased = false};
  }

  Result<bool> step() override {
    while (true) {
      if (collected_all_) {
        if (collected_.empty()) return false;
        show(collected_.front());
        collected_.pop_front();
        return true;
      }
      if (collecting_ && walked_ >= looked_at_ + step_saves_) {
        CAIRN_TRY_VOID(collect());
        continue;
      }
      CAIRN_TRY(candidate, walk_.next());
      if (candidate == nullptr) return false;
      ++walked_;
      if (!candidate->key.starts_with(prefix_) || candidate->save.kind != RecordKind::kPut) continue;
      const KeyedSave found = *candidate;
      CAIRN_TRY(last,
                view_.line_up->find(found.key, timeline_->hash_of(found.key), found.save.stamp, last_, timeline_->counters()));
      if (!last || last->stamp != found.save.stamp || !last->gives_data(end_ms_)) continue;
      walked_ = 0;  // It led somewhere.
      looked_at_ = 0;
      reached_key_ = found.key;
      after_ = found.save.stamp;
      show(found);
      return true;
    }
  }

  /// Looks at some more saves under the prefix, newest first of each key.
  Result<void> collect() {
    if (!cursor_) {
      std::vector<std::unique_ptr<sealed::Cursor>> cursors;
      for (const auto& index : view_.line_up->indexes) {
        if (index->stamp_last() < first_ || index->stamp_first() > last_) continue;
        cursors.push_back(index->cursor());
      }
      for (const auto& block : view_.line_up->open) cursors.push_back(block->cursor());
      cursor_.emplace(std::move(cursors));
      CAIRN_TRY_VOID(cursor_->seek(prefix_));
    }
    for (std::uint64_t i = 0; i < step_saves_; ++i) {
      if (!cursor_->valid() || !cursor_->entry().key.starts_with(prefix_)) return end_collecting();
      const sealed::Entry& entry = cursor_->entry();
      if (entry.stamp <= last_ && entry.key != done_key_) CAIRN_TRY_VOID(look_at(entry));
      CAIRN_TRY_VOID(cursor_->next());
    }
    looked_at_ += step_saves_;
    if (collected_.size() > timeline_->tuning().collected_keys_max) {
      CAIRN_REACHED("too many keys under the prefix to collect");
      collecting_ = false;
      collected_.clear();
    }
    return {};
  }

  /// At the first save of a key that is not too new: finds the one that counts.
  Result<void> look_at(const sealed::Entry& entry) {
    done_key_ = entry.key;
    CAIRN_TRY(last, view_.line_up->find(entry.key, timeline_->hash_of(entry.key), first_, last_, timeline_->counters()));
    if (last && last->stamp >= first_ && last->gives_data(end_ms_)) collected_.push_back({entry.key, *last});
    return {};
  }

  Result<void> end_collecting() {
    CAIRN_REACHED("keys found by their prefix");
    std::ranges::sort(collected_, {}, [](const KeyedSave& each) { return std::pair(each.save.stamp, each.key); });
    collected_all_ = true;
    // What the walk has given already is not given again.
    while (!collected_.empty() &&
           std::pair(collected_.front().save.stamp, collected_.front().key) <= std::pair(after_, reached_key_)) {
      collected_.pop_front();
    }
    return {};
  }

  const std::shared_ptr<const TimelineImpl> timeline_;
  const Bytes prefix_;
  const std::uint64_t first_;
  const std::uint64_t last_;
  const std::int64_t end_ms_;  // The time as of which saves may have expired by themselves.
  TimeWalk walk_;
  const std::uint64_t step_saves_;
  std::uint64_t walked_ = 0;     // Saves in vain since there was a result,
  std::uint64_t looked_at_ = 0;  // and those looked at by prefix meanwhile.
  std::uint64_t after_ = 0;      // The last result.
  ByteView reached_key_;
  bool collecting_ = true;
  bool collected_all_ = false;
  std::optional<sealed::MergeCursor> cursor_;
  ByteView done_key_;
  std::deque<KeyedSave> collected_;
  KeyedSave now_;
};

/// The saves of one key, block index by block index, and between them the erases of all keys.
class HistoryWalk final : public SaveSource {
 public:
  HistoryWalk(std::shared_ptr<const TimelineImpl> timeline, ByteView key, Moment from, Moment to, std::uint64_t limit)
      : SaveSource(limit, timeline->read_view()),
        timeline_(std::move(timeline)),
        key_(key),
        first_(std::max(from.first().value, view_.main_first)),
        last_(std::min(before(to.first()), view_.visible)),
        erases_(view_.line_up->erases_between(first_, last_)) {
    next();
  }

  [[nodiscard]] Result<Pinned> data() const override { return LineUp::data(now_, timeline_->counters()); }

 private:
  Result<bool> step() override {
    if (!ahead_) {
      CAIRN_TRY(found, next_save());
      ahead_ = found;
    }
    if (erased_ < erases_.size() && (!*ahead_ || erases_[erased_] <= (*ahead_)->stamp)) {
      entry_ = {.key = key_, .stamp = {erases_[erased_++]}, .erased = true};
      return true;
    }
    if (!*ahead_) return false;
    now_ = **ahead_;
    ahead_.reset();
    entry_ = {.key = key_, .stamp = {now_.stamp}, .erased = now_.kind == RecordKind::kTombstone};
    return true;
  }

  /// nullopt: there is none.
  Result<std::optional<Save>> next_save() {
    const LineUp& line_up = *view_.line_up;
    while (true) {
      if (!cursor_) {
        if (at_ == line_up.indexes.size() + line_up.open.size()) return std::nullopt;
        CAIRN_TRY_VOID(enter());
        continue;
      }
      if (!cursor_->valid() || cursor_->entry().key != key_ || cursor_->entry().stamp > last_) {
        cursor_.reset();
        ++at_;
        continue;
      }
      std::optional<Save> save;
      if (at_ < line_up.indexes.size()) {
        CAIRN_TRY(found, line_up.indexes[at_]->save(cursor_->entry()));
        save = found;
      } else {
        save = line_up.open[at_ - line_up.indexes.size()]->save(cursor_->entry());
      }
      CAIRN_TRY_VOID(cursor_->prev());
      if (!save || save->kind == RecordKind::kExpiryChange || line_up.rolled_back(save->stamp)) continue;
      return save;
    }
  }

  /// Stands on the oldest save of the key, from first_ on, in the index or block, if it may have one.
  Result<void> enter() {
    const LineUp& line_up = *view_.line_up;
    if (at_ < line_up.indexes.size()) {
      const BlockIndex& index = *line_up.indexes[at_];
      const bool within = index.stamp_last() >= first_ && index.stamp_first() <= last_;
      if (!within || !index.file()->reader->may_contain(timeline_->hash_of(key_))) {
        ++at_;
        return {};
      }
      cursor_ = index.cursor();
    } else {
      cursor_ = line_up.open[at_ - line_up.indexes.size()]->cursor();
    }
    return cursor_->seek_before(key_, before({first_}));
  }

  const std::shared_ptr<const TimelineImpl> timeline_;
  const Bytes key_;
  const std::uint64_t first_;
  const std::uint64_t last_;
  const std::vector<std::uint64_t> erases_;   // Of all keys,
  std::size_t erased_ = 0;                    // of which so many are behind.
  std::optional<std::optional<Save>> ahead_;  // The save that comes next, if that is known.
  std::size_t at_ = 0;                        // Of the indexes, then of the open blocks.
  std::unique_ptr<sealed::Cursor> cursor_;
  Save now_;
};

}  // namespace

std::unique_ptr<SaveSource> walk_keys(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, Moment from, Moment to,
                                      std::uint64_t limit) {
  return std::make_unique<KeyWalk>(std::move(timeline), prefix, from, to, limit);
}
std::unique_ptr<SaveSource> walk_history(std::shared_ptr<const TimelineImpl> timeline, ByteView key, Moment from, Moment to,
                                         std::uint64_t limit) {
  return std::make_unique<HistoryWalk>(std::move(timeline), key, from, to, limit);
}

}  // namespace cairn::timeline
