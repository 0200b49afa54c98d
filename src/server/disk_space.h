// How much room is left on the disk of the database.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "cairn/bytes.h"

namespace cairn::server {

/// Read from any thread. One thread looks.
class DiskSpace {
 public:
  /// Less than 10 % of the disk and less than 10 GiB are free.
  [[nodiscard]] static constexpr bool is_nearly_full(std::uint64_t free, std::uint64_t total) {
    return free < total / 10 && free < 10 * kGiB;
  }
  /// Looks at the disk of `dir` and logs when it becomes nearly full and when it no longer is. A disk that cannot be asked leaves
  /// the values as they were.
  void look(const std::string& dir);
  [[nodiscard]] std::uint64_t free_bytes() const { return free_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t total_bytes() const { return total_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool nearly_full() const { return is_nearly_full(free_bytes(), total_bytes()); }

 private:
  std::atomic<std::uint64_t> free_{0};  // For a process without the rights of root.
  std::atomic<std::uint64_t> total_{0};
};

}  // namespace cairn::server
