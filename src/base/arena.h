#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/memory_budget.h"
#include "cairn/bytes.h"

namespace cairn {

/// Memory that is given back all at once, counted in the budget. The first blocks are small: many tables are idle.
class Arena {
 public:
  explicit Arena(MemoryBudget& memory) : memory_(memory) {}
  ~Arena() { memory_.subtract(bytes_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Aligned to 8 bytes.
  char* allocate(std::uint64_t bytes) {
    bytes = (bytes + 7) / 8 * 8;
    if (bytes > left_) {
      const std::uint64_t block = std::max(bytes, std::min(kBlockBytesMax, std::max(kBlockBytesMin, this->bytes())));
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(block));
      at_ = blocks_.back().get();
      left_ = block;
      memory_.add(block);
      bytes_.fetch_add(block, std::memory_order_relaxed);
    }
    char* const at = at_;
    at_ += bytes;
    left_ -= bytes;
    return at;
  }
  /// From any thread.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kBlockBytesMin = 512;
  static constexpr std::uint64_t kBlockBytesMax = 256 * kKiB;
  MemoryBudget& memory_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* at_ = nullptr;
  std::uint64_t left_ = 0;
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace cairn
