// Searches one sealed file where it is mapped. Thread-safe; shares nothing writable but the bits that remember which
// pages were verified.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cairn/result.h"
#include "sealed/entry.h"
#include "sealed/sealed_format.h"
#include "storage/storage.h"

namespace cairn::sealed {

/// What a manifest says a file is.
struct SealedExpected {
  DatabaseId database{};
  std::uint64_t number = 0;
  std::uint16_t view = 0;
  std::uint16_t family = 0;
};

class SealedReader : public std::enable_shared_from_this<SealedReader> {
 public:
  /// Checks the preamble; the rest is verified when it is touched. kCorruption, kUnsupported, kIo.
  static Result<std::shared_ptr<SealedReader>> open(std::shared_ptr<const storage::MappedFile> file,
                                                    const SealedExpected& expected);

  struct Hit {
    Entry entry;
    std::shared_ptr<const void> buffer;  // What holds the bytes if they were decompressed.
  };
  /// The newest version of `key` not above `version_max`. `hash` is xxh3(key, preamble().hash_seed).
  [[nodiscard]] Result<std::optional<Hit>> get(ByteView key, std::uint64_t hash, std::uint64_t version_max) const;

  /// Asks for the memory that get() looks at first.
  void prefetch(std::uint64_t hash) const;

  /// And for what it then goes to, as far as the first bucket tells.
  void prefetch_record(std::uint64_t hash) const;

  /// Whether it may hold the key with that hash: false is certain.
  [[nodiscard]] bool may_contain(std::uint64_t hash) const;

  /// Calls `visit` with each record that has `term` (of the table's length) in the term table `table`, in order of key;
  /// compressed, with other records of its unit too.
  [[nodiscard]] Result<void> find_term(ByteView table, ByteView term,
                                       const std::function<Result<void>(const Entry&)>& visit) const;

  /// The same for terms in [first, last], in order of term, as long as `visit` returns true.
  [[nodiscard]] Result<void> find_terms(ByteView table, ByteView first, ByteView last,
                                        const std::function<Result<bool>(const Entry&)>& visit) const;

  /// The record that entry `i` of the term table leads to; of a file that is not compressed. Its bytes stay as long as this
  /// reader.
  [[nodiscard]] Result<Entry> term_entry(ByteView table, std::uint64_t i) const;
  [[nodiscard]] Result<std::uint64_t> term_count(ByteView table) const;

  /// The range tombstones, in order. Their bytes stay as long as this reader.
  [[nodiscard]] Result<std::vector<Entry>> range_tombstones() const;

  /// Its first key and its last (empty: no records); keys in [cover_from, cover_to) are what it covers: of the run it was
  /// written for nothing between them is in another file. Empty: no bound. The bytes stay as long as this reader.
  struct KeyBounds {
    ByteView first;
    ByteView last;
    ByteView cover_from;
    ByteView cover_to;
  };
  [[nodiscard]] Result<KeyBounds> key_bounds() const;

  /// A cursor that keeps this reader alive.
  [[nodiscard]] std::unique_ptr<Cursor> cursor() const;

  /// Verifies every page, and that tables and records are what they should be: order, counts, every key in the hash
  /// index. The first thing found wrong, with its offset. Calls `progress` with bytes done.
  Result<void> verify(const std::function<Result<void>(std::uint64_t)>& progress) const;

  [[nodiscard]] const Preamble& preamble() const { return preamble_; }
  [[nodiscard]] const std::shared_ptr<const storage::MappedFile>& file() const { return file_; }
  [[nodiscard]] std::vector<std::uint64_t> replaces() const;

 private:
  friend class ObjectCursor;
  friend class UnitCursor;
  struct Table {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint32_t key_bytes = 0;
    std::string name;  // Of a term table.
  };
  struct Unit {
    ByteView records;
    std::uint64_t offset = 0;  // Of the unit in the file, and where the next may begin.
    std::uint64_t end = 0;
    std::shared_ptr<const void> buffer;  // Owns the records if they were decompressed.
  };

