// The ways of reading. A reader takes the line-up first and the visible version after it: everything up to that version
// which is not in the line-up is in a later memtable, so what it sees is the table at one moment, whatever happens
// meanwhile. No lock is taken.
#include "base/error.h"
#include "table/scan_impl.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

constexpr std::uint64_t kNoEnd = ~std::uint64_t{0};

std::vector<std::unique_ptr<sealed::Cursor>> cursors_of(const LineUp& line_up) {
  std::vector<std::unique_ptr<sealed::Cursor>> cursors;
  cursors.reserve(line_up.layers.size() + 1);
  for (const Layer& layer : line_up.layers) cursors.push_back(layer.cursor());
  cursors.push_back(line_up.active->cursor());
  return cursors;
}

std::optional<Pinned> from_memtable(const sealed::Entry& entry, const std::shared_ptr<const Memtable>& memtable) {
  if (entry.kind == RecordKind::kTombstone) return std::nullopt;
  for (const Memtable::Source& source : memtable->sources()) {
    const ByteView bytes = source.file->map()->bytes();
    if (entry.value.data() >= bytes.data() && entry.value.data() <= bytes.data() + bytes.size()) {
      return Pinned(entry.value, memtable, &source.file->map()->bad_flag());
    }
  }
  return Pinned(entry.value, memtable, nullptr);
}

std::optional<Pinned> from_run(const sealed::SealedReader::Hit& hit, const std::shared_ptr<const Run>& run) {
  if (hit.entry.kind == RecordKind::kTombstone) return std::nullopt;
  if (hit.buffer) return Pinned(hit.entry.value, hit.buffer, nullptr);
  return Pinned(hit.entry.value, run, &run->reader->file()->bad_flag());
}

Result<std::optional<Pinned>> get_from(const LineUp& line_up, ByteView key, std::uint64_t hash, WriteVersion version_max) {
  if (const auto entry = line_up.active->get(key, version_max)) return from_memtable(*entry, line_up.active);
  for (auto layer = line_up.layers.rbegin(); layer != line_up.layers.rend(); ++layer) {
    if (layer->run) {
      CAIRN_TRY(hit, layer->run->reader->get(key, hash, version_max));
      if (hit) return from_run(*hit, layer->run);
    } else if (const auto entry = layer->memtable->get(key, version_max)) {
      return from_memtable(*entry, layer->memtable);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<Pinned>> TableImpl::get(ByteView key, const Snapshot& snapshot) const {
  const std::shared_ptr<const LineUp> line_up = line_up_.get();
  const WriteVersion version = snapshot.is_now() ? visible_version_.load(std::memory_order_acquire) : snapshot.write_version();
  return get_from(*line_up, key, xxh3(key, directory_->hash_seed()), version);
}

Result<std::vector<std::optional<Pinned>>> TableImpl::multi_get(std::span<const ByteView> keys, const Snapshot& snapshot) const {
  const std::shared_ptr<const LineUp> line_up = line_up_.get();
  const WriteVersion version = snapshot.is_now() ? visible_version_.load(std::memory_order_acquire) : snapshot.write_version();
  std::vector<std::optional<Pinned>> values;
  values.reserve(keys.size());
  for (const ByteView key : keys) {
    CAIRN_TRY(value, get_from(*line_up, key, xxh3(key, directory_->hash_seed()), version));
    values.push_back(std::move(value));
  }
  return values;
}

std::unique_ptr<ScanImpl> TableImpl::scan(const Range& range, Direction direction, std::uint64_t limit,
                                          const Snapshot& snapshot) const {
  std::shared_ptr<const LineUp> line_up = line_up_.get();
  const WriteVersion version = snapshot.is_now() ? visible_version_.load(std::memory_order_acquire) : snapshot.write_version();
  return std::make_unique<ScanImpl>(std::move(line_up), snapshot.pin(), version, range, direction, limit);
}

Snapshot TableImpl::snapshot(const std::string& label) const {
  return Snapshot(directory_->pin(entry_.number, visible_version_, label));
}

ScanImpl::ScanImpl(std::shared_ptr<const LineUp> line_up, std::shared_ptr<const directory::Pin> pin, WriteVersion version_max,
                   Range range, Direction direction, std::uint64_t limit)
    : line_up_(std::move(line_up)),
      pin_(std::move(pin)),
      version_max_(version_max),
      range_(std::move(range)),
      direction_(direction),
      left_(limit == 0 ? kNoEnd : limit),
      cursor_(cursors_of(*line_up_)) {
  run(&ScanImpl::start);
}

void ScanImpl::run(Result<void> (ScanImpl::*step)()) {
  found_ = false;
  status_ = (this->*step)();
  if (!status_) found_ = false;
}

Result<void> ScanImpl::start() {
  if (direction_ == Direction::kForward) {
    CAIRN_TRY_VOID(range_.from.empty() ? cursor_.seek_first() : cursor_.seek(range_.from));
    return find_forward();
  }
  CAIRN_TRY_VOID(range_.to.empty() ? cursor_.seek_last() : cursor_.seek_before(range_.to));
  return find_reverse();
}

void ScanImpl::next() {
  if (!found_) return;
  --left_;
  run(direction_ == Direction::kForward ? &ScanImpl::find_forward : &ScanImpl::find_reverse);
}

bool ScanImpl::in_range(ByteView key) const {
  return direction_ == Direction::kForward ? range_.to.empty() || key < range_.to : key >= range_.from;
}

/// From the cursor on, the first key whose newest visible version is a value. Leaves the cursor behind that key.
Result<void> ScanImpl::find_forward() {
  while (left_ != 0 && cursor_.valid() && in_range(cursor_.entry().key)) {
    bool decided = false;
    key_ = cursor_.entry().key;
    while (cursor_.valid() && cursor_.entry().key == key_) {
      const sealed::Entry& entry = cursor_.entry();
      if (!decided && entry.write_version <= version_max_) {
        decided = true;
        if (entry.kind == RecordKind::kPut) {
          found_ = true;
          value_ = entry.value;
          hold_ = cursor_.hold();
        }
      }
      CAIRN_TRY_VOID(cursor_.next());
    }
    if (found_) return {};
  }
  return {};
}

/// The same backwards, where the versions of a key come oldest first and the last visible one counts.
Result<void> ScanImpl::find_reverse() {
  while (left_ != 0 && cursor_.valid() && in_range(cursor_.entry().key)) {
    key_ = cursor_.entry().key;
    found_ = false;
    while (cursor_.valid() && cursor_.entry().key == key_) {
      const sealed::Entry& entry = cursor_.entry();
      if (entry.write_version <= version_max_) {
        found_ = entry.kind == RecordKind::kPut;
        value_ = entry.value;
        hold_ = cursor_.hold();
      }
      CAIRN_TRY_VOID(cursor_.prev());
    }
    if (found_) return {};
  }
  return {};
}

}  // namespace cairn::table
