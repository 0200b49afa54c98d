// Background work of a process: every job has a name, progress, a byte-rate limit and a way to be cancelled, and stands
// in stats while it runs.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/result.h"

namespace cairn::directory {

class Job {
 public:
  explicit Job(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_.load(std::memory_order_relaxed); }
  void set_bytes_total(std::uint64_t bytes) { bytes_total_ = bytes; }
  /// Asks the job to end; its next progress() fails with kUnavailable.
  void cancel() { cancelled_ = true; }
  /// Stops it at its next progress() until resume().
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  /// To be called by the job itself: from now on it rests in progress() while the thread for urgent jobs is at work, as long as
  /// `willing` says so, and at most half of the time: that thread may never be idle.
  void give_way_while(std::function<bool()> willing) { willing_ = std::move(willing); }

  /// To be called by the job as it goes: counts `bytes`, sleeps as the rate limit asks, fails if it was cancelled.
  Result<void> progress(std::uint64_t bytes);

 private:
  friend class JobRunner;
  void give_way();
  std::string name_;
  std::atomic<std::uint64_t> bytes_done_{0};
  std::atomic<std::uint64_t> bytes_total_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> paused_{false};
  Clock* clock_ = nullptr;
  const std::atomic<bool>* urgent_busy_ = nullptr;  // The runner's.
  std::function<bool()> willing_;                   // To give way,
  std::int64_t rests_from_ms_ = 0;                  // from then on.
  std::uint64_t rate_bytes_per_s_ = 0;              // 0: no limit.
  std::int64_t started_ms_ = 0;
  bool urgent_ = false;  // Or in no thread of ours.
  std::function<Result<void>(Job&)> work_;
  std::optional<Result<void>> result_;  // Guarded by the runner's mutex.
};

/// Thread-safe. One per process.
class JobRunner {
 public:
  /// `threads` 0: nothing runs by itself; run_pending() and wait() run jobs in the caller's thread, in order; 1: it
  /// runs all, as it is.
  JobRunner(Clock& clock, unsigned threads) : clock_(clock), threads_wanted_(threads) {}
  ~JobRunner();
  /// Starts those threads that do not run yet. Until then submitted jobs wait. kUnavailable: the system has none to give.
  Result<void> start_threads() CAIRN_EXCLUDES(mutex_);
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  /// Writers wait for an urgent job: one thread is for such alone. The others, of a lower priority, take them only when that
  /// one is busy and no normal job waits.
  enum class Urgency : std::uint8_t { kUrgent, kNormal };
  std::shared_ptr<Job> submit(const std::string& name, Urgency urgency, std::function<Result<void>(Job&)> work,
                              std::uint64_t rate_bytes_per_s = 0) CAIRN_EXCLUDES(mutex_);
  /// Runs `work` in the caller's thread, as a job beside those of the threads. Its result.
  Result<void> run_here(const std::string& name, std::function<Result<void>(Job&)> work, std::uint64_t rate_bytes_per_s = 0)
      CAIRN_EXCLUDES(mutex_);
  /// Calls work(item, worker) once for each item below `count`, in the caller's thread (worker 0) and, as soon as one is idle, in
  /// one of ours (worker 1). Returns when all is done.
  void share(const std::string& name, std::size_t count,
             const std::function<void(std::size_t item, std::size_t worker)>& work) noexcept CAIRN_EXCLUDES(mutex_);
  static constexpr std::size_t kSharers = 2;
  /// The job's result, once it has one.
  Result<void> wait(const std::shared_ptr<Job>& job) CAIRN_EXCLUDES(mutex_);
  /// The same, but nullopt if it has none after about `ms`.
  std::optional<Result<void>> wait_for(const std::shared_ptr<Job>& job, std::int64_t ms) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] bool done(const std::shared_ptr<Job>& job) const CAIRN_EXCLUDES(mutex_);
  void run_pending() CAIRN_EXCLUDES(mutex_);
  /// Jobs that wait or run.
  [[nodiscard]] std::vector<std::shared_ptr<Job>> list() const CAIRN_EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::shared_ptr<Job> make(const std::string& name, std::function<Result<void>(Job&)> work,
                                          std::uint64_t rate_bytes_per_s);
  enum class For : std::uint8_t { kUrgent, kNormal, kAll };  // What a thread is for.
  void run_loop(For thread) CAIRN_EXCLUDES(mutex_);
  bool run_one() CAIRN_EXCLUDES(mutex_);
  void run(const std::shared_ptr<Job>& job) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<Job> take_next(For thread) CAIRN_REQUIRES(mutex_);

  Clock& clock_;
  mutable Mutex mutex_{Rank::kJobs};
  CondVar changed_;
  std::deque<std::shared_ptr<Job>> waiting_ CAIRN_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Job>> running_ CAIRN_GUARDED_BY(mutex_);
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::atomic<bool> urgent_busy_ = false;  // The thread for urgent jobs; changed under the mutex.
  const unsigned threads_wanted_;
  std::vector<std::thread> threads_ CAIRN_GUARDED_BY(mutex_);
};

/// Runs callbacks at a time, one after the other, in one thread of its own. Thread-safe. Callbacks belong to an owner,
/// which cancels them before it goes.
class Ticker {
 public:
  /// Not `threaded`: run_due() runs what is due, in the caller's thread.
  Ticker(Clock& clock, bool threaded) : clock_(clock), threaded_(threaded) {}
  ~Ticker();
  /// Starts its thread, unless it runs. kUnavailable: the system has none to give.
  Result<void> start_thread() CAIRN_EXCLUDES(mutex_);
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void after(std::int64_t ms, const void* owner, std::function<void()> callback) CAIRN_EXCLUDES(mutex_);
  /// Nothing of `owner` runs after this returned. Not to be called from its callbacks.
  void cancel(const void* owner) CAIRN_EXCLUDES(mutex_);
  void run_due() CAIRN_EXCLUDES(mutex_);

 private:
  struct Entry {
    std::int64_t due_ms;
    const void* owner;
    std::function<void()> callback;
  };
  void run_loop() CAIRN_EXCLUDES(mutex_);
  bool run_one() CAIRN_EXCLUDES(mutex_);

  Clock& clock_;
  Mutex mutex_{Rank::kTicker};
  CondVar changed_;
  std::vector<Entry> entries_ CAIRN_GUARDED_BY(mutex_);
  const void* running_ CAIRN_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  const bool threaded_;
  std::thread thread_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::directory
