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

template <typename T>
class Published {
 public:
  explicit Published(const std::shared_ptr<const T>& value) : current_(new Striped<T>(value)) {}
  ~Published() { delete current_.load(); }
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  [[nodiscard]] std::shared_ptr<const T> get() const {
    Stripe& stripe = stripes_[stripe_of_thread()];
    const unsigned generation = generation_.load() & 1U;
    stripe.readers[generation].fetch_add(1);
    std::shared_ptr<const T> copy = current_.load()->get();
    stripe.readers[generation].fetch_sub(1, std::memory_order_release);
    return copy;
  }

  void set(const std::shared_ptr<const T>& value) CAIRN_EXCLUDES(mutex_) {
    const auto* const next = new Striped<T>(value);
    const Striped<T>* old = nullptr;
    {
      const MutexLock lock(mutex_);
      old = current_.exchange(next);
      // Twice: a reader may have read the generation before the flip and count itself in after it.
      drain();
      drain();
    }
    delete old;  // May run destructors of files and memtables: outside the lock.
  }

 private:
  struct alignas(kCacheLineBytes) Stripe {
    std::array<std::atomic<std::uint64_t>, 2> readers{};
  };

  void drain() CAIRN_REQUIRES(mutex_) {
    const unsigned generation = generation_.fetch_add(1) & 1U;
    for (Stripe& stripe : stripes_) {
      while (stripe.readers[generation].load() != 0) std::this_thread::yield();
    }
  }

  Mutex mutex_{Rank::kReclaim};
  std::atomic<const Striped<T>*> current_;
  std::atomic<unsigned> generation_{0};
  mutable std::array<Stripe, kStripes> stripes_;
};

}  // namespace cairn
