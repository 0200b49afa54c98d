// Things that are made when somebody first asks for them, and let go of when more than so many are there: those that
// were not asked for lately (CLOCK: Corbató, A paging experiment with the Multics system, 1968). Whoever has one keeps it
// for as long as they like. Thread-safe; who asks for one that is there takes no lock.
#pragma once
#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/published.h"
#include "base/striped.h"
#include "cairn/result.h"

namespace cairn {

/// How many may be there, of any kind.
class OnDemandLimit {
 public:
  explicit OnDemandLimit(std::size_t max) : max_(max) {}

  /// Lets go of what is too much. Not to be called with a lock held: destructors run.
  void trim() CAIRN_EXCLUDES(mutex_) {
    if (count_.load(std::memory_order_relaxed) <= max_) return;
    std::vector<std::shared_ptr<const void>> gone;
    {
      const MutexLock lock(mutex_);
      while (there_.size() > max_) {
        const auto next = there_.begin();
        if ((*next)->asked_for_.exchange(false, std::memory_order_relaxed)) {
          there_.splice(there_.end(), there_, next);
        } else {
          gone.push_back((*next)->take());
          there_.erase(next);
          --count_;
        }
      }
    }
    if (!gone.empty()) copiers_.wait_until_left();
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  template <typename T>
  friend class OnDemand;

  class Place {
   public:
    Place() = default;
    virtual ~Place() = default;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class OnDemandLimit;
    template <typename T>
    friend class OnDemand;
    /// What is there is there no more; to be destroyed when all copiers have left.
    virtual std::shared_ptr<const void> take() = 0;
    mutable std::atomic<bool> asked_for_{false};
    std::list<Place*>::iterator at_;
  };

  const std::size_t max_;
  Copiers copiers_;
  mutable Mutex mutex_{Rank::kLeaf};
  std::list<Place*> there_ CAIRN_GUARDED_BY(mutex_);  // In the order in which the hand of the clock comes to them.
  std::atomic<std::size_t> count_{0};                 // Of those. Changed under the mutex.
};

template <typename T>
class OnDemand : private OnDemandLimit::Place {
 public:
  /// `limit` outlives this.
  explicit OnDemand(OnDemandLimit& limit) : limit_(limit) {}
  ~OnDemand() override { close(); }
  OnDemand(const OnDemand&) = delete;
  OnDemand& operator=(const OnDemand&) = delete;

  /// None: it has to be made.
  [[nodiscard]] std::shared_ptr<const T> get() const {
    const auto inside = limit_.copiers_.enter();
    const Striped<T>* const found = current_.load();
    if (found == nullptr) return nullptr;
    if (!asked_for_.load(std::memory_order_relaxed)) asked_for_.store(true, std::memory_order_relaxed);
    return found->get();
  }
  /// Of several that make it at the same time one wins: what is there then. To be followed by limit.trim().
  std::shared_ptr<const T> put(const std::shared_ptr<const T>& made) {
    auto mine = std::make_unique<const Striped<T>>(made);
    const MutexLock lock(limit_.mutex_);
    if (const Striped<T>* const found = current_.load()) return found->get();
    current_.store(mine.release());
    asked_for_.store(true, std::memory_order_relaxed);
    at_ = limit_.there_.insert(limit_.there_.end(), this);
    ++limit_.count_;
    return made;
  }
  /// What was there. Nobody may use this at the same time.
  std::shared_ptr<const T> close() {
    const MutexLock lock(limit_.mutex_);
    const std::unique_ptr<const Striped<T>> last(current_.exchange(nullptr));
    if (!last) return nullptr;
    limit_.there_.erase(at_);
    --limit_.count_;
    return last->get();
  }

 private:
  std::shared_ptr<const void> take() override { return std::shared_ptr<const Striped<T>>(current_.exchange(nullptr)); }

  OnDemandLimit& limit_;
  std::atomic<const Striped<T>*> current_{nullptr};
};

}  // namespace cairn
