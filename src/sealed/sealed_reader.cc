// What is on disk is input, not fact: pages are verified before they are read, and sizes inside them are bounded all
// the same, since a page may verify and still have been written by a faulty program.
#include "sealed/sealed_reader.h"

#include <algorithm>

#include "base/error.h"
#include "sealed/compression.h"

namespace cairn::sealed {
namespace {
constexpr std::uint64_t kAskedForBytes = 16 * kKiB;  // What is longer is not waited for page by page.
constexpr std::uint64_t kWalkedVersions = 16;        // Of a key, before they are searched;
constexpr std::uint64_t kWalkedUnits = 2;            // compressed, units of them.

}  // namespace

SealedReader::SealedReader(std::shared_ptr<const storage::MappedFile> file, const Preamble& preamble)
    : file_(std::move(file)), bad_(file_->bad_flag()), preamble_(preamble), verified_(file_->size() / kPageBytes / 64 + 1) {}

Result<std::shared_ptr<SealedReader>> SealedReader::open(std::shared_ptr<const storage::MappedFile> file,
                                                         const SealedExpected& expected) {
  const std::string& name = file->name();
  if (file->size() < kPageBytes) return corruption("sealed file is shorter than its preamble", name, file->size());
  const auto preamble = load<Preamble>(file->data());
  CAIRN_TRY_VOID(file->status());
  if (preamble.magic != kMagic) return corruption("not a sealed file: wrong magic", name, 0);
  if (preamble.checksum != xxh3(bytes_of(preamble).substr(0, offsetof(Preamble, checksum)))) {
    return corruption("sealed file preamble checksum", name, 0);
  }
  if (preamble.format != kFormat) {
    return fail(ErrorCode::kUnsupported, "sealed file format " + std::to_string(preamble.format) + " needs a newer Cairn", name,
                8);
  }
  if ((preamble.flags & ~kOneVersion) != 0 || preamble.reserved != decltype(preamble.reserved){}) {
    return fail(ErrorCode::kUnsupported, "reserved bytes of the preamble are set", name, offsetof(Preamble, flags));
  }
  if (preamble.database != expected.database) return corruption("sealed file belongs to another database", name, 16);
  if (preamble.number != expected.number) return corruption("sealed file carries another file's number", name, 40);
  if (preamble.view != expected.view || preamble.family != expected.family) {
    return corruption("sealed file belongs to another view or family", name, 12);
  }
  if (preamble.file_bytes != file->size()) {
    return corruption("sealed file has " + std::to_string(file->size()) + " bytes, not " + std::to_string(preamble.file_bytes),
                      name, file->size());
  }
  if (file->size() > kFileBytesMax || file->size() % kPageBytes != 0 || preamble.sum_pages < sum_pages_for(file->size()) ||
      preamble.sum_pages > file->size() / kPageBytes || objects_offset(preamble.sum_pages) + kPageBytes > file->size()) {
    return corruption("page sums do not match the size of the file", name, offsetof(Preamble, sum_pages));
  }
  if (preamble.compression > Compression::kZstd) {
    return fail(ErrorCode::kUnsupported, "unknown compression", name, offsetof(Preamble, compression));
  }
  std::shared_ptr<SealedReader> reader(new SealedReader(std::move(file), preamble));
  CAIRN_TRY_VOID(reader->find_tables());
  CAIRN_TRY_VOID(reader->check_sums());
  CAIRN_TRY_VOID(reader->find_units());
  return reader;
}

Result<void> SealedReader::find_tables() {
  const std::string& name = file_->name();
  if (preamble_.table_count > kTablesMax) return corruption("too many index tables", name, 0);
  for (std::uint32_t i = 0; i < preamble_.table_count; ++i) {
    const TableEntry& entry = preamble_.tables[i];
    if (entry.offset % kAlign != 0 || entry.offset < objects_offset(preamble_.sum_pages) ||
        entry.offset > file_->size() - kPageBytes || entry.length > file_->size() - kPageBytes - entry.offset) {
      return corruption("index table lies outside the file", name, offsetof(Preamble, tables) + i * sizeof(TableEntry));
    }
    Table table{.offset = entry.offset, .length = entry.length, .key_bytes = entry.key_bytes, .name = {}};
    switch (entry.kind) {
      case TableKind::kObjects: objects_ = table; break;
      case TableKind::kSparse: sparse_ = table; break;
      case TableKind::kHash: hash_ = table; break;
      case TableKind::kBounds: bounds_ = table; break;
      case TableKind::kReplaces: replaces_ = table; break;
      case TableKind::kRangeTombstones: range_tombstones_ = table; break;
      case TableKind::kTerms:
        table.name.assign(entry.name.begin(), std::find(entry.name.begin(), entry.name.end(), '\0'));
        if (entry.key_bytes == 0 || entry.length % (std::uint64_t{entry.key_bytes} + 4) != 0) {
          return corruption("term table is malformed", name, entry.offset);
        }
        terms_.push_back(std::move(table));
        break;
      default:
        return fail(ErrorCode::kUnsupported,
                    "index table of kind " + std::to_string(static_cast<std::uint32_t>(entry.kind)) + " needs a newer Cairn",
                    name);
    }
  }
  if (objects_.offset == 0 || sparse_.offset == 0 || hash_.length == 0 || hash_.length % sizeof(HashBucket) != 0 ||
      bounds_.length != std::uint64_t{preamble_.first_key_bytes} + preamble_.last_key_bytes + preamble_.cover_from_bytes +
                            preamble_.cover_to_bytes) {
    return corruption("index tables are missing or malformed", name, offsetof(Preamble, tables));
  }
  return {};
}

Result<void> SealedReader::find_units() {
  if (sparse_.length < sizeof(SparseHeader)) return damaged("sparse index is too short", sparse_.offset);
  CAIRN_TRY(head, bytes(sparse_.offset, sizeof(SparseHeader), sparse_));
  const auto header = load<SparseHeader>(head.data());
  unit_count_ = header.count;
  if (header.zero != decltype(header.zero){}) {
    return fail(ErrorCode::kUnsupported, "reserved bytes of the sparse index are set", file_->name(), sparse_.offset + 16);
  }
  if (unit_count_ > sparse_.length / 12) return damaged("sparse index count", sparse_.offset);
  positions_ = sparse_.offset + sizeof(SparseHeader);
  for (std::uint64_t count = unit_count_; count != 0; count = level_above(count)) {
    levels_.push_back({.offset = positions_, .count = count});
    positions_ += level_bytes(count);
  }
  if (header.common_bytes > preamble_.first_key_bytes) return damaged("common bytes of keys", sparse_.offset + 8);
  CAIRN_TRY(common, bytes(bounds_.offset, header.common_bytes, bounds_));
  common_ = common;
  return {};
}

/// The sums of page sums, which check the page sums, which check the pages.
Result<void> SealedReader::check_sums() const {
  const bool sound = preamble_.sums_checksum == xxh3({file_->data() + kPageBytes, sums_of_sums_bytes(preamble_.sum_pages)});
  if (!sound) return damaged("sums of page sums", kPageBytes);
  return {};
}

/// The error for bytes that make no sense: after a bus error they are zeros, and that is what is to be said.
std::unexpected<Error> SealedReader::damaged(std::string message, std::uint64_t offset) const {
  if (file_->bad()) return std::unexpected(file_->status().error());
  return corruption(std::move(message), file_->name(), offset);
}

Result<void> SealedReader::verify_page(std::uint64_t page) const {
  const char* const data = file_->data();
  const std::uint64_t sums = page_sums_offset(preamble_.sum_pages);
  const std::uint64_t first_sums_page = sums / kPageBytes;
  std::uint64_t sum_at = kPageBytes + (page - first_sums_page) * 4;  // A page of sums.
  if (page >= first_sums_page + preamble_.sum_pages) {
    sum_at = sums + page * 4;
    CAIRN_TRY_VOID(ensure(sum_at, 4));
  }
  const auto sum = static_cast<std::uint32_t>(xxh3({data + page * kPageBytes, kPageBytes}));
  const bool sound = sum == load<std::uint32_t>(data + sum_at);
  if (!sound) return damaged("page checksum", page * kPageBytes);
  verified_[page / 64].fetch_or(std::uint64_t{1} << (page % 64), std::memory_order_release);
  return {};
}

/// Verifies the pages of [offset, offset + length) that were not yet; the range lies within the file's pages.
Result<void> SealedReader::ensure(std::uint64_t offset, std::uint64_t length) const {
  if (length == 0) return {};
  if (length > kAskedForBytes) file_->will_read(offset, offset + length);
  const std::uint64_t last = (offset + length - 1) / kPageBytes;
  for (std::uint64_t page = offset / kPageBytes; page <= last; ++page) {
    const std::uint64_t word = verified_[page / 64].load(std::memory_order_acquire);
    if ((word >> (page % 64) & 1) == 0) CAIRN_TRY_VOID(verify_page(page));
  }
  return {};
}

Result<ByteView> SealedReader::bytes(std::uint64_t offset, std::uint64_t length, const Table& within) const {
  if (offset < within.offset || offset - within.offset > within.length || length > within.length - (offset - within.offset)) {
    return damaged("an offset or a size points outside its table", offset);
  }
  CAIRN_TRY_VOID(ensure(offset, length));
  return ByteView(file_->data() + offset, length);
}

Result<std::uint64_t> SealedReader::parse(ByteView records, std::uint64_t at, std::uint64_t offset, Entry& entry) const {
  if (const std::uint64_t size = parse_object(records.substr(at), entry); size != 0) return size;
  return std::unexpected(not_an_object(records.substr(at), offset));
}

/// Why these bytes, at `offset` in the file, are no record.
Error SealedReader::not_an_object(ByteView bytes, std::uint64_t offset) const {
  if (bytes.size() < sizeof(ObjectHeader)) return damaged("record header runs past its unit", offset).error();
  const auto header = load<ObjectHeader>(bytes.data());
  const auto kind = static_cast<RecordKind>(header.kind);
  if (kind == RecordKind::kNone) return damaged("record kind is zero", offset).error();
  if (!is_known(header, preamble_.family)) {
    return fail(ErrorCode::kUnsupported, "record of an unknown kind", file_->name(), offset).error();
  }
  return damaged("record runs past its unit", offset).error();
}

Result<std::uint64_t> SealedReader::object_at(std::uint64_t offset, Entry& entry) const {
  CAIRN_TRY(head, bytes(offset, sizeof(ObjectHeader), objects_));
  const auto header = load<ObjectHeader>(head.data());
  CAIRN_TRY(record, bytes(offset, object_bytes(header.key_size, header.value_size, header.flags), objects_));
  return parse(record, 0, offset, entry);
}

/// The compressed unit at `offset`.
Result<SealedReader::Unit> SealedReader::unit_at(std::uint64_t offset) const {
  CAIRN_TRY(head, bytes(offset, sizeof(UnitHeader), objects_));
  const auto header = load<UnitHeader>(head.data());
  CAIRN_TRY(stored, bytes(offset + sizeof(UnitHeader), header.stored_bytes, objects_));
  const std::uint64_t end = round_up(offset + sizeof(UnitHeader) + header.stored_bytes, kAlign);
  if (header.stored_bytes == header.raw_bytes) return Unit{stored, offset, end, nullptr};
  if (header.raw_bytes > std::min(preamble_.raw_object_bytes, kUnitRawBytesMax)) return damaged("unit is too large", offset);
  auto buffer = std::make_shared<Bytes>();
  if (!decompress(preamble_.compression, stored, header.raw_bytes, *buffer)) {
    return damaged("unit does not decompress", offset);
  }
  return Unit{*buffer, offset, end, buffer};
}

/// What the sparse index says is the place of unit `index`: of its first record or, compressed, of its SparseEntry.
Result<std::uint64_t> SealedReader::unit_position(std::uint64_t index) const {
  CAIRN_TRY(position, bytes(positions_ + index * 4, 4, sparse_));
  return std::uint64_t{load<std::uint32_t>(position.data())} * kOffsetUnit;
}

Result<std::pair<SparseEntry, ByteView>> SealedReader::sparse_entry(std::uint64_t index) const {
  CAIRN_TRY(at, unit_position(index));
  CAIRN_TRY(head, bytes(at, sizeof(SparseEntry), sparse_));
  const auto entry = load<SparseEntry>(head.data());
  CAIRN_TRY(key, bytes(at + sizeof(SparseEntry), entry.key_size, sparse_));
  return std::pair(entry, key);
}

Result<ByteView> SealedReader::first_key_of_unit(std::uint64_t index) const {
  if (preamble_.compression != Compression::kNone) {
    CAIRN_TRY(found, sparse_entry(index));
    return found.second;
  }
  Entry first;
  CAIRN_TRY(at, unit_position(index));
  CAIRN_TRY_VOID(object_at(at, first));
  return first.key;
}

Result<SealedReader::Unit> SealedReader::unit(std::uint64_t index) const {
  if (preamble_.compression != Compression::kNone) {
    CAIRN_TRY(found, sparse_entry(index));
    return unit_at(found.first.offset);
  }
  CAIRN_TRY(begin, unit_position(index));
  CAIRN_TRY(end, index + 1 < unit_count_ ? unit_position(index + 1) : Result<std::uint64_t>(objects_.offset + objects_.length));
  if (end <= begin) return damaged("units are out of order", begin);
  CAIRN_TRY(records, bytes(begin, end - begin, objects_));
  return Unit{records, begin, end, nullptr};
}

/// Index of the first unit whose head is not below `head`: the last number below it in each level leads to the block to look
/// at in the next.
Result<std::uint64_t> SealedReader::first_head_from(std::uint64_t head) const {
  std::uint64_t index = 0;
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    const std::uint64_t block = index * kLevelFanOut;
    CAIRN_TRY(numbers, bytes(level->offset + block * 8, kLevelFanOut * 8, sparse_));
    const std::uint64_t count = std::min(kLevelFanOut, level->count - block);
    std::uint64_t below = 0;
    for (std::uint64_t i = 0; i < count; ++i) below += load<std::uint64_t>(numbers.data() + i * 8) < head ? 1 : 0;
    if (level + 1 == levels_.rend()) return block + below;
    if (below == 0) return 0;  // Only on the way to the first.
    index = block + below - 1;
  }
  return 0;
}

