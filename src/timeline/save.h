// One save, as the indexes know it: who asks for its data goes to its place.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/hash.h"
#include "sealed/entry.h"
#include "segment/record.h"

namespace cairn::timeline {

/// Where a save stands: the value of its record in a block index. Of an expiry change the stamp of its save follows.
struct Place {
  std::uint64_t block = 0;   // Number of its segment.
  std::uint64_t offset = 0;  // Of its record there; a multiple of 8, below 32 GiB.
  bool operator==(const Place&) const = default;
};
inline constexpr std::size_t kPlaceBytes = 12;  // u64 number, u32 offset / 8.
inline constexpr std::size_t kPlaceBytesMax = kPlaceBytes + sizeof(std::uint64_t);
using PlaceBytes = std::array<char, kPlaceBytesMax>;

/// Of an expiry change with the stamp of its save.
inline ByteView encode(const Place& place, std::optional<std::uint64_t> changed, PlaceBytes& bytes) {
  store(bytes.data(), place.block);
  store(bytes.data() + 8, static_cast<std::uint32_t>(place.offset / segment::kRecordAlign));
  if (changed) store(bytes.data() + kPlaceBytes, *changed);
  return {bytes.data(), changed ? kPlaceBytesMax : kPlaceBytes};
}
inline bool has_place(const sealed::Entry& entry) {
  return entry.value.size() == (entry.kind == RecordKind::kExpiryChange ? kPlaceBytesMax : kPlaceBytes);
}
/// Of an entry that has one.
inline Place place_of(const sealed::Entry& entry) {
  return {.block = load<std::uint64_t>(entry.value.data()),
          .offset = std::uint64_t{load<std::uint32_t>(entry.value.data() + 8)} * segment::kRecordAlign};
}

/// Whether a segment of a timeline may have it. A range tombstone is one over all keys.
inline bool is_save(const segment::RecordView& record) {
  const RecordKind kind = record.kind();
  if (kind == RecordKind::kRangeTombstone) return record.key.empty() && record.value.empty();
  if (record.key.empty()) return false;
  return kind == RecordKind::kPut || kind == RecordKind::kTombstone || kind == RecordKind::kExpiryChange;
}

class Block;
class OpenBlock;

struct Save {
  std::uint64_t stamp = 0;
  RecordKind kind = RecordKind::kPut;  // Or a tombstone, or what is no save but stands among them.
  std::int64_t expiry_ms = 0;          // 0: none.
  std::uint64_t changed = 0;           // Of an expiry change: the stamp of its save.
  Place place;
  // The block it stands in, one of both; as long as the line-up it was found in.
  const OpenBlock* open = nullptr;
  const Block* block = nullptr;
  /// Whether a reader at `now_ms` gets data.
  [[nodiscard]] bool gives_data(std::int64_t now_ms) const {
    return kind == RecordKind::kPut && (expiry_ms == 0 || expiry_ms > now_ms);
  }
};

/// A record of a block index that has a place.
inline Save save_of(const sealed::Entry& entry) {
  Save save{.stamp = entry.stamp, .kind = entry.kind, .expiry_ms = entry.expiry_ms, .changed = 0, .place = place_of(entry)};
  if (entry.kind == RecordKind::kExpiryChange) save.changed = load<std::uint64_t>(entry.value.data() + kPlaceBytes);
  return save;
}

}  // namespace cairn::timeline
