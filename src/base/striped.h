// References to one thing that threads take and drop without sharing a cache line: a shared_ptr in several copies, each
// with a count of its own. A count that many threads change costs each of them more than the read it is for.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace cairn {

inline constexpr std::size_t kCacheLineBytes = 64;
inline constexpr unsigned kStripes = 8;  // Threads that do not get into each other's way; what each thing costs in cache lines.

/// A number below kStripes, another for each thread as long as there are.
inline unsigned stripe_of_thread() {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned stripe = next.fetch_add(1, std::memory_order_relaxed) % kStripes;
  return stripe;
}

/// Immutable; the thing lives as long as this and every reference that was taken.
template <typename T>
class Striped {
 public:
  explicit Striped(const std::shared_ptr<const T>& thing) {
    for (auto& copy : copies_) {
      copy = std::shared_ptr<const T>(thing.get(), [thing](const T* /*kept by the capture*/) {}, OwnCacheLine<char>());
    }
  }
  [[nodiscard]] const std::shared_ptr<const T>& get() const { return copies_[stripe_of_thread()]; }

 private:
  template <typename U>
  struct OwnCacheLine {
    using value_type = U;
    OwnCacheLine() = default;
    template <typename V>
    explicit OwnCacheLine(const OwnCacheLine<V>& /*other*/) {}
    static constexpr std::size_t bytes(std::size_t n) {
      return (n * sizeof(U) + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
    }
    U* allocate(std::size_t n) { return static_cast<U*>(::operator new(bytes(n), std::align_val_t{kCacheLineBytes})); }
    void deallocate(U* at, std::size_t n) { ::operator delete(at, bytes(n), std::align_val_t{kCacheLineBytes}); }
    bool operator==(const OwnCacheLine&) const = default;
  };
  std::array<std::shared_ptr<const T>, kStripes> copies_;
};

}  // namespace cairn
