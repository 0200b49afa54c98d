// What a write to any view is told, and what it gets.
#pragma once
#include <cstdint>
#include <optional>

#include "cairn/bytes.h"
#include "cairn/export.h"

namespace cairn {

inline constexpr std::uint64_t kKeyBytesMax = 65'535;      ///< A key has 1 to this many bytes.
inline constexpr std::uint64_t kValueBytesMax = 1 * kGiB;  ///< A value has 0 to this many bytes.

/// How far a write has travelled when the call returns.
enum class Durability : std::uint8_t {
  kKernel,  ///< Survives the process, not a power cut.
  kDisk,    ///< The device confirmed a sync; survives a power cut. The default.
};

/// The order of a write in its directory. Ascends, with gaps.
using WriteVersion = std::uint64_t;

struct CAIRN_API WriteOptions {
  Durability durability = Durability::kDisk;
  /// The account the records belong to. Not given: from a leading "{number}" in the key, else 0 (none).
  std::optional<std::uint64_t> account = {};
};

}  // namespace cairn
