// Sealed file, format version 1: immutable, searched where it is mapped. Any change to the bytes needs a new version
// number and a new golden file in tests/golden/.
//
// Integers are little-endian; sizes and offsets are bytes from the start of the file.
//
//   0          4096                                                                             size-4096
//   +----------+-----------+-----------+--------------+--------+------+-------+----- ... ----+- pad -+----------+
//   | Preamble | sums of   | page sums | object table | sparse | hash | terms | range tombs, |       | Preamble |
//   |          | page sums |           |              |        |      |       | bounds, …    |       | again    |
//   +----------+-----------+-----------+--------------+--------+------+-------+----- ... ----+- pad -+----------+
//
//   sums of sums  u32, low half of XXH3-64 of each page of "page sums"; zero pad to a page. Covered by the preamble.
//   page sums     u32 for each page of the file, likewise; 0 for the pages up to the object table and for the last.
//   object table  Records in order of key, then newest first: ObjectHeader, [account 8], [expiry 8], key, value, zero pad
//                 to 8. Compressed: units of such records, each a UnitHeader, its stored bytes, zero pad to 8; raw if
//                 stored_bytes equals raw_bytes.
//   sparse        At a multiple of 64: u64 count; u64 bytes that all keys of the file begin with; zero pad to 64. u64 for
//                 each entry, its head: the 8 bytes of its key behind those, the first the highest, zeros behind the key's
//                 end. Levels above them, until one has at most 8: every eighth number of the level below. Each level is
//                 padded with all ones to 64 bytes, which a search reads one of in each. u32 for each entry: position / 8 in
//                 the file of the unit's first record or, compressed, of its SparseEntry after this array (zero pad to 8;
//                 SparseEntry, key, zero pad to 8, …). One entry per unit, and its key is the unit's first: a compressed
//                 unit, or a run of records of about 1 KiB, up to where the next begins.
//   hash          Buckets of 64 bytes. Bucket of a key: high half of its hash, scaled to the number of buckets; its tag:
//                 the low 16 bits. A full bucket overflows into the next, the last into the first. One entry per
//                 distinct key, at its newest record or, compressed, at that record's unit.
//   terms         One table for each term index, named after it: {term, u32 offset / 8}, sorted by term, then offset, of
//                 the record or, compressed, of its unit; key_bytes is the length of a term.
//   range tombs   ObjectHeader of kind range tombstone, first key, key after the last (none: no end), zero pad to 8; by
//                 first key, those of one first key newest first. They do not overlap unless they are equal.
//   bounds        The first key, the last; then the first key and the key after the last that the file covers: all that
//                 the run it was written for holds between them is in this file. An empty second bound is no end.
//   replaces      u64 numbers of the files whose records this one holds.
//   last page     The preamble again, for repair.
//
// Every byte of the file is covered. A page is verified when it is first touched. Records have a checksum each besides,
// so that repair can tell what is left of a page that does not verify or of a file that was cut short.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/hash.h"
#include "base/record_kind.h"

