// How fast a table may be written to, given how far its background work is behind. A write is delayed before it waits, so
// that the wait at the hard bound is never met while flushes get anything done (docs/decisions/0010).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::table {

class Pacing {
 public:
  /// Background work that is behind, from 0, none that matters, to 1, all that is allowed.
  /// `runs`: of the family that has most; more than `runs_max` are too many.
  static double debt(std::uint64_t unsealed_bytes, std::uint64_t unsealed_bytes_max, std::size_t runs, std::size_t runs_max);
  /// Bytes per second that may be written at `debt`; 0: no limit.
  [[nodiscard]] std::uint64_t rate(double debt) const;
  /// Counts a write of `bytes` and returns how long it should be put off: writes share the rate, whoever comes next pays
  /// for those before. Less than a millisecond is carried over. One caller at a time.
  std::int64_t delay_ms(std::uint64_t bytes, double debt, std::int64_t now_ms);
  /// A flush has taken `ms` for `bytes` of log. From any thread.
  void flushed(std::uint64_t bytes, std::int64_t ms);

 private:
  std::atomic<std::uint64_t> flush_rate_{32ULL << 20};  // Bytes per second, of late. The first guess is a slow disk's.
  std::int64_t due_us_ = 0;                             // When what was written so far has been paid for.
};

}  // namespace cairn::table
