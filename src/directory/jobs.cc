#include "directory/jobs.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/error.h"

namespace cairn::directory {
namespace {

// Linux counts a nice value for each thread; those that read and write go first. Nobody waits for a normal job as long as
// the debt is small; for an urgent one writers wait in the end, so it gives way a little only.
constexpr int kNiceOfNormal = 10;
constexpr int kNiceOfUrgent = 3;
constexpr std::int64_t kRestMsMax = 1000;  // Several flushes; then it works for as long.

/// std::thread throws where the system has no thread to give; we return that.
Result<std::thread> start_thread_of(std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& error) {
    return system_error(error.code().value(), "starting a thread");
  }
}

}  // namespace

Result<void> Job::progress(std::uint64_t bytes) {
  const std::uint64_t done = bytes_done_.fetch_add(bytes) + bytes;
  while (paused_ && !cancelled_) clock_->sleep_ms(10);
  if (willing_ && *urgent_busy_) give_way();
  if (cancelled_) return fail(ErrorCode::kUnavailable, "the job '" + name_ + "' was cancelled");
  if (rate_bytes_per_s_ != 0) {
    const auto due_ms = static_cast<std::int64_t>(done * 1000 / rate_bytes_per_s_);
    const std::int64_t ahead_ms = started_ms_ + due_ms - clock_->boot_ms();
    if (ahead_ms > 1) clock_->sleep_ms(std::min<std::int64_t>(ahead_ms, 100));
  }
  return {};
}

void Job::give_way() {
  const std::int64_t begin_ms = clock_->boot_ms();
  if (begin_ms < rests_from_ms_) return;
  while (*urgent_busy_ && willing_() && !cancelled_) {
    const std::int64_t now_ms = clock_->boot_ms();
    if (now_ms - begin_ms >= kRestMsMax) {
      rests_from_ms_ = now_ms + kRestMsMax;
      return;
    }
    clock_->sleep_ms(1);
  }
}

Result<void> JobRunner::start_threads() {
  const MutexLock lock(mutex_);
  while (threads_.size() < threads_wanted_) {
    const For role = threads_wanted_ == 1 ? For::kAll : threads_.empty() ? For::kUrgent : For::kNormal;
    CAIRN_TRY(thread, start_thread_of([this, role] { run_loop(role); }));
    threads_.push_back(std::move(thread));
  }
  return {};
}

JobRunner::~JobRunner() {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

std::shared_ptr<Job> JobRunner::make(const std::string& name, std::function<Result<void>(Job&)> work,
                                     std::uint64_t rate_bytes_per_s) {
  auto job = std::make_shared<Job>(name);
  job->clock_ = &clock_;
  job->urgent_busy_ = &urgent_busy_;
  job->rate_bytes_per_s_ = rate_bytes_per_s;
  job->work_ = std::move(work);
  return job;
}

Result<void> JobRunner::run_here(const std::string& name, std::function<Result<void>(Job&)> work,
                                 std::uint64_t rate_bytes_per_s) {
  const std::shared_ptr<Job> job = make(name, std::move(work), rate_bytes_per_s);
  job->urgent_ = true;
  {
    const MutexLock lock(mutex_);
    running_.push_back(job);
  }
  run(job);
  const MutexLock lock(mutex_);
  return *job->result_;
}

std::shared_ptr<Job> JobRunner::submit(const std::string& name, Urgency urgency, std::function<Result<void>(Job&)> work,
                                       std::uint64_t rate_bytes_per_s) {
  const std::shared_ptr<Job> job = make(name, std::move(work), rate_bytes_per_s);
  job->urgent_ = urgency == Urgency::kUrgent;
  const MutexLock lock(mutex_);
  const auto place = urgency == Urgency::kNormal
                         ? waiting_.end()
                         : std::find_if(waiting_.begin(), waiting_.end(), [](const auto& each) { return !each->urgent_; });
  waiting_.insert(place, job);
  changed_.notify_all();
  return job;
}

void JobRunner::share(const std::string& name, std::size_t count,
                      const std::function<void(std::size_t item, std::size_t worker)>& work) noexcept {
  struct Shared {
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
  };
  const auto shared = std::make_shared<Shared>();
  const auto take_part = [shared, count, &work](std::size_t worker) {  // Late, it finds no item, and does not look at `work`.
    for (std::size_t item = shared->next++; item < count; item = shared->next++) {
      work(item, worker);
      if (++shared->done == count) shared->done.notify_all();
    }
  };
  if (count > 1) {
    submit(name, Urgency::kUrgent, [take_part](Job&) -> Result<void> { return take_part(1), Result<void>{}; });
  }
  take_part(0);
  for (std::size_t done = shared->done; done != count; done = shared->done) shared->done.wait(done);
}

/// The next job for a thread, now among the running; nullptr: none.
std::shared_ptr<Job> JobRunner::take_next(For thread) {
  const auto first = [](auto& jobs, bool urgent) {
    return std::find_if(jobs.begin(), jobs.end(), [&](const auto& job) { return job->urgent_ == urgent; });
  };
  auto next = first(waiting_, thread != For::kNormal);
  if (next == waiting_.end() && thread == For::kAll) next = first(waiting_, false);
  if (next == waiting_.end() && thread == For::kNormal && urgent_busy_) next = first(waiting_, true);
  if (next == waiting_.end()) return nullptr;
  std::shared_ptr<Job> job = *next;
  waiting_.erase(next);
  running_.push_back(job);
  return job;
}

void JobRunner::run(const std::shared_ptr<Job>& job) {
  job->started_ms_ = clock_.boot_ms();
  Result<void> result = job->progress(0);
  if (result) result = job->work_(*job);
  job->work_ = nullptr;  // Lets go of what it captured before anyone is told that it is done.
  const MutexLock lock(mutex_);
  std::erase(running_, job);
  job->result_ = std::move(result);
  changed_.notify_all();
}

bool JobRunner::run_one() {
  std::shared_ptr<Job> job;
  {
    const MutexLock lock(mutex_);
    job = take_next(For::kAll);
  }
  if (job) run(job);
  return job != nullptr;
}

void JobRunner::run_loop(For thread) {
  if (thread != For::kAll) {
    const int nice = thread == For::kNormal ? kNiceOfNormal : kNiceOfUrgent;
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), nice);
  }
  while (true) {
    std::shared_ptr<Job> job;
    {
      const MutexLock lock(mutex_);
      if (thread == For::kUrgent) urgent_busy_ = false;
      for (job = take_next(thread); !job; job = take_next(thread)) {
        if (stopping_) return;
        changed_.wait(mutex_);
      }
      if (thread == For::kUrgent) {
        urgent_busy_ = true;
        changed_.notify_all();  // Another urgent one is for another thread now.
      }
    }
    run(job);
  }
}

