// What get() finds, in the order of keys, and one of its keys by chance.
#include <algorithm>

#include "base/random.h"
#include "base/reached.h"
#include "timeline/walks.h"

namespace cairn::timeline {
namespace {

/// Versions of one key that are passed one by one; where there are more, the next key is searched for.
constexpr int kPassedOneByOne = 8;

class PresentWalk final : public SaveSource {
 public:
  PresentWalk(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, ByteView from, std::uint64_t limit, Sees sees)
      : SaveSource(limit, timeline->read_view(sees)),
        timeline_(std::move(timeline)),
        prefix_(prefix),
        first_(timeline_->first_of_get(view_)),
        erase_(view_.line_up->last_erase(view_.visible)) {
    const LineUp& line_up = *view_.line_up;
    std::vector<std::unique_ptr<sealed::Cursor>> cursors;
    cursors.reserve(line_up.indexes.size() + line_up.open.size());
    blocks_.reserve(line_up.blocks.size() + line_up.open.size());
    for (const auto& index : line_up.indexes) cursors.push_back(index->cursor());
    for (const auto& block : line_up.open) cursors.push_back(block->cursor());
    for (const auto& placed : line_up.blocks) blocks_.push_back({placed.block->number(), placed.block.get(), nullptr});
    for (const auto& block : line_up.open) blocks_.push_back({block->number(), nullptr, block.get()});
    std::ranges::sort(blocks_, {}, &Numbered::number);
    cursor_.emplace(std::move(cursors));
    status_ = cursor_->seek(std::max(prefix, from));
    if (status_) next();
  }

  [[nodiscard]] Result<Pinned> data() const override { return LineUp::data(now_, timeline_->counters()); }
  [[nodiscard]] const ReadView& view() const { return view_; }
  [[nodiscard]] const Save& save() const { return now_; }

 private:
  struct Numbered {
    std::uint64_t number;
    const Block* block;
    const OpenBlock* open;
  };

  Result<bool> step() override {
    while (cursor_->valid() && cursor_->entry().key.starts_with(prefix_)) {
      key_ = cursor_->entry().key;
      CAIRN_TRY(save, last_save());
      CAIRN_TRY_VOID(leave_key());
      if (!save) continue;
      now_ = *save;
      entry_ = {.key = key_, .stamp = {now_.stamp}, .erased = false};
      return true;
    }
    return false;
  }

  /// What get() finds under the key that the cursor stands on.
  Result<std::optional<Save>> last_save() {
    const LineUp& line_up = *view_.line_up;
    const sealed::Entry& entry = cursor_->entry();
    std::optional<Save> save;
    // Nearly always the newest version is it, and a lookup can be spared.
    if (entry.kind == RecordKind::kPut && entry.stamp <= view_.visible && entry.stamp > erase_ && line_up.rollbacks.empty()) {
      save = placed(entry);
    }
    if (!save) {
      CAIRN_TRY(found, line_up.find(key_, timeline_->hash_of(key_), first_, view_.visible, timeline_->counters()));
      save = found;
    }
    return save && save->stamp >= first_ && save->gives_data(view_.now_ms) ? save : std::nullopt;
  }

  /// nullopt: its block has left.
  std::optional<Save> placed(const sealed::Entry& entry) {
    if (!has_place(entry)) return std::nullopt;
    Save save = save_of(entry);
    const auto found = std::ranges::lower_bound(blocks_, save.place.block, {}, &Numbered::number);
    if (found == blocks_.end() || found->number != save.place.block) return std::nullopt;
    save.block = found->block;
    save.open = found->open;
    return save;
  }

  Result<void> leave_key() {
    for (int passed = 0; cursor_->valid() && cursor_->entry().key == key_; ++passed) {
      if (passed == kPassedOneByOne) {
        Bytes behind = key_;
        behind.push_back('\0');
        return cursor_->seek(behind);
      }
      CAIRN_TRY_VOID(cursor_->next());
    }
    return {};
  }

  const std::shared_ptr<const TimelineImpl> timeline_;
  const Bytes prefix_;
  const std::uint64_t first_;
  const std::uint64_t erase_;     // Of all keys, the last.
  std::vector<Numbered> blocks_;  // By number.
  std::optional<sealed::MergeCursor> cursor_;
  Bytes key_;
  Save now_;
};

}  // namespace

std::unique_ptr<SaveSource> walk_present(std::shared_ptr<const TimelineImpl> timeline, ByteView prefix, ByteView from,
                                         std::uint64_t limit, Sees sees) {
  return std::make_unique<PresentWalk>(std::move(timeline), prefix, from, limit, sees);
}

Result<void> visit_present(const TimelineImpl& timeline, Sees sees, const std::function<void(const ReadView&)>& begin,
                           const std::function<void(ByteView key, const Save&)>& visit) {
  PresentWalk walk({std::shared_ptr<const void>{}, &timeline}, {}, {}, 0, sees);
  begin(walk.view());
  for (; walk.valid(); walk.next()) visit(walk.entry().key, walk.save());
  return walk.status();
}

/// Picks saves at random until one is the last of its key, so that every key has the same chance, however often it was saved.
/// Expected tries: saves for each key. Where most saves are superseded a walk over all keys picks one.
Result<std::optional<Bytes>> random_key(const TimelineImpl& timeline, std::uint64_t random, Sees sees) {
  constexpr int kTries = 8192;  // About as many microseconds.
  const ReadView view = timeline.read_view(sees);
  const LineUp& line_up = *view.line_up;
  const std::uint64_t first = timeline.first_of_get(view);
  std::vector<std::uint64_t> counts;  // Of saves, of indexes and then of open blocks.
  std::uint64_t saves = 0;
  for (const auto& index : line_up.indexes) {
    CAIRN_TRY(count, index->file()->reader->term_count(kTimes));
    counts.push_back(count);
  }
  for (const auto& block : line_up.open) counts.push_back(block->saves());
  for (const std::uint64_t count : counts) saves += count;
  Random chance(random);
  for (int i = 0; saves != 0 && i < kTries; ++i) {
    std::uint64_t number = chance.below(saves);
    std::size_t at = 0;
    for (; number >= counts[at]; ++at) number -= counts[at];
    sealed::Entry entry;
    PlaceBytes place;
    if (at < line_up.indexes.size()) {
      CAIRN_TRY(found, line_up.indexes[at]->file()->reader->term_entry(kTimes, number));
      entry = found;
    } else {
      entry = line_up.open[at - line_up.indexes.size()]->nth(number, place);
    }
    if (entry.kind != RecordKind::kPut || entry.stamp > view.visible || entry.stamp < first) continue;
    CAIRN_TRY(last, line_up.find(entry.key, timeline.hash_of(entry.key), first, view.visible, timeline.counters()));
    if (last && last->stamp == entry.stamp && last->gives_data(view.now_ms)) return Bytes(entry.key);
  }
  CAIRN_REACHED("random key found by walking");
  std::optional<Bytes> key;
  std::uint64_t keys = 0;
  // Each key takes the place of those before it with the chance 1 / number (reservoir sampling).
  CAIRN_TRY_VOID(visit_present(
      timeline, sees, [](const ReadView&) {},
      [&](ByteView next, const Save&) {
        if (chance.below(++keys) == 0) key = Bytes(next);
      }));
  return key;
}

}  // namespace cairn::timeline
