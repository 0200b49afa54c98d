// What is on disk is input, not fact: sizes are used only after header_check, contents only after the checksum.
#include "segment/segment_reader.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/reached.h"
#include "storage/read_ahead.h"

namespace cairn::segment {
namespace {

/// The record that a batch frame closes, if `members` are its members.
bool frame_matches(const RecordView& frame, const std::vector<RecordView>& members) {
  const auto content = load<BatchFrame>(frame.value.data());
  if (members.empty() || content.count != members.size()) return false;
  if (content.first_version != members.front().header.write_version) return false;
  if (frame.header.write_version != members.back().header.write_version) return false;
  if (content.bytes != frame.offset - members.front().offset) return false;
  std::vector<std::uint64_t> checksums;
  checksums.reserve(members.size());
  for (const RecordView& member : members) checksums.push_back(member.header.checksum);
  return content.checksums == xxh3({reinterpret_cast<const char*>(checksums.data()), checksums.size() * 8});
}

/// What the sync frame says is on disk; 0 if that cannot be.
std::uint64_t durable_end_of(const RecordView& frame) {
  const std::uint64_t end = load<SyncFrame>(frame.value.data()).durable_end;
  return end <= frame.offset ? end : 0;
}

}  // namespace

SegmentReader::SegmentReader(std::shared_ptr<const storage::MappedFile> file, const SegmentIdentity& identity)
    : file_(std::move(file)), identity_(identity), seed_(segment_seed(identity.database, identity.number, identity.salt)) {}

Result<SegmentReader> SegmentReader::open(std::shared_ptr<const storage::MappedFile> file, const DatabaseId& database,
                                          std::uint64_t number, std::uint16_t view) {
  const std::string& name = file->name();
  if (file->size() < kHeaderBytes) return corruption("segment is shorter than its header", name, file->size());
  const auto header = load<SegmentHeader>(file->data());
  if (header.magic != kMagic) return corruption("not a segment: wrong magic", name, 0);
  if (header.checksum != xxh3(bytes_of(header).substr(0, offsetof(SegmentHeader, checksum)))) {
    return corruption("segment header checksum", name, 0);
  }
  if (header.format != kFormat) {
    return fail(ErrorCode::kUnsupported, "segment format " + std::to_string(header.format) + " needs a newer Cairn", name, 8);
  }
  if (header.reserved != decltype(header.reserved){}) {
    return fail(ErrorCode::kUnsupported, "reserved bytes of the segment header are set", name, 64);
  }
  if (header.database != database) return corruption("segment belongs to another database", name, 16);
  if (header.number != number) return corruption("segment carries another file's number", name, 32);
  if (header.view != view) return corruption("segment belongs to another view", name, 12);
  return SegmentReader(
      std::move(file),
      {.database = header.database, .number = header.number, .salt = header.salt, .epoch = header.epoch, .view = view});
}

std::optional<RecordView> SegmentReader::record_at(std::uint64_t offset, std::uint64_t end, const char*& why) const {
  return check_record(file_->data() + offset, offset, end - offset, record_seed(seed_, offset), why);
}

/// How far a walk came: `end` is the end of the last record that stands, members of an open batch not counted.
struct SegmentReader::Walk {
  std::uint64_t end = kHeaderBytes;
  std::uint64_t data_end = kHeaderBytes;  // Of the last record or batch; other frames may follow.
  std::uint64_t durable_end = 0;          // As sync frames on the way say.
  std::uint64_t refused_at = kHeaderBytes;
  const char* why = "";
};

/// Walks records up to `end` or the first that does not verify. Errors come from visitors and reserved kinds only.
Result<void> SegmentReader::walk(std::uint64_t begin, std::uint64_t end, Walk& state, const Visitor* visit) const {
  std::vector<RecordView> members;
  std::uint64_t last_version = 0;
  std::uint64_t at = begin;
  storage::ReadAhead ahead(*file_, begin, end);
  state.end = begin;
  const auto refuse = [&](const char* why) {
    state.refused_at = at;
    state.why = why;
    return Result<void>{};
  };
  while (at < end) {
    const char* why = "";
    const std::optional<RecordView> record = record_at(at, end, why);
    if (!record) return refuse(why);
    CAIRN_TRY_VOID(check_supported(record->header, file_->name(), at));
    if (record->header.view != identity_.view) return refuse("record of another view");
    const bool member = (record->header.flags & kInBatch) != 0;
    const bool frame = record->kind() == RecordKind::kBatchFrame;
    if (!members.empty() && !member && !frame) return refuse("record inside an unfinished batch");
    const bool data = !frame && record->kind() != RecordKind::kSyncFrame && record->kind() != RecordKind::kSegmentFrame;
    if (data && record->header.write_version <= last_version) return refuse("write version does not ascend");
    if (data) last_version = record->header.write_version;
    if (record->kind() == RecordKind::kSyncFrame) state.durable_end = std::max(state.durable_end, durable_end_of(*record));
    at += record->bytes;
    ahead.forward(record->offset, at);
    if (frame) {
      at = record->offset;
      if (!frame_matches(*record, members)) return refuse("batch frame does not match its batch");
      at += record->bytes;
      for (const RecordView& each : members) {
        if (visit != nullptr) CAIRN_TRY_VOID((*visit)(each));
      }
      members.clear();
    } else if (member) {
      members.push_back(*record);
      continue;
    } else if (data && visit != nullptr) {
      CAIRN_TRY_VOID((*visit)(*record));
    }
    state.end = at;
    if (data || frame) state.data_end = at;
  }
  return refuse("batch without its frame");  // Of interest only if members are open; else state.end == at.
}

std::optional<SegmentFrame> SegmentReader::segment_frame() const {
  const char* why = "";
  const auto record = record_at(kHeaderBytes, file_->size(), why);
  if (!record || record->kind() != RecordKind::kSegmentFrame) return std::nullopt;
  return load<SegmentFrame>(record->value.data());
}

Result<void> SegmentReader::replay(std::uint64_t end, const Visitor& visit, std::uint64_t begin) const {
  if (end > file_->size()) return corruption("segment is shorter than its end in the manifest", file_->name(), file_->size());
  Walk state;
  CAIRN_TRY_VOID(walk(begin, end, state, &visit));
  CAIRN_TRY_VOID(file_->status());
  if (state.end != end) return corruption(state.why, file_->name(), state.refused_at);
  return {};
}

Result<RecordView> SegmentReader::read(std::uint64_t offset, std::uint64_t end) const {
  const std::string& name = file_->name();
  if (end > file_->size()) return corruption("segment is shorter than its end in the manifest", name, file_->size());
  if (offset < kHeaderBytes || offset >= end || offset % kRecordAlign != 0)
    return corruption("no record begins here", name, offset);
  const char* why = "";
  const auto record = record_at(offset, end, why);
  CAIRN_TRY_VOID(file_->status());
  if (!record) return corruption(why, name, offset);
  CAIRN_TRY_VOID(check_supported(record->header, name, offset));
  return *record;
}

/// What lies behind `from`, where the last record that stands ends: up to 64 MiB of zeros, or of an earlier life of the file.
SegmentReader::Behind SegmentReader::look_behind(std::uint64_t from) const {
  const char* const data = file_->data();
  const std::uint64_t size = file_->size();
  Behind behind{.durable_end = 0, .remains_end = from};
  for (std::uint64_t at = from; at < std::min(from + SegmentWriter::kTerminatorBytes, size); ++at) {
    if (data[at] != 0) behind.remains_end = at + 1;
  }
  constexpr std::uint64_t kBlock = 8 * kRecordAlign;
  const auto nothing_in_block = [&](std::uint64_t at) {  // No kind.
    std::uint64_t any = 0;
    for (std::uint64_t i = 0; i < kBlock; i += kRecordAlign) any |= load<std::uint64_t>(data + at + 8 + i);
    return any == 0;
  };
  std::uint64_t block_end = from;
  for (std::uint64_t at = from; at + kRecordHeaderBytes <= size; at += kRecordAlign) {
    if (at == block_end) {
      while (at + kBlock + 8 <= size && nothing_in_block(at)) at += kBlock;
      block_end = at + kBlock;
      if (at + kRecordHeaderBytes > size) break;
    }
    // Cheap tests first.
    const auto kind = static_cast<std::uint8_t>(data[at + offsetof(RecordHeader, kind)]);
    if (kind == 0 || kind > kRecordKindLast) continue;
    if (load<std::uint16_t>(data + at + offsetof(RecordHeader, view)) != identity_.view) continue;
    const char* why = "";
    const auto header = check_header(data + at, size - at, record_seed(seed_, at), why);
    if (!header) continue;
    behind.remains_end = std::max(behind.remains_end, at + record_bytes(header->key_size, header->value_size, header->flags));
    if (header->kind != static_cast<std::uint8_t>(RecordKind::kSyncFrame)) continue;
    const std::optional<RecordView> frame = record_at(at, size, why);
    if (frame) behind.durable_end = std::max(behind.durable_end, durable_end_of(*frame));
  }
  return behind;
}

Result<Recovered> SegmentReader::recover(std::uint64_t manifest_durable_end) const {
  const std::string& name = file_->name();
  if (manifest_durable_end > file_->size()) {
    return corruption("segment is shorter than its durable end in the manifest", name, file_->size());
  }
  Walk state;
  CAIRN_TRY_VOID(walk(kHeaderBytes, file_->size(), state, nullptr));
  const Behind behind = look_behind(state.end);
  const std::uint64_t durable = std::max({manifest_durable_end, state.durable_end, behind.durable_end, kHeaderBytes});
  CAIRN_TRY_VOID(file_->status());
  if (state.end < durable) {
    CAIRN_REACHED("damage below the durable end");
    return corruption(std::string(state.why) + ", below the durable end " + std::to_string(durable), name, state.refused_at);
  }
  if (behind.remains_end > state.end) CAIRN_REACHED("torn tail trimmed");
  return Recovered{
      .end = state.end, .data_end = state.data_end, .durable_end = durable, .trimmed_end = behind.remains_end, .why = state.why};
}

}  // namespace cairn::segment
