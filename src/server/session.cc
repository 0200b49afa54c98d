#include "server/session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>

#include "server/read_thread.h"

namespace cairn::server {

Session::Session(ReadThread& thread, boost::asio::ip::tcp::socket socket, std::shared_ptr<ClientInfo> info)
    : thread_(thread), service_(thread.service()), transport_(std::move(socket), service_.tls()) {
  client_.info = std::move(info);
  active_boot_ms_ = taking_boot_ms_ = service_.boot_ms();
  client_.info->active_boot_ms = active_boot_ms_;
}

Session::~Session() { service_.give_memory(accounted_); }

void Session::start() { wait_readable(); }

void Session::wait_readable() {
  if (reading_ || closed_ || draining_ || paused()) return;
  if (transport_.pending()) {
    boost::asio::post(thread_.context(), [self = shared_from_this()] {
      if (!self->closed_ && !self->draining_ && !self->reading_) self->on_readable(0);
    });
    return;
  }
  reading_ = true;
  const auto on_done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
    self->reading_ = false;
    if (self->closed_ || self->draining_) return;
    if (error == boost::asio::error::eof) return self->drain();
    error ? self->close(nullptr) : self->on_readable(bytes);
  };
  if (transport_.reads_by_itself()) {
    transport_.socket().async_wait(boost::asio::ip::tcp::socket::wait_read,
                                   [on_done](const boost::system::error_code& error) { on_done(error, 0); });
  } else {
    // Unlike a wait it needs no call to arm it again.
    transport_.socket().async_read_some(boost::asio::buffer(received_), on_done);
  }
}

void Session::on_readable(std::size_t received) {
  if (read_some(received)) end_turn();
}

/// Sends what there is, and says what comes next.
void Session::end_turn() {
  submit();
  if (!flush_set_) flush_soon();
  if (closed_ || !account()) return;
  if (held_back_ && !paused()) {
    // What it waited for is over already. Others have their turn first.
    boost::asio::post(thread_.context(), [self = shared_from_this()] { self->go_on(); });
  } else {
    wait_readable();
  }
}

/// What was received, and what else there is.
Transport::Moved Session::read_into(char* into, std::size_t size, std::size_t received) {
  std::copy_n(received_.data(), received, into);
  if (received != 0 && received < received_.size()) return {Transport::Status::kDone, received};
  Transport::Moved moved = transport_.read(into + received, size - received);
  if (received == 0) return moved;
  // How it ended the next read says.
  return {Transport::Status::kDone, received + moved.bytes};
}

/// False: the connection has ended.
bool Session::read_some(std::size_t received) {
  std::vector<char>& shared = thread_.buffer();
  Transport::Moved moved{};
  ByteView input;
  if (input_.empty()) {
    moved = read_into(shared.data(), shared.size(), received);
    input = {shared.data(), moved.bytes};
  } else {
    // As much as is known to be missing, but memory at most doubles with what has come.
    const std::size_t before = input_.size();
    const std::size_t want = std::clamp<std::size_t>(parser_.missing(), 16 * kKiB, std::max<std::size_t>(before, 64 * kKiB));
    input_.resize(before + want);
    moved = read_into(input_.data() + before, want, received);
    input_.resize(before + moved.bytes);
    input = input_;
  }
  if (moved.status == Transport::Status::kNoMore) {
    drain();
    return false;
  }
  if (moved.status == Transport::Status::kEnded) {
    close(nullptr);
    return false;
  }
  if (moved.status == Transport::Status::kWouldBlock) return true;
  active_boot_ms_ = service_.boot_ms();
  client_.info->active_boot_ms.store(active_boot_ms_, std::memory_order_relaxed);
  service_.counters().input_bytes.fetch_add(moved.bytes, std::memory_order_relaxed);
  const std::size_t done = process(input);
  if (input_.empty()) {
    input_.assign(input.substr(done));
  } else {
    input_.erase(0, done);
  }
  if (input_.empty() && input_.capacity() > 4 * kKiB) input_ = {};
  return true;
}

/// What waited because the client was to take something first.
void Session::take_input() {
  if (closed_ || !held_back_ || paused()) return;
  input_.erase(0, process(input_));
}

/// Takes whole requests, and says up to where.
std::size_t Session::process(ByteView input) {
  std::size_t done = 0;
  input_bytes_ = input.size();
  client_.info->input_bytes.store(input.size(), std::memory_order_relaxed);
  held_back_ = false;
  while (true) {
    if (paused()) {
      held_back_ = true;
      break;
    }
    const RequestParser::Outcome outcome = parser_.parse(input.substr(done), limits());
    if (outcome == RequestParser::Outcome::kMore) break;
    if (outcome == RequestParser::Outcome::kBad) {
      run_gets();
      answer_error("ERR " + parser_.error());
      client_.closing = true;
      return input.size();
    }
    if (!parser_.arguments().empty()) {
      if (is_of_a_browser(parser_.arguments())) {
        run_gets();
        client_.closing = true;
        return input.size();
      }
      if (!dispatch(parser_.arguments())) {
        held_back_ = walk_held_back_ = true;
        break;
      }
    }
    done += parser_.consumed();
  }
  run_gets();
  if (commands_run_ != 0) {
    service_.counters().reader_commands.fetch_add(std::exchange(commands_run_, 0), std::memory_order_relaxed);
    thread_.executor().count_lookups();
  }
  return done;
}