void JobRunner::run_pending() {
  while (run_one()) {
  }
}

Result<void> JobRunner::wait(const std::shared_ptr<Job>& job) {
  while (true) {
    if (const auto result = wait_for(job, 3'600'000)) return *result;
  }
}

std::optional<Result<void>> JobRunner::wait_for(const std::shared_ptr<Job>& job, std::int64_t ms) {
  if (threads_wanted_ == 0) {
    while (!done(job) && run_one()) {
    }
  }
  const std::int64_t end_ms = clock_.boot_ms() + ms;
  const MutexLock lock(mutex_);
  while (!job->result_) {
    const std::int64_t left_ms = end_ms - clock_.boot_ms();
    if (left_ms <= 0) return std::nullopt;
    changed_.wait_for(mutex_, std::chrono::milliseconds(left_ms));
  }
  return job->result_;
}

bool JobRunner::done(const std::shared_ptr<Job>& job) const {
  const MutexLock lock(mutex_);
  return job->result_.has_value();
}

std::vector<std::shared_ptr<Job>> JobRunner::list() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Job>> jobs = running_;
  jobs.insert(jobs.end(), waiting_.begin(), waiting_.end());
  return jobs;
}

Result<void> Ticker::start_thread() {
  const MutexLock lock(mutex_);
  if (!threaded_ || thread_.joinable()) return {};
  CAIRN_TRY(thread, start_thread_of([this] { run_loop(); }));
  thread_ = std::move(thread);
  return {};
}

Ticker::~Ticker() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
    changed_.notify_all();
  }
  if (thread.joinable()) thread.join();
}

void Ticker::after(std::int64_t ms, const void* owner, std::function<void()> callback) {
  const MutexLock lock(mutex_);
  entries_.push_back({clock_.boot_ms() + ms, owner, std::move(callback)});
  changed_.notify_all();
}

void Ticker::cancel(const void* owner) {
  const MutexLock lock(mutex_);
  while (true) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.owner == owner; });
    if (running_ != owner) return;
    changed_.wait(mutex_);  // Its callback may have asked for another one meanwhile: look again.
  }
}

bool Ticker::run_one() {
  Entry due{};
  {
    const MutexLock lock(mutex_);
    const auto first =
        std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.due_ms < b.due_ms; });
    if (stopping_ || first == entries_.end() || first->due_ms > clock_.boot_ms()) return false;
    due = std::move(*first);
    entries_.erase(first);
    running_ = due.owner;
  }
  due.callback();
  due.callback = nullptr;
  const MutexLock lock(mutex_);
  running_ = nullptr;
  changed_.notify_all();
  return true;
}

void Ticker::run_due() {
  while (run_one()) {
  }
}

void Ticker::run_loop() {
  while (true) {
    run_due();
    const MutexLock lock(mutex_);
    if (stopping_) return;
    std::int64_t wait_ms = 3'600'000;
    for (const Entry& entry : entries_) wait_ms = std::min(wait_ms, entry.due_ms - clock_.boot_ms());
    if (wait_ms > 0) changed_.wait_for(mutex_, std::chrono::milliseconds(wait_ms));
  }
}

}  // namespace cairn::directory
