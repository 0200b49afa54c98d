#include "server/writer.h"

#include <algorithm>
#include <bitset>
#include <iterator>
#include <utility>

namespace cairn::server {
namespace {
constexpr int kRoundsAtOnce = 4;
constexpr std::size_t kPutsAtOnce = 32;
constexpr std::size_t kPutBytesAtOnce = 64 * kKiB;

void merge(const Executor::Unsettled& later, Executor::Unsettled& into) {
  for (std::size_t i = 0; i < later.size(); ++i) {
    if (later[i]) into[i] = later[i];
  }
}
}  // namespace

Writer::Writer(Service& service, std::size_t threads, std::function<void(std::size_t, Batches)> answer,
               std::function<void()> announce)
    : service_(service),
      answer_(std::move(answer)),
      announce_(std::move(announce)),
      settles_at_once_(service.config().durability != Durability::kDisk),
      answers_(threads),
      executor_(service, Sees::kApplied) {
  thread_ = std::thread([this] { run(); });
}

Batches Writer::submit(Batches batches, std::size_t thread) {
  const bool at_once = runs_at_once(batches);
  {
    const MutexLock lock(mutex_);
    const bool idle = !running_ && waiting_.empty();
    if (!at_once || !idle) {
      std::ranges::move(batches, std::back_inserter(waiting_));
      if (!running_) changed_.notify_all();
      return {};
    }
    running_ = true;
  }
  Batches own;
  // What has come meanwhile is taken along, for a while, rather than to wake the writer for it.
  for (int round = 1;; ++round) {
    run_round(std::exchange(batches, {}), thread, own);
    if (take_waiting(batches, round < kRoundsAtOnce) && runs_at_once(batches)) continue;
    const MutexLock lock(mutex_);
    waiting_.insert(waiting_.begin(), std::make_move_iterator(batches.begin()), std::make_move_iterator(batches.end()));
    running_ = false;
    if (!waiting_.empty() || stopping_) changed_.notify_all();
    return own;
  }
}

bool Writer::take_waiting(Batches& batches, bool wanted) {
  const MutexLock lock(mutex_);
  if (wanted) batches.swap(waiting_);
  return !batches.empty();
}

/// Readers must not wait: neither for a device, nor for room, nor for much work.
bool Writer::runs_at_once(const Batches& batches) const {
  constexpr std::uint64_t kBytesMax = 512 * kKiB;
  std::uint64_t bytes = 0;
  std::bitset<kDatabases> databases;
  for (const auto& batch : batches) {
    if (batch->may_wait) return false;
    bytes += batch->requests.memory_bytes();
    for (const Requests::Item& item : batch->requests.items()) databases.set(static_cast<std::size_t>(item.database));
  }
  if (bytes > kBytesMax) return false;
  for (int number = 0; number < kDatabases; ++number) {
    if (!databases.test(static_cast<std::size_t>(number))) continue;
    const Timeline* const timeline = service_.databases().find(number);
    if (timeline == nullptr || !timeline->applies_at_once(2 * bytes)) return false;
  }
  return true;
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
  Batches none;  // Are of this thread.
  while (true) {
    Batches batches;
    Executor::Unsettled unsettled;
    bool executed = true;
    {
      const MutexLock lock(mutex_);
      while (executed_.empty() && (running_ || (waiting_.empty() && !stopping_))) changed_.wait(mutex_);
      if (!executed_.empty()) {
        batches.swap(executed_);
        unsettled = std::exchange(unsettled_, {});
      } else if (!waiting_.empty()) {
        // Nothing is left to settle now: what these run may count on it.
        batches.swap(waiting_);
        running_ = true;
        executed = false;
      } else {
        return;
      }
    }
    if (executed) {
      merge(unsettled, unacknowledged_);
      const Result<void> settled = executor_.wait_for(unacknowledged_);
      if (settled) unacknowledged_ = {};
      answer(std::move(batches), settled, answers_.size(), none);
    } else {
      run_round(std::move(batches), answers_.size(), none);
      const MutexLock lock(mutex_);
      running_ = false;
    }
  }
}

void Writer::run_round(Batches round, std::size_t own_thread, Batches& own) {
  for (const auto& batch : round) execute(*batch);
  executor_.count_lookups();
  if (!settles_at_once_) return leave_to_settle(std::move(round));
  answer(std::move(round), executor_.settle(), own_thread, own);
}

void Writer::leave_to_settle(Batches batches) {
  const Executor::Unsettled applied = executor_.take_unsettled();
  const MutexLock lock(mutex_);
  std::ranges::move(batches, std::back_inserter(executed_));
  merge(applied, unsettled_);
  changed_.notify_all();
}

/// Adds the batches of `own_thread` to `own`, and sends the others to their threads.
void Writer::answer(Batches batches, const Result<void>& settled, std::size_t own_thread, Batches& own) {
  add_alone(service_.counters().writer_rounds, 1);
  for (auto& batch : batches) {
    if (!settled) fail(*batch, settled.error());
    (batch->thread == own_thread ? own : answers_[batch->thread]).push_back(std::move(batch));
  }
  for (std::size_t thread = 0; thread < answers_.size(); ++thread) {
    if (!answers_[thread].empty()) answer_(thread, std::exchange(answers_[thread], {}));
  }
  announce_();
}

void Writer::execute(Batch& batch) {
  const std::span items(batch.requests.items());
  for (std::size_t i = 0; i < items.size();) {
    const std::size_t puts = put_some(batch, items.subspan(i));
    if (puts == 0) execute(batch, items[i]);
    i += std::max<std::size_t>(puts, 1);
  }
  add_alone(service_.counters().writer_commands, items.size());
}

/// Plain SETs that follow one another are saved together. How many were.
std::size_t Writer::put_some(Batch& batch, std::span<const Requests::Item> items) {
  static const CommandInfo* const set = command_named("SET");
  puts_.clear();
  std::size_t bytes = 0;
  for (const Requests::Item& item : items.first(std::min(items.size(), kPutsAtOnce))) {
    if (item.info != set || item.count != 3 || item.database != items.front().database || bytes > kPutBytesAtOnce) break;
    puts_.push_back({batch.requests.argument_of(item, 1), batch.requests.argument_of(item, 2)});
    bytes += puts_.back().data.size();
  }
  // What is wrong with one of them is found where they are run one by one.
  const SlowLog::Timer timer(service_.slow_log());
  if (puts_.size() < 2 || !executor_.put_each(puts_, items.front().database)) return 0;
  note_slow_puts(batch, items.first(puts_.size()), timer);
  for (const Requests::Item& item : items.first(puts_.size())) Reply(batch.output, item.resp3).ok();
  return puts_.size();
}

/// Saves that were made together, each as if it had taken its share.
void Writer::note_slow_puts(const Batch& batch, std::span<const Requests::Item> items, const SlowLog::Timer& timer) {
  const auto share = timer.slow_share(items.size());
  if (!share) return;
  for (const Requests::Item& item : items) {
    batch.requests.arguments_of(item, arguments_);
    service_.slow_log().note(*item.info, arguments_, batch.client.get(), *share);
  }
}

void Writer::execute(Batch& batch, const Requests::Item& item) {
  batch.requests.arguments_of(item, arguments_);
  Reply reply(batch.output, item.resp3);
  const Executor::Options options{.watched = item.watched.get(), .who = batch.client.get(), .user = batch.user.get()};
  if (item.transaction) {
    batch.given_up = !executor_.run_transaction(*item.transaction, options, reply);
  } else if (item.info == nullptr) {
    batch.output.append(arguments_[0]);
  } else {
    executor_.run(*item.info, arguments_, item.database, reply, options);
  }
}

/// The device did not confirm: what was answered is not so.
void Writer::fail(Batch& batch, const Error& error) {
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