Requests& Session::batch() {
  if (!batch_) {
    batch_ = std::make_unique<Batch>();
    batch_->user = client_.user;
    batch_->requests.reserve(input_bytes_);
  }
  return batch_->requests;
}

void Session::submit() {
  if (!batch_) return;
  batch_->owner = shared_from_this();
  batch_->client = client_.info;
  batch_->thread = thread_.number();
  ++in_flight_;
  in_flight_bytes_ += batch_->requests.memory_bytes();
  in_flight_items_ += batch_->requests.items().size();
  thread_.submit(std::move(batch_));
}

void Session::answer(Batch& batch) {
  --in_flight_;
  in_flight_bytes_ -= batch.requests.memory_bytes();
  in_flight_items_ -= batch.requests.items().size();
  if (closed_) return;
  if (awaits_exec_ && in_flight_ == 0) {
    awaits_exec_ = false;
    if (batch.given_up) client_.database = client_.database_before;
  }
  if (in_flight_ == 0) walk_held_back_ = false;
  output_.append(std::move(batch.output));
  go_on();
}

/// Something that requests had to wait for has come.
void Session::go_on() {
  flush();
  deliver();
  take_input();
  if (!closed_) end_turn();
}

/// Once all connections that are ready have had their turn: what comes together the client takes together.
void Session::flush_soon() {
  if (output_.empty() || writing_ || client_.closing) return flush();
  flush_set_ = true;
  thread_.flush_later(shared_from_this());
}

void Session::send() {
  flush_set_ = false;
  if (closed_) return;
  // Requests may have waited for this.
  held_back_ || !reading_ ? go_on() : flush();
}

void Session::flush() {
  constexpr std::size_t kParts = 16;
  constexpr std::uint64_t kBytesAtOnce = 512 * kKiB;
  const std::uint64_t begin = output_.size();
  while (!closed_ && !writing_ && !output_.empty()) {
    if (begin - output_.size() >= kBytesAtOnce) {
      // The other connections of the thread have their turn, however fast the client takes a long answer.
      writing_ = true;
      boost::asio::post(thread_.context(), [self = shared_from_this()] {
        self->writing_ = false;
        if (!self->closed_) self->go_on();
      });
      return;
    }
    std::array<iovec, kParts> parts;
    const std::size_t count = output_.front(parts.data(), parts.size());
    const Transport::Moved moved = transport_.write(parts.data(), count);
    if (moved.status == Transport::Status::kEnded) return close(nullptr);
    if (moved.status == Transport::Status::kWouldBlock) return wait_writable();
    output_.consume(moved.bytes);
    taking_boot_ms_ = active_boot_ms_;
    service_.counters().output_bytes.fetch_add(moved.bytes, std::memory_order_relaxed);
  }
  client_.info->output_bytes.store(output_.size(), std::memory_order_relaxed);
  const bool waits = behind_writer() || awaits_walk_;
  if ((client_.closing || draining_) && !closed_ && !waits && output_.empty()) close(nullptr);
}

void Session::wait_writable() {
  writing_ = true;
  taking_boot_ms_ = service_.boot_ms();
  transport_.socket().async_wait(boost::asio::ip::tcp::socket::wait_write,
                                 [self = shared_from_this()](const boost::system::error_code& error) {
                                   self->writing_ = false;
                                   if (!error && !self->closed_) self->go_on();
                                 });
}

/// False: all clients together would have too much in memory, and this one is cut off.
bool Session::account() {
  const std::uint64_t memory = input_.capacity() + parser_.memory_bytes() + output_.memory_bytes() + in_flight_bytes_ +
                               (client_.transaction ? client_.transaction->memory_bytes() : 0);
  client_.info->input_bytes.store(input_.size(), std::memory_order_relaxed);
  client_.info->output_bytes.store(output_.size(), std::memory_order_relaxed);
  if (memory <= accounted_) {
    service_.give_memory(accounted_ - memory);
  } else if (!service_.take_memory(memory - accounted_, memory <= kMemoryBytesAlways)) {
    service_.counters().cut_off.fetch_add(1, std::memory_order_relaxed);
    close("clients have too much in memory");
    return false;
  }
  accounted_ = memory;
  return true;
}

void Session::look_after(std::int64_t now_boot_ms) {
  const std::int64_t idle_s = service_.live().idle_timeout_s;
  if (!output_.empty() && now_boot_ms - taking_boot_ms_ > service_.config().slow_reader_s * 1000) {
    service_.counters().cut_off.fetch_add(1, std::memory_order_relaxed);
    close("it does not take its answers");
  } else if (idle_s != 0 && !behind_writer() && !awaits_walk_ && output_.empty() &&
             now_boot_ms - active_boot_ms_ > idle_s * 1000) {
    close("it was idle for too long");
  }
}

void Session::drain() {
  draining_ = true;
  submit();
  flush();
}

void Session::close(const char* why) {
  if (closed_) return;
  closed_ = true;
  if (why != nullptr) spdlog::info("client {} ({}) cut off: {}", client_.info->id, client_.info->address, why);
  client_.info->set_handle(-1);
  transport_.close();
  service_.remove_client(client_.info->id);
  output_.clear();
  client_.following.clear();
  if (std::exchange(follows_, false)) thread_.count_following(-1);
  const auto self = shared_from_this();  // To the end of this.
  thread_.forget(client_.info->id);
}

}  // namespace cairn::server
