// The ways of reading. A reader takes the line-up first and the visible version after it, and again if the line-up was changed
// meanwhile: so everything up to that version is in its line-up, and what it sees there, and in any later one, is the table
// at one moment. No lock is taken.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "table/scan.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

constexpr std::uint64_t kNoEnd = ~std::uint64_t{0};
constexpr std::uint64_t kStepsToNewer = 1024;  // Entries after which a scan looks for a newer line-up.

std::vector<std::unique_ptr<sealed::Cursor>> cursors_of(const ReadView& view) {
  std::vector<std::unique_ptr<sealed::Cursor>> cursors;
  cursors.reserve(view.layers().layers.size() + 1);
  for (const Layer& layer : view.layers().layers) {
    if (auto cursor = layer.cursor(view.family)) cursors.push_back(std::move(cursor));
  }
  cursors.push_back(view.line_up->active.cursor(view.family));
  return cursors;
}

/// The value that a reference record stands for.
Result<std::optional<Pinned>> large_value(const LineUp& line_up, const sealed::Entry& entry) {
  CAIRN_TRY(large, line_up.large_value(entry));
  CAIRN_TRY(value, large->value(entry));
  return Pinned(value, large, &large->live()->map()->bad_flag());
}

/// An entry of a memtable.
Pinned pinned(const sealed::Entry& entry, const Layer& layer) {
  const Memtable::Source* const source = layer.memtable->source_of(entry.value.data());
  return Pinned(entry.value, layer.hold->get(), source != nullptr ? &source->file->map()->bad_flag() : nullptr);
}

Pinned pinned(const sealed::SealedReader::Hit& hit, const Layer& layer, const RunFile& file) {
  if (hit.buffer) return Pinned(hit.entry.value, hit.buffer, nullptr);
  return Pinned(hit.entry.value, layer.hold->get(), &file.reader->file()->bad_flag());
}

}  // namespace

/// Newest layer first. A range tombstone of a layer hides what older layers have, and of its own what is older than it.
Result<std::optional<Pinned>> ReadView::get(ByteView key) const {
  const Layer& active = line_up->active;
  const std::uint64_t hash = xxh3(key, hash_seed);
  for (const Layer& layer : layers().layers) {  // While the memtables are searched.
    const RunFile* const file = layer.run ? layer.run->file_of(key) : nullptr;
    if (file != nullptr) file->reader->prefetch(hash);
  }
  const auto entry = active.memtable->get(family, key, version_max);
  const std::uint64_t erased = active.memtable->range_tombstones(family).newest_over(key, version_max);
  const auto from_memtable = [&](const sealed::Entry& found, const Layer& layer) {
    if (!is_value(found)) return Result<std::optional<Pinned>>(std::nullopt);
    if (found.kind == RecordKind::kReference) return large_value(*line_up, found);
    return Result<std::optional<Pinned>>(pinned(found, layer));
  };
  if (entry && entry->write_version > erased) return from_memtable(*entry, active);
  if (erased != 0) return std::nullopt;
  for (auto layer = layers().layers.rbegin(); layer != layers().layers.rend(); ++layer) {
    const std::uint64_t erased_here = layer->newest_range_tombstone(family, key, version_max);
    if (layer->memtable) {
      const auto older = layer->memtable->get(family, key, version_max);
      if (older && older->write_version > erased_here) return from_memtable(*older, *layer);
    } else if (const RunFile* const file = layer->run->file_of(key)) {
      CAIRN_TRY(hit, file->reader->get(key, hash, version_max));
      if (hit && hit->entry.write_version > erased_here) {
        if (!is_value(hit->entry)) return std::nullopt;
        if (hit->entry.kind == RecordKind::kReference) return large_value(*line_up, hit->entry);
        return pinned(*hit, *layer, *file);
      }
    }
    if (erased_here != 0) return std::nullopt;
  }
  return std::nullopt;
}

/// Whether `snapshot`, which is not "now", was taken of this table.
Result<void> TableImpl::check_snapshot(const Snapshot& snapshot) const {
  if (snapshot.is_of_nothing()) return fail(ErrorCode::kInvalidArgument, "the snapshot was taken of a handle that is not usable");
  const directory::Pin& pin = *snapshot.pin();
  if (&pin.directory() == directory_.get() && pin.view() == entry_.number) return {};
  return fail(ErrorCode::kInvalidArgument,
              "the snapshot is not one of table '" + entry_.name + "' as it is open now: take it from this table");
}

