#include "sealed/levelling.h"

#include <numeric>

namespace cairn::sealed {
namespace {

constexpr std::uint64_t kRatio = 4;          // A merge of runs alike takes so many at least.
constexpr std::uint64_t kOldestDivisor = 2;  // All are merged when those above the oldest have this part of its size.

std::uint64_t sum(std::span<const std::uint64_t> bytes) { return std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}); }

/// The neighbours that cost least to copy for each run that goes away.
Neighbours cheapest(std::span<const std::uint64_t> bytes, std::size_t first) {
  Neighbours best{.first = first, .count = bytes.size() - first};
  double best_cost = -1;
  for (std::size_t begin = first; begin + 1 < bytes.size(); ++begin) {
    std::uint64_t total = bytes[begin];
    for (std::size_t last = begin + 1; last < bytes.size(); ++last) {
      total += bytes[last];
      const double cost = static_cast<double>(total) / static_cast<double>(last - begin);
      if (best_cost >= 0 && cost >= best_cost) continue;
      best_cost = cost;
      best = {.first = begin, .count = last - begin + 1};
    }
  }
  return best;
}

}  // namespace

std::optional<Neighbours> pick_runs(std::span<const std::uint64_t> bytes, bool oldest, std::size_t runs_max) {
  const std::size_t first = oldest ? 1 : 0;
  if (oldest && bytes.size() > 1 && sum(bytes.subspan(1)) >= bytes.front() / kOldestDivisor) {
    return Neighbours{.first = 0, .count = bytes.size()};
  }
  // The newest runs from one on that is not larger than those above it are on average.
  for (std::size_t begin = first; begin + kRatio <= bytes.size(); ++begin) {
    if (bytes[begin] * (kRatio - 1) <= sum(bytes.subspan(begin + 1)))
      return Neighbours{.first = begin, .count = bytes.size() - begin};
  }
  if (bytes.size() > runs_max && bytes.size() > first + 1) return cheapest(bytes, first);
  return std::nullopt;
}

}  // namespace cairn::sealed