namespace cairn::sealed {

inline constexpr std::uint32_t kFormat = 1;
inline constexpr std::array<char, 8> kMagic = {'C', 'A', 'I', 'R', 'N', 'S', 'L', 'D'};
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kAlign = 8;
inline constexpr std::uint32_t kTablesMax = 32;
inline constexpr std::uint32_t kOffsetUnit = 8;                                         // Of u32 offsets.
inline constexpr std::uint64_t kFileBytesMax = (std::uint64_t{1} << 32) * kOffsetUnit;  // What they reach.

using DatabaseId = std::array<std::uint64_t, 2>;

enum class Compression : std::uint32_t { kNone = 0, kLz4 = 1, kZstd = 2 };

enum class TableKind : std::uint32_t {
  kNone = 0,
  kObjects = 1,
  kSparse = 2,
  kHash = 3,
  kBounds = 4,
  kReplaces = 5,
  kTerms = 6,
  kRangeTombstones = 7,
};

inline constexpr std::size_t kTableNameBytes = 32;

struct TableEntry {
  std::array<char, kTableNameBytes> name;
  TableKind kind;
  std::uint32_t key_bytes;  // Of index entries with keys of fixed length; else 0.
  std::uint64_t offset;
  std::uint64_t length;
};
static_assert(sizeof(TableEntry) == 56);

struct Preamble {
  std::array<char, 8> magic;
  std::uint32_t format;
  std::uint16_t view;
  std::uint16_t family;
  DatabaseId database;
  std::uint64_t hash_seed;
  std::uint64_t number;
  std::uint64_t salt;
  std::uint64_t epoch;
  std::uint64_t version_first;  // Of the layers it was made from; records may have been dropped.
  std::uint64_t version_last;
  std::uint64_t stamp_first;
  std::uint64_t stamp_last;
  std::uint64_t record_count;
  std::uint64_t key_count;  // Distinct keys.
  std::uint64_t tombstone_count;
  std::uint64_t expiring_count;  // Records that have an expiry.
  std::uint64_t range_tombstone_count;
  std::uint64_t raw_object_bytes;
  std::uint64_t file_bytes;
  std::uint64_t sum_pages;      // Pages of page sums.
  std::uint64_t sums_checksum;  // XXH3-64 of the pages of sums of page sums.
  std::uint32_t first_key_bytes;
  std::uint32_t last_key_bytes;
  std::uint32_t cover_from_bytes;
  std::uint32_t cover_to_bytes;
  std::uint32_t key_bytes_max;
  Compression compression;
  std::uint32_t table_count;
  std::uint32_t flags;             // kOneVersion; others are reserved: 0.
  std::array<char, 64> view_name;  // Zero-padded, as the next: for repair without a manifest.
  std::array<char, 64> family_name;
  std::array<TableEntry, kTablesMax> tables;
  std::array<std::uint64_t, 246> reserved;  // Written as 0; readers reject anything else.
  std::uint64_t checksum;                   // XXH3-64 of what is before it.
};
static_assert(std::has_unique_object_representations_v<Preamble> && sizeof(Preamble) == kPageBytes);

/// All records were written at once, at version_last and stamp_last; their headers say 0. Their version is known only when
/// the file is published, long after they were written.
inline constexpr std::uint32_t kOneVersion = 1;

/// Where what the preamble does not list lies.
constexpr std::uint64_t sums_of_sums_bytes(std::uint64_t sum_pages) { return round_up(sum_pages * 4, kPageBytes); }
constexpr std::uint64_t page_sums_offset(std::uint64_t sum_pages) { return kPageBytes + sums_of_sums_bytes(sum_pages); }
constexpr std::uint64_t objects_offset(std::uint64_t sum_pages) { return page_sums_offset(sum_pages) + sum_pages * kPageBytes; }
constexpr std::uint64_t sum_pages_for(std::uint64_t file_bytes) {
  return (round_up(file_bytes, kPageBytes) / kPageBytes * 4 + kPageBytes - 1) / kPageBytes;
}

struct [[gnu::packed]] ObjectHeader {
  std::uint32_t checksum;  // Low half of XXH3-64 of the record from here on, pad excluded, seeded by the file's salt.
  std::uint32_t value_size;
  std::uint16_t key_size;
  std::uint8_t kind;            // RecordKind: put or tombstone.
  std::uint8_t flags;           // RecordFlags: has account, has expiry.
  std::uint64_t write_version;  // With kOneVersion 0, as is the stamp.
  std::uint64_t stamp;
};
static_assert(std::has_unique_object_representations_v<ObjectHeader> && sizeof(ObjectHeader) == 28);

/// Whether it is of a kind that this version writes into files of `family`.
constexpr bool is_known(const ObjectHeader& header, std::uint16_t family) {
  const auto kind = static_cast<RecordKind>(header.kind);
  if ((header.flags & ~(kHasAccount | kHasExpiry)) != 0) return false;
  if (kind == RecordKind::kRangeTombstone) return true;
  const bool changes_expiry = kind == RecordKind::kExpiryChange && family == kTimelineFamily;
  return (is_value(kind) || kind == RecordKind::kTombstone || changes_expiry) && header.key_size != 0;
}

/// When a record was written.
struct Written {
  std::uint64_t write_version;
  std::uint64_t stamp;
};
constexpr Written written(const Preamble& preamble, const ObjectHeader& header) {
  if ((preamble.flags & kOneVersion) != 0) return {preamble.version_last, preamble.stamp_last};
  return {header.write_version, header.stamp};
}

/// The checksum of a record whose bytes, from its header to the end of its value, are `record`. Pages have sums of their
/// own, which is what reads check; this one tells repair, record by record, what is left of a damaged file.
inline std::uint32_t object_checksum(ByteView record, std::uint64_t salt) {
  return static_cast<std::uint32_t>(xxh3(record.substr(sizeof(std::uint32_t)), salt));
}

/// A unit ends with the record that fills it: more than the largest record and what may come before it is no unit.
inline constexpr std::uint64_t kUnitRawBytesMax = 1 * kGiB + 1 * kMiB;

struct UnitHeader {
  std::uint32_t stored_bytes;
  std::uint32_t raw_bytes;
};

struct SparseHeader {
  std::uint64_t count;
  std::uint64_t common_bytes;
  std::array<std::uint64_t, 6> zero;
};
inline constexpr std::uint64_t kLevelFanOut = 8;
/// Of a level with so many numbers.
constexpr std::uint64_t level_bytes(std::uint64_t count) { return round_up(count, kLevelFanOut) * 8; }
constexpr std::uint64_t level_above(std::uint64_t count) {
  return count <= kLevelFanOut ? 0 : (count + kLevelFanOut - 1) / kLevelFanOut;
}
/// Of a compressed unit.
struct SparseEntry {
  std::uint64_t offset;     // Of the unit.
  std::uint32_t raw_bytes;  // Of its records.
  std::uint32_t key_size;   // Of its first key, which follows.
};
static_assert(sizeof(SparseHeader) == 64 && sizeof(SparseEntry) == 16);

struct HashEntry {
  std::uint16_t tag;
  std::uint16_t offset_low;  // Offset / 8, in halves, so that an entry is 6 bytes.
  std::uint16_t offset_high;
  [[nodiscard]] std::uint64_t offset() const { return (offset_low | std::uint64_t{offset_high} << 16) * kOffsetUnit; }
};
inline constexpr unsigned kBucketEntries = 10;
inline constexpr std::uint64_t kBucketKeysMean = 6;       // Then about 96 of 100 buckets do not overflow,
inline constexpr std::uint64_t kBucketKeysMeanDense = 7;  // and 90 of 100: in compressed files, where space counts most.
struct HashBucket {
  std::array<HashEntry, kBucketEntries> entries;
  std::uint8_t count;
  std::uint8_t flags;  // kOverflowed.
  std::uint16_t zero;
};
inline constexpr std::uint8_t kOverflowed = 1;
static_assert(sizeof(HashBucket) == 64 && std::has_unique_object_representations_v<HashBucket>);

constexpr std::uint64_t bucket_of(std::uint64_t hash, std::uint64_t bucket_count) { return ((hash >> 32) * bucket_count) >> 32; }
constexpr std::uint16_t tag_of(std::uint64_t hash) { return static_cast<std::uint16_t>(hash); }
constexpr std::uint64_t bucket_count_for(std::uint64_t keys, bool dense) {
  return (keys / (dense ? kBucketKeysMeanDense : kBucketKeysMean)) + 1;
}

constexpr std::uint64_t object_bytes(std::uint64_t key_size, std::uint64_t value_size, std::uint8_t flags) {
  return round_up(sizeof(ObjectHeader) + ((flags & 1) != 0 ? 8U : 0U) + ((flags & 2) != 0 ? 8U : 0U) + key_size + value_size,
                  kAlign);
}

}  // namespace cairn::sealed
