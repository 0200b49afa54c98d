// One version of one key, wherever it is kept.
#pragma once
#include <cstdint>
#include <memory>

#include "base/record_kind.h"
#include "cairn/bytes.h"
#include "cairn/result.h"

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
  Cursor() = default;
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  virtual ~Cursor() = default;
  /// Asks for the memory that seek(key), which is to be the next call, looks at first: several cursors then wait for it
  /// together.
  virtual Result<void> prepare_seek(ByteView /*key*/) { return {}; }
  /// To the first entry with a key not below `key`.
  virtual Result<void> seek(ByteView key) = 0;
  virtual Result<void> seek_first() = 0;
  /// To the last entry with a key below `key`.
  Result<void> seek_before(ByteView key) { return seek_before(key, ~std::uint64_t{0}); }
  /// To the last entry with a key below `key`, or that is of `key` itself and newer than `version`.
  virtual Result<void> seek_before(ByteView key, std::uint64_t version) = 0;
  virtual Result<void> seek_last() = 0;
  virtual Result<void> next() = 0;
  virtual Result<void> prev() = 0;
  [[nodiscard]] bool valid() const { return entry_ != nullptr; }
  /// Valid until the cursor moves.
  [[nodiscard]] const Entry& entry() const { return *entry_; }
  /// What keeps the bytes of entry() when the cursor moves on; none: they stay as long as the cursor.
  [[nodiscard]] const std::shared_ptr<const void>& hold() const { return *hold_; }

 protected:
  inline static const std::shared_ptr<const void> kNoHold;
  const Entry* entry_ = nullptr;  // None: it stands nowhere.
  const std::shared_ptr<const void>* hold_ = &kNoHold;
};

}  // namespace cairn::sealed
