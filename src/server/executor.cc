#include "server/executor.h"

#include "base/error.h"

namespace cairn::server {

Keyspace& Executor::keys(int number) {
  const auto at = static_cast<std::size_t>(number);
  if (!keys_[at]) keys_[at] = std::make_unique<Keyspace>(service_.databases(), number, sees_);
  if (!touched_.test(at)) keys_[at]->enter();  // Whatever SWAPDB does, a request keeps the timeline that it found first.
  touched_.set(at);
  return *keys_[at];
}

Result<void> Executor::run_command(const CommandInfo& info, Arguments arguments, int database, Reply& reply,
                                   const Options& options) {
  Context context{.service = service_,
                  .execution = *this,
                  .info = info,
                  .arguments = arguments,
                  .keys = keys(database),
                  .reply = reply,
                  .client = options.client,
                  .watched = options.watched,
                  .who = options.who,
                  .user = options.user};
  SlowLog& slow_log = service_.slow_log();
  const SlowLog::Timer timer(slow_log);
  Result<void> done = info.run(context);
  if (const auto took = timer.slow_share(1)) slow_log.note(info, arguments, options.who, *took);
  return done;
}

void Executor::run(const CommandInfo& info, Arguments arguments, int database, Reply& reply, const Options& options) {
  const Output::Mark mark = reply.output().mark();
  Result<void> done = run_command(info, arguments, database, reply, options);
  if (done && (info.flags & kWrites) != 0) done = commit();
  if (!done) {
    discard();
    reply.output().rewind(mark);
    reply.error(error_reply(done.error()));
  }
  end();
}

/// Nothing is staged any more.
void Executor::end() {
  // A read thread stages nothing and remembers no values.
  for (std::size_t i = 0; sees_ == Sees::kApplied && i < touched_.size(); ++i) {
    if (touched_.test(i)) keys_[i]->leave();
  }
  touched_.reset();
  kept_.clear();
}

std::uint64_t Executor::end_command() {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    if (!touched_.test(i)) continue;
    keys_[i]->done_reading();
    bytes += keys_[i]->computed_bytes();
  }
  return bytes;
}

ScriptEngine& Executor::scripts() {
  if (!scripts_)
    scripts_ = std::make_unique<ScriptEngine>(service_.scripts(), service_.live().script_time_ms,
                                              static_cast<std::uint64_t>(service_.config().script_memory_mib) * kMiB);
  return *scripts_;
}

Result<void> Executor::put_each(std::span<const Timeline::Put> puts, int database) {
  Keyspace& keyspace = keys(database);
  const Result<Applied> applied = keyspace.put_each(puts, service_.config().durability);
  touched_.reset();  // Nothing is staged.
  CAIRN_TRY_VOID(applied);
  applied_[keyspace.timeline_number()] = *applied;
  any_applied_ = true;
  return {};
}

Result<bool> Executor::has_changed(const WatchSet& watched) {
  for (const Watched& each : watched) {
    const Keyspace& keyspace = keys(each.database);
    CAIRN_TRY(changed, keyspace.changed(each.key));
    CAIRN_TRY(there, keyspace.contains(each.key));
    // As Redis, SWAPDB touches the keys that are in one of the two databases.
    const bool swapped = keyspace.timeline_number() != each.timeline;
    if (swapped ? there || each.there : changed != each.changed || there != each.there) return true;
  }
  return false;
}

bool Executor::run_transaction(const Requests& transaction, const Options& options, Reply& reply) {
  const Output::Mark mark = reply.output().mark();
  bool given_up = false;
  const auto run_all = [&]() -> Result<void> {
    if (options.watched != nullptr) {
      CAIRN_TRY(changed, has_changed(*options.watched));
      if (changed) {
        reply.null_array();
        given_up = true;
        return {};
      }
    }
    reply.array(transaction.items().size());
    std::vector<ByteView> arguments;
    for (const Requests::Item& item : transaction.items()) {
      transaction.arguments_of(item, arguments);
      if (item.info == nullptr) {
        reply.output().append(arguments[0]);
        continue;
      }
      const Output::Mark before = reply.output().mark();
      const Result<void> done =
          run_command(*item.info, arguments, item.database, reply, {.who = options.who, .user = options.user});
      end_command();
      if (done) continue;
      if (!is_refusal(done.error())) return done;
      reply.output().rewind(before);
      reply.error(error_reply(done.error()));
    }
    return commit();
  };
  const Result<void> done = run_all();
  if (!done) {
    discard();
    reply.output().rewind(mark);
    reply.error(error_reply(done.error()));
  }
  end();
  return done && !given_up;
}

void Executor::count_lookups() {
  Keyspace::Lookups sum;
  for (const auto& keys : keys_) {
    if (keys) sum += keys->take_lookups();
  }
  service_.counters().add(sum);
}

Result<void> Executor::commit() {
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    if (!touched_.test(i)) continue;
    CAIRN_TRY(applied, keys_[i]->commit(service_.config().durability));
    if (!applied) continue;
    applied_[keys_[i]->timeline_number()] = applied;
    any_applied_ = true;
  }
  return {};
}

void Executor::discard() {
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    if (touched_.test(i)) keys_[i]->discard();
  }
}

Result<void> Executor::settle() {
  if (!any_applied_) return {};
  // What cannot be acknowledged now stays to be settled: what runs here sees it, and may be answered only when it is.
  CAIRN_TRY_VOID(wait_for(applied_));
  take_unsettled();
  return {};
}

Result<void> Executor::wait_for(const Unsettled& unsettled) const {
  Result<void> all;
  for (std::size_t i = 0; i < unsettled.size(); ++i) {
    if (!unsettled[i]) continue;
    Result<void> one = service_.databases().timeline(i)->settle(*unsettled[i]);
    if (!one && all) all = std::move(one);
  }
  return all;
}

}  // namespace cairn::server