Result<std::uint64_t> SealedReader::head_of_unit(std::uint64_t index) const {
  CAIRN_TRY(found, bytes(levels_.front().offset + index * 8, 8, sparse_));
  return load<std::uint64_t>(found.data());
}

Result<std::uint64_t> SealedReader::first_unit_from(ByteView key) const {
  const int order = key.substr(0, common_.size()).compare(common_);
  if (order != 0) return order < 0 ? 0 : unit_count_;
  const std::uint64_t head = head_of(key.substr(common_.size()));
  CAIRN_TRY(low, first_head_from(head));
  if (low == unit_count_) return low;
  CAIRN_TRY(next, head_of_unit(low));
  if (next != head) return low;
  CAIRN_TRY(high, head == ~std::uint64_t{0} ? Result<std::uint64_t>(unit_count_) : first_head_from(head + 1));
  while (low < high) {  // Units that the heads do not tell apart.
    const std::uint64_t middle = low + (high - low) / 2;
    CAIRN_TRY(first, first_key_of_unit(middle));
    if (first < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<std::uint64_t> SealedReader::first_unit_from(ByteView key, std::uint64_t version) const {
  CAIRN_TRY(low, first_unit_from(key));
  std::uint64_t high = version == ~std::uint64_t{0} ? low : unit_count_;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    CAIRN_TRY(first, first_key_of_unit(middle));
    bool newer = first == key;
    if (newer) {
      CAIRN_TRY(found, unit(middle));
      Entry entry;
      CAIRN_TRY_VOID(parse(found.records, 0, found.offset, entry));
      newer = entry.write_version > version;
    }
    if (newer) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Where to go on looking for the newest version of `key` not above `version_max`, when those from `offset` on are above it: at
/// the last unit that begins with such a one.
Result<std::uint64_t> SealedReader::behind_newer(std::uint64_t offset, ByteView key, std::uint64_t version_max) const {
  CAIRN_TRY(first, first_unit_from(key, version_max));
  if (first == 0) return offset;
  CAIRN_TRY(last, unit(first - 1));
  return std::max(last.offset, offset);
}

/// The newest version of `key` not above `version_max`, given that its first version lies at `offset` if the hash
/// entry is not another key's. `is_key` says whether it was the key.
Result<std::optional<SealedReader::Hit>> SealedReader::newest_at(std::uint64_t offset, ByteView key, std::uint64_t version_max,
                                                                 bool& is_key) const {
  const std::uint64_t end = objects_.offset + objects_.length;
  if (preamble_.compression == Compression::kNone) {
    Hit hit;
    for (std::uint64_t passed = 0; offset < end; ++passed) {
      CAIRN_TRY(size, object_at(offset, hit.entry));
      if (hit.entry.key != key) break;
      is_key = true;
      if (hit.entry.write_version <= version_max) return hit;
      offset += size;
      if (passed == kWalkedVersions) {
        CAIRN_TRY(at, behind_newer(offset, key, version_max));
        offset = at;
      }
    }
    return std::nullopt;
  }
  for (std::uint64_t passed = 0; offset < end;) {
    CAIRN_TRY(unit, unit_at(offset));
    Hit hit{.entry = {}, .buffer = unit.buffer};
    for (std::uint64_t at = 0; at < unit.records.size();) {
      CAIRN_TRY(size, parse(unit.records, at, offset, hit.entry));
      at += size;
      if (hit.entry.key < key) continue;
      if (hit.entry.key > key) return std::nullopt;
      is_key = true;
      if (hit.entry.write_version <= version_max) return hit;
    }
    if (!is_key) break;  // The entry of another key with the same tag.
    offset = unit.end;
    if (++passed == kWalkedUnits) {
      CAIRN_TRY(at, behind_newer(offset, key, version_max));
      offset = at;
    }
  }
  return std::nullopt;
}

Result<std::optional<SealedReader::Hit>> SealedReader::get(ByteView key, std::uint64_t hash, std::uint64_t version_max) const {
  const std::uint64_t count = hash_.length / sizeof(HashBucket);
  std::uint64_t i = bucket_of(hash, count);
  for (std::uint64_t looked = 0; looked < count; ++looked) {
    CAIRN_TRY(raw, bytes(hash_.offset + i * sizeof(HashBucket), sizeof(HashBucket), hash_));
    const auto* const bucket = reinterpret_cast<const HashBucket*>(raw.data());
    const unsigned entries = std::min<unsigned>(bucket->count, kBucketEntries);
    for (unsigned e = 0; e < entries; ++e) {
      if (bucket->entries[e].tag != tag_of(hash)) continue;
      bool is_key = false;
      const char* const record = file_->data() + bucket->entries[e].offset();  // Only asked for: it may lie anywhere.
      __builtin_prefetch(record);
      __builtin_prefetch(record + 64);
      __builtin_prefetch(record + 128);
      CAIRN_TRY(hit, newest_at(bucket->entries[e].offset(), key, version_max, is_key));
      if (!is_key) continue;
      CAIRN_TRY_VOID(file_->status());
      return hit;
    }
    if ((bucket->flags & kOverflowed) == 0) break;
    i = i + 1 == count ? 0 : i + 1;
  }
  CAIRN_TRY_VOID(file_->status());
  return std::nullopt;
}

void SealedReader::prefetch(std::uint64_t hash) const {
  const std::uint64_t count = hash_.length / sizeof(HashBucket);
  __builtin_prefetch(file_->data() + hash_.offset + bucket_of(hash, count) * sizeof(HashBucket));
}

/// Nothing that is read here is trusted: what is asked for may lie anywhere.
void SealedReader::prefetch_record(std::uint64_t hash) const {
  const std::uint64_t count = hash_.length / sizeof(HashBucket);
  const auto* const bucket =
      reinterpret_cast<const HashBucket*>(file_->data() + hash_.offset + bucket_of(hash, count) * sizeof(HashBucket));
  for (unsigned e = 0; e < kBucketEntries; ++e) {
    if (bucket->entries[e].tag != tag_of(hash)) continue;
    __builtin_prefetch(file_->data() + bucket->entries[e].offset());
    __builtin_prefetch(file_->data() + bucket->entries[e].offset() + 64);
  }
}

bool SealedReader::may_contain(std::uint64_t hash) const {
  const std::uint64_t count = hash_.length / sizeof(HashBucket);
  std::uint64_t i = bucket_of(hash, count);
  for (std::uint64_t looked = 0; looked < count; ++looked) {
    const Result<ByteView> raw = bytes(hash_.offset + i * sizeof(HashBucket), sizeof(HashBucket), hash_);
    if (!raw || file_->bad()) return true;
    const auto* const bucket = reinterpret_cast<const HashBucket*>(raw->data());
    const unsigned entries = std::min<unsigned>(bucket->count, kBucketEntries);
    for (unsigned e = 0; e < entries; ++e) {
      if (bucket->entries[e].tag == tag_of(hash)) return true;
    }
    if ((bucket->flags & kOverflowed) == 0) return false;
    i = i + 1 == count ? 0 : i + 1;
  }
  return false;
}

std::vector<std::uint64_t> SealedReader::replaces() const {
  std::vector<std::uint64_t> numbers(replaces_.length / 8);
  if (!ensure(replaces_.offset, replaces_.length)) return {};
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = load<std::uint64_t>(file_->data() + replaces_.offset + i * 8);
  return numbers;
}

Result<SealedReader::KeyBounds> SealedReader::key_bounds() const {
  CAIRN_TRY(bounds, bytes(bounds_.offset, bounds_.length, bounds_));
  std::uint64_t at = 0;
  const auto next = [&](std::uint64_t size) { return bounds.substr(std::exchange(at, at + size), size); };
  KeyBounds keys;
  keys.first = next(preamble_.first_key_bytes);
  keys.last = next(preamble_.last_key_bytes);
  keys.cover_from = next(preamble_.cover_from_bytes);
  keys.cover_to = next(preamble_.cover_to_bytes);
  return keys;
}

Result<std::vector<Entry>> SealedReader::range_tombstones() const {
  std::vector<Entry> found;
  CAIRN_TRY(records, bytes(range_tombstones_.offset, range_tombstones_.length, range_tombstones_));
  for (std::uint64_t at = 0; at < records.size();) {
    CAIRN_TRY(size, parse(records, at, range_tombstones_.offset + at, found.emplace_back()));
    if (found.back().kind != RecordKind::kRangeTombstone) {
      return damaged("not a range tombstone", range_tombstones_.offset + at);
    }
    at += size;
  }
  CAIRN_TRY_VOID(file_->status());
  if (found.size() != preamble_.range_tombstone_count) return damaged("number of range tombstones", range_tombstones_.offset);
  return found;
}

/// Index of the first entry of `table` with a term not below `term`.
Result<std::uint64_t> SealedReader::first_term_from(const Table& table, ByteView term) const {
  const std::uint64_t entry_bytes = std::uint64_t{table.key_bytes} + 4;
  std::uint64_t low = 0;
  std::uint64_t high = table.length / entry_bytes;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    CAIRN_TRY(found, bytes(table.offset + middle * entry_bytes, table.key_bytes, table));
    if (found < term) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<void> SealedReader::find_term(ByteView table, ByteView term,
                                     const std::function<Result<void>(const Entry&)>& visit) const {
  return find_terms(table, term, term, [&](const Entry& entry) -> Result<bool> {
    CAIRN_TRY_VOID(visit(entry));
    return true;
  });
}

Result<const SealedReader::Table*> SealedReader::term_table(ByteView name) const {
  const auto found = std::ranges::find(terms_, name, &Table::name);
  if (found == terms_.end()) return damaged("term index '" + std::string(name) + "' is missing", offsetof(Preamble, tables));
  return &*found;
}

Result<std::uint64_t> SealedReader::term_count(ByteView table) const {
  CAIRN_TRY(found, term_table(table));
  return found->length / (std::uint64_t{found->key_bytes} + 4);
}

Result<Entry> SealedReader::term_entry(ByteView table, std::uint64_t i) const {
  CAIRN_TRY(found, term_table(table));
  const std::uint64_t entry_bytes = std::uint64_t{found->key_bytes} + 4;
  CAIRN_TRY(raw, bytes(found->offset + i * entry_bytes, entry_bytes, *found));
  Entry entry;
  CAIRN_TRY_VOID(object_at(std::uint64_t{load<std::uint32_t>(raw.data() + found->key_bytes)} * kOffsetUnit, entry));
  return entry;
}

Result<void> SealedReader::find_terms(ByteView table, ByteView first, ByteView last,
                                      const std::function<Result<bool>(const Entry&)>& visit) const {
  CAIRN_TRY(found, term_table(table));
  if (first.size() != found->key_bytes) return damaged("terms have another length", found->offset);
  const std::uint64_t entry_bytes = std::uint64_t{found->key_bytes} + 4;
  CAIRN_TRY(begin, first_term_from(*found, first));
  bool more = true;
  for (std::uint64_t i = begin; more && i < found->length / entry_bytes; ++i) {
    CAIRN_TRY(raw, bytes(found->offset + i * entry_bytes, entry_bytes, *found));
    if (raw.substr(0, found->key_bytes) > last) break;
    const std::uint64_t offset = std::uint64_t{load<std::uint32_t>(raw.data() + found->key_bytes)} * kOffsetUnit;
    Entry entry;
    if (preamble_.compression == Compression::kNone) {
      CAIRN_TRY_VOID(object_at(offset, entry));
      CAIRN_TRY(go_on, visit(entry));
      more = go_on;
      continue;
    }
    CAIRN_TRY(unit, unit_at(offset));
    for (std::uint64_t at = 0; more && at < unit.records.size();) {
      CAIRN_TRY(size, parse(unit.records, at, offset, entry));
      CAIRN_TRY(go_on, visit(entry));
      more = go_on;
      at += size;
    }
  }
  return file_->status();
}

Result<void> SealedReader::verify(const std::function<Result<void>(std::uint64_t)>& progress) const {
  const std::uint64_t last = file_->size() / kPageBytes - 1;
  for (std::uint64_t page = page_sums_offset(preamble_.sum_pages) / kPageBytes; page < last; ++page) {
    CAIRN_TRY_VOID(verify_page(page));
    if (page % 256 == 255) CAIRN_TRY_VOID(progress(256 * kPageBytes));
  }
  if (ByteView(file_->data() + last * kPageBytes, kPageBytes) != bytes_of(preamble_)) {
    return damaged("the second preamble differs from the first", last * kPageBytes);
  }
  CAIRN_TRY_VOID(range_tombstones());
  for (const Table& table : terms_) CAIRN_TRY_VOID(verify_terms(table));
  CAIRN_TRY_VOID(verify_checksums());
  CAIRN_TRY_VOID(verify_sparse());
  return verify_records(progress);
}

/// Each entry in order, and pointing at a record or a unit.
Result<void> SealedReader::verify_terms(const Table& table) const {
  const std::uint64_t entry_bytes = std::uint64_t{table.key_bytes} + 4;
  ByteView last;
  for (std::uint64_t at = table.offset; at < table.offset + table.length; at += entry_bytes) {
    CAIRN_TRY(raw, bytes(at, entry_bytes, table));
    const ByteView term = raw.substr(0, table.key_bytes);
    if (term < last) return damaged("terms are out of order", at);
    last = term;
    const std::uint64_t offset = std::uint64_t{load<std::uint32_t>(raw.data() + table.key_bytes)} * kOffsetUnit;
    if (preamble_.compression == Compression::kNone) {
      Entry entry;
      CAIRN_TRY_VOID(object_at(offset, entry));
    } else {
      CAIRN_TRY_VOID(unit_at(offset));
    }
  }
  return {};
}

/// The checksum of each record by itself.
Result<void> SealedReader::verify_checksums() const {
  for (std::uint64_t i = 0; i < unit_count_; ++i) {
    CAIRN_TRY(unit, this->unit(i));
    Entry entry;
    for (std::uint64_t at = 0; at < unit.records.size();) {
      CAIRN_TRY(size, parse(unit.records, at, unit.offset, entry));
      const std::uint64_t end = static_cast<std::uint64_t>(entry.value.data() - unit.records.data()) + entry.value.size();
      const ByteView record = unit.records.substr(at, end - at);
      if (object_checksum(record, preamble_.salt) != load<std::uint32_t>(record.data())) {
        return damaged("record checksum", unit.offset + (unit.buffer ? 0 : at));
      }
      at += size;
    }
  }
  return {};
}

/// What seeks go by: each unit's first key in order, with its head.
Result<void> SealedReader::verify_sparse() const {
  ByteView last;
  for (std::uint64_t i = 0; i < unit_count_; ++i) {
    CAIRN_TRY(key, first_key_of_unit(i));
    CAIRN_TRY(unit, this->unit(i));
    Entry first;
    CAIRN_TRY_VOID(parse(unit.records, 0, unit.offset, first));
    CAIRN_TRY(head, head_of_unit(i));
    CAIRN_TRY(found, first_unit_from(key));
    const bool sound = key == first.key && (i == 0 || key >= last) && key.starts_with(common_) &&
                       head == head_of(key.substr(common_.size())) && (found == i || (found < i && key == last));
    if (!sound) return damaged("sparse index does not match unit " + std::to_string(i), sparse_.offset);
    last = key;
  }
  return {};
}

Result<void> SealedReader::verify_records(const std::function<Result<void>(std::uint64_t)>& progress) const {
  const std::unique_ptr<Cursor> at = cursor();
  CAIRN_TRY(bounds, key_bounds());
  std::uint64_t records = 0;
  std::uint64_t keys = 0;
  std::uint64_t tombstones = 0;
  std::uint64_t expiring = 0;
  Bytes last_key;
  std::uint64_t last_version = 0;
  CAIRN_TRY_VOID(at->seek_first());
  for (; at->valid(); ++records) {
    const Entry& entry = at->entry();
    const bool new_key = records == 0 || entry.key != last_key;
    if (records != 0 && (entry.key < last_key || (!new_key && entry.write_version >= last_version))) {
      return damaged("record " + std::to_string(records) + " is out of order", objects_.offset);
    }
    if (new_key) {
      if (records == 0 && entry.key != bounds.first) return damaged("first key", bounds_.offset);
      ++keys;
      last_key = entry.key;
      CAIRN_TRY(hit, get(last_key, xxh3(last_key, preamble_.hash_seed), ~std::uint64_t{0}));
      if (!hit || hit->entry.write_version != entry.write_version) {
        return damaged("hash index does not find record " + std::to_string(records), hash_.offset);
      }
    }
    last_version = entry.write_version;
    tombstones += entry.kind == RecordKind::kTombstone ? 1 : 0;
    expiring += entry.expiry_ms != 0 ? 1 : 0;
    CAIRN_TRY_VOID(at->next());
    if (records % 4096 == 4095) CAIRN_TRY_VOID(progress(0));
  }
  if (records != preamble_.record_count || keys != preamble_.key_count) {
    return damaged("sealed file holds " + std::to_string(records) + " records, not " + std::to_string(preamble_.record_count),
                   objects_.offset);
  }
  if (last_key != bounds.last) return damaged("last key", bounds_.offset);
  if (tombstones != preamble_.tombstone_count || expiring != preamble_.expiring_count) {
    return damaged("sealed file holds " + std::to_string(tombstones) + " tombstones and " + std::to_string(expiring) +
                       " records that expire, not " + std::to_string(preamble_.tombstone_count) + " and " +
                       std::to_string(preamble_.expiring_count),
                   offsetof(Preamble, tombstone_count));
  }
  return {};
}

}  // namespace cairn::sealed
