// One save, as the indexes know it: who asks for its data goes to its place.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "base/hash.h"
#include "sealed/entry.h"
#include "segment/segment_format.h"

namespace cairn::timeline {

/// The family that stands in a timeline's records and indexes. No table has so many: repair knows a timeline by it.
inline constexpr std::uint16_t kFamily = 0xffff;

/// Where a save stands: the value of its record in a block index.
struct Place {
  std::uint64_t block = 0;   // Number of its segment.
  std::uint64_t offset = 0;  // Of its record there; a multiple of 8, below 32 GiB.
  bool operator==(const Place&) const = default;
};
inline constexpr std::size_t kPlaceBytes = 12;  // u64 number, u32 offset / 8.
using PlaceBytes = std::array<char, kPlaceBytes>;

inline PlaceBytes encode(const Place& place) {
  PlaceBytes bytes;
  store(bytes.data(), place.block);
  store(bytes.data() + 8, static_cast<std::uint32_t>(place.offset / segment::kRecordAlign));
  return bytes;
}
/// nullopt: these bytes are no place.
inline std::optional<Place> decode_place(ByteView bytes) {
  if (bytes.size() != kPlaceBytes) return std::nullopt;
  return Place{.block = load<std::uint64_t>(bytes.data()),
               .offset = std::uint64_t{load<std::uint32_t>(bytes.data() + 8)} * segment::kRecordAlign};
}

class Block;
class OpenBlock;

struct Save {
  std::uint64_t stamp = 0;
  RecordKind kind = RecordKind::kPut;
  std::int64_t expiry_ms = 0;  // 0: none.
  Place place;
  // The block it stands in, one of both; as long as the line-up it was found in.
  const OpenBlock* open = nullptr;
  const Block* block = nullptr;
  /// Whether a reader at `now_ms` gets data.
  [[nodiscard]] bool gives_data(std::int64_t now_ms) const {
    return kind == RecordKind::kPut && (expiry_ms == 0 || expiry_ms > now_ms);
  }
};

/// A record of a block index.
inline Save save_of(const sealed::Entry& entry, const Place& place) {
  return {.stamp = entry.stamp, .kind = entry.kind, .expiry_ms = entry.expiry_ms, .place = place};
}

}  // namespace cairn::timeline
