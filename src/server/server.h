// `cairn serve`: listens, and hands connections to the read threads.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "server/read_thread.h"
#include "server/service.h"
#include "server/writer.h"

namespace cairn::server {

/// Whether the files that `config` names can be used.
Result<void> check_files(const Config& config);

class Server {
 public:
  /// `database` outlives it.
  static Result<std::unique_ptr<Server>> create(const Config& config, Database& database);
  ~Server();

  /// Listens; with port 0 on whichever is free, which port() then says.
  Result<void> listen();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Serves until SIGTERM or SIGINT, or stop(); returns when every request that was taken is answered.
  Result<void> run();
  /// From any thread.
  void stop();

 private:
  Server(const Config& config, std::unique_ptr<Databases> databases, std::unique_ptr<Backups> backups);
  using Acceptor = boost::asio::ip::tcp::acceptor;
  using Welcome = void (Server::*)(boost::asio::ip::tcp::socket);
  Result<Acceptor> listen_on(const std::string& address, std::uint16_t port);
  void accept(Acceptor& acceptor, Welcome greet);
  void welcome_http(boost::asio::ip::tcp::socket socket);
  void welcome(boost::asio::ip::tcp::socket socket);
  void share_descriptors(std::int64_t descriptors);
  void count_commands(std::uint64_t before);
  void sync_now_and_then();
  void look_at_disk();
  void wait_for_signal();

  Service service_;
  boost::asio::io_context context_{1};
  std::vector<Acceptor> acceptors_;
  std::vector<Acceptor> http_acceptors_;
  std::shared_ptr<void> http_connections_ = std::make_shared<int>();  // Each has a share.
  std::int64_t http_connections_max_ = 0;
  boost::asio::signal_set signals_{context_};
  boost::asio::io_context sync_context_{1};  // A thread's of its own: a sync may take long.
  boost::asio::steady_timer sync_timer_{sync_context_};
  boost::asio::steady_timer disk_timer_{sync_context_};
  boost::asio::steady_timer rate_timer_{context_};
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<ReadThread>> threads_;
  std::unique_ptr<Writer> writer_;  // Ends before the threads it answers to.
  std::size_t next_thread_ = 0;
};

}  // namespace cairn::server
