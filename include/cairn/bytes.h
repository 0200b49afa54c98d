// Byte strings as Cairn takes and gives them.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "cairn/export.h"
#include "cairn/result.h"

namespace cairn {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

/// Owns bytes; any value, zero bytes included.
using Bytes = std::string;
/// Borrows bytes. Ordered as unsigned bytes, shorter first among equal prefixes.
using ByteView = std::string_view;

/// Bytes that stay where they are, mapped or decoded, until the Pinned is gone. Cheap to copy. Hold it
/// briefly: it keeps its file from being reclaimed. May outlive the Database it came from.
/// Safe to read from any thread.
class CAIRN_API Pinned {
 public:
  Pinned() = default;
  Pinned(ByteView bytes, std::shared_ptr<const void> keep, const std::atomic<bool>* bad)
      : bytes_(bytes), keep_(std::move(keep)), bad_(bad) {}

  [[nodiscard]] ByteView view() const { return bytes_; }
  // Implicit on purpose: a Pinned reads wherever bytes are wanted.
  operator ByteView() const { return bytes_; }  // NOLINT(google-explicit-constructor)
  friend bool operator==(const Pinned& pinned, ByteView bytes) { return pinned.bytes_ == bytes; }
  [[nodiscard]] const char* data() const { return bytes_.data(); }
  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }

  /// kIo if the device failed under the mapped bytes since they were handed out: they then read as
  /// zeros in part. Ask after reading, where that matters.
  [[nodiscard]] Result<void> status() const;

 private:
  ByteView bytes_;
  std::shared_ptr<const void> keep_;
  const std::atomic<bool>* bad_ = nullptr;  // Owned by what keep_ keeps.
};

}  // namespace cairn
