// The one writer: runs what connections hand to it in the order it comes, makes a round of it durable at once, and gives the answers
// back. While it waits for the device the next round gathers.
#pragma once
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "server/executor.h"

namespace cairn::server {

/// Requests of one connection, in their order, and what they are answered.
struct Batch {
  Requests requests;
  Output output;
  std::shared_ptr<void> owner;   // The connection.
  std::size_t thread = 0;        // Of the connection.
};
using Batches = std::vector<std::unique_ptr<Batch>>;

class Writer {
 public:
  /// `answer` is called by the writer with batches of one thread that are done.
  Writer(Service& service, std::size_t threads, std::function<void(std::size_t thread, Batches batches)> answer);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { stop(); }

  /// From any thread.
  void submit(std::unique_ptr<Batch> batch) CAIRN_EXCLUDES(mutex_);
  /// Returns when everything that was submitted is answered. Nothing may be submitted afterwards.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  void run() CAIRN_EXCLUDES(mutex_);
  void execute(Batch& batch);
  static void fail(Batch& batch, const Error& error);

  Service& service_;
  const std::function<void(std::size_t, Batches)> answer_;
  std::vector<Batches> answers_;  // By thread; of the round.
  Executor executor_;
  std::vector<ByteView> arguments_;
  Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  Batches waiting_ CAIRN_GUARDED_BY(mutex_);
  bool idle_ CAIRN_GUARDED_BY(mutex_) = false;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::server
