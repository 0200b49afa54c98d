#pragma once
#include <atomic>
#include <cstdint>

namespace cairn {

/// Bytes of memory that engines use beyond mapped files: memtable indexes, buffers of jobs. Thread-safe. Over the
/// limit, whoever can give memory back does so early; nothing is refused.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
  void add(std::uint64_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void subtract(std::uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }
  [[nodiscard]] bool over() const { return used() > bytes_max_; }

 private:
  const std::uint64_t bytes_max_;
  std::atomic<std::uint64_t> used_{0};
};

/// A share of the budget, held as long as this lives.
class MemoryUse {
 public:
  MemoryUse(MemoryBudget& budget, std::uint64_t bytes) : budget_(budget), bytes_(bytes) { budget_.add(bytes_); }
  ~MemoryUse() { budget_.subtract(bytes_); }
  MemoryUse(const MemoryUse&) = delete;
  MemoryUse& operator=(const MemoryUse&) = delete;

 private:
  MemoryBudget& budget_;
  const std::uint64_t bytes_;
};

}  // namespace cairn
