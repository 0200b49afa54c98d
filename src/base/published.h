// One pointer that readers take without a lock while others replace it.
//
// Readers count themselves into one of two generations for the few instructions it takes to copy a shared_ptr; a
// replacer swaps the pointer and waits for both generations to drain before it lets go of the old one. This is
// sleepable RCU as Linux has it (McKenney, SRCU), with the critical section reduced to a reference count. What
// readers wait for: nothing. What replacers wait for: readers inside those few instructions.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/striped.h"

namespace cairn {

/// Threads that are copying what a pointer of one or many points to.
class Copiers {
 public:
  class Inside {
   public:
    explicit Inside(std::atomic<std::uint64_t>& count) : count_(count) { count_.fetch_add(1); }
    ~Inside() { count_.fetch_sub(1, std::memory_order_release); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    std::atomic<std::uint64_t>& count_;
  };

  /// To be held from before the pointer is read until what it points to has been copied.
  [[nodiscard]] Inside enter() const { return Inside(stripes_[stripe_of_thread()].inside[generation_.load() & 1U]); }
  /// To be called after a pointer was replaced: returns when nobody copies what it pointed to any more.
  void wait_until_left() CAIRN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    // Twice: a thread may have read the generation before the flip and count itself in after it.
    drain();
    drain();
  }

 private:
  struct alignas(kCacheLineBytes) Stripe {
    std::array<std::atomic<std::uint64_t>, 2> inside{};
  };

  void drain() CAIRN_REQUIRES(mutex_) {
    const unsigned generation = generation_.fetch_add(1) & 1U;
    for (Stripe& stripe : stripes_) {
      while (stripe.inside[generation].load() != 0) std::this_thread::yield();
    }
  }

  Mutex mutex_{Rank::kReclaim};
  std::atomic<unsigned> generation_{0};
  mutable std::array<Stripe, kStripes> stripes_;
};

template <typename T>
class Published {
 public:
  explicit Published(const std::shared_ptr<const T>& value) : current_(new Striped<T>(value)) {}
  ~Published() { delete current_.load(); }
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  [[nodiscard]] std::shared_ptr<const T> get() const {
    const auto inside = copiers_.enter();
    return current_.load()->get();
  }

  void set(const std::shared_ptr<const T>& value) {
    const Striped<T>* const old = current_.exchange(new Striped<T>(value));
    copiers_.wait_until_left();
    delete old;  // May run destructors of files and memtables: outside of any lock here.
  }

 private:
  Copiers copiers_;
  std::atomic<const Striped<T>*> current_;
};

}  // namespace cairn
