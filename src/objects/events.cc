// on_change(): the queue of what was committed, and the functions that are told. Invariants: events are in the order of commits;
// one thread tells at a time, without a lock; a change is told before the call that made it returns, unless that call was made by
// a function that is being told.
#include <algorithm>
#include <exception>

#include "objects/model_core.h"

namespace cairn::objects {
namespace {

// Of any Model, in this thread.
thread_local int functions_running = 0;

}  // namespace

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
  std::list<Event> events;
  for (const Pending& pending : pendings) {
    events.push_back({pending.number, pending.before, pending.after, change});
    for (const PersistentObject* const object : {pending.before, static_cast<const PersistentObject*>(pending.after)}) {
      if (object != nullptr) ObjectAccess::use(*object);
    }
  }
  const MutexLock lock(events_);
  queue_.splice(queue_.end(), events);
}

void ModelCore::tell_events(Change change) {
  std::exception_ptr thrown;
  {
    const MutexLock lock(events_);
    while (true) {
      const bool is_told_now = telling_ && told_now_ <= change;
      const bool is_queued = !queue_.empty() && queue_.front().change <= change;
      if (!is_told_now && !is_queued) break;
      if (!telling_) {
        const Event event = queue_.front();
        queue_.pop_front();
        tell(event, thrown);
        change = std::max(change, asked_);
      } else if (functions_running > 0) {
        // A function of this or another Model made the change. To wait here could be to wait for itself: whoever tells goes on to
        // it.
        asked_ = std::max(asked_, change);
        break;
      } else {
        told_.wait(events_);
      }
    }
  }
  // All functions were told, and the change is committed.
  if (thrown) std::rethrow_exception(thrown);
}

void ModelCore::tell(const Event& event, std::exception_ptr& thrown) {
  telling_ = true;
  told_now_ = event.change;
  teller_ = std::this_thread::get_id();
  ++functions_running;
  for (Subscriber& subscriber : subscribers_) {
    if (subscriber.ended || subscriber.number != event.number) continue;
    events_.unlock();
    try {
      subscriber.changed(event.before, event.after, event.change);
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
    events_.lock();
  }
  --functions_running;
  telling_ = false;
  std::erase_if(subscribers_, [](const Subscriber& each) { return each.ended && !each.waited_for; });
  told_.notify_all();
  release(event);
}

void ModelCore::release(const Event& event) {
  for (const PersistentObject* const object : {event.before, event.after}) {
    if (object != nullptr) state(event.number).info->release(const_cast<PersistentObject*>(object));
  }
}

}  // namespace cairn::objects
