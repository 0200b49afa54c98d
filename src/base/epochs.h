// The collector's side of cairn/epoch_pin.h: lists of memory that was unlinked and is freed once no pin can reach it.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "cairn/epoch_pin.h"

namespace cairn {

/// The thread that has been pinned for the longest time.
struct OldestEpochPin {
  std::int32_t thread = 0;   ///< Its number in the operating system.
  std::uint64_t epochs = 0;  ///< Collections since it was pinned.
  std::uint64_t age_ms = 0;  ///< At least so long ago.
};
/// nullopt: no thread is pinned.
std::optional<OldestEpochPin> oldest_epoch_pin();

/// Memory that a structure has unlinked. The owner of the structure guards it with the lock of its writers.
class RetireList {
 public:
  struct Retired {
    void* memory;
    void (*free)(void*);
    std::uint64_t bytes;
    std::uint64_t epoch;  // Given by the next collection: 0 until then.
  };

  RetireList();
  /// Frees everything: no reader is left.
  ~RetireList();
  RetireList(const RetireList&) = delete;
  RetireList& operator=(const RetireList&) = delete;

  /// `memory` was unlinked: no pointer that a reader can load leads to it any more.
  void retire(void* memory, void (*free)(void*), std::uint64_t bytes) {
    retired_.push_back({memory, free, bytes, 0});
    bytes_ += bytes;
    ++since_collection_;
    bytes_since_collection_ += bytes;
  }
  /// So much was retired that take_unreachable() is worth its system call.
  [[nodiscard]] bool is_due() const { return since_collection_ >= kCountDue || bytes_since_collection_ >= kBytesDue; }
  /// Starts an epoch, and takes out of the list what no pin can reach. The caller frees it, without its locks.
  [[nodiscard]] std::vector<Retired> take_unreachable();
  static void free_all(const std::vector<Retired>& retired) {
    for (const Retired& each : retired) each.free(each.memory);
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t count() const { return retired_.size(); }

 private:
  static constexpr std::uint64_t kCountDue = 256;
  static constexpr std::uint64_t kBytesDue = 1 << 20;

  std::deque<Retired> retired_;  // Epochs ascend.
  std::uint64_t bytes_ = 0;
  std::uint64_t since_collection_ = 0;
  std::uint64_t bytes_since_collection_ = 0;
};

}  // namespace cairn
