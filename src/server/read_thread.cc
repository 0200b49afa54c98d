#include "server/read_thread.h"

#include <boost/asio/post.hpp>
#include <chrono>

namespace cairn::server {
namespace {
constexpr std::size_t kBufferBytes = 256 * kKiB;
}

ReadThread::ReadThread(Service& service, std::size_t number)
    : service_(service), number_(number), executor_(service, Sees::kAcknowledged), buffer_(kBufferBytes) {}

ReadThread::~ReadThread() { stop(0); }

void ReadThread::start(Writer& writer) {
  writer_ = &writer;
  tick();
  thread_ = std::thread([this] { context_.run(); });
}

void ReadThread::stop(std::int64_t wait_ms) {
  if (!thread_.joinable()) return;
  boost::asio::post(context_, [this, wait_ms] {
    stopping_ = true;
    stop_until_boot_ms_ = service_.boot_ms() + wait_ms;
    for (const auto& session : sessions()) session->drain();
    end_if_done();
  });
  thread_.join();
}

/// Those that close leave sessions_ meanwhile.
std::vector<std::shared_ptr<Session>> ReadThread::sessions() const {
  std::vector<std::shared_ptr<Session>> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) sessions.push_back(session);
  return sessions;
}

void ReadThread::adopt(boost::asio::ip::tcp::socket socket, std::shared_ptr<ClientInfo> info) {
  // A socket belongs to the context it waits in.
  const auto protocol = socket.local_endpoint().protocol();
  const int handle = socket.release();
  info->set_handle(handle);
  service_.add_client(info);
  boost::asio::post(context_, [this, protocol, handle, info = std::move(info)] {
    boost::asio::ip::tcp::socket own(context_);
    own.assign(protocol, handle);
    const auto session = std::make_shared<Session>(*this, std::move(own), info);
    sessions_[info->id] = session;
    session->start();
    if (stopping_) session->drain();
  });
}

void ReadThread::answer(Batches batches) {
  boost::asio::post(context_, [batches = std::move(batches)] {
    for (const auto& batch : batches) static_cast<Session*>(batch->owner.get())->answer(*batch);
  });
}

void ReadThread::submit(std::unique_ptr<Batch> batch) {
  // Behind whatever else has come meanwhile: a round costs as much for many as for one.
  if (gathered_.empty()) boost::asio::post(context_, [this] { submit_gathered(); });
  gathered_.push_back(std::move(batch));
}

void ReadThread::submit_gathered() {
  // Behind those that the writer has answered before.
  Batches done = writer_->submit(std::exchange(gathered_, {}), number_);
  if (!done.empty()) answer(std::move(done));
}

void ReadThread::flush_later(std::shared_ptr<Session> session) {
  if (to_flush_.empty()) boost::asio::post(context_, [this] { flush_gathered(); });
  to_flush_.push_back(std::move(session));
}

void ReadThread::flush_gathered() {
  for (const auto& session : std::exchange(to_flush_, {})) session->send();
}

void ReadThread::announce() {
  if (following_.load(std::memory_order_relaxed) == 0 || announced_.exchange(true)) return;
  boost::asio::post(context_, [this] {
    announced_ = false;
    for (const auto& session : sessions()) session->deliver();
  });
}

void ReadThread::forget(std::uint64_t client) {
  sessions_.erase(client);
  end_if_done();
}

void ReadThread::end_if_done() {
  if (!stopping_ || !sessions_.empty()) return;
  timer_.cancel();
  context_.stop();
}

void ReadThread::tick() {
  timer_.expires_after(stopping_ ? std::chrono::milliseconds(50) : std::chrono::milliseconds(1000));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const std::int64_t now = service_.boot_ms();
    for (const auto& session : sessions()) {
      if (stopping_ && now >= stop_until_boot_ms_) {
        session->close("the server stops");
      } else {
        session->look_after(now);
      }
    }
    tick();
  });
}

}  // namespace cairn::server