Result<ReadView> TableImpl::read_view(std::uint16_t family, const Snapshot& snapshot) const {
  const bool is_now = snapshot.is_now();
  if (!is_now) CAIRN_TRY_VOID(check_snapshot(snapshot));
  ReadView view;
  view.merges = merges_.load();
  std::uint64_t changes = 0;
  do {  // Everything up to that version must be in that line-up.
    changes = line_up_changes_.load(std::memory_order_acquire);
    view.line_up = line_up_.get();
    view.version_max = is_now ? log_.visible_version() : snapshot.write_version();
  } while (line_up_changes_.load(std::memory_order_acquire) != changes);
  if (!is_now) {
    view.pin = snapshot.pin();
    if (view.pin->ended()) return fail(ErrorCode::kUnavailable, "the snapshot was ended");
  }
  view.home = &scan_home_;
  view.family = family;
  view.hash_seed = directory_->hash_seed();
  return view;
}

Result<std::optional<Pinned>> TableImpl::get(std::uint16_t family, ByteView key, const Snapshot& snapshot) const {
  CAIRN_TRY(view, read_view(family, snapshot));
  return view.get(key);
}

Result<std::vector<std::optional<Pinned>>> TableImpl::multi_get(std::uint16_t family, std::span<const ByteView> keys,
                                                                const Snapshot& snapshot) const {
  CAIRN_TRY(view, read_view(family, snapshot));
  std::vector<std::optional<Pinned>> values;
  values.reserve(keys.size());
  for (const ByteView key : keys) {
    CAIRN_TRY(value, view.get(key));
    values.push_back(std::move(value));
  }
  return values;
}

std::unique_ptr<EntrySource> TableImpl::scan(std::uint16_t family, const Range& range, Direction direction, std::uint64_t limit,
                                             const Snapshot& snapshot) const {
  Result<ReadView> view = read_view(family, snapshot);
  if (!view) return std::make_unique<NoEntries>(view.error());
  return std::make_unique<RangeScan>(*std::move(view), range, direction, limit);
}

std::unique_ptr<EntrySource> TableImpl::find(std::uint16_t family, const std::string& index, ByteView term,
                                             const Snapshot& snapshot) const {
  Result<ReadView> view = read_view(family, snapshot);
  if (!view) return std::make_unique<NoEntries>(view.error());
  return std::make_unique<TermScan>(*std::move(view), index, term);
}

Snapshot TableImpl::snapshot(const std::string& label) const {
  return Snapshot(directory_->pin(entry_.number, log_.visible(), label, counters_.written_bytes));
}

Result<void> TableImpl::end_pin(std::uint64_t id) { return directory_->end_pin(entry_.number, id); }

RangeScan::RangeScan(ReadView view, Range range, Direction direction, std::uint64_t limit)
    : view_(std::move(view)), range_(std::move(range)), direction_(direction), left_(limit == 0 ? kNoEnd : limit) {
  open_cursors();
  dead_ = view_.layers().dead->list();  // After the version was taken.
  if (const Result<void> done = start(); !done) ended(done);
}

void RangeScan::open_cursors() {
  cursor_.emplace(cursors_of(view_));
  range_tombstones_.clear();
  const auto add = [&](const RangeTombstones& set) {
    if (!set.empty()) range_tombstones_.push_back(&set);
  };
  add(view_.line_up->active.memtable->range_tombstones(view_.family));
  for (const Layer& layer : view_.layers().layers) {
    if (layer.memtable) add(layer.memtable->range_tombstones(view_.family));
    if (!layer.run || !layer.run->has_range_tombstones()) continue;
    for (const auto& file : layer.run->files()) add(file->range_tombstones);
  }
}

/// So that what it sees stays in newer line-ups too; whether it does. Not if a merge has begun before, which may have
/// dropped some of it.
bool RangeScan::pin_itself() {
  const ScanHome& home = *view_.home;
  if (!view_.pin) {
    const std::atomic<std::uint64_t> version{view_.version_max};
    view_.pin = home.directory.pin(home.view, version, "scan", home.written_bytes);
    pinned_ = home.merges.load() == view_.merges;
  }
  return pinned_ && !view_.pin->ended();
}

