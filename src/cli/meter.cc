// The display and its SIGINT handler. The handler only sets a flag; the command ends where it looks at the flag.
#include "cli/meter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/error.h"
#include "cli/cli.h"

namespace cairn::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;
volatile std::sig_atomic_t second_is_ignored = 0;
int handlers = 0;  // That live.

extern "C" void on_interrupt(int) {
  interrupted = 1;
  if (second_is_ignored == 0) std::signal(SIGINT, SIG_DFL);
}

std::uint64_t percent(std::uint64_t done, std::uint64_t total) { return done >= total ? 100 : done * 100 / total; }

/// "12 of 40 MiB (30 %)"; below 1 MiB in bytes.
std::string share(std::uint64_t done, std::uint64_t total) {
  if (total < kMiB) return fmt::format("{} of {} ({} %)", done, counted(total, "byte"), percent(done, total));
  return fmt::format("{} of {} MiB ({} %)", done / kMiB, total / kMiB, percent(done, total));
}

}  // namespace

InterruptHandler::InterruptHandler(Second second) {
  if (handlers++ == 0) second_is_ignored = second == Second::kIsIgnored ? 1 : 0;
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler == SIG_IGN) return;
  struct sigaction action{};
  action.sa_handler = on_interrupt;  // Without SA_RESTART: a read of standard input ends.
  sigaction(SIGINT, &action, nullptr);
}

InterruptHandler::~InterruptHandler() {
  --handlers;
  sigaction(SIGINT, &before_, nullptr);
}

Meter::Meter(std::string verb) : verb_(std::move(verb)), shown_(isatty(STDERR_FILENO) == 1) {}

Meter::~Meter() { clear(); }

Progress Meter::progress() {
  return [this](std::uint64_t done, std::uint64_t total) {
    done_ = done;
    total_ = total;
    if (due()) draw(fmt::format("{} {}", share(done, total), verb_));
    return interrupted == 0;
  };
}

bool Meter::show_lines(std::uint64_t lines, std::uint64_t bytes, std::uint64_t bytes_total) {
  lines_ = lines;
  if (due()) {
    const std::string of_input = bytes_total == 0 ? "" : fmt::format(", {} % of the input", percent(bytes, bytes_total));
    draw(fmt::format("{} {}{}", counted(lines, "line"), verb_, of_input));
  }
  return interrupted == 0;
}

bool Meter::due() {
  if (!shown_) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(100)) return false;
  last_ = now;
  return true;
}

void Meter::draw(const std::string& text) {
  say(fmt::format("\r{:<{}}", text, std::max(drawn_, text.size())));
  drawn_ = text.size();
}

void Meter::clear() {
  if (drawn_ != 0) say(fmt::format("\r{:{}}\r", "", drawn_));
  drawn_ = 0;
}

Error Meter::explain(const Error& error, const std::string& consequence) const {
  if (interrupted == 0) return error;
  const std::string done = total_ != 0 ? share(done_, total_) : counted(lines_, "line");
  return {.code = ErrorCode::kUnavailable, .message = fmt::format("cancelled: {} {}; {}", done, verb_, consequence), .file = {}};
}

bool is_interrupted() { return interrupted != 0; }

void forget_interrupt() { interrupted = 0; }

Result<void> check_interrupt() {
  if (interrupted == 0) return {};
  return fail(ErrorCode::kUnavailable, "cancelled");
}

}  // namespace cairn::cli
