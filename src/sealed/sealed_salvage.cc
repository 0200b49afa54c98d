#include "sealed/sealed_salvage.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "sealed/compression.h"

namespace cairn::sealed {
namespace {

std::optional<Preamble> preamble_at(const storage::MappedFile& file, std::uint64_t offset) {
  if (offset + kPageBytes > file.size()) return std::nullopt;
  const auto preamble = load<Preamble>(file.data() + offset);
  const bool sound =
      preamble.magic == kMagic && preamble.checksum == xxh3(bytes_of(preamble).substr(0, offsetof(Preamble, checksum)));
  return sound ? std::optional(preamble) : std::nullopt;
}

}  // namespace

Result<std::shared_ptr<SealedSalvage>> SealedSalvage::open(std::shared_ptr<const storage::MappedFile> file) {
  std::optional<Preamble> preamble = preamble_at(*file, 0);
  if (!preamble && file->size() >= kPageBytes) {
    preamble = preamble_at(*file, file->size() / kPageBytes * kPageBytes - kPageBytes);
  }
  if (!preamble) return corruption("neither preamble is sound", file->name(), 0);
  if (preamble->format != kFormat || (preamble->flags & ~kOneVersion) != 0 || preamble->compression > Compression::kZstd ||
      preamble->table_count > kTablesMax) {
    return fail(ErrorCode::kUnsupported, "sealed file needs a newer Cairn", file->name(), 0);
  }
  return std::shared_ptr<SealedSalvage>(new SealedSalvage(std::move(file), *preamble));
}

/// What is there of the table of that kind.
ByteView SealedSalvage::table(TableKind kind) const {
  for (std::uint32_t i = 0; i < preamble_.table_count; ++i) {
    const TableEntry& entry = preamble_.tables[i];
    if (entry.kind == kind && entry.offset < file_->size()) return file_->bytes().substr(entry.offset, entry.length);
  }
  return {};
}

/// The record that `records` begin with, and its size; 0 if there is no sound one.
std::uint64_t SealedSalvage::parse(ByteView records, Entry& entry) const {
  if (records.size() < sizeof(ObjectHeader)) return 0;
  const auto header = load<ObjectHeader>(records.data());
  if (!is_known(header, preamble_.family)) return 0;
  const bool account = (header.flags & kHasAccount) != 0;
  const bool expiry = (header.flags & kHasExpiry) != 0;
  const std::uint64_t key_at = sizeof header + (account ? 8U : 0U) + (expiry ? 8U : 0U);
  const std::uint64_t end = key_at + header.key_size + header.value_size;
  if (end > records.size() || object_checksum(records.substr(0, end), preamble_.salt) != header.checksum) return 0;
  const Written when = written(preamble_, header);
  entry = {.key = records.substr(key_at, header.key_size),
           .value = records.substr(key_at + header.key_size, header.value_size),
           .kind = static_cast<RecordKind>(header.kind),
           .write_version = when.write_version,
           .stamp = when.stamp,
           .account = account ? load<std::uint64_t>(records.data() + sizeof header) : 0,
           .expiry_ms = expiry ? load<std::int64_t>(records.data() + sizeof header + (account ? 8U : 0U)) : 0};
  return round_up(end, kAlign);
}

/// The records of the compressed unit that `units` begin with, and its size; 0 if it is not a sound one.
std::uint64_t SealedSalvage::read_unit(ByteView units, std::vector<Entry>& found) {
  if (units.size() < sizeof(UnitHeader)) return 0;
  const auto header = load<UnitHeader>(units.data());
  if (header.stored_bytes == 0 || header.stored_bytes > units.size() - sizeof header || header.stored_bytes > header.raw_bytes ||
      header.raw_bytes > preamble_.raw_object_bytes) {
    return 0;
  }
  ByteView records = units.substr(sizeof header, header.stored_bytes);
  std::unique_ptr<Bytes> buffer;
  if (header.stored_bytes != header.raw_bytes) {
    buffer = std::make_unique<Bytes>();
    if (!decompress(preamble_.compression, records, header.raw_bytes, *buffer)) return 0;
    records = *buffer;
  }
  std::vector<Entry> entries;
  for (std::uint64_t at = 0; at < records.size();) {
    Entry entry;
    const std::uint64_t size = parse(records.substr(at), entry);
    if (size == 0) return 0;
    entries.push_back(entry);
    at += size;
  }
  found.insert(found.end(), entries.begin(), entries.end());
  if (buffer) buffers_.push_back(std::move(buffer));
  return round_up(sizeof header + header.stored_bytes, kAlign);
}

std::vector<Entry> SealedSalvage::records(std::vector<Error>& lost) {
  const ByteView objects = table(TableKind::kObjects);
  const std::uint64_t begin = static_cast<std::uint64_t>(objects.data() - file_->data());
  std::vector<Entry> found;
  constexpr std::uint64_t kNoGap = ~std::uint64_t{0};
  std::uint64_t gap = kNoGap;  // Where bytes begin that no sound record holds.
  const auto end_gap = [&](std::uint64_t at) {
    if (gap != kNoGap) {
      lost.push_back(corruption(std::to_string(at - gap) + " bytes of records", file_->name(), begin + gap).error());
    }
    gap = kNoGap;
  };
  for (std::uint64_t at = 0; at < objects.size();) {
    Entry entry;
    const bool units = preamble_.compression != Compression::kNone;
    const std::uint64_t size = units ? read_unit(objects.substr(at), found) : parse(objects.substr(at), entry);
    if (size != 0 && !units) found.push_back(entry);
    if (size != 0) end_gap(at);
    if (size == 0 && gap == kNoGap) gap = at;
    at += size == 0 ? kAlign : size;
  }
  end_gap(objects.size());
  if (found.size() != preamble_.record_count) {
    lost.push_back(
        corruption(std::to_string(found.size()) + " of " + std::to_string(preamble_.record_count) + " records are left",
                   file_->name())
            .error());
  }
  return found;
}

std::vector<Entry> SealedSalvage::range_tombstones(std::vector<Error>& lost) {
  const ByteView ranges = table(TableKind::kRangeTombstones);
  std::vector<Entry> found;
  for (std::uint64_t at = 0; at < ranges.size();) {
    Entry entry;
    const std::uint64_t size = parse(ranges.substr(at), entry);
    if (size != 0) found.push_back(entry);
    at += size == 0 ? kAlign : size;
  }
  if (found.size() != preamble_.range_tombstone_count) {
    lost.push_back(corruption("range tombstones are lost: what they erased may be back", file_->name()).error());
  }
  return found;
}

}  // namespace cairn::sealed
