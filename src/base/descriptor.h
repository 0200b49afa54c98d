// A file descriptor that is closed when its owner goes.
#pragma once
#include <unistd.h>

#include <utility>

namespace cairn {

/// Owns a descriptor, or a negative number, which stands for none. One thread.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }
  /// The caller closes it from now on.
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

}  // namespace cairn
