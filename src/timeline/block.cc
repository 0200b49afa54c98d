#include "timeline/block.h"

#include "base/error.h"

namespace cairn::timeline {
namespace {
// Checking a smaller record anew with each read costs less than knowing that it was checked.
constexpr std::uint64_t kRememberedBytes = 16 * kKiB;
}  // namespace

Block::Opened::Opened(std::shared_ptr<directory::LiveFile> file, segment::SegmentReader the_reader)
    : live(std::move(file)),
      reader(std::move(the_reader)),
      hold(std::static_pointer_cast<const void>(live)),
      verified(live->map()->size() / kRememberedBytes + 1) {}

Block::Block(std::shared_ptr<directory::Directory> directory, const directory::BlockEntry& entry, std::uint16_t view,
             std::shared_ptr<directory::LiveFile> live)
    : directory_(std::move(directory)),
      name_(entry.file),
      number_(entry.number()),
      view_(view),
      end_(entry.end),
      saves_(entry.saves),
      stamp_first_(entry.stamp_first),
      stamp_last_(entry.stamp_last),
      live_(std::move(live)) {}

Block::~Block() {
  const Opened* const opened = opened_.load(std::memory_order_acquire);
  if (obsolete_) {
    const auto& live = opened != nullptr ? opened->live : live_;
    if (live != nullptr) {
      live->set_obsolete();
    } else {
      directory_->keeper()->drop({name_, 0});
    }
  }
  delete opened;
}

Result<std::shared_ptr<directory::LiveFile>> Block::file() const {
  if (live_) return live_;
  Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(name_);
  if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", name_);
  CAIRN_TRY_VOID(map);
  (*map)->expect_random_reads();
  return directory_->live(*map);
}

/// Of several that open it at the same time one wins.
Result<const Block::Opened*> Block::opened() const {
  const Opened* found = opened_.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  CAIRN_TRY(live, file());
  if (live->map()->size() < end_)
    return corruption("segment is shorter than its end in the manifest", name_, live->map()->size());
  CAIRN_TRY(reader, segment::SegmentReader::open(live->map(), directory_->database_id(), number_, view_));
  const auto* const mine = new Opened(live, std::move(reader));
  if (opened_.compare_exchange_strong(found, mine, std::memory_order_acq_rel)) return mine;
  delete mine;
  return found;
}

Result<Pinned> Block::data(std::uint64_t offset, std::uint64_t stamp) const {
  CAIRN_TRY(file, opened());
  const storage::MappedFile& map = *file->live->map();
  const auto place = static_cast<std::uint32_t>(offset / segment::kRecordAlign);
  if (offset < segment::kHeaderBytes || offset >= end_) {
    return corruption("a block index has a save outside of its block", name_, offset);
  }
  std::atomic<std::uint32_t>& verified = file->verified[offset / kRememberedBytes];
  segment::RecordView record;
  if (verified.load(std::memory_order_relaxed) == place) {
    record = segment::view_record(map.data() + offset, offset);
  } else {
    CAIRN_TRY(read, file->reader.read(offset, end_));
    record = read;
    if (record.bytes >= kRememberedBytes) verified.store(place, std::memory_order_relaxed);
  }
  CAIRN_TRY_VOID(map.status());
  if (record.header.stamp != stamp) return corruption("a block index has another save here", name_, offset);
  return Pinned(record.value, file->hold.get(), &map.bad_flag());
}

Result<void> Block::replay(const segment::SegmentReader::Visitor& visit) const {
  CAIRN_TRY(file, opened());
  file->live->map()->will_read(0, end_);
  return file->reader.replay(end_, visit);
}

}  // namespace cairn::timeline
