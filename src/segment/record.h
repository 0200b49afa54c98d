// One record: encoded straight into a segment's bytes, and checked and read where it lies.
#pragma once
#include <cstdint>
#include <optional>

#include "cairn/bytes.h"
#include "segment/segment_format.h"

namespace cairn::segment {

/// What is written; the bytes are borrowed.
struct RecordInput {
  RecordKind kind = RecordKind::kPut;
  std::uint8_t flags = 0;  // kHasAccount and kHasExpiry are set from the fields below.
  std::uint64_t write_version = 0;
  std::uint64_t stamp = 0;
  std::uint16_t view = 0;
  std::uint16_t family = 0;
  std::uint64_t account = 0;   // 0: none.
  std::int64_t expiry_ms = 0;  // 0: none.
  ByteView key;
  ByteView value;
};

/// A record where it lies; borrowed from the mapped segment.
struct RecordView {
  RecordHeader header;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // Pad included.
  std::uint64_t account = 0;
  std::int64_t expiry_ms = 0;
  ByteView key;
  ByteView value;

  [[nodiscard]] RecordKind kind() const { return static_cast<RecordKind>(header.kind); }
};

std::uint64_t encoded_bytes(const RecordInput& record);

/// Writes `record` at `to`, which has room for encoded_bytes(record), and returns its checksum.
std::uint64_t encode_record(char* to, const RecordInput& record, std::uint64_t record_seed);

/// Where the parts of a record whose header is sound lie. `at` has all its bytes.
RecordView view_record(const char* at, std::uint64_t offset);

/// The key of a record whose header is sound.
inline ByteView key_at(const char* at) {
  const auto flags = load<std::uint8_t>(at + offsetof(RecordHeader, flags));
  const std::size_t optional = ((flags & kHasAccount) != 0 ? 8U : 0U) + ((flags & kHasExpiry) != 0 ? 8U : 0U);
  return {at + kRecordHeaderBytes + optional, load<std::uint16_t>(at + offsetof(RecordHeader, key_size))};
}

/// The header at `at`, if header_check holds and the record fits into `bytes_left`; else nullopt and, in `why`,
/// a sentence.
std::optional<RecordHeader> check_header(const char* at, std::uint64_t bytes_left, std::uint64_t record_seed, const char*& why);

/// The whole record at `at`, checksum included; else nullopt and `why`.
std::optional<RecordView> check_record(const char* at, std::uint64_t offset, std::uint64_t bytes_left, std::uint64_t record_seed,
                                       const char*& why);

/// kUnsupported for kinds and flags that this version reserves.
Result<void> check_supported(const RecordHeader& header, const std::string& file, std::uint64_t offset);

}  // namespace cairn::segment
