// The last commands that took long, as SLOWLOG shows them.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/command.h"
#include "server/config.h"

namespace cairn::server {

/// Thread-safe.
class SlowLog {
 public:
  struct Entry {
    std::int64_t id = 0;
    std::int64_t unix_s = 0;
    std::int64_t took_us = 0;
    std::vector<std::string> arguments;  // Shortened as Redis does.
    std::string address;
    std::string client_name;
  };
  using Clock = std::chrono::steady_clock;

  /// `live`: from how many microseconds commands are kept (0: all; negative: none, and nothing is timed), and how many are. It
  /// must outlive the log.
  explicit SlowLog(const LiveConfig& live) : live_(live) {}

  /// Times what follows it, if anything may be kept.
  class Timer {
   public:
    explicit Timer(const SlowLog& log) : log_(log), on_(log.live_.slow_command_us.load(std::memory_order_relaxed) >= 0) {
      if (on_) begin_ = Clock::now();
    }
    /// What each of `count` commands took that were run since; nullopt: too little to be kept.
    [[nodiscard]] std::optional<Clock::duration> slow_share(std::size_t count) const {
      if (!on_) return std::nullopt;
      const auto share = (Clock::now() - begin_) / static_cast<Clock::rep>(count);
      const std::chrono::microseconds least(log_.live_.slow_command_us.load(std::memory_order_relaxed));
      return share < least ? std::nullopt : std::optional(share);
    }

   private:
    const SlowLog& log_;
    const bool on_;
    Clock::time_point begin_;
  };
  /// `who`: nullptr if no client asked.
  void note(const CommandInfo& info, Arguments arguments, const ClientInfo* who, Clock::duration took) CAIRN_EXCLUDES(mutex_);
  /// The newest first; negative: all.
  [[nodiscard]] std::vector<Entry> newest(std::int64_t count) const CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] std::size_t size() const CAIRN_EXCLUDES(mutex_);
  void clear() CAIRN_EXCLUDES(mutex_);

 private:
  const LiveConfig& live_;
  mutable Mutex mutex_{Rank::kLeaf};
  std::deque<Entry> entries_ CAIRN_GUARDED_BY(mutex_);  // The newest first.
  std::int64_t next_id_ CAIRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::server
