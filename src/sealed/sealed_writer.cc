#include "sealed/sealed_writer.h"

#include <algorithm>
#include <boost/sort/spreadsort/integer_sort.hpp>

#include "base/error.h"
#include "sealed/compression.h"
#include "storage/bus_error.h"

namespace cairn::sealed {
namespace {
constexpr std::uint64_t kSparseUnitBytes = 1 * kKiB;  // Records between two sparse entries, uncompressed.
constexpr std::uint64_t kSumBytes = 256 * kKiB;       // Whose sums are taken at once, while they are in the cache.
/// Written at once, from a multiple of it in the file on: in the page cache that is one huge page then, where the file system has
/// large folios, and in a reader's map too. It also leaves memory as one (docs/decisions/0029-huge-pages.md).
constexpr std::uint64_t kWriteBytes = 2 * kMiB;
constexpr std::uint64_t kWriteBackBytes = 4 * kMiB;

template <std::size_t kSize>
void set_name(std::array<char, kSize>& to, ByteView name) {
  std::copy_n(name.begin(), std::min(name.size(), kSize), to.begin());
}

/// Appends `entry` as a record, without its pad.
void append_object(Bytes& to, const Entry& entry, std::uint64_t salt) {
  const ObjectHeader header{.checksum = 0,
                            .value_size = static_cast<std::uint32_t>(entry.value.size()),
                            .key_size = static_cast<std::uint16_t>(entry.key.size()),
                            .kind = static_cast<std::uint8_t>(entry.kind),
                            .flags = entry.flags(),
                            .write_version = entry.write_version,
                            .stamp = entry.stamp};
  const std::size_t begin = to.size();
  const std::size_t bytes = sizeof(header) + (entry.account != 0 ? sizeof(entry.account) : 0) +
                            (entry.expiry_ms != 0 ? sizeof(entry.expiry_ms) : 0) + entry.key.size() + entry.value.size();
  to.resize_and_overwrite(begin + bytes, [&](char* all, std::size_t /*libstdc++ 12 says the capacity here*/) {
    char* at = all + begin;
    const auto add = [&at](ByteView part) { at = std::copy(part.begin(), part.end(), at); };
    add(bytes_of(header));
    if (entry.account != 0) add(bytes_of(entry.account));
    if (entry.expiry_ms != 0) add(bytes_of(entry.expiry_ms));
    add(entry.key);
    add(entry.value);
    store(all + begin, object_checksum({all + begin, bytes}, salt));
    return begin + bytes;
  });
}
}  // namespace

std::uint64_t sealed_bytes_max(const SealedBounds& bounds) {
  const std::uint64_t units = std::min(bounds.records, bounds.object_bytes / kSparseUnitBytes + 1);
  const std::uint64_t objects = bounds.object_bytes + units * (sizeof(UnitHeader) + kAlign);
  const std::uint64_t keys = std::min(units * bounds.key_bytes_max, bounds.object_bytes);
  const std::uint64_t sparse =
      16 + sizeof(SparseHeader) + units * (14 + sizeof(SparseEntry) + kAlign) + 8 * sizeof(SparseHeader) + keys;
  const std::uint64_t hash = 64 + bucket_count_for(bounds.records, false) * sizeof(HashBucket);
  const std::uint64_t terms = bounds.records * bounds.term_bytes + kTablesMax * kAlign;
  const std::uint64_t data = objects + sparse + hash + terms + 4 * bounds.key_bytes_max + 8 * bounds.replaces + 64;
  const std::uint64_t pages = data / kPageBytes + 8;
  const std::uint64_t sum_pages = pages / 1000 + 1;  // A page of sums covers 1,024, itself among them.
  return (pages + 2 * sum_pages) * kPageBytes;
}

SealedWriter::SealedWriter(std::unique_ptr<storage::AppendFile> file, SealedIdentity identity, SealedOptions options)
    : file_(std::move(file)), identity_(std::move(identity)), options_(std::move(options)), terms_(options_.terms.size()) {
  preamble_.sum_pages = sum_pages_for(file_->capacity());
  written_ = objects_offset(preamble_.sum_pages);
  written_back_ = written_;
  page_sums_.resize(written_ / kPageBytes * 4);
  start_table(TableKind::kObjects, "objects", kPageBytes);
}

void SealedWriter::put(ByteView bytes) {
  out_.append(bytes);
  if (out_.size() - summed_ >= kSumBytes) take_sums();
}

/// Notes the sums of the whole pages there are, and writes those that need not wait for more.
void SealedWriter::take_sums() {
  for (; out_.size() - summed_ >= kPageBytes; summed_ += kPageBytes) {
    page_sums_.append(bytes_of(static_cast<std::uint32_t>(xxh3(ByteView(out_).substr(summed_, kPageBytes)))));
  }
  if (storage::memory_is_short()) return write_out(summed_);
  const std::uint64_t end = (written_ + summed_) / kWriteBytes * kWriteBytes;
  if (end > written_) write_out(end - written_);
}

/// Writes the next `bytes`, whose sums were taken.
void SealedWriter::write_out(std::uint64_t bytes) {
  write(written_, ByteView(out_).substr(0, bytes));
  written_ += bytes;
  summed_ -= bytes;
  out_.erase(0, bytes);
  if (written_ - written_back_ < kWriteBackBytes) return;
  file_->write_back(written_back_, written_);
  written_back_ = written_;
}

void SealedWriter::write(std::uint64_t offset, ByteView bytes) {
  CAIRN_ASSERT(offset + bytes.size() <= file_->capacity());
  if (failed_ && !bytes.empty()) failed_ = file_->write(offset, bytes);
}

void SealedWriter::start_table(TableKind kind, ByteView name, std::uint64_t align, std::uint32_t key_bytes) {
  pad_to(align);
  CAIRN_ASSERT(preamble_.table_count < kTablesMax);
  TableEntry& table = preamble_.tables[preamble_.table_count++];
  set_name(table.name, name);
  table.kind = kind;
  table.key_bytes = key_bytes;
  table.offset = tail();
}

void SealedWriter::end_table() {
  TableEntry& table = preamble_.tables[preamble_.table_count - 1];
  table.length = tail() - table.offset;
}

void SealedWriter::add(const Entry& entry, std::span<const TermOf> terms) {
  const bool compressing = options_.compression != Compression::kNone;
  const bool new_key = preamble_.record_count == 0 || entry.key != last_key_;
  CAIRN_ASSERT(preamble_.record_count == 0 || entry.key >= last_key_);
  const std::uint64_t unit_bytes = compressing ? unit_.size() : tail() - unit_begin_;
  if (unit_open_ && unit_bytes >= (compressing ? options_.unit_bytes : kSparseUnitBytes)) close_unit();
  if (!unit_open_) {
    unit_open_ = true;
    unit_begin_ = tail();
    units_.push_back({.offset = unit_begin_, .raw_bytes = 0, .key_size = static_cast<std::uint32_t>(entry.key.size())});
    unit_keys_.append(entry.key);
  }
  for (const TermOf& term : terms) {
    terms_[term.table].append(term.term);
    terms_[term.table].append(bytes_of(static_cast<std::uint32_t>(tail() / kOffsetUnit)));
  }
  if (new_key) {
    ++preamble_.key_count;
    hashes_.push_back({xxh3(entry.key, identity_.hash_seed), tail()});
    if (preamble_.record_count == 0) first_key_ = entry.key;
    last_key_ = entry.key;
  }
  if (compressing) {
    append_object(unit_, entry, identity_.salt);
    unit_.resize(round_up(unit_.size(), kAlign));
  } else {
    append_object(out_, entry, identity_.salt);
    pad_to(kAlign);
    if (out_.size() - summed_ >= kSumBytes) take_sums();
  }

  preamble_.raw_object_bytes += object_bytes(entry.key.size(), entry.value.size(), entry.flags());
  if (entry.kind == RecordKind::kTombstone) ++preamble_.tombstone_count;
  if (entry.expiry_ms != 0) ++preamble_.expiring_count;
  count(entry);
  ++preamble_.record_count;
}

void SealedWriter::close_unit() {
  if (!unit_open_) return;
  unit_open_ = false;
  if (options_.compression == Compression::kNone) return;
  const bool smaller = compress(options_.compression, unit_, compressed_);
  const ByteView stored = smaller ? compressed_ : unit_;
  units_.back().raw_bytes = static_cast<std::uint32_t>(unit_.size());
  put(bytes_of(UnitHeader{.stored_bytes = static_cast<std::uint32_t>(stored.size()), .raw_bytes = units_.back().raw_bytes}));
  put(stored);
  pad_to(kAlign);
  unit_.clear();
}

void SealedWriter::write_sparse() {
  start_table(TableKind::kSparse, "sparse", sizeof(SparseHeader));
  const auto differ = std::mismatch(first_key_.begin(), first_key_.end(), last_key_.begin(), last_key_.end());
  const auto common = static_cast<std::uint64_t>(differ.first - first_key_.begin());
  put(bytes_of(SparseHeader{.count = units_.size(), .common_bytes = common, .zero = {}}));
  std::vector<std::uint64_t> level;
  level.reserve(units_.size());
  std::uint64_t key_at = 0;
  for (const SparseEntry& unit : units_) {
    level.push_back(head_of(ByteView(unit_keys_).substr(key_at, unit.key_size).substr(common)));
    key_at += unit.key_size;
  }
  for (std::uint64_t count = level.size(); count != 0; count = level_above(count)) {
    level.resize(level_bytes(count) / 8, ~std::uint64_t{0});
    put({reinterpret_cast<const char*>(level.data()), level_bytes(count)});
    for (std::size_t i = 0; i * kLevelFanOut < count; ++i) level[i] = level[i * kLevelFanOut];
    level.resize(level_above(count));
  }
  const bool compressed = options_.compression != Compression::kNone;
  std::uint64_t entry_at = round_up(tail() + units_.size() * 4, kAlign);
  for (const SparseEntry& unit : units_) {
    put(bytes_of(static_cast<std::uint32_t>((compressed ? entry_at : unit.offset) / kOffsetUnit)));
    entry_at += round_up(sizeof(SparseEntry) + unit.key_size, kAlign);
  }
  key_at = 0;
  for (const SparseEntry& unit : units_) {
    if (!compressed) break;
    pad_to(kAlign);
    put(bytes_of(unit));
    put(ByteView(unit_keys_).substr(key_at, unit.key_size));
    key_at += unit.key_size;
  }
  end_table();
}

void SealedWriter::write_hash() {
  constexpr std::size_t kAhead = 16;  // The buckets do not fit a cache.
  start_table(TableKind::kHash, "hash", sizeof(HashBucket));
  const std::uint64_t count = bucket_count_for(preamble_.key_count, options_.compression != Compression::kNone);
  std::vector<HashBucket> buckets(count);
  for (std::size_t k = 0; k < hashes_.size(); ++k) {
    const KeyHash& key = hashes_[k];
    if (k + kAhead < hashes_.size()) __builtin_prefetch(&buckets[bucket_of(hashes_[k + kAhead].hash, count)], 1);
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
  put({reinterpret_cast<const char*>(buckets.data()), count * sizeof(HashBucket)});
  end_table();
}

/// What every stored thing counts for.
void SealedWriter::count(const Entry& entry) {
  const bool first = preamble_.record_count + preamble_.range_tombstone_count == 0;
  preamble_.key_bytes_max = std::max(preamble_.key_bytes_max, static_cast<std::uint32_t>(entry.key.size()));
  preamble_.stamp_first = first ? entry.stamp : std::min(preamble_.stamp_first, entry.stamp);
  preamble_.stamp_last = std::max(preamble_.stamp_last, entry.stamp);
}

void SealedWriter::add_range_tombstone(const Entry& tombstone) {
  count(tombstone);
  ++preamble_.range_tombstone_count;
  append_object(range_tombstones_, tombstone, identity_.salt);
  range_tombstones_.resize(round_up(range_tombstones_.size(), kAlign));
}

void SealedWriter::write_terms() {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    start_table(TableKind::kTerms, options_.terms[i].name, kAlign, options_.terms[i].key_bytes);
    const std::size_t key_bytes = options_.terms[i].key_bytes;
    const std::size_t item_bytes = key_bytes + sizeof(std::uint32_t);
    const auto item = [&, all = ByteView(terms_[i])](std::uint32_t at) { return all.substr(at * item_bytes, item_bytes); };
    struct Sorted {
      std::uint64_t head;  // Of the term, which settles most comparisons.
      std::uint32_t at;
    };
    std::vector<Sorted> order(terms_[i].size() / item_bytes);
    for (std::uint32_t at = 0; at < order.size(); ++at) order[at] = {head_of(item(at).substr(0, key_bytes)), at};
    const auto digits = [](const Sorted& sorted, unsigned shift) { return sorted.head >> shift; };
    boost::sort::spreadsort::integer_sort(order.begin(), order.end(), digits, [&](const Sorted& a, const Sorted& b) {
      if (a.head != b.head) return a.head < b.head;
      const int rest = key_bytes <= sizeof a.head ? 0 : item(a.at).substr(0, key_bytes).compare(item(b.at).substr(0, key_bytes));
      return rest != 0 ? rest < 0 : a.at < b.at;  // They came in order of offset.
    });
    for (std::size_t at = 0; at < order.size(); ++at) {
      if (at == 0 || item(order[at].at) != item(order[at - 1].at)) put(item(order[at].at));  // Else two records of one unit.
    }
    end_table();
  }
}

/// Range tombstones, bounds and the numbers of the files that are replaced.
void SealedWriter::write_small_tables(ByteView cover_to) {
  if (!range_tombstones_.empty()) {
    start_table(TableKind::kRangeTombstones, "range tombstones", kAlign);
    put(range_tombstones_);
    end_table();
  }
  start_table(TableKind::kBounds, "bounds", kAlign);
  for (const ByteView bound : {ByteView(first_key_), ByteView(last_key_), ByteView(identity_.cover_from), cover_to}) put(bound);
  end_table();
  preamble_.first_key_bytes = static_cast<std::uint32_t>(first_key_.size());
  preamble_.last_key_bytes = static_cast<std::uint32_t>(last_key_.size());
  preamble_.cover_from_bytes = static_cast<std::uint32_t>(identity_.cover_from.size());
  preamble_.cover_to_bytes = static_cast<std::uint32_t>(cover_to.size());
  start_table(TableKind::kReplaces, "replaces", kAlign);
  for (const std::uint64_t number : identity_.replaces) put(bytes_of(number));
  end_table();
}

/// Writes the last of the tables, and the sums of all pages but the preambles.
void SealedWriter::write_sums() {
  pad_to(kPageBytes);
  take_sums();
  write_out(summed_);
  page_sums_.resize(preamble_.sum_pages * kPageBytes);
  Bytes sums;
  for (std::uint64_t i = 0; i < preamble_.sum_pages; ++i) {
    sums.append(bytes_of(static_cast<std::uint32_t>(xxh3(ByteView(page_sums_).substr(i * kPageBytes, kPageBytes)))));
  }
  sums.resize(sums_of_sums_bytes(preamble_.sum_pages));
  preamble_.sums_checksum = xxh3(sums);
  preamble_.file_bytes = written_ + kPageBytes;
  write(kPageBytes, sums + page_sums_);
}

Result<void> SealedWriter::complete(ByteView cover_to) {
  close_unit();
  end_table();
  write_sparse();
  write_hash();
  write_terms();
  write_small_tables(cover_to);
  write_sums();
  // It may wait long to be finished.
  out_ = {};
  page_sums_ = {};
  hashes_ = {};
  terms_ = {};
  units_ = {};
  unit_keys_ = {};
  range_tombstones_ = {};
  CAIRN_TRY_VOID(failed_);
  return options_.one_version ? file_->trim(preamble_.file_bytes) : Result<void>{};
}

void SealedWriter::set_version(std::uint64_t write_version, std::uint64_t stamp) {
  CAIRN_ASSERT(options_.one_version);
  identity_.version_first = write_version;
  identity_.version_last = write_version;
  preamble_.stamp_first = stamp;
  preamble_.stamp_last = stamp;
}

Result<std::uint64_t> SealedWriter::finish() {
  preamble_.magic = kMagic;
  preamble_.format = kFormat;
  preamble_.flags = options_.one_version ? kOneVersion : 0;
  preamble_.view = identity_.view;
  preamble_.family = identity_.family;
  preamble_.database = identity_.database;
  preamble_.hash_seed = identity_.hash_seed;
  preamble_.number = identity_.number;
  preamble_.salt = identity_.salt;
  preamble_.epoch = identity_.epoch;
  preamble_.version_first = identity_.version_first;
  preamble_.version_last = identity_.version_last;
  preamble_.compression = options_.compression;
  set_name(preamble_.view_name, identity_.view_name);
  set_name(preamble_.family_name, identity_.family_name);
  preamble_.checksum = xxh3(bytes_of(preamble_).substr(0, offsetof(Preamble, checksum)));
  write(0, bytes_of(preamble_));
  write(written_, bytes_of(preamble_));
  CAIRN_TRY_VOID(failed_);
  CAIRN_TRY_VOID(file_->finish(preamble_.file_bytes));
  return preamble_.file_bytes;
}

}  // namespace cairn::sealed
