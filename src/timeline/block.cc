#include "timeline/block.h"

#include "base/error.h"

namespace cairn::timeline {
namespace {
// Checking a smaller record anew with each read costs less than knowing that it was checked.
constexpr std::uint64_t kRememberedBytes = 16 * kKiB;
}  // namespace

Block::Opened::Opened(std::shared_ptr<directory::LiveFile> file, segment::SegmentReader the_reader)
    : live(std::move(file)), reader(std::move(the_reader)), verified(live->map()->size() / kRememberedBytes + 1) {}

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
      opened_(directory_->environment().on_demand) {
  if (!live) return;
  // What is wrong with it, who reads it is told.
  if (const auto opened = open(keep(std::move(live)))) opened_.put(*opened);
}

Block::~Block() {
  const std::shared_ptr<const Opened> opened = opened_.close();
  if (!obsolete_) return;
  if (const auto file = live()) {
    file->set_obsolete();
  } else {
    directory_->keeper()->drop({name_, 0});
  }
}

std::shared_ptr<directory::LiveFile> Block::live() const {
  const MutexLock lock(mutex_);
  return live_.lock();
}

std::shared_ptr<directory::LiveFile> Block::keep(std::shared_ptr<directory::LiveFile> file) const {
  const MutexLock lock(mutex_);
  if (auto first = live_.lock()) return first;
  live_ = file;
  return file;
}

Result<std::shared_ptr<const Block::Opened>> Block::opened() const {
  if (auto found = opened_.get()) return found;
  std::shared_ptr<directory::LiveFile> file = live();
  if (!file) {
    Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(name_);
    if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", name_);
    CAIRN_TRY_VOID(map);
    (*map)->expect_random_reads();
    file = keep(directory_->live(*map));
  }
  CAIRN_TRY(made, open(std::move(file)));
  auto there = opened_.put(made);
  directory_->environment().on_demand.trim();
  return there;
}

Result<std::shared_ptr<const Block::Opened>> Block::open(std::shared_ptr<directory::LiveFile> file) const {
  if (file->map()->size() < end_)
    return corruption("segment is shorter than its end in the manifest", name_, file->map()->size());
  CAIRN_TRY(reader, segment::SegmentReader::open(file->map(), directory_->database_id(), number_, view_));
  mapped_at_.store(file->map()->data(), std::memory_order_relaxed);
  return std::make_shared<const Opened>(std::move(file), std::move(reader));
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
  return Pinned(record.value, std::move(file), &map.bad_flag());
}

Result<void> Block::replay(const segment::SegmentReader::Visitor& visit) const {
  CAIRN_TRY(file, opened());
  file->live->map()->will_read(0, end_);
  return file->reader.replay(end_, visit);
}

}  // namespace cairn::timeline
