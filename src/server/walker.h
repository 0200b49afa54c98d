// The thread for walks: commands that may look at many keys (KEYS, SCAN, DBSIZE) run here one after the other, at what readers
// see, so that neither the read threads nor the writer wait for them. The thread has a low priority.
#pragma once
#include <deque>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace cairn::server {

class Executor;
class Service;

class Walker {
 public:
  explicit Walker(Service& service) : service_(service), thread_([this] { run(); }) {}
  ~Walker() { stop(); }
  Walker(const Walker&) = delete;
  Walker& operator=(const Walker&) = delete;

  /// Calls walk(executor) on the thread for walks. From any thread.
  using Walk = std::function<void(Executor&)>;
  void submit(Walk walk) CAIRN_EXCLUDES(mutex_);
  /// Waits for the walk that runs. Walks that have not begun are dropped.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  void run() CAIRN_EXCLUDES(mutex_);

  Service& service_;
  Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  std::deque<Walk> walks_ CAIRN_GUARDED_BY(mutex_);
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses the members above.
};

}  // namespace cairn::server
