// What a walk through a file tells the device it will read next, in windows that grow with the walk: a walk of a few steps
// asks for nothing, a long one does not wait for each page.
#pragma once
#include <algorithm>
#include <cstdint>

#include "storage/storage.h"

namespace cairn::storage {

/// Of one walk, in one thread, over [begin, end) of `file`, which must live as long.
class ReadAhead {
 public:
  ReadAhead(const MappedFile& file, std::uint64_t begin, std::uint64_t end) : file_(file), begin_(begin), end_(end) {}

  /// The walk reads [from, to), and next what follows.
  void forward(std::uint64_t from, std::uint64_t to) {
    step(from, to);
    asked_ = std::max(asked_, to);
    if (is_short() || asked_ - to > window_ / 2 || asked_ >= end_) return;
    grow();
    const std::uint64_t upto = std::min(asked_ + window_, end_);
    file_.will_read(asked_, upto);
    asked_ = upto;
  }

  /// The walk reads [from, to), and next what comes before it.
  void backward(std::uint64_t from, std::uint64_t to) {
    step(to, from);
    asked_ = std::min(asked_, from);
    if (is_short() || from - asked_ > window_ / 2 || asked_ <= begin_) return;
    grow();
    const std::uint64_t downto = asked_ - std::min(window_, asked_ - begin_);
    file_.will_read(downto, asked_);
    asked_ = downto;
  }

 private:
  static constexpr std::uint64_t kWindowBytesMin = 64 * kKiB;
  static constexpr std::uint64_t kWindowBytesMax = 512 * kKiB;

  void step(std::uint64_t begin, std::uint64_t end) {
    ++steps_;
    walked_ += std::max(begin, end) - std::min(begin, end);
    if (begin != next_) {
      steps_ = walked_ = window_ = 0;
      asked_ = end;
    }
    next_ = end;
  }
  /// A seek takes some steps too, and records may be small or large.
  [[nodiscard]] bool is_short() const { return steps_ < 6 || walked_ < 16 * kKiB; }
  void grow() { window_ = std::clamp(2 * window_, kWindowBytesMin, kWindowBytesMax); }

  const MappedFile& file_;
  std::uint64_t begin_;
  std::uint64_t end_;
  std::uint64_t next_ = ~std::uint64_t{0};  // Where the walk goes on.
  std::uint64_t steps_ = 0;                 // Since the last that was a jump,
  std::uint64_t walked_ = 0;                // of so many bytes.
  std::uint64_t window_ = 0;
  std::uint64_t asked_ = 0;  // How far the device was asked.
};

}  // namespace cairn::storage
