#include "segment/record.h"

#include <cstring>

#include "base/error.h"

namespace cairn::segment {
namespace {

std::uint8_t flags_of(const RecordInput& record) {
  return static_cast<std::uint8_t>(record.flags | (record.account != 0 ? kHasAccount : 0) |
                                   (record.expiry_ms != 0 ? kHasExpiry : 0));
}

std::uint32_t header_check(const char* at, std::uint64_t seed) { return static_cast<std::uint32_t>(xxh3({at + 8, 28}, seed)); }

std::uint64_t checksum(const char* at, std::uint64_t bytes, std::uint64_t seed) { return xxh3({at + 8, bytes - 8}, seed); }

}  // namespace

std::uint64_t encoded_bytes(const RecordInput& record) {
  return record_bytes(record.key.size(), record.value.size(), flags_of(record));
}

std::uint64_t encode_record(char* to, const RecordInput& record, std::uint64_t seed) {
  const std::uint64_t bytes = encoded_bytes(record);
  store<std::uint64_t>(to + bytes - 8, 0);  // The pad; the rest is overwritten.
  RecordHeader header{.checksum = 0,
                      .value_size = static_cast<std::uint32_t>(record.value.size()),
                      .key_size = static_cast<std::uint16_t>(record.key.size()),
                      .kind = static_cast<std::uint8_t>(record.kind),
                      .flags = flags_of(record),
                      .write_version = record.write_version,
                      .stamp = record.stamp,
                      .view = record.view,
                      .family = record.family,
                      .header_check = 0};
  store(to, header);
  char* at = to + kRecordHeaderBytes;
  if (record.account != 0) {
    store(at, record.account);
    at += 8;
  }
  if (record.expiry_ms != 0) {
    store(at, record.expiry_ms);
    at += 8;
  }
  if (!record.key.empty()) std::memcpy(at, record.key.data(), record.key.size());
  at += record.key.size();
  if (!record.value.empty()) std::memcpy(at, record.value.data(), record.value.size());
  store(to + offsetof(RecordHeader, header_check), header_check(to, seed));
  const std::uint64_t sum = checksum(to, bytes, seed);
  store(to, sum);
  return sum;
}

RecordView view_record(const char* at, std::uint64_t offset) {
  RecordView record;
  record.header = load<RecordHeader>(at);
  record.offset = offset;
  record.bytes = record_bytes(record.header.key_size, record.header.value_size, record.header.flags);
  const char* part = at + kRecordHeaderBytes;
  if ((record.header.flags & kHasAccount) != 0) {
    record.account = load<std::uint64_t>(part);
    part += 8;
  }
  if ((record.header.flags & kHasExpiry) != 0) {
    record.expiry_ms = load<std::int64_t>(part);
    part += 8;
  }
  record.key = {part, record.header.key_size};
  record.value = {part + record.header.key_size, record.header.value_size};
  return record;
}

std::optional<RecordHeader> check_header(const char* at, std::uint64_t bytes_left, std::uint64_t seed, const char*& why) {
  why = "record header runs past the end";
  if (bytes_left < kRecordHeaderBytes) return std::nullopt;
  const auto header = load<RecordHeader>(at);
  why = "record kind is zero or unknown";
  if (header.kind == 0 || header.kind > kRecordKindLast) return std::nullopt;
  why = "record header checksum";
  if (header.header_check != header_check(at, seed)) return std::nullopt;
  why = "unknown record flags";
  if ((header.flags & ~kFlagsKnown) != 0) return std::nullopt;
  why = "record runs past the end";
  if (record_bytes(header.key_size, header.value_size, header.flags) > bytes_left) return std::nullopt;
  return header;
}

std::optional<RecordView> check_record(const char* at, std::uint64_t offset, std::uint64_t bytes_left, std::uint64_t seed,
                                       const char*& why) {
  if (!check_header(at, bytes_left, seed, why)) return std::nullopt;
  const RecordView record = view_record(at, offset);
  why = "record checksum";
  if (checksum(at, record.bytes, seed) != record.header.checksum) return std::nullopt;
  why = "record of the wrong size";
  if (record.kind() == RecordKind::kBatchFrame && record.value.size() != sizeof(BatchFrame)) return std::nullopt;
  if (record.kind() == RecordKind::kSyncFrame && record.value.size() != sizeof(SyncFrame)) return std::nullopt;
  if (record.kind() == RecordKind::kSegmentFrame && record.value.size() != sizeof(SegmentFrame)) return std::nullopt;
  const bool changes_expiry = record.kind() == RecordKind::kExpiryChange && record.header.family == kTimelineFamily;
  if (changes_expiry && record.value.size() != sizeof(std::uint64_t)) return std::nullopt;
  return record;
}

Result<void> check_supported(const RecordHeader& header, const std::string& file, std::uint64_t offset) {
  if (header.kind == static_cast<std::uint8_t>(RecordKind::kExpiryChange) && header.family != kTimelineFamily) {
    return fail(ErrorCode::kUnsupported, "an expiry change in a table needs a newer Cairn", file, offset);
  }
  if ((header.flags & (kCompressed | kEncrypted)) != 0) {
    return fail(ErrorCode::kUnsupported, "compressed or encrypted records need a newer Cairn", file, offset);
  }
  return {};
}

}  // namespace cairn::segment
