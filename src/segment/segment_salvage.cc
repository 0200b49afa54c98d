#include "segment/segment_salvage.h"

#include <algorithm>

#include "base/error.h"

namespace cairn::segment {

std::optional<SegmentSalvage> SegmentSalvage::open(std::shared_ptr<const storage::MappedFile> file, std::uint64_t number,
                                                   const std::optional<DatabaseId>& database) {
  if (file->size() >= kHeaderBytes) {
    const auto header = load<SegmentHeader>(file->data());
    const bool sound = header.magic == kMagic && header.format == kFormat &&
                       header.checksum == xxh3(bytes_of(header).substr(0, offsetof(SegmentHeader, checksum)));
    if (sound && header.number != number) return std::nullopt;
    if (sound && (!database || header.database == *database)) {
      const auto name_end = std::find(header.view_name.begin(), header.view_name.end(), '\0');
      SegmentIdentity identity{.database = header.database,
                               .number = number,
                               .salt = header.salt,
                               .epoch = header.epoch,
                               .view = static_cast<std::uint16_t>(header.view),
                               .view_name = {header.view_name.begin(), name_end}};
      return SegmentSalvage(std::move(file), std::move(identity), true);
    }
  }
  if (!database) return std::nullopt;
  const std::uint64_t salt = salt_of(*database, file->name());
  return SegmentSalvage(std::move(file), {.database = *database, .number = number, .salt = salt, .view_name = {}}, false);
}

void SegmentSalvage::read(std::uint64_t end, const std::function<void(const RecordView&)>& visit,
                          std::vector<Error>& lost) const {
  const std::string& name = file_->name();
  const std::uint64_t limit = end == 0 ? file_->size() : std::min(end, file_->size());
  const std::uint64_t seed = segment_seed(identity_.database, identity_.number, identity_.salt);
  std::vector<RecordView> members;
  const auto give_up_batch = [&] {
    for (const RecordView& each : members) {
      visit(each);
      lost.push_back(corruption("batch is not whole; this record of it is kept", name, each.offset).error());
    }
    members.clear();
  };
  const char* first_why = "";
  std::uint64_t gap = 0;  // Where bytes that do not verify begin; 0: nowhere.
  std::uint64_t at = kHeaderBytes;
  while (at + kRecordHeaderBytes <= limit) {
    const char* why = "";
    const auto record = check_record(file_->data() + at, at, limit - at, record_seed(seed, at), why);
    if (!record || !check_supported(record->header, name, at)) {
      if (gap == 0) {
        gap = at;
        first_why = why;
        give_up_batch();
      }
      at += kRecordAlign;
      continue;
    }
    if (gap != 0)
      lost.push_back(corruption(std::string(first_why) + ", " + std::to_string(at - gap) + " bytes", name, gap).error());
    gap = 0;
    at += record->bytes;
    const bool member = (record->header.flags & kInBatch) != 0;
    if (record->kind() == RecordKind::kSyncFrame || record->kind() == RecordKind::kSegmentFrame) continue;
    if (record->kind() == RecordKind::kBatchFrame) {
      const auto frame = load<BatchFrame>(record->value.data());
      if (frame.count != members.size()) {
        give_up_batch();
      } else {
        std::for_each(members.begin(), members.end(), visit);
        members.clear();
      }
    } else if (member) {
      members.push_back(*record);
    } else {
      visit(*record);
    }
  }
  if (gap != 0 && end != 0) lost.push_back(corruption(std::string(first_why) + ", to the end", name, gap).error());
  if (end > file_->size()) lost.push_back(corruption("the file is cut off", name, file_->size()).error());
  give_up_batch();
}

}  // namespace cairn::segment
