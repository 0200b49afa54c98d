// The one writer: runs what connections hand to it in the order it comes, makes a round of it durable at once, and gives the
// answers back.
//
// It is a thread of its own, but one that readers stand in for where running a round waits for nothing: at any time at most one
// is the writer. What then waits for the device is left to the thread, which makes all that was run by then durable; meanwhile
// the next round is run.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "server/executor.h"

namespace cairn::server {

/// Requests of one connection, in their order, and what they are answered.
struct Batch {
  Requests requests;
  Output output;
  std::shared_ptr<void> owner;  // The connection.
  std::shared_ptr<ClientInfo> client;
  std::shared_ptr<const User> user;  // Whose rights its scripts have.
  std::size_t thread = 0;            // Of the connection.
  bool given_up = false;             // A transaction in it.
  bool may_wait = false;             // Something in it does more than save.
};
using Batches = std::vector<std::unique_ptr<Batch>>;

class Writer {
 public:
  /// `answer` is called by the writer with batches of one thread that are done, `announce` when readers may see something new.
  Writer(Service& service, std::size_t threads, std::function<void(std::size_t thread, Batches batches)> answer,
         std::function<void()> announce);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { stop(); }

  /// From the read thread `thread`. Where nothing has to be waited for and the writer is idle, that thread is the writer for a
  /// round; then the batches of that thread which are done are returned.
  Batches submit(Batches batches, std::size_t thread) CAIRN_EXCLUDES(mutex_);
  /// Returns when everything that was submitted is answered. Nothing may be submitted afterwards.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  void run() CAIRN_EXCLUDES(mutex_);
  void run_round(Batches round, std::size_t own_thread, Batches& own) CAIRN_EXCLUDES(mutex_);
  void answer(Batches batches, const Result<void>& settled, std::size_t own_thread, Batches& own);
  void leave_to_settle(Batches batches) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] bool runs_at_once(const Batches& batches) const;
  bool take_waiting(Batches& batches, bool wanted) CAIRN_EXCLUDES(mutex_);
  void execute(Batch& batch);
  void execute(Batch& batch, const Requests::Item& item);
  std::size_t put_some(Batch& batch, std::span<const Requests::Item> items);
  void note_slow_puts(const Batch& batch, std::span<const Requests::Item> items, const SlowLog::Timer& timer);
  static void fail(Batch& batch, const Error& error);

  Service& service_;
  const std::function<void(std::size_t, Batches)> answer_;
  const std::function<void()> announce_;
  const bool settles_at_once_;
  std::vector<Batches> answers_;  // By thread; of those that are being answered.
  // Of the thread: what was left to settle and is not acknowledged yet. Batches that come later may have seen it.
  Executor::Unsettled unacknowledged_;
  // Of whoever is the writer: running_ says that somebody is.
  Executor executor_;
  std::vector<ByteView> arguments_;
  std::vector<Timeline::Put> puts_;

  Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  Batches waiting_ CAIRN_GUARDED_BY(mutex_);
  Batches executed_ CAIRN_GUARDED_BY(mutex_);               // And to be settled, in their order: what was applied for them
  Executor::Unsettled unsettled_ CAIRN_GUARDED_BY(mutex_);  // is this.
  bool running_ CAIRN_GUARDED_BY(mutex_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::server
