// A thread that serves connections: it reads their requests and answers lookups. Their number is fixed at start.
#pragma once
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "server/executor.h"
#include "server/session.h"
#include "server/writer.h"

namespace cairn::server {

class ReadThread {
 public:
  ReadThread(Service& service, std::size_t number);
  ~ReadThread();
  ReadThread(const ReadThread&) = delete;
  ReadThread& operator=(const ReadThread&) = delete;

  void start(Writer& writer);
  /// Returns when its connections have ended: each when its requests are answered, all after `wait_ms`.
  void stop(std::int64_t wait_ms);

  // From any thread.
  void adopt(boost::asio::ip::tcp::socket socket, std::shared_ptr<ClientInfo> info);
  void answer(Batches batches);
  /// Something was saved, or taken back.
  void announce();

  // On the thread itself, for its sessions.
  [[nodiscard]] Service& service() { return service_; }
  [[nodiscard]] Executor& executor() { return executor_; }
  [[nodiscard]] boost::asio::io_context& context() { return context_; }
  [[nodiscard]] std::vector<char>& buffer() { return buffer_; }
  /// Keys of the lookups that the session whose requests are being taken has gathered.
  [[nodiscard]] std::vector<ByteView>& gets() { return gets_; }
  [[nodiscard]] std::size_t number() const { return number_; }
  /// To the writer, with all that other connections have for it by then.
  void submit(std::unique_ptr<Batch> batch);
  /// Session::send() once the connections that are ready have had their turn.
  void flush_later(std::shared_ptr<Session> session);
  void forget(std::uint64_t client);
  void count_following(int change) { following_.fetch_add(change); }

 private:
  void tick();
  [[nodiscard]] std::vector<std::shared_ptr<Session>> sessions() const;
  void submit_gathered();
  void flush_gathered();
  void end_if_done();

  Service& service_;
  const std::size_t number_;
  boost::asio::io_context context_{1};
  Executor executor_;
  Writer* writer_ = nullptr;
  std::vector<char> buffer_;
  std::vector<ByteView> gets_;
  Batches gathered_;  // For the writer.
  std::vector<std::shared_ptr<Session>> to_flush_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Session>> sessions_;  // By the number of their client.
  boost::asio::steady_timer timer_{context_};
  std::atomic<int> following_{0};       // Sessions that follow something.
  std::atomic<bool> announced_{false};  // They will look.
  bool stopping_ = false;
  std::int64_t stop_until_boot_ms_ = 0;
  std::thread thread_;
};

}  // namespace cairn::server
