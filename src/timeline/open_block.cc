#include "timeline/open_block.h"

#include <algorithm>

#include "base/error.h"
#include "directory/file_name.h"
#include "segment/segment_reader.h"

namespace cairn::timeline {

OpenBlock::OpenBlock(MemoryBudget& memory, std::shared_ptr<directory::LiveFile> live)
    : live_(std::move(live)),
      hold_(std::static_pointer_cast<const void>(live_)),
      number_(directory::FileName::parse(live_->map()->name())->number),
      arena_(memory),
      records_(arena_),
      order_(live_->map()->size() / segment::kRecordHeaderBytes / kChunkSaves + 1) {}

void OpenBlock::insert(const char* at, const segment::RecordView& record) {
  const std::uint64_t count = saves_.load(std::memory_order_relaxed);
  std::uint32_t* chunk = order_[count / kChunkSaves].load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    chunk = reinterpret_cast<std::uint32_t*>(arena_.allocate(kChunkSaves * sizeof(std::uint32_t)));
    order_[count / kChunkSaves].store(chunk, std::memory_order_relaxed);
  }
  chunk[count % kChunkSaves] = static_cast<std::uint32_t>((at - live_->map()->data()) / segment::kRecordAlign);
  if (record.kind() == RecordKind::kRangeTombstone) {
    auto* const erase = reinterpret_cast<EraseOfAll*>(arena_.allocate(sizeof(EraseOfAll)));
    *erase = {record.header.stamp, erases_.load(std::memory_order_relaxed)};
    erases_.store(erase, std::memory_order_release);
  } else if (records_.insert(at)) {
    add_alone(keys_, 1);
  }
  if (count == 0) stamp_first_.store(record.header.stamp, std::memory_order_relaxed);
  stamp_last_.store(record.header.stamp, std::memory_order_relaxed);
  add_alone(bytes_, record.bytes);
  add_alone(key_bytes_, record.key.size());
  if (record.key.size() > key_bytes_max()) key_bytes_max_.store(record.key.size(), std::memory_order_relaxed);
  saves_.store(count + 1, std::memory_order_release);
}

Result<std::shared_ptr<OpenBlock>> OpenBlock::replay(directory::Directory& directory, const std::string& file, std::uint64_t end,
                                                     std::uint16_t view) {
  Result<std::shared_ptr<const storage::MappedFile>> map = directory.storage().open(file);
  if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", file);
  CAIRN_TRY_VOID(map);
  CAIRN_TRY(reader, segment::SegmentReader::open(*map, directory.database_id(), directory::FileName::parse(file)->number, view));
  auto block = std::make_shared<OpenBlock>(directory.environment().memory, directory.live(*map));
  std::optional<segment::RecordView> last;
  CAIRN_TRY_VOID(reader.replay(end, [&](const segment::RecordView& record) -> Result<void> {
    if (!is_save(record)) return corruption("record that no timeline has", file, record.offset);
    const bool ascends = !last || record.header.stamp > last->header.stamp ||
                         (record.header.stamp == last->header.stamp && record.key > last->key);
    if (!ascends) return corruption("stamps do not ascend", file, record.offset);
    last = record;
    block->insert((*map)->data() + record.offset, record);
    return {};
  }));
  return block;
}

sealed::Entry OpenBlock::entry_at(const char* at, PlaceBytes& place) const {
  const segment::RecordView record = segment::view_record(at, 0);
  std::optional<std::uint64_t> changed;
  if (record.kind() == RecordKind::kExpiryChange) changed = load<std::uint64_t>(record.value.data());
  return {.key = record.key,
          .value = encode({.block = number_, .offset = static_cast<std::uint64_t>(at - live_->map()->data())}, changed, place),
          .kind = record.kind(),
          .write_version = record.header.stamp,
          .stamp = record.header.stamp,
          .account = record.account,
          .expiry_ms = record.expiry_ms};
}

std::optional<Save> OpenBlock::find(ByteView key, std::uint64_t stamp_max) const {
  const char* const at = records_.find(key, stamp_max);
  if (at == nullptr) return std::nullopt;
  PlaceBytes place;
  return save(entry_at(at, place));
}

const char* OpenBlock::save_at(std::uint64_t i) const {
  const std::uint32_t* const chunk = order_[i / kChunkSaves].load(std::memory_order_relaxed);
  return live_->map()->data() + std::uint64_t{chunk[i % kChunkSaves]} * segment::kRecordAlign;
}

Result<void> OpenBlock::visit(std::uint64_t first, std::uint64_t last,
                              const std::function<Result<bool>(const sealed::Entry&)>& visit) const {
  const std::uint64_t count = saves();
  std::uint64_t low = 0;
  for (std::uint64_t high = count; low < high;) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (Traits::version(save_at(middle)) < first) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  PlaceBytes place;
  for (; low < count; ++low) {
    const char* const at = save_at(low);
    if (Traits::version(at) > last) break;
    CAIRN_TRY(more, visit(entry_at(at, place)));
    if (!more) break;
  }
  return live_->map()->status();
}

Result<Pinned> OpenBlock::data(std::uint64_t offset) const {
  const storage::MappedFile& map = *live_->map();
  const ByteView value = record(offset).value;
  CAIRN_TRY_VOID(map.status());
  return Pinned(value, hold_.get(), &map.bad_flag());
}

class OpenBlockCursor final : public sealed::Cursor {
 public:
  explicit OpenBlockCursor(std::shared_ptr<const OpenBlock> block) : block_(std::move(block)), at_(block_->records_) {}
  Result<void> seek(ByteView key) override { return at_.seek(key), take(); }
  Result<void> seek_first() override { return at_.seek_first(), take(); }
  Result<void> seek_before(ByteView key, std::uint64_t version) override { return at_.seek_before(key, version), take(); }
  Result<void> seek_last() override { return at_.seek_last(), take(); }
  Result<void> next() override { return at_.next(), take(); }
  Result<void> prev() override { return at_.prev(), take(); }

 private:
  Result<void> take() {
    entry_ = nullptr;
    if (!at_.valid()) return block_->live_->map()->status();
    now_ = block_->entry_at(at_.thing(), place_);
    entry_ = &now_;
    return {};
  }
  std::shared_ptr<const OpenBlock> block_;
  RadixTree<OpenBlock::Traits>::Iterator at_;
  PlaceBytes place_{};
  sealed::Entry now_;
};

std::unique_ptr<sealed::Cursor> OpenBlock::cursor() const { return std::make_unique<OpenBlockCursor>(shared_from_this()); }

}  // namespace cairn::timeline
