// Writes one sealed file from entries in order.
#pragma once
#include <cstdint>
#include <memory>
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
  std::vector<std::uint64_t> replaces;
};

struct SealedOptions {
  Compression compression = Compression::kNone;
  std::uint32_t unit_bytes = 16 * kKiB;  // Raw size of a compressed unit.
};

/// Upper bounds of what will be added; they decide how much room is allocated.
struct SealedBounds {
  std::uint64_t records = 0;
  std::uint64_t object_bytes = 0;  // Sum of object_bytes().
  std::uint64_t key_bytes_max = 0;
  std::uint64_t replaces = 0;
};
std::uint64_t sealed_bytes_max(const SealedBounds& bounds);

class SealedWriter {
 public:
  /// Memory it takes until finish(), when the number of buckets of the hash index is known.
  static constexpr std::uint64_t kMemoryBytesPerRecord = 16;

  /// `file` has room for sealed_bytes_max of what will be added.
  SealedWriter(std::unique_ptr<storage::AppendFile> file, SealedIdentity identity, SealedOptions options);

  /// Adds an entry; keys ascend, versions of one key descend.
  void add(const Entry& entry);
  [[nodiscard]] std::uint64_t record_count() const { return preamble_.record_count; }
  /// Completes the file and makes it durable; its name is so after sync_names(). Returns its size.
  Result<std::uint64_t> finish();

 private:
  void close_unit();
  void start_table(TableKind kind, const char* name, std::uint64_t align);
  void end_table();
  void write_sparse();
  void write_hash();
  void write_page_sums();
  void put(ByteView bytes);
  void pad_to(std::uint64_t align);
  [[nodiscard]] char* at(std::uint64_t offset) { return file_->data() + offset; }

  struct KeyHash {
    std::uint64_t hash;
    std::uint64_t offset;
  };

  std::unique_ptr<storage::AppendFile> file_;
  SealedIdentity identity_;
  SealedOptions options_;
  Preamble preamble_{};
  std::uint64_t tail_ = kPageBytes;
  std::uint64_t unit_begin_ = kPageBytes;  // Uncompressed: where the open unit began.
  Bytes unit_;                             // Compressed: the open unit's records.
  Bytes unit_first_key_;
  bool unit_open_ = false;
  std::uint64_t written_back_ = 0;
  Bytes sparse_entries_;
  std::vector<std::uint32_t> sparse_positions_;
  static_assert(sizeof(KeyHash) == kMemoryBytesPerRecord);
  std::vector<KeyHash> hashes_;
  Bytes first_key_;
  Bytes last_key_;
  Bytes compressed_;
};

}  // namespace cairn::sealed
