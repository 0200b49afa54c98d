// What a run is measured with: latencies, and what the system says of the process and its directory.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cairn::bench {

/// Counts of nanoseconds, to within 1/32 of each value (HdrHistogram's idea: linear steps within each power of two).
class Histogram {
 public:
  void add(std::uint64_t ns) {
    ++counts_[slot_of(ns)];
    ++count_;
    if (ns > max_) max_ = ns;
  }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    if (other.max_ > max_) max_ = other.max_;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  /// A value that `share` of all are not above.
  [[nodiscard]] std::uint64_t quantile(double share) const {
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > left) return value_of(i);
      left -= counts_[i];
    }
    return max_;
  }

 private:
  static constexpr unsigned kBits = 5;
  static std::size_t slot_of(std::uint64_t ns) {
    if (ns < (1U << kBits)) return ns;
    const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - kBits;
    return ((static_cast<std::size_t>(shift) + 1) << kBits) + ((ns >> shift) & ((1U << kBits) - 1));
  }
  static std::uint64_t value_of(std::size_t slot) {
    if (slot < (1U << kBits)) return slot;
    const std::uint64_t step = slot & ((1U << kBits) - 1);
    return (step | (1U << kBits)) << ((slot >> kBits) - 1);
  }
  std::array<std::uint64_t, 60 << kBits> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

using Clock = std::chrono::steady_clock;
inline std::uint64_t ns_between(Clock::time_point from, Clock::time_point to) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

/// Of several runs of the same.
struct Figures {
  std::vector<double> all;
  [[nodiscard]] double median() const {
    std::vector<double> sorted = all;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
  [[nodiscard]] double spread() const {
    const auto [least, most] = std::ranges::minmax(all);
    return (most - least) / median();
  }
};

/// What `work` returns, in a process of its own: what one store leaves in memory, and its threads, are nothing to the next.
nlohmann::ordered_json in_child(const std::function<std::string()>& work);

/// This process and its children have so much from now on, page cache included. Gives up where that cannot be said.
void limit_memory(std::uint64_t bytes);
double cpu_seconds();                                  // Of this process so far, all threads.
void reset_peak_rss();                                 // Where the kernel allows it.
std::uint64_t status_number(const std::string& line);  // A line of /proc/self/status, such as Threads.
inline std::uint64_t status_bytes(const std::string& line) { return status_number(line) * 1024; }
std::uint64_t written_bytes();  // That this process has caused to be written so far; mapped pages count when they are dirtied.
std::uint64_t disk_bytes(const std::string& dir);  // Blocks allocated below it.

}  // namespace cairn::bench
