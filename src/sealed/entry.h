// One version of one key, wherever it is kept.
#pragma once
#include <cstdint>
#include <memory>

#include "base/record_kind.h"
#include "cairn/bytes.h"

namespace cairn::sealed {

struct Entry {
  ByteView key;
  ByteView value;
  RecordKind kind = RecordKind::kPut;
  std::uint64_t write_version = 0;
  std::uint64_t stamp = 0;
  std::uint64_t account = 0;   // 0: none.
  std::int64_t expiry_ms = 0;  // 0: never.

  [[nodiscard]] std::uint8_t flags() const {
    return static_cast<std::uint8_t>((account != 0 ? kHasAccount : 0) | (expiry_ms != 0 ? kHasExpiry : 0));
  }
};

/// Walks entries by key ascending, newest version first; prev() walks the exact reverse. One thread.
class Cursor {
 public:
  virtual ~Cursor() = default;
  /// To the first entry with a key not below `key`.
  virtual Result<void> seek(ByteView key) = 0;
  virtual Result<void> seek_first() = 0;
  /// To the last entry with a key below `key`.
  virtual Result<void> seek_before(ByteView key) = 0;
  virtual Result<void> seek_last() = 0;
  virtual Result<void> next() = 0;
  virtual Result<void> prev() = 0;
  [[nodiscard]] virtual bool valid() const = 0;
  /// Valid until the cursor moves; the bytes as long as hold() is held.
  [[nodiscard]] virtual const Entry& entry() const = 0;
  /// Keeps the bytes of entry() where they are.
  [[nodiscard]] virtual const std::shared_ptr<const void>& hold() const = 0;
};

}  // namespace cairn::sealed
