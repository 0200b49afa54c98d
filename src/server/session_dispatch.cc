// Where the requests of a connection are run.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>

#include "server/read_thread.h"
#include "server/session.h"
#include "server/times.h"

namespace cairn::server {
namespace {
constexpr std::size_t kGetsAtOnce = 32;
/// A read thread does not stand in for the writer to run these.
constexpr std::uint32_t kTakeTime = kNotInMulti | kAdmin | kAllKeys | kSettles | kScripts;

/// What is run within MULTI as outside.
bool concerns_transaction(const CommandInfo& info) {
  for (const char* name : {"MULTI", "EXEC", "DISCARD", "WATCH", "QUIT", "RESET"}) {
    if (same_word(info.name, name)) return true;
  }
  return false;
}

/// Whether the command is refused within MULTI, so that EXEC runs nothing. Logging in is one of them: its answer comes later.
bool must_not_be_queued(const CommandInfo& info, Arguments arguments) {
  if (same_word(info.name, "HELLO")) {
    return std::ranges::any_of(arguments.subspan(1), [](ByteView word) { return same_word(word, "AUTH"); });
  }
  return (info.flags & kNotInMulti) != 0 && !concerns_transaction(info);
}

bool is_watch(const CommandInfo& info) { return same_word(info.name, "WATCH"); }
}  // namespace

/// A browser that a web page makes send a request here: what follows, line by line, would be commands that the page has chosen.
/// See CVE-2016-10517.
bool Session::is_of_a_browser(Arguments arguments) const {
  if (!same_word(arguments[0], "POST") && !same_word(arguments[0], "HOST:")) return false;
  spdlog::warn("event=http_on_redis_port client={} address={} action=closed", client_.info->id, client_.info->address);
  return true;
}

bool Session::dispatch(Arguments arguments) {
  static const CommandInfo* const get = command_named("GET");
  std::string error;
  const CommandInfo* const info = find_command(arguments, error);
  const bool walks = info != nullptr && (info->flags & kWalks) != 0 && !client_.transaction;
  if (walks && behind_writer()) return false;
  const bool is_plain_get = info == get && parser_.in_input() && !behind_writer() && !client_.transaction &&
                            client_.following.empty() && service_.config().users_file.empty();
  if (is_plain_get) {
    thread_.gets().push_back(arguments[1]);
    if (thread_.gets().size() == kGetsAtOnce) run_gets();
    return true;
  }
  run_gets();
  if (info == nullptr) {
    client_.transaction_failed = client_.transaction != nullptr;
    if (same_word(arguments[0], "EXEC")) {
      client_.drop_transaction();
      error.replace(0, ByteView("ERR").size(), "EXECABORT Transaction discarded because of:");
    }
    answer_error(error);
    return true;
  }
  client_.info->last_command.store(info, std::memory_order_relaxed);
  if (refuse(*info, arguments)) return true;
  if (client_.transaction && must_not_be_queued(*info, arguments)) {
    client_.transaction_failed = true;
    answer_error("ERR Command not allowed inside a transaction");
    return true;
  }
  run(*info, arguments);
  return true;
}

/// Runs what is allowed here and now, or hands it on.
void Session::run(const CommandInfo& info, Arguments arguments) {
  if (asks_to_authenticate(info, arguments)) return;
  if (!client_.following.empty() && !client_.resp3 && refuse_while_following(info)) return;
  if (client_.transaction && (info.flags & kNotInMulti) == 0) return queue(info, arguments);
  if (info.where == Where::kConnection) return run_connection_command(info, arguments);
  if ((info.flags & kNotInMulti) != 0 && client_.transaction) {
    answer_error("ERR WATCH inside MULTI is not allowed");
    return;
  }
  if ((info.flags & kNotInMulti) != 0 && is_watch(info)) return watch(info, arguments);
  if (info.where == Where::kWriter || behind_writer()) {
    batch().add(&info, arguments, client_.database, client_.resp3);
    batch_->may_wait |= (info.flags & kTakeTime) != 0;
    return;
  }
  if ((info.flags & kWalks) != 0) return walk(info, arguments);
  run_here(info, arguments);
}

/// On the thread for walks. No other request of this connection is taken until it has answered.
void Session::walk(const CommandInfo& info, Arguments arguments) {
  awaits_walk_ = true;
  const auto request = std::make_shared<Requests>();
  request->add(&info, arguments, client_.database, client_.resp3);
  service_.walker().submit([self = shared_from_this(), request](Executor& executor) mutable {
    const Requests::Item& item = request->items()[0];
    std::vector<ByteView> words;
    request->arguments_of(item, words);
    const auto output = std::make_shared<Output>();
    Reply reply(*output, item.resp3);
    executor.run(*item.info, words, item.database, reply, {.who = self->client_.info.get()});
    auto& context = self->thread_.context();
    boost::asio::post(context, [self = std::move(self), output] { self->walked(std::move(*output)); });
  });
}

void Session::walked(Output&& output) {
  awaits_walk_ = false;
  service_.counters().reader_commands.fetch_add(1, std::memory_order_relaxed);
  if (closed_) return;
  output_.append(std::move(output));
  go_on();
}

/// Lookups that come one behind the other wait for memory together.
void Session::run_gets() {
  std::vector<ByteView>& keys = thread_.gets();
  if (keys.empty()) return;
  Reply reply(output_, client_.resp3);
  const Timeline* const timeline = service_.databases().find(client_.database);
  const bool valid = std::ranges::none_of(keys, &ByteView::empty);
  if (keys.size() > 1 && timeline != nullptr && valid) {
    const SlowLog::Timer timer(service_.slow_log());
    const auto values = timeline->multi_get(keys);
    if (values) {
      Keyspace::Lookups lookups;
      for (const std::optional<Pinned>& value : *values) {
        reply.bulk_or_null(value);
        ++(value ? lookups.hits : lookups.misses);
      }
      service_.counters().add(lookups);
      note_slow_gets(timer);
      commands_run_ += keys.size();
      keys.clear();
    }
  }
  // One, or what cannot be read is among them.
  static const CommandInfo* const get = command_named("GET");
  for (const ByteView key : keys) {
    const ByteView arguments[] = {"GET", key};
    run_here(*get, arguments);
  }
  client_.info->last_command.store(get, std::memory_order_relaxed);
  keys.clear();
}

/// Lookups that were run together, each as if it had taken its share.
void Session::note_slow_gets(const SlowLog::Timer& timer) {
  static const CommandInfo* const get = command_named("GET");
  const auto share = timer.slow_share(thread_.gets().size());
  if (!share) return;
  for (const ByteView key : thread_.gets()) {
    const ByteView arguments[] = {"GET", key};
    service_.slow_log().note(*get, arguments, client_.info.get(), *share);
  }
}

void Session::run_here(const CommandInfo& info, Arguments arguments) {
  Reply reply(output_, client_.resp3);
  thread_.executor().run(info, arguments, client_.database, reply, {.who = client_.info.get()});
  ++commands_run_;
}

/// A client of version 2 could not tell its replies from what it is sent unasked.
bool Session::refuse_while_following(const CommandInfo& info) {
  for (const char* name : {"TL.WATCH", "TL.UNWATCH", "PING", "QUIT", "RESET"}) {
    if (same_word(info.name, name)) return false;
  }
  answer_error("ERR Can't execute '" + full_name(info) +
               "': only TL.WATCH, TL.UNWATCH, PING, QUIT and RESET are allowed while following; RESP3 allows all");
  return true;
}

/// What this connection follows, as far as it takes it: the rest stays where it is.
void Session::deliver() {
  if (closed_ || client_.following.empty()) return;
  // A client of version 2 takes what comes next for the reply to what it asked last.
  if (!client_.resp3 && (behind_writer() || awaits_walk_)) return;
  follow_what_may_be_seen();
  bool more = false;
  for (Following& following : client_.following) {
    follow_swapped(following);
    while (!more) {
      if (output_.size() > kOutputBytesMax) {
        more = true;
        break;
      }
      const Result<std::optional<WatchEvent>> event = following.watch.next(std::chrono::milliseconds(0));
      if (!event) {
        // The next call goes on behind what cannot be read.
        Reply reply(output_, client_.resp3);
        reply.push(4);
        for (const ByteView part : {ByteView("tl.watch"), ByteView(following.prefix), ByteView("error")}) reply.bulk(part);
        reply.bulk(ByteView(event.error().to_string()));
        break;
      }
      if (!*event) {
        more = following.watch.behind();
        break;
      }
      send_event(following, **event);
    }
  }
  flush();
  // Else it is delivered when the client has taken what it was sent.
  if (more && !writing_) boost::asio::post(thread_.context(), [self = shared_from_this()] { self->deliver(); });
}

/// SWAPDB has put another timeline under the number of the database: goes on with that one, from now on.
void Session::follow_swapped(Following& following) {
  const std::size_t timeline = service_.databases().timeline_of(following.database);
  if (timeline == following.timeline) return;
  following.timeline = timeline;
  Timeline& now = *service_.databases().timeline(timeline);  // swap() has made it.
  const Stamp last = now.last();
  following.watch = now.watch(following.prefix, Moment(Stamp{last.value + 1}));
  send_event(following, "swapped", {}, last, {});
}

void Session::send_event(const Following& following, const WatchEvent& event) {
  const char* kind = "saved";
  switch (event.kind) {
    case WatchEvent::Kind::kSaved: break;
    case WatchEvent::Kind::kErased: kind = "erased"; break;
    case WatchEvent::Kind::kErasedAll: kind = "erased_all"; break;
    case WatchEvent::Kind::kRolledBack: kind = "rolled_back"; break;
    case WatchEvent::Kind::kMissed: kind = "missed"; break;
  }
  const bool saved = event.kind == WatchEvent::Kind::kSaved;
  const bool has_key = saved || event.kind == WatchEvent::Kind::kErased;
  send_event(following, kind, has_key ? std::optional<ByteView>(event.key) : std::nullopt, event.stamp,
             saved ? std::optional<ByteView>(event.data) : std::nullopt);
}

void Session::send_event(const Following& following, const char* kind, std::optional<ByteView> key, Stamp stamp,
                         std::optional<ByteView> data) {
  Reply reply(output_, client_.resp3);
  reply.push(6);
  for (const ByteView part : {ByteView("tl.watch"), ByteView(following.prefix), ByteView(kind)}) reply.bulk(part);
  key ? reply.bulk(*key) : reply.null();
  reply.bulk(ByteView(stamp.to_string()));
  data ? reply.bulk(*data) : reply.null();
}

/// Within MULTI.
void Session::queue(const CommandInfo& info, Arguments arguments) {
  Output output;
  Reply reply(output, client_.resp3);
  if (info.where == Where::kConnection) {
    // What is about the connection takes effect at once; EXEC only shows it.
    if (same_word(info.name, "UNWATCH")) {
      reply.ok();
    } else {
      thread_.executor().run(info, arguments, client_.database, reply, {.client = &client_, .who = client_.info.get()});
    }
    const ByteView known = output.bytes();
    client_.transaction->add(nullptr, {&known, 1}, client_.database, client_.resp3);
  } else {
    client_.transaction->add(&info, arguments, client_.database, client_.resp3);
  }
  client_.info->queued = static_cast<int>(client_.transaction->items().size());
  Output queued;
  Reply(queued, client_.resp3).simple("QUEUED");
  answer_with(std::move(queued));
}

void Session::exec() {
  if (!client_.transaction) return answer_error("ERR EXEC without MULTI");
  std::unique_ptr<Requests> transaction = client_.end_transaction();
  std::shared_ptr<WatchSet> watched = std::move(client_.watched);
  if (!transaction) {
    client_.database = client_.database_before;
    answer_error("EXECABORT Transaction discarded because of previous errors.");
    return;
  }
  if (!may_run(*transaction)) {
    client_.database = client_.database_before;
    answer_error("EXECABORT Transaction discarded because of changed permissions.");
    return;
  }
  awaits_exec_ = watched && client_.database != client_.database_before;
  Requests::Item& item = batch().add(nullptr, {}, client_.database, client_.resp3);
  batch_->may_wait |= std::ranges::any_of(transaction->items(), [&](const Requests::Item& each) {
    return each.database != item.database || (each.info != nullptr && (each.info->flags & kTakeTime) != 0);
  });
  batch().attach(item, std::move(transaction), std::move(watched));
}

void Session::watch(const CommandInfo& info, Arguments arguments) {
  if (!client_.watched) client_.watched = std::make_shared<WatchSet>();
  if (behind_writer()) {
    batch().add(&info, arguments, client_.database, client_.resp3).watched = client_.watched;
    return;
  }
  Reply reply(output_, client_.resp3);
  thread_.executor().run(info, arguments, client_.database, reply, {.watched = client_.watched.get(), .who = client_.info.get()});
}

void Session::run_connection_command(const CommandInfo& info, Arguments arguments) {
  if (info.run == nullptr) return exec();
  Output output;
  Reply reply(output, client_.resp3);
  thread_.executor().run(info, arguments, client_.database, reply, {.client = &client_, .who = client_.info.get()});
  answer_with(std::move(output));
  if (follows_ == client_.following.empty()) {
    follows_ = !client_.following.empty();
    thread_.count_following(follows_ ? 1 : -1);
  }
  if (follows_) boost::asio::post(thread_.context(), [self = shared_from_this()] { self->deliver(); });
}

/// Behind what is with the writer, if anything is.
void Session::answer_with(Output&& output) {
  if (!behind_writer()) {
    output_.append(std::move(output));
    return;
  }
  const ByteView known = output.bytes();
  batch().add(nullptr, {&known, 1}, client_.database, client_.resp3);
}

void Session::answer_error(ByteView text) {
  Output output;
  Reply(output, client_.resp3).error(text);
  answer_with(std::move(output));
}

}  // namespace cairn::server