/// A long scan lets go of memtables that were flushed meanwhile, and goes on in their sealed files: then the cursor stands
/// behind the key already. Whether it did.
Result<bool> RangeScan::take_newer_line_up() {
  if (!pin_itself()) return false;
  std::shared_ptr<const LineUp> now = view_.home->line_ups.get();
  if (view_.pin->ended()) return false;
  const auto frozen = now->frozen();
  const auto held = [&](const std::shared_ptr<const Memtable>& memtable) {
    return memtable == now->active.memtable || std::find(frozen.begin(), frozen.end(), memtable) != frozen.end();
  };
  const auto before = view_.line_up->frozen();
  if (held(view_.line_up->active.memtable) && std::all_of(before.begin(), before.end(), held)) return false;
  CAIRN_REACHED("scan went on in a newer line-up");
  const Bytes key(entry_.key);
  view_.line_up = std::move(now);
  watch_.reset();
  dead_keys_ = 0;
  open_cursors();
  CAIRN_TRY_VOID(direction_ == Direction::kForward ? cursor_->seek(key + '\0') : cursor_->seek_before(key));
  return true;
}

void RangeScan::ended(const Result<void>& how) {
  status_ = how;
  found_ = false;
}

Result<void> RangeScan::start() {
  if (direction_ == Direction::kForward) {
    CAIRN_TRY_VOID(range_.from.empty() ? cursor_->seek_first() : cursor_->seek(range_.from));
    return find_forward();
  }
  CAIRN_TRY_VOID(range_.to.empty() ? cursor_->seek_last() : cursor_->seek_before(range_.to));
  return find_reverse();
}

void RangeScan::next() {
  found_ = false;
  if (--left_ == 0) return;
  if (const Result<void> done = step(); !done) ended(done);
}

Result<void> RangeScan::step() {
  if (large_) large_.reset();
  bool behind = direction_ == Direction::kReverse;
  if (++steps_ % kStepsToNewer == 0) {
    CAIRN_TRY(renewed, take_newer_line_up());
    behind = behind || renewed;
  }
  if (!behind) {
    do {
      CAIRN_TRY_VOID(cursor_->next());
    } while (at_key());
  }
  return direction_ == Direction::kForward ? find_forward() : find_reverse();
}

bool RangeScan::erased(const sealed::Entry& entry) const {
  return std::any_of(range_tombstones_.begin(), range_tombstones_.end(), [&](const RangeTombstones* set) {
    return set->newest_over(entry.key, view_.version_max) > entry.write_version;
  });
}

/// Whether a later scan may see this value, which this one does not: a clock may be set back.
bool RangeScan::has_only_expired(const sealed::Entry& entry) const {
  return is_value(entry.kind) && !view_.is_value(entry) && !erased(entry);
}

Result<void> RangeScan::take(const sealed::Entry& entry) {
  found_ = view_.is_value(entry) && (range_tombstones_.empty() || !erased(entry));
  entry_.value = entry.value;
  if (!found_ || entry.kind != RecordKind::kReference) return {};
  CAIRN_TRY(large, view_.line_up->large_value(entry));
  CAIRN_TRY(value, large->value(entry));
  entry_.value = value;
  large_ = large;
  return {};
}

/// If the cursor stands where nothing is left, moves it on to what may be; whether it did.
Result<bool> RangeScan::jump() {
  const DeadRanges::Range* const range = DeadRanges::over(*dead_, cursor_->entry().key, view_.version_max);
  if (range == nullptr) return false;
  const bool upwards = direction_ == Direction::kForward;
  end_dead_run(upwards ? range->from : range->to);
  dead_bound_ = upwards ? range->to : range->from;
  dead_keys_ = 1;
  if (dead_bound_.empty()) {  // Up to the last key, or down to the first: the walk is over.
    left_ = 0;
    return true;
  }
  CAIRN_TRY_VOID(upwards ? cursor_->seek(dead_bound_) : cursor_->seek_before(dead_bound_));
  return true;
}

/// The key is not there for this scan, nor, unless a `newer` version says otherwise, for any later one.
Result<void> RangeScan::note_dead(bool newer) {
  const bool upwards = direction_ == Direction::kForward;
  if (newer) {
    end_dead_run(bound_at_key());
    return {};
  }
  if (watch_) return {};
  if (dead_keys_++ == 0) dead_bound_ = bound_at_key();
  if (dead_keys_ <= view_.layers().dead->keys_min()) return {};
  watch_ = view_.layers().dead->watch(upwards, dead_bound_);
  dead_keys_ = 0;
  if (!watch_) return {};
  return upwards ? cursor_->seek(dead_bound_) : cursor_->seek_before(dead_bound_);  // Again, now that puts are noted.
}

/// Between the keys that were walked and this one.
Bytes RangeScan::bound_at_key() const {
  Bytes bound(entry_.key);
  if (direction_ == Direction::kReverse) bound += '\0';
  return bound;
}

