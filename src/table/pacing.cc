#include "table/pacing.h"

#include <algorithm>

namespace cairn::table {
namespace {

constexpr std::uint64_t kFreeShare = 2;  // Up to half of the bound on unsealed bytes nothing is delayed.
constexpr double kFree = 1.0 / kFreeShare;
constexpr double kRateAtOnce = 4;  // Times the flush rate, where delays begin: the rates meet at three quarters of the debt.
constexpr double kRateLeast = 1.0 / 16;
constexpr std::int64_t kDelayMsMax = 1000;  // Of one write; what is left of its share falls to those after it.

}  // namespace

double Pacing::debt(std::uint64_t unsealed_bytes, std::uint64_t unsealed_bytes_max, std::size_t runs, std::size_t runs_max) {
  if (unsealed_bytes <= unsealed_bytes_max / kFreeShare && runs <= runs_max) return 0;  // As nearly always: no division.
  const double unsealed = static_cast<double>(unsealed_bytes) / static_cast<double>(unsealed_bytes_max);
  const double run = static_cast<double>(runs) / static_cast<double>(runs_max);
  return std::clamp(std::max((unsealed - kFree) / (1 - kFree), run - 1), 0.0, 1.0);
}

std::uint64_t Pacing::rate(double debt) const {
  if (debt <= 0) return 0;
  const double share = std::max((1 - debt) * kRateAtOnce, kRateLeast);
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(static_cast<double>(flush_rate_.load()) * share), 1);
}

std::int64_t Pacing::delay_ms(std::uint64_t bytes, double debt, std::int64_t now_ms) {
  const std::uint64_t allowed = rate(debt);
  if (allowed == 0) {
    due_us_ = 0;
    return 0;
  }
  const double cost_us = static_cast<double>(bytes) * 1e6 / static_cast<double>(allowed);
  due_us_ = std::max(due_us_, now_ms * 1000) + static_cast<std::int64_t>(std::min(cost_us, 1e6 * kDelayMsMax));
  due_us_ = std::min(due_us_, (now_ms + kDelayMsMax) * 1000);
  return due_us_ / 1000 - now_ms;
}

void Pacing::flushed(std::uint64_t bytes, std::int64_t ms) {
  if (bytes == 0) return;
  const std::uint64_t rate = bytes * 1000 / static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 1));
  flush_rate_ = (flush_rate_.load() + std::max<std::uint64_t>(rate, 1)) / 2;
}

}  // namespace cairn::table
