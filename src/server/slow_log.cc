// Keeps the newest slow commands in a bounded list. Arguments are shortened before the lock is taken, and passwords are never
// kept.
#include "server/slow_log.h"

#include <algorithm>

#include "server/client.h"

namespace cairn::server {
namespace {

constexpr std::size_t kArgumentsMax = 32;
constexpr std::size_t kArgumentBytesMax = 128;

/// Secrets never reach the log.
bool has_secret(const CommandInfo& info, std::size_t number) {
  return number != 0 && (same_word(info.name, "AUTH") || same_word(info.name, "HELLO"));
}

std::vector<std::string> shortened(const CommandInfo& info, Arguments arguments) {
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(arguments.size(), kArgumentsMax); ++i) {
    if (arguments.size() > kArgumentsMax && i + 1 == kArgumentsMax) {
      shown.push_back("... (" + std::to_string(arguments.size() - i) + " more arguments)");
    } else if (has_secret(info, i)) {
      shown.emplace_back("(redacted)");
    } else if (arguments[i].size() > kArgumentBytesMax) {
      shown.push_back(std::string(arguments[i].substr(0, kArgumentBytesMax)) + "... (" +
                      std::to_string(arguments[i].size() - kArgumentBytesMax) + " more bytes)");
    } else {
      shown.emplace_back(arguments[i]);
    }
  }
  return shown;
}

}  // namespace

void SlowLog::note(const CommandInfo& info, Arguments arguments, const ClientInfo* who, Clock::duration took) {
  const std::int64_t took_us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  const std::int64_t slower_than = live_.slow_command_us.load(std::memory_order_relaxed);
  if (slower_than < 0 || took_us < slower_than) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Entry entry{.unix_s = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
              .took_us = took_us,
              .arguments = shortened(info, arguments),
              .address = who == nullptr ? "" : who->address,
              .client_name = who == nullptr ? "" : who->name()};
  const auto most = static_cast<std::size_t>(live_.slow_commands_kept.load(std::memory_order_relaxed));
  const MutexLock lock(mutex_);
  entry.id = next_id_++;
  entries_.push_front(std::move(entry));
  if (entries_.size() > most) entries_.resize(most);
}

std::vector<SlowLog::Entry> SlowLog::newest(std::int64_t count) const {
  const MutexLock lock(mutex_);
  const std::size_t shown = count < 0 ? entries_.size() : std::min<std::size_t>(entries_.size(), static_cast<std::size_t>(count));
  return {entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(shown)};
}

std::size_t SlowLog::size() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

void SlowLog::clear() {
  const MutexLock lock(mutex_);
  entries_.clear();
}

}  // namespace cairn::server
