// One thread takes walks from a queue in the order in which they came. Each walk belongs to a connection: stop() must return
// before the threads of the connections are destroyed.
#include "server/walker.h"

#include <sys/resource.h>
#include <unistd.h>

#include "server/executor.h"

namespace cairn::server {
namespace {

constexpr int kNice = 10;  // A tenth of the share of a thread of normal priority, where processors are short.

}  // namespace

void Walker::submit(Walk walk) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    walks_.push_back(std::move(walk));
  }
  changed_.notify_all();
}

void Walker::run() {
  // On Linux the priority is that of one thread. Without it walks only run sooner.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
  Executor executor(service_, Sees::kAcknowledged);
  while (true) {
    Walk walk;
    {
      const MutexLock lock(mutex_);
      while (walks_.empty() && !stopping_) changed_.wait(mutex_);
      if (stopping_) return;
      walk = std::move(walks_.front());
      walks_.pop_front();
    }
    walk(executor);
  }
}

void Walker::stop() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  std::deque<Walk> dropped;  // They may hold the last share of a connection, which is not for under a lock.
  const MutexLock lock(mutex_);
  dropped.swap(walks_);
}

}  // namespace cairn::server
