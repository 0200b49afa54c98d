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
  // Decided and refused as kUnsupported until their engines come.
  kExpiryChange = 6,  // Key; no value; the new expiry in its field.
  kReference = 7,     // Value: {file number, offset, size} of a value in a segment of its own.
};
inline constexpr std::uint8_t kRecordKindLast = 7;

enum RecordFlags : std::uint8_t {
  kHasAccount = 1,
  kHasExpiry = 2,
  kInBatch = 4,
  kCompressed = 8,  // The value begins with its raw size (u32). Reserved: refused as kUnsupported.
  kEncrypted = 16,  // The value ends with its tag. Reserved: refused as kUnsupported.
};
inline constexpr std::uint8_t kFlagsKnown = 31;

}  // namespace cairn