/// What was walked is dead as far as `end`, which is not.
void RangeScan::end_dead_run(const Bytes& end) {
  dead_keys_ = 0;
  const std::shared_ptr<DeadRanges::Watch> watch = std::move(watch_);
  if (!watch || view_.home->line_ups.get()->active.memtable != view_.line_up->active.memtable) return;
  view_.layers().dead->finish(watch, end, view_.version_max);
}

/// From the cursor on, the first key whose newest visible version is a value. Leaves the cursor at that version.
Result<void> RangeScan::find_forward() {
  while (cursor_->valid() && in_range(cursor_->entry().key)) {
    if (!dead_->empty()) {
      CAIRN_TRY(jumped, jump());
      if (jumped && left_ == 0) return {};
      if (jumped) continue;
    }
    begin_key();
    bool there = true;
    bool newer = false;
    while (there && cursor_->entry().write_version > view_.version_max) {
      newer = newer || is_value(cursor_->entry().kind);
      CAIRN_TRY_VOID(cursor_->next());
      there = at_key();
    }
    if (there) CAIRN_TRY_VOID(take(cursor_->entry()));
    if (found_) {
      if (in_dead_run()) end_dead_run(bound_at_key());
      return {};
    }
    newer = newer || (there && has_only_expired(cursor_->entry()));
    while (at_key()) CAIRN_TRY_VOID(cursor_->next());
    CAIRN_TRY_VOID(note_dead(newer));
  }
  end_dead_run(range_.to);
  return {};
}

/// The same backwards, where the versions of a key come oldest first and the last visible one counts: leaves the cursor
/// before that key.
Result<void> RangeScan::find_reverse() {
  while (cursor_->valid() && in_range(cursor_->entry().key)) {
    if (!dead_->empty()) {
      CAIRN_TRY(jumped, jump());
      if (jumped && left_ == 0) return {};
      if (jumped) continue;
    }
    bool newer = false;
    begin_key();
    do {
      newer = newer || (cursor_->entry().write_version > view_.version_max && is_value(cursor_->entry().kind));
      if (cursor_->entry().write_version <= view_.version_max) {
        begin_key();
        CAIRN_TRY_VOID(take(cursor_->entry()));
        newer = newer || (!found_ && has_only_expired(cursor_->entry()));
      }
      CAIRN_TRY_VOID(cursor_->prev());
    } while (at_key());
    if (found_) {
      if (in_dead_run()) end_dead_run(bound_at_key());
      return {};
    }
    CAIRN_TRY_VOID(note_dead(newer));
  }
  end_dead_run(range_.from);
  return {};
}

TermScan::TermScan(ReadView view, const std::string& index, ByteView term)
    : view_(std::move(view)), index_(view_.layers().family->index(index)), term_(term) {
  if (index_ == nullptr) {
    status_ = fail(ErrorCode::kInvalidArgument, "family '" + view_.layers().family->name + "' has no index '" + index + "'");
    return;
  }
  status_ = collect();
  if (status_) status_ = find();
}

/// The keys of all records that were ever indexed under the stored term and are still there in some version.
Result<void> TermScan::collect() {
  const auto number = static_cast<std::size_t>(index_ - view_.layers().family->indexes.data());
  const Bytes stored = index_->stored(term_, view_.hash_seed);
  const auto visit = [&](const sealed::Entry& entry) -> Result<void> {
    if (entry.write_version <= view_.version_max) keys_.emplace_back(entry.key);
    return {};
  };
  CAIRN_TRY_VOID(view_.line_up->active.memtable->find_term(view_.family, number, stored, visit));
  for (const Layer& layer : view_.layers().layers) {
    if (layer.memtable) CAIRN_TRY_VOID(layer.memtable->find_term(view_.family, number, stored, visit));
    if (!layer.run) continue;
    for (const auto& file : layer.run->files()) CAIRN_TRY_VOID(file->reader->find_term(index_->name, stored, visit));
  }
  std::sort(keys_.begin(), keys_.end());
  keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
  return {};
}

/// From the key at_ on, the first whose value has the term now.
Result<void> TermScan::find() {
  found_ = false;
  for (; at_ < keys_.size(); ++at_) {
    CAIRN_TRY(value, view_.get(keys_[at_]));
    const Result<std::optional<Bytes>> term = value ? index_->term_of(value->view()) : std::nullopt;
    if (!term || *term != term_) continue;  // A record whose extractor throws has no term.
    value_ = std::move(value);
    entry_ = {.key = keys_[at_], .value = value_->view()};
    found_ = true;
    return {};
  }
  return {};
}

void TermScan::next() {
  ++at_;
  status_ = find();
}

}  // namespace cairn::table
