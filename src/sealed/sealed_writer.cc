#include "sealed/sealed_writer.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "sealed/compression.h"

namespace cairn::sealed {
namespace {
constexpr std::uint64_t kSparseUnitBytes = 4 * kKiB;  // Records between two sparse entries, uncompressed.
constexpr std::uint64_t kWriteBackBytes = 4 * kMiB;
}  // namespace

std::uint64_t sealed_bytes_max(const SealedBounds& bounds) {
  const std::uint64_t units = std::min(bounds.records, bounds.object_bytes / kSparseUnitBytes + 1);
  const std::uint64_t objects = bounds.object_bytes + units * (sizeof(UnitHeader) + kAlign);
  const std::uint64_t sparse = 16 + units * (4 + sizeof(SparseEntry) + round_up(bounds.key_bytes_max, kAlign));
  const std::uint64_t hash = 64 + bucket_count_for(bounds.records) * sizeof(HashBucket);
  const std::uint64_t data = kPageBytes + objects + sparse + hash + 2 * bounds.key_bytes_max + 8 * bounds.replaces + 64;
  const std::uint64_t pages = data / kPageBytes + 2;
  const std::uint64_t sums = round_up(pages * 4, kPageBytes);
  return round_up(data, kPageBytes) + sums + sizeof(Footer) + round_up(sums / kPageBytes * 4, kAlign) + 8 + kPageBytes;
}

SealedWriter::SealedWriter(std::unique_ptr<storage::AppendFile> file, SealedIdentity identity, SealedOptions options)
    : file_(std::move(file)), identity_(std::move(identity)), options_(options) {
  start_table(TableKind::kObjects, "objects", kPageBytes);
}

void SealedWriter::put(ByteView bytes) {
  CAIRN_ASSERT(tail_ + bytes.size() <= file_->capacity());
  if (!bytes.empty()) std::memcpy(at(tail_), bytes.data(), bytes.size());
  tail_ += bytes.size();
}

void SealedWriter::pad_to(std::uint64_t align) { tail_ = round_up(tail_, align); }  // The file reads as zeros.

void SealedWriter::start_table(TableKind kind, const char* name, std::uint64_t align) {
  pad_to(align);
  CAIRN_ASSERT(preamble_.table_count < kTablesMax);
  TableEntry& table = preamble_.tables[preamble_.table_count++];
  std::copy_n(name, std::min<std::size_t>(std::strlen(name), table.name.size()), table.name.begin());
  table.kind = kind;
  table.offset = tail_;
}

void SealedWriter::end_table() {
  TableEntry& table = preamble_.tables[preamble_.table_count - 1];
  table.length = tail_ - table.offset;
}

void SealedWriter::add(const Entry& entry) {
  const bool compressing = options_.compression != Compression::kNone;
  const bool new_key = preamble_.record_count == 0 || entry.key != last_key_;
  CAIRN_ASSERT(preamble_.record_count == 0 || entry.key >= last_key_);
  const std::uint64_t unit_bytes = compressing ? unit_.size() : tail_ - unit_begin_;
  if (unit_open_ && unit_bytes >= (compressing ? options_.unit_bytes : kSparseUnitBytes)) close_unit();
  if (!unit_open_) {
    unit_open_ = true;
    unit_begin_ = tail_;
    unit_first_key_ = entry.key;
  }
  const ObjectHeader header{.value_size = static_cast<std::uint32_t>(entry.value.size()),
                            .key_size = static_cast<std::uint16_t>(entry.key.size()),
                            .kind = static_cast<std::uint8_t>(entry.kind),
                            .flags = entry.flags(),
                            .write_version = entry.write_version,
                            .stamp = entry.stamp};
  const auto write = [&](ByteView bytes) {
    if (compressing) {
      unit_.append(bytes);
    } else {
      put(bytes);
    }
  };
  if (new_key) {
    ++preamble_.key_count;
    hashes_.push_back({xxh3(entry.key, identity_.hash_seed), tail_});
    if (preamble_.record_count == 0) first_key_ = entry.key;
    last_key_ = entry.key;
  }
  write(bytes_of(header));
  if (entry.account != 0) write(bytes_of(entry.account));
  if (entry.expiry_ms != 0) write(bytes_of(entry.expiry_ms));
  write(entry.key);
  write(entry.value);
  if (compressing) {
    unit_.resize(round_up(unit_.size(), kAlign));
  } else {
    pad_to(kAlign);
  }

  preamble_.raw_object_bytes += object_bytes(entry.key.size(), entry.value.size(), header.flags);
  preamble_.key_bytes_max = std::max<std::uint32_t>(preamble_.key_bytes_max, header.key_size);
  if (entry.kind == RecordKind::kTombstone) ++preamble_.tombstone_count;
  preamble_.stamp_first = preamble_.record_count == 0 ? entry.stamp : std::min(preamble_.stamp_first, entry.stamp);
  preamble_.stamp_last = std::max(preamble_.stamp_last, entry.stamp);
  ++preamble_.record_count;
  if (tail_ - written_back_ >= kWriteBackBytes) {
    file_->write_back(written_back_, tail_);
    written_back_ = tail_;
  }
}

void SealedWriter::close_unit() {
  if (!unit_open_) return;
  unit_open_ = false;
  std::uint64_t raw_bytes = tail_ - unit_begin_;
  if (options_.compression != Compression::kNone) {
    raw_bytes = unit_.size();
    const bool smaller = compress(options_.compression, unit_, compressed_);
    const ByteView stored = smaller ? compressed_ : unit_;
    const UnitHeader header{.stored_bytes = static_cast<std::uint32_t>(stored.size()),
                            .raw_bytes = static_cast<std::uint32_t>(raw_bytes)};
    put(bytes_of(header));
    put(stored);
    pad_to(kAlign);
    unit_.clear();
  }
  sparse_positions_.push_back(static_cast<std::uint32_t>(sparse_entries_.size() / kAlign));
  const SparseEntry entry{.offset = unit_begin_,
                          .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
                          .key_size = static_cast<std::uint32_t>(unit_first_key_.size())};
  sparse_entries_.append(bytes_of(entry));
  sparse_entries_.append(unit_first_key_);
  sparse_entries_.resize(round_up(sparse_entries_.size(), kAlign));
}

void SealedWriter::write_sparse() {
  start_table(TableKind::kSparse, "sparse", kAlign);
  put(bytes_of(std::uint64_t{sparse_positions_.size()}));
  put({reinterpret_cast<const char*>(sparse_positions_.data()), sparse_positions_.size() * 4});
  pad_to(kAlign);
  put(sparse_entries_);
  end_table();
}

void SealedWriter::write_hash() {
  start_table(TableKind::kHash, "hash", sizeof(HashBucket));
  const std::uint64_t count = bucket_count_for(preamble_.key_count);
  auto* const buckets = reinterpret_cast<HashBucket*>(at(tail_));
  CAIRN_ASSERT(tail_ + count * sizeof(HashBucket) <= file_->capacity());
  for (const KeyHash& key : hashes_) {
    std::uint64_t i = bucket_of(key.hash, count);
    while (buckets[i].count == kBucketEntries) {
      buckets[i].flags |= kOverflowed;
      i = i + 1 == count ? 0 : i + 1;
    }
    const auto offset = static_cast<std::uint32_t>(key.offset / kOffsetUnit);
    buckets[i].entries[buckets[i].count++] = {.tag = tag_of(key.hash),
                                              .offset_low = static_cast<std::uint16_t>(offset),
                                              .offset_high = static_cast<std::uint16_t>(offset >> 16)};
  }
  tail_ += count * sizeof(HashBucket);
  end_table();
}

void SealedWriter::write_page_sums() {
  start_table(TableKind::kPageSums, "page sums", kPageBytes);
  const std::uint64_t sums_begin = tail_;
  const std::uint64_t pages = sums_begin / kPageBytes;
  tail_ += round_up(pages * 4, kPageBytes);
  end_table();
  preamble_.footer_offset = tail_;
  const std::uint64_t sum_pages = (tail_ - sums_begin) / kPageBytes;
  preamble_.file_bytes = tail_ + sizeof(Footer) + round_up(sum_pages * 4, kAlign) + 8;
  CAIRN_ASSERT(preamble_.file_bytes <= file_->capacity());
  preamble_.checksum = xxh3(bytes_of(preamble_).substr(0, offsetof(Preamble, checksum)));
  store(at(0), preamble_);

  const auto sum_page = [&](std::uint64_t page) { return static_cast<std::uint32_t>(xxh3({at(page * kPageBytes), kPageBytes})); };
  for (std::uint64_t page = 0; page < pages; ++page) store(at(sums_begin + page * 4), sum_page(page));
  put(bytes_of(Footer{.magic = kFooterMagic, .page_count = pages}));
  for (std::uint64_t i = 0; i < sum_pages; ++i) put(bytes_of(sum_page(sums_begin / kPageBytes + i)));
  pad_to(kAlign);
  put(bytes_of(xxh3({at(preamble_.footer_offset), tail_ - preamble_.footer_offset})));
}

Result<std::uint64_t> SealedWriter::finish() {
  close_unit();
  end_table();
  write_sparse();
  write_hash();
  start_table(TableKind::kBounds, "bounds", kAlign);
  put(first_key_);
  put(last_key_);
  end_table();
  start_table(TableKind::kReplaces, "replaces", kAlign);
  for (const std::uint64_t number : identity_.replaces) put(bytes_of(number));
  end_table();

  preamble_.magic = kMagic;
  preamble_.format = kFormat;
  preamble_.view = identity_.view;
  preamble_.family = identity_.family;
  preamble_.database = identity_.database;
  preamble_.hash_seed = identity_.hash_seed;
  preamble_.number = identity_.number;
  preamble_.salt = identity_.salt;
  preamble_.epoch = identity_.epoch;
  preamble_.version_first = identity_.version_first;
  preamble_.version_last = identity_.version_last;
  preamble_.first_key_bytes = static_cast<std::uint32_t>(first_key_.size());
  preamble_.last_key_bytes = static_cast<std::uint32_t>(last_key_.size());
  preamble_.compression = options_.compression;
  write_page_sums();
  CAIRN_TRY_VOID(file_->finish(tail_));
  return tail_;
}

}  // namespace cairn::sealed
