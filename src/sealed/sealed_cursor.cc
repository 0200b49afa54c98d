// Walking a sealed file. Uncompressed, records follow each other through all of the object table, and its units are only
// where seeks and steps back begin; compressed, one unit at a time is held decompressed.
#include "sealed/sealed_reader.h"
#include "storage/read_ahead.h"

namespace cairn::sealed {
namespace {
constexpr std::uint64_t kSeekPrefetchBytes = 1536;  // The rest of the unit that a seek finds, and some of the next.

/// A place between entries, which may be one between versions of a key.
struct Place {
  ByteView key;
  std::uint64_t version;
  [[nodiscard]] bool is_behind(const Entry& entry) const {
    return entry.key < key || (entry.key == key && entry.write_version > version);
  }
};
}  // namespace

/// Of an uncompressed file.
class ObjectCursor final : public Cursor {
 public:
  explicit ObjectCursor(std::shared_ptr<const SealedReader> reader)
      : reader_(std::move(reader)),
        data_(reader_->file_->data()),
        table_begin_(reader_->objects_.offset),
        table_end_(table_begin_ + reader_->objects_.length),
        ahead_(*reader_->file_, table_begin_, table_end_),
        behind_(ahead_) {}

  Result<void> prepare_seek(ByteView key) override {
    CAIRN_TRY(first, reader_->first_unit_from(key));
    CAIRN_TRY(unit, first <= 1 ? Result<std::uint64_t>(table_begin_) : reader_->unit_position(first - 1));
    // Each record says where the next begins: without this one miss of the cache would wait for the other.
    for (std::uint64_t at = 0; at < kSeekPrefetchBytes; at += 64) __builtin_prefetch(data_ + unit + at);
    prepared_ = unit;
    return {};
  }
  Result<void> seek(ByteView key) override {
    before_.clear();
    if (!prepared_) CAIRN_TRY_VOID(prepare_seek(key));
    CAIRN_TRY_VOID(to(*std::exchange(prepared_, std::nullopt)));
    while (valid() && now_.key < key) CAIRN_TRY_VOID(to(end_));
    return {};
  }
  Result<void> seek_first() override {
    before_.clear();
    return to(table_begin_);
  }
  Result<void> seek_before(ByteView key, std::uint64_t version) override {
    const Place place{key, version};
    CAIRN_TRY(first, reader_->first_unit_from(key, version));
    entry_ = nullptr;
    return first == 0 ? Result<void>{} : to_last(first - 1, &place);  // It is behind the unit's first.
  }
  Result<void> seek_last() override {
    entry_ = nullptr;
    return reader_->unit_count_ == 0 ? Result<void>{} : to_last(reader_->unit_count_ - 1, nullptr);
  }
  Result<void> next() override {
    before_.clear();
    return to(end_);
  }
  Result<void> prev() override {
    if (before_.empty()) {
      entry_ = nullptr;
      if (at_ == table_begin_) return {};
      CAIRN_TRY(unit, last_unit_before(at_));
      behind_.backward(unit, at_);
      CAIRN_TRY_VOID(note_until(unit, at_));
    }
    return to_popped();
  }

 private:
  /// To the record at `at`; not valid if the table ends there.
  Result<void> to(std::uint64_t at) {
    entry_ = nullptr;
    if (at >= table_end_) return {};
    if (at < verified_from_ || at > verified_to_) verified_from_ = verified_to_ = at;
    const std::uint64_t header_end = std::min(at + sizeof(ObjectHeader), table_end_);
    if (header_end > verified_to_) CAIRN_TRY_VOID(verify_to(header_end));
    const ByteView rest(data_ + at, table_end_ - at);
    const std::uint64_t size = reader_->parse_object(rest, now_);
    if (size == 0) return std::unexpected(reader_->not_an_object(rest, at));
    if (at + size > verified_to_) CAIRN_TRY_VOID(verify_to(at + size));
    if (reader_->bad_.load(std::memory_order_acquire)) return reader_->file_->status();
    at_ = at;
    end_ = at + size;
    entry_ = &now_;
    return {};
  }
  Result<void> verify_to(std::uint64_t end) {
    CAIRN_TRY_VOID(reader_->ensure(verified_to_, end - verified_to_));
    const std::uint64_t page_end = round_up(end, kPageBytes);
    ahead_.forward(verified_to_, page_end);
    verified_to_ = page_end;
    return {};
  }
  /// The place of the last unit that begins before `at`, which is not the first record.
  Result<std::uint64_t> last_unit_before(std::uint64_t at) const {
    std::uint64_t low = 0;
    std::uint64_t high = reader_->unit_count_;
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      CAIRN_TRY(position, reader_->unit_position(middle));
      if (position < at) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low == 0 ? Result<std::uint64_t>(table_begin_) : reader_->unit_position(low - 1);
  }
  /// Notes where the records from `at` up to `end` begin.
  Result<void> note_until(std::uint64_t at, std::uint64_t end) {
    Entry entry;
    while (at < end) {
      CAIRN_TRY(size, reader_->object_at(at, entry));
      before_.push_back(at);
      at += size;
    }
    return {};
  }
  /// To the last record (before `*place`) of what begins with unit `index`.
  Result<void> to_last(std::uint64_t index, const Place* place) {
    before_.clear();
    CAIRN_TRY(unit, reader_->unit_position(index));
    CAIRN_TRY_VOID(to(unit));
    while (valid() && (place == nullptr || place->is_behind(now_))) {
      before_.push_back(at_);
      CAIRN_TRY_VOID(to(end_));
    }
    return to_popped();
  }
  Result<void> to_popped() {
    if (before_.empty()) return reader_->damaged("records do not match the sparse index", at_);
    const std::uint64_t at = before_.back();
    before_.pop_back();
    return to(at);
  }

