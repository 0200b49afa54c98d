// on_change(): the queue of what was committed, and the functions that are told. Invariants: events are in the order of commits;
// one thread tells at a time, without a lock; a change is told before the call that made it returns, unless that call was made by
// a function that is being told.
#include <algorithm>
#include <exception>

#include "objects/model_core.h"

namespace cairn::objects {

Subscription ModelCore::subscribe(std::uint8_t number, Changed changed) {
  const MutexLock lock(events_);
  const auto subscriber = subscribers_.insert(subscribers_.end(), {number, std::move(changed)});
  subscriber_count_.fetch_add(1);
  return Subscription([this, subscriber] { unsubscribe(subscriber); });
}

void ModelCore::unsubscribe(std::list<Subscriber>::iterator subscriber) {
  const MutexLock lock(events_);
  subscriber->ended = true;
  subscriber_count_.fetch_sub(1);
  if (telling_ && teller_ == std::this_thread::get_id()) return;  // A function ends a subscription: tell() removes it.
  subscriber->waited_for = true;
  while (telling_) told_.wait(events_);  // Its function may run, and the list is walked.
  subscribers_.erase(subscriber);
}

/// Queues what is about to be published.
void ModelCore::note(const Pendings& pendings, Change change) {
  if (subscriber_count_.load() == 0) return;
  const MutexLock lock(events_);
  for (const Pending& pending : pendings) {
    for (const PersistentObject* const object : {pending.before, static_cast<const PersistentObject*>(pending.after)}) {
      if (object != nullptr) ObjectAccess::use(*object);
    }
    queue_.push_back({pending.number, pending.before, pending.after, change});
  }
}

void ModelCore::tell_events(Change change) {
  const MutexLock lock(events_);
  if (telling_ && teller_ == std::this_thread::get_id()) {
    nested_ = change;  // The loop below, further up in this thread, tells it.
    return;
  }
  while (true) {
    const bool waits = telling_ && told_now_ <= change;
    const bool queued = !queue_.empty() && queue_.front().change <= change;
    if (!waits && !queued) return;
    if (telling_) {
      told_.wait(events_);
      continue;
    }
    const Event event = queue_.front();
    queue_.pop_front();
    tell(event);
    change = std::max(change, nested_);
  }
}

void ModelCore::tell(const Event& event) {
  telling_ = true;
  told_now_ = event.change;
  teller_ = std::this_thread::get_id();
  std::exception_ptr thrown;
  for (Subscriber& subscriber : subscribers_) {
    if (subscriber.ended || subscriber.number != event.number) continue;
    events_.unlock();
    try {
      subscriber.changed(event.before, event.after, event.change);
    } catch (...) {
      thrown = std::current_exception();
    }
    events_.lock();
  }
  telling_ = false;
  std::erase_if(subscribers_, [](const Subscriber& each) { return each.ended && !each.waited_for; });
  told_.notify_all();
  for (const PersistentObject* const object : {event.before, event.after}) {
    if (object != nullptr) state(event.number).info->release(const_cast<PersistentObject*>(object));
  }
  // The other functions were told all the same, and the change is committed.
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace cairn::objects
