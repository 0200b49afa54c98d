#include "server/writer.h"

#include "base/reached.h"

namespace cairn::server {

Writer::Writer(Service& service, std::size_t threads, std::function<void(std::size_t, Batches)> answer)
    : service_(service), answer_(std::move(answer)), answers_(threads), executor_(service, Sees::kApplied) {
  thread_ = std::thread([this] { run(); });
}

void Writer::submit(std::unique_ptr<Batch> batch) {
  bool wake = false;
  {
    const MutexLock lock(mutex_);
    waiting_.push_back(std::move(batch));
    wake = idle_;
    idle_ = false;
  }
  if (wake) changed_.notify_all();
}

void Writer::stop() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Writer::run() {
  while (true) {
    Batches round;
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) {
        idle_ = true;
        changed_.wait(mutex_);
      }
      idle_ = false;
      if (waiting_.empty()) return;
      round.swap(waiting_);
    }
    for (const auto& batch : round) execute(*batch);
    const Result<void> settled = executor_.settle();
    service_.counters().writer_rounds.fetch_add(1, std::memory_order_relaxed);
    for (auto& batch : round) {
      if (!settled) fail(*batch, settled.error());
      answers_[batch->thread].push_back(std::move(batch));
    }
    for (std::size_t thread = 0; thread < answers_.size(); ++thread) {
      if (!answers_[thread].empty()) answer_(thread, std::exchange(answers_[thread], {}));
    }
  }
}

void Writer::execute(Batch& batch) {
  for (const Requests::Item& item : batch.requests.items()) {
    batch.requests.arguments_of(item, arguments_);
    Reply reply(batch.output, item.resp3);
    if (item.transaction) {
      executor_.run_transaction(*item.transaction, item.watched.get(), reply);
    } else if (item.info == nullptr) {
      batch.output.append(arguments_[0]);
    } else {
      executor_.run(*item.info, arguments_, item.database, reply, {.client = nullptr, .watched = item.watched.get()});
    }
  }
  service_.counters().writer_commands.fetch_add(batch.requests.items().size(), std::memory_order_relaxed);
}

/// The device did not confirm: what was answered is not so.
void Writer::fail(Batch& batch, const Error& error) {
  CAIRN_REACHED("round of the writer was not made durable");
  batch.output.clear();
  for (const Requests::Item& item : batch.requests.items()) {
    if (item.info == nullptr && !item.transaction) {
      std::vector<ByteView> arguments;
      batch.requests.arguments_of(item, arguments);
      batch.output.append(arguments[0]);
    } else {
      Reply(batch.output, item.resp3).error(error_reply(error));
    }
  }
}

}  // namespace cairn::server