  SealedReader(std::shared_ptr<const storage::MappedFile> file, const Preamble& preamble);
  Result<void> find_tables();
  Result<void> find_units();
  Result<void> check_sums() const;
  [[nodiscard]] Result<void> ensure(std::uint64_t offset, std::uint64_t length) const;
  [[nodiscard]] std::unexpected<Error> damaged(std::string message, std::uint64_t offset) const;
  [[nodiscard]] Result<void> verify_page(std::uint64_t page) const;
  [[nodiscard]] Result<ByteView> bytes(std::uint64_t offset, std::uint64_t length, const Table& within) const;
  /// Reads the record at the front of `bytes` into `entry`, and says its size; 0: it is none.
  [[nodiscard]] std::uint64_t parse_object(ByteView bytes, Entry& entry) const;
  [[nodiscard]] Error not_an_object(ByteView bytes, std::uint64_t offset) const;
  /// The record at `at` within `records`, which lies at `offset` in the file.
  [[nodiscard]] Result<std::uint64_t> parse(ByteView records, std::uint64_t at, std::uint64_t offset, Entry& entry) const;
  [[nodiscard]] Result<std::uint64_t> object_at(std::uint64_t offset, Entry& entry) const;
  [[nodiscard]] Result<Unit> unit_at(std::uint64_t offset) const;
  [[nodiscard]] Result<Unit> unit(std::uint64_t index) const;
  [[nodiscard]] Result<std::uint64_t> unit_position(std::uint64_t index) const;
  [[nodiscard]] Result<std::pair<SparseEntry, ByteView>> sparse_entry(std::uint64_t index) const;
  [[nodiscard]] Result<ByteView> first_key_of_unit(std::uint64_t index) const;
  /// Index of the first unit whose first key is not below `key`; unit_count_ if there is none.
  [[nodiscard]] Result<std::uint64_t> first_unit_from(ByteView key) const;
  /// The same, of units that do not begin with `key` and a version above `version` either. A key may have as many versions as a
  /// file has records.
  [[nodiscard]] Result<std::uint64_t> first_unit_from(ByteView key, std::uint64_t version) const;
  [[nodiscard]] Result<std::uint64_t> first_head_from(std::uint64_t head) const;
  [[nodiscard]] Result<std::uint64_t> head_of_unit(std::uint64_t index) const;
  [[nodiscard]] Result<std::uint64_t> behind_newer(std::uint64_t offset, ByteView key, std::uint64_t version_max) const;
  [[nodiscard]] Result<std::optional<Hit>> newest_at(std::uint64_t offset, ByteView key, std::uint64_t version_max,
                                                     bool& is_key) const;
  [[nodiscard]] Result<const Table*> term_table(ByteView name) const;
  [[nodiscard]] Result<std::uint64_t> first_term_from(const Table& table, ByteView term) const;
  [[nodiscard]] Result<void> verify_terms(const Table& table) const;
  [[nodiscard]] Result<void> verify_checksums() const;
  [[nodiscard]] Result<void> verify_sparse() const;
  [[nodiscard]] Result<void> verify_records(const std::function<Result<void>(std::uint64_t)>& progress) const;

  std::shared_ptr<const storage::MappedFile> file_;
  const std::atomic<bool>& bad_;  // Of the file.
  Preamble preamble_;
  Table objects_;
  Table sparse_;
  Table hash_;
  Table bounds_;
  Table replaces_;
  Table range_tombstones_;
  std::vector<Table> terms_;
  struct Level {
    std::uint64_t offset = 0;
    std::uint64_t count = 0;
  };
  std::uint64_t unit_count_ = 0;
  std::vector<Level> levels_;    // Of the sparse index, the heads first.
  std::uint64_t positions_ = 0;  // Where those of its units begin.
  ByteView common_;              // What all keys begin with.
  mutable std::vector<std::atomic<std::uint64_t>> verified_;
};

inline std::uint64_t SealedReader::parse_object(ByteView bytes, Entry& entry) const {
  if (bytes.size() < sizeof(ObjectHeader)) return 0;
  const auto header = load<ObjectHeader>(bytes.data());
  if (!is_known(header, preamble_.family)) return 0;
  const std::uint64_t size = object_bytes(header.key_size, header.value_size, header.flags);
  if (size > bytes.size()) return 0;
  const Written when = written(preamble_, header);
  entry.kind = static_cast<RecordKind>(header.kind);
  entry.write_version = when.write_version;
  entry.stamp = when.stamp;
  entry.account = 0;
  entry.expiry_ms = 0;
  const char* part = bytes.data() + sizeof(ObjectHeader);
  if ((header.flags & kHasAccount) != 0) {
    entry.account = load<std::uint64_t>(part);
    part += 8;
  }
  if ((header.flags & kHasExpiry) != 0) {
    entry.expiry_ms = load<std::int64_t>(part);
    part += 8;
  }
  entry.key = {part, header.key_size};
  entry.value = {part + header.key_size, header.value_size};
  return size;
}

}  // namespace cairn::sealed
