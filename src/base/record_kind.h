// What a stored record is: one set of numbers for both file formats.
#pragma once
#include <cstdint>

namespace cairn {

enum class RecordKind : std::uint8_t {
  kNone = 0,
  kPut = 1,
  kTombstone = 2,
  kBatchFrame = 3,
  kSyncFrame = 4,
  kRangeTombstone = 5,  // Key: first key, or empty; value: the key after the last, or empty: no end.
  kExpiryChange = 6,    // Of a timeline. Key; the new expiry in its field, none: never; value: stamp of the save (u64).
  kReference = 7,       // A put; its value: {file number, offset, size}, u64 each, of a value in a segment of its own.
  kSegmentFrame = 8,    // The first record of a segment that follows one not ended yet.
};
inline constexpr std::uint8_t kRecordKindLast = 8;

/// The family that stands in the records and indexes of a timeline. No table has so many: repair knows a timeline by it.
inline constexpr std::uint16_t kTimelineFamily = 0xffff;
/// The same of a fork store.
inline constexpr std::uint16_t kForksFamily = 0xfffe;

/// Whether a record of this kind gives its key a value.
constexpr bool is_value(RecordKind kind) { return kind == RecordKind::kPut || kind == RecordKind::kReference; }

enum RecordFlags : std::uint8_t {
  kHasAccount = 1,
  kHasExpiry = 2,
  kInBatch = 4,
  kCompressed = 8,  // The value begins with its raw size (u32). Reserved: refused as kUnsupported.
  kEncrypted = 16,  // The value ends with its tag. Reserved: refused as kUnsupported.
};
inline constexpr std::uint8_t kFlagsKnown = 31;

}  // namespace cairn
