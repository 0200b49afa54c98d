#include "table/large_value.h"

#include "base/error.h"
#include "directory/file_name.h"

namespace cairn::table {

Result<LargeReference> LargeReference::of(const sealed::Entry& entry) {
  if (entry.value.size() != sizeof(LargeReference)) return corruption("a reference to a large value has a wrong size", "");
  return load<LargeReference>(entry.value.data());
}

Result<std::shared_ptr<const LargeValue>> LargeValue::open(directory::Directory& directory, const directory::LargeEntry& entry,
                                                           std::uint16_t view) {
  Result<std::shared_ptr<const storage::MappedFile>> map = directory.storage().open(entry.file);
  if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", entry.file);
  CAIRN_TRY_VOID(map);
  CAIRN_TRY(reader,
            segment::SegmentReader::open(*map, directory.database_id(), directory::FileName::parse(entry.file)->number, view));
  if ((*map)->size() < entry.end) return corruption("a large value is cut short", entry.file, (*map)->size());
  return std::make_shared<const LargeValue>(directory.live(*map), std::move(reader), entry.end);
}

Result<ByteView> LargeValue::value(const sealed::Entry& reference) const {
  CAIRN_TRY(at, LargeReference::of(reference));
  const storage::MappedFile& map = *live_->map();
  if (at.offset > end_ || at.bytes > end_ - at.offset) {
    return corruption("a reference points outside its large value", map.name(), at.offset);
  }
  const ByteView value = map.bytes().substr(at.offset, at.bytes);
  if (verified_.load(std::memory_order_acquire)) return value;
  bool found = false;
  CAIRN_TRY_VOID(reader_.replay(end_, [&](const segment::RecordView& record) -> Result<void> {
    found = record.key == reference.key && record.value.data() == value.data() && record.value.size() == value.size();
    return {};
  }));
  CAIRN_TRY_VOID(map.status());
  if (!found) return corruption("a large value is not the one its reference names", map.name(), at.offset);
  verified_.store(true, std::memory_order_release);
  return value;
}

}  // namespace cairn::table
