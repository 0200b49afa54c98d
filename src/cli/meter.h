// How far a long command is: one display, at a terminal only, and the end by Ctrl-C.
#pragma once
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "cairn/cairn.h"

namespace cairn::cli {

/// As long as one lives, Ctrl-C (SIGINT) asks the command that runs to end in good order: is_interrupted(). A second Ctrl-C ends
/// the process at once, which loses nothing that is durable, unless the outermost of those that live ignores it. Where SIGINT is
/// ignored, as in a shell's job in the background, it stays so. One thread.
class InterruptHandler {
 public:
  enum class Second : std::uint8_t { kEndsProcess, kIsIgnored };
  explicit InterruptHandler(Second second = Second::kEndsProcess);
  ~InterruptHandler();
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

 private:
  struct sigaction before_;
};

/// Shows on standard error, if that is a terminal, how far a command is, ten times a second at most. Has an
/// InterruptHandler. One lives at a time; one thread uses it.
class Meter {
 public:
  /// `verb`: what is done to bytes or lines, such as "verified".
  explicit Meter(std::string verb);
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  /// For a long operation of the library, while this lives.
  [[nodiscard]] Progress progress();
  /// `lines` were taken, from `bytes` of `bytes_total` (0: unknown) of the input. False: Ctrl-C was pressed.
  bool show_lines(std::uint64_t lines, std::uint64_t bytes, std::uint64_t bytes_total);
  /// Clears the line, so that something else can be printed.
  void clear();
  /// `error`; after Ctrl-C what was done, followed by `consequence`: "cancelled: 12 of 40 MiB verified; …".
  [[nodiscard]] Error explain(const Error& error, const std::string& consequence) const;

 private:
  [[nodiscard]] bool due();
  void draw(const std::string& text);

  const std::string verb_;
  const bool shown_;
  const InterruptHandler handler_;
  std::size_t drawn_ = 0;  // Characters of the line.
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t lines_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

/// Ctrl-C was pressed while an InterruptHandler lived: the command ends with kInterruptedCode.
bool is_interrupted();
/// For the next command of a prompt.
void forget_interrupt();
/// kUnavailable, "cancelled", if Ctrl-C was pressed. For commands without a Meter, which run so long only at a prompt.
Result<void> check_interrupt();
inline constexpr int kInterruptedCode = 130;  ///< As of a program that SIGINT ended, in a shell.

}  // namespace cairn::cli
