// Writes one sealed file from entries in order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "sealed/entry.h"
#include "sealed/sealed_format.h"
#include "storage/storage.h"

namespace cairn::sealed {

/// What a sealed file is, apart from its records.
struct SealedIdentity {
  DatabaseId database{};
  std::uint64_t hash_seed = 0;
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  std::uint64_t epoch = 0;
  std::uint16_t view = 0;
  std::uint16_t family = 0;
  std::uint64_t version_first = 0;
  std::uint64_t version_last = 0;
  std::string view_name;
  std::string family_name;
  Bytes cover_from;
  std::vector<std::uint64_t> replaces;
};

struct TermTable {
  std::string name;  // At most kTableNameBytes.
  std::uint32_t key_bytes = 0;
};

struct SealedOptions {
  Compression compression = Compression::kNone;
  std::uint32_t unit_bytes = 16 * kKiB;  // Raw size of a compressed unit.
  std::vector<TermTable> terms;
  bool one_version = false;  // kOneVersion: entries have version and stamp 0 until set_version().
};

/// Upper bounds of what will be added; they decide how much room is allocated.
struct SealedBounds {
  std::uint64_t records = 0;       // Without range tombstones.
  std::uint64_t object_bytes = 0;  // Sum of object_bytes(), of range tombstones too.
  std::uint64_t key_bytes_max = 0;
  std::uint64_t replaces = 0;
  std::uint64_t term_bytes = 0;  // Of an entry of each term table: the sum of their key_bytes, and 4 for each.

  void add(const SealedBounds& other) {
    records += other.records;
    object_bytes += other.object_bytes;
    key_bytes_max = std::max(key_bytes_max, other.key_bytes_max);
    replaces += other.replaces;
    term_bytes = std::max(term_bytes, other.term_bytes);
  }
};
std::uint64_t sealed_bytes_max(const SealedBounds& bounds);

/// A term of an entry: its table, by position in SealedOptions::terms, and its bytes, of that table's length.
struct TermOf {
  std::size_t table = 0;
  Bytes term;
};

class SealedWriter {
 public:
  /// Memory it takes until complete(): each key's hash and place, and in the end the buckets. Terms come on top.
  static constexpr std::uint64_t kMemoryBytesPerRecord = 16 + 11;

  /// `file` has room for sealed_bytes_max of what will be added.
  SealedWriter(std::unique_ptr<storage::AppendFile> file, SealedIdentity identity, SealedOptions options);

  /// Adds an entry; keys ascend, versions of one key descend.
  void add(const Entry& entry, std::span<const TermOf> terms = {});
  /// Adds a range tombstone: key and value are its bounds. In order, disjoint or equal.
  void add_range_tombstone(const Entry& tombstone);
  [[nodiscard]] std::uint64_t record_count() const { return preamble_.record_count; }
  [[nodiscard]] const std::string& name() const { return file_->name(); }
  /// Completes all of the file but its preamble; it covers keys below `cover_to` (empty: all). Of the memory that it took
  /// nothing is left. With one_version the file is durable and of its size by now.
  Result<void> complete(ByteView cover_to = {});
  /// With one_version, after complete(): what all entries were written at.
  void set_version(std::uint64_t write_version, std::uint64_t stamp);
  /// After complete(): makes the file durable; its name is so after sync_names(). Returns its size.
  Result<std::uint64_t> finish();

 private:
  void close_unit();
  void start_table(TableKind kind, ByteView name, std::uint64_t align, std::uint32_t key_bytes = 0);
  void end_table();
  void write_sparse();
  void write_hash();
  void write_terms();
  void write_small_tables(ByteView cover_to);
  void count(const Entry& entry);
  void write_sums();
  void put(ByteView bytes);
  void pad_to(std::uint64_t align) { out_.resize(round_up(out_.size(), align)); }
  void take_sums();
  void write_out(std::uint64_t bytes);
  void write(std::uint64_t offset, ByteView bytes);
  /// Where the next byte goes. What is written starts at a page, so out_ is aligned as the file is.
  [[nodiscard]] std::uint64_t tail() const { return written_ + out_.size(); }

  struct KeyHash {
    std::uint64_t hash;
    std::uint64_t offset;
  };

  std::unique_ptr<storage::AppendFile> file_;
  SealedIdentity identity_;
  SealedOptions options_;
  Preamble preamble_{};
  std::uint64_t written_ = 0;     // Below: in the file, in whole pages.
  Bytes out_;                     // What comes after it,
  std::uint64_t summed_ = 0;      // and how much of that page_sums_ has.
  Bytes page_sums_;               // As they stand in the file.
  Result<void> failed_;           // The first write that did.
  std::uint64_t unit_begin_ = 0;  // Uncompressed: where the open unit began.
  Bytes unit_;                    // Compressed: the open unit's records.
  bool unit_open_ = false;
  std::uint64_t written_back_ = 0;
  std::vector<SparseEntry> units_;
  Bytes unit_keys_;  // The first of each, one after the other.
  std::vector<KeyHash> hashes_;
  std::vector<Bytes> terms_;  // Of each table: {term, offset}, one after the other.
  Bytes range_tombstones_;
  Bytes first_key_;
  Bytes last_key_;
  Bytes compressed_;
};

}  // namespace cairn::sealed
