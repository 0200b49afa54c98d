// Segment file, format version 1: an append-only log of records. Any change to the bytes needs a new version
// number and a new golden file in tests/golden/.
//
// Integers are little-endian; sizes and offsets are bytes.
//
//   0               256                                    capacity
//   +---------------+----------+----------+- ... -+---------+
//   | SegmentHeader | record 0 | record 1 |       | unused  |
//   +---------------+----------+----------+- ... -+---------+
//
//   One record, zero-padded to a multiple of 8:
//
//   0          8            12         14     15      16              24      32     34       36
//   +----------+------------+----------+------+-------+---------------+-------+------+--------+--------------+
//   | checksum | value_size | key_size | kind | flags | write_version | stamp | view | family | header_check |
//   +----------+------------+----------+------+-------+---------------+-------+------+--------+--------------+
//   40: [account 8] [expiry 8] key value pad
//
//   checksum       XXH3-64 of everything after it, pad included, seeded by the record's place (record_seed).
//   value_size     Bytes of the value as stored.
//   kind           RecordKind; never 0, so a hole of zeros is never a record.
//   flags          RecordFlags; unknown bits are refused.
//   write_version  Ascends within a segment. A batch frame carries the last version of its batch, a sync frame the
//                  last version before it.
//   stamp          Milliseconds since 1970 << 16 | sequence.
//   header_check   Low half of XXH3-64 over [8, 36), seeded likewise: sizes are trusted only after it.
//   account        Present if kHasAccount: to whom the record belongs; else 0.
//   expiry         Present if kHasExpiry: milliseconds since 1970; else never.
//
// A batch is its members, contiguous and flagged kInBatch, and then its frame; without a valid frame none of them
// exists. A sync frame, the first record after a sync, says how far that sync reached.
// Where an active segment ends is decided by recovery (recovery.h); where any other ends stands in the manifest.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/hash.h"
#include "base/record_kind.h"

namespace cairn::segment {

inline constexpr std::uint32_t kFormat = 1;
inline constexpr std::array<char, 8> kMagic = {'C', 'A', 'I', 'R', 'N', 'S', 'E', 'G'};
inline constexpr std::uint64_t kRecordAlign = 8;

using DatabaseId = std::array<std::uint64_t, 2>;

struct SegmentHeader {
  std::array<char, 8> magic;
  std::uint32_t format;
  std::uint32_t view;
  DatabaseId database;
  std::uint64_t number;
  std::uint64_t salt;  // salt_of its name: new in each life of the file, so what an earlier life left never validates.
  std::uint64_t epoch;
  std::uint64_t capacity;
  std::array<char, 64> view_name;          // Zero-padded: for repair without a manifest.
  std::array<std::uint64_t, 15> reserved;  // Written as 0; readers reject anything else.
  std::uint64_t checksum;                  // XXH3-64 of what is before it.
};
static_assert(std::has_unique_object_representations_v<SegmentHeader> && sizeof(SegmentHeader) == 256);
inline constexpr std::uint64_t kHeaderBytes = sizeof(SegmentHeader);

struct RecordHeader {
  std::uint64_t checksum;
  std::uint32_t value_size;
  std::uint16_t key_size;
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint64_t write_version;
  std::uint64_t stamp;
  std::uint16_t view;
  std::uint16_t family;
  std::uint32_t header_check;
};
static_assert(std::has_unique_object_representations_v<RecordHeader> && sizeof(RecordHeader) == 40);
static_assert(offsetof(RecordHeader, kind) == 14 && offsetof(RecordHeader, header_check) == 36);
inline constexpr std::uint64_t kRecordHeaderBytes = sizeof(RecordHeader);

/// Value of a batch frame.
struct BatchFrame {
  std::uint64_t first_version;
  std::uint64_t count;      // Records; their versions are first_version … first_version + count - 1.
  std::uint64_t bytes;      // From the first member to the frame.
  std::uint64_t checksums;  // XXH3-64 of the members' checksums, in order.
};
static_assert(sizeof(BatchFrame) == 32);

/// Value of a sync frame.
struct SyncFrame {
  std::uint64_t group;        // Counts the syncs of this segment from 1.
  std::uint64_t durable_end;  // What that sync covered: [0, durable_end).
};
static_assert(sizeof(SyncFrame) == 16);

/// Value of a segment frame: what it follows. It holds nothing that counts if that one turns out to end sooner.
struct SegmentFrame {
  std::uint64_t predecessor;  // Its number,
  std::uint64_t end;          // and where it ends.
};
static_assert(sizeof(SegmentFrame) == 16);

inline constexpr std::uint64_t kSegmentFrameBytes = kRecordHeaderBytes + sizeof(SegmentFrame);
inline constexpr std::uint64_t kBatchFrameBytes = kRecordHeaderBytes + sizeof(BatchFrame);
inline constexpr std::uint64_t kSyncFrameBytes = kRecordHeaderBytes + sizeof(SyncFrame);

/// Derived from the name, so that repair can read the records of a file whose header is damaged.
inline std::uint64_t salt_of(const DatabaseId& database, ByteView file_name) {
  return xxh3(file_name, database[0] ^ mix(database[1]));
}

/// Seed of one segment's records; with an offset it gives the seed of the record there.
inline std::uint64_t segment_seed(const DatabaseId& database, std::uint64_t number, std::uint64_t salt) {
  const std::array<std::uint64_t, 4> parts = {database[0], database[1], number, salt};
  return xxh3(bytes_of(parts));
}
constexpr std::uint64_t record_seed(std::uint64_t segment_seed, std::uint64_t offset) { return mix(segment_seed ^ offset); }

constexpr std::uint64_t record_bytes(std::uint64_t key_size, std::uint64_t value_size, std::uint8_t flags = 0) {
  const std::uint64_t optional = ((flags & kHasAccount) != 0 ? 8U : 0U) + ((flags & kHasExpiry) != 0 ? 8U : 0U);
  return round_up(kRecordHeaderBytes + optional + key_size + value_size, kRecordAlign);
}

}  // namespace cairn::segment
