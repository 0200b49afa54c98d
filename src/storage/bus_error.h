// A bad sector under a mapped page, or a file cut short under it, raises SIGBUS. The handler here puts a page of
// zeros over the hole, marks the map bad and lets the reader go on; the reader then finds the mark and reports kIo.
// The maps of the process are registered here, and so counted and bounded, and what the kernel is told of them is one decision.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/result.h"

namespace cairn::storage {

/// Half of Linux's default vm.max_map_count: the rest is for the program around us.
inline constexpr std::uint32_t kMapsMax = 32'000;

/// One registered map; unregistered when destroyed, which must be before the memory is unmapped.
class BusErrorGuard {
 public:
  /// `writable`: it is not mapped in a child of fork(). kUnavailable: kMapsMax maps are open.
  static Result<BusErrorGuard> watch(const char* data, std::uint64_t size, bool writable);
  BusErrorGuard(BusErrorGuard&& other) noexcept : slot_(other.slot_) { other.slot_ = kNone; }
  BusErrorGuard(const BusErrorGuard&) = delete;
  BusErrorGuard& operator=(const BusErrorGuard&) = delete;
  BusErrorGuard& operator=(BusErrorGuard&&) = delete;
  ~BusErrorGuard();

  [[nodiscard]] const std::atomic<bool>& bad() const;
  /// Pages of it are touched at random. While such maps of the process have more than half of its memory between them, the kernel
  /// reads a page of them alone; else it may read what is around it too, as much as it is set to for the device.
  void expect_random_reads() const;
  [[nodiscard]] bool reads_pages_alone() const;

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  explicit BusErrorGuard(std::uint32_t slot) : slot_(slot) {}
  std::uint32_t slot_;
};

/// How many maps are registered in this process now.
std::uint32_t maps_open();
/// Whether the maps whose pages are touched at random have more than half of the memory of this process between them.
bool memory_is_short();

}  // namespace cairn::storage