  std::shared_ptr<const SealedReader> reader_;
  const char* data_;
  std::uint64_t table_begin_;
  std::uint64_t table_end_;
  storage::ReadAhead ahead_;
  storage::ReadAhead behind_;  // Of a walk backwards.
  std::uint64_t at_ = 0;       // Where the record begins and ends.
  std::uint64_t end_ = 0;
  std::uint64_t verified_from_ = 0;  // Bytes that need not be verified again.
  std::uint64_t verified_to_ = 0;
  std::optional<std::uint64_t> prepared_;  // The unit that the seek to come begins with.
  std::vector<std::uint64_t> before_;      // Where records before it begin, as far as they are known.
  Entry now_;
};

/// Of a compressed file: holds the unit it is in. Where the records before it begin is found out when it first walks back.
class UnitCursor final : public Cursor {
 public:
  explicit UnitCursor(std::shared_ptr<const SealedReader> reader)
      : reader_(std::move(reader)),
        ahead_(*reader_->file_, reader_->objects_.offset, reader_->objects_.offset + reader_->objects_.length),
        behind_(ahead_) {
    hold_ = &unit_.buffer;
  }

  Result<void> seek(ByteView key) override {
    CAIRN_TRY(first, reader_->first_unit_from(key));
    CAIRN_TRY_VOID(load_unit(first == 0 ? 0 : first - 1));
    while (valid() && now_.key < key) CAIRN_TRY_VOID(next());
    return {};
  }
  Result<void> seek_first() override { return load_unit(0); }
  Result<void> seek_before(ByteView key, std::uint64_t version) override {
    const Place place{key, version};
    CAIRN_TRY(first, reader_->first_unit_from(key, version));
    entry_ = nullptr;
    return first == 0 ? Result<void>{} : to_last(first - 1, &place);  // It is behind the unit's first.
  }
  Result<void> seek_last() override {
    entry_ = nullptr;
    return reader_->unit_count_ == 0 ? Result<void>{} : to_last(reader_->unit_count_ - 1, nullptr);
  }
  Result<void> next() override {
    before_.clear();
    if (end_ == unit_.records.size()) return load_unit(unit_index_ + 1);
    return to(end_);
  }
  Result<void> prev() override {
    if (at_ == 0) {
      entry_ = nullptr;
      return unit_index_ == 0 ? Result<void>{} : to_last(unit_index_ - 1, nullptr);
    }
    if (before_.empty()) {
      Entry entry;
      for (std::uint64_t at = 0; at < at_;) {
        CAIRN_TRY(size, reader_->parse(unit_.records, at, unit_.offset, entry));
        before_.push_back(static_cast<std::uint32_t>(at));
        at += size;
      }
    }
    return to_popped();
  }

 private:
  /// Loads unit `index` and stands on its first record; not valid if there is no such unit.
  Result<void> load_unit(std::uint64_t index) {
    entry_ = nullptr;
    before_.clear();
    if (index >= reader_->unit_count_) return {};
    CAIRN_TRY(unit, reader_->unit(index));
    unit_ = std::move(unit);
    ahead_.forward(unit_.offset, unit_.end);
    behind_.backward(unit_.offset, unit_.end);
    unit_index_ = index;
    if (unit_.records.empty()) return reader_->damaged("unit without a record", unit_.offset);
    return to(0);
  }
  Result<void> to(std::uint64_t at) {
    entry_ = nullptr;
    CAIRN_TRY(size, reader_->parse(unit_.records, at, unit_.offset, now_));
    if (reader_->bad_.load(std::memory_order_acquire)) return reader_->file_->status();
    at_ = at;
    end_ = at + size;
    entry_ = &now_;
    return {};
  }
  /// To the last record of unit `index` (before `*place`).
  Result<void> to_last(std::uint64_t index, const Place* place) {
    CAIRN_TRY_VOID(load_unit(index));
    while (place == nullptr || place->is_behind(now_)) {
      before_.push_back(static_cast<std::uint32_t>(at_));
      if (end_ == unit_.records.size()) break;
      CAIRN_TRY_VOID(to(end_));
    }
    if (before_.empty()) return reader_->damaged("unit does not match the sparse index", unit_.offset);
    return to_popped();
  }
  Result<void> to_popped() {
    const std::uint32_t at = before_.back();
    before_.pop_back();
    return to(at);
  }

  std::shared_ptr<const SealedReader> reader_;
  storage::ReadAhead ahead_;
  storage::ReadAhead behind_;  // Of a walk backwards.
  SealedReader::Unit unit_;
  std::uint64_t unit_index_ = 0;
  std::uint64_t at_ = 0;  // Where the record begins and ends in the unit.
  std::uint64_t end_ = 0;
  std::vector<std::uint32_t> before_;  // Where the records before it begin; empty: not known, or there is none.
  Entry now_;
};

std::unique_ptr<Cursor> SealedReader::cursor() const {
  if (preamble_.compression == Compression::kNone) return std::make_unique<ObjectCursor>(shared_from_this());
  return std::make_unique<UnitCursor>(shared_from_this());
}

}  // namespace cairn::sealed
