#include "server/server.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <thread>
#include <utility>

#include "base/error.h"
#include "server/history.h"
#include "server/http.h"

namespace cairn::server {
namespace {

using boost::asio::ip::tcp;
constexpr std::int64_t kDrainMs = 10'000;

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

constexpr std::int64_t kHttpConnectionsMost = 256;
/// Descriptors that connections leave alone: the databases open files as they go on, and the server listens and logs.
constexpr std::int64_t kDescriptorsKept = 96;

/// How many descriptors connections may take, with the limit raised as far as the system lets us.
std::int64_t descriptors_for_connections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kClientsMost;
  const rlim_t before = std::exchange(limit.rlim_cur, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  if (limit.rlim_cur == RLIM_INFINITY) return kClientsMost;
  const auto most = static_cast<std::int64_t>(limit.rlim_cur);
  return std::max<std::int64_t>(most - std::min(kDescriptorsKept, most / 2), 2);
}

}  // namespace

Result<void> check_files(const Config& config) {
  if (!config.users_file.empty()) {
    CAIRN_TRY(text, read_text_file("users_file", config.users_file));
    CAIRN_TRY_VOID(Users::parse(text, config.users_file));
  }
  if (!config.tls_certificate.empty()) CAIRN_TRY_VOID(load_tls(config));
  if (!config.backup_directory.empty()) CAIRN_TRY_VOID(BackupFolder::check(config.backup_directory, config.dir));
  return {};
}

Result<std::unique_ptr<Server>> Server::create(const Config& config, Database& database) {
  CAIRN_TRY(databases, Databases::open(database, config));
  log_histories(*databases);
  const std::int64_t descriptors = descriptors_for_connections();
  CAIRN_TRY(backups, Backups::open(config, database));
  std::unique_ptr<Server> server(new Server(config, std::move(databases), std::move(backups)));
  server->share_descriptors(descriptors);
  CAIRN_TRY_VOID(server->service_.load_files());
  return server;
}

Server::Server(const Config& config, std::unique_ptr<Databases> databases, std::unique_ptr<Backups> backups)
    : service_(config, std::move(databases), std::move(backups)) {
  const auto count = static_cast<std::size_t>(config.read_threads);
  for (std::size_t i = 0; i < count; ++i) threads_.push_back(std::make_unique<ReadThread>(service_, i));
  writer_ = std::make_unique<Writer>(
      service_, count, [this](std::size_t thread, Batches batches) { threads_[thread]->answer(std::move(batches)); },
      [this] {
        for (const auto& thread : threads_) thread->announce();
      });
  for (auto& thread : threads_) thread->start(*writer_);
}

/// A quarter may be taken by HTTP, if it is served, and the rest by Redis clients.
void Server::share_descriptors(std::int64_t descriptors) {
  if (service_.config().http_port != 0) {
    http_connections_max_ = std::clamp<std::int64_t>(descriptors / 4, 1, kHttpConnectionsMost);
    descriptors -= http_connections_max_;
  }
  const std::int64_t possible = std::min(std::max<std::int64_t>(descriptors, 1), kClientsMost);
  service_.set_clients_possible(possible);
  if (service_.config().clients_max <= possible) return;
  service_.live().clients_max = possible;
  spdlog::warn("event=clients_max_lowered from={} to={} reason=\"the limit on open files (ulimit -n, LimitNOFILE)\"",
               service_.config().clients_max, possible);
}

Server::~Server() {
  for (auto& thread : threads_) thread->stop(0);
  service_.authenticator().stop();  // Its questions, and the walks, are of connections of these threads.
  service_.walker().stop();
  service_.backups().stop();
}

Result<void> Server::listen() {
  port_ = static_cast<std::uint16_t>(service_.config().port);
  for (const std::string& address : service_.config().bind) {
    CAIRN_TRY(acceptor, listen_on(address, port_));
    port_ = acceptor.local_endpoint().port();
    acceptors_.push_back(std::move(acceptor));
    if (service_.config().http_port == 0) continue;
    CAIRN_TRY(http, listen_on(address, static_cast<std::uint16_t>(service_.config().http_port)));
    http_acceptors_.push_back(std::move(http));
  }
  return {};
}

Result<Server::Acceptor> Server::listen_on(const std::string& address, std::uint16_t port) {
  boost::system::error_code error;
  const tcp::endpoint endpoint(boost::asio::ip::make_address(address, error), port);
  Acceptor acceptor(context_);
  const auto step = [&](auto&& work) {
    if (!error) work();
  };
  step([&] { acceptor.open(endpoint.protocol(), error); });
  step([&] { acceptor.set_option(Acceptor::reuse_address(true), error); });
  step([&] { acceptor.bind(endpoint, error); });
  step([&] { acceptor.listen(1024, error); });
  if (error) return system_error(error.value(), "listening on " + text_of(endpoint));
  return acceptor;
}

Result<void> Server::run() {
  for (Acceptor& acceptor : acceptors_) accept(acceptor, &Server::welcome);
  for (Acceptor& acceptor : http_acceptors_) accept(acceptor, &Server::welcome_http);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
  wait_for_signal();
  count_commands(0);
  sync_now_and_then();
  look_at_disk();
  std::thread syncing([this] {
    const auto work = boost::asio::make_work_guard(sync_context_);
    sync_context_.run();
  });
  context_.run();
  sync_context_.stop();
  syncing.join();
  for (Acceptor& acceptor : acceptors_) acceptor.close();
  for (Acceptor& acceptor : http_acceptors_) acceptor.close();
  service_.scripts().stopping = true;
  for (auto& thread : threads_) thread->stop(kDrainMs);
  writer_->stop();
  return {};
}

void Server::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    if (number != SIGHUP) {
      spdlog::info("signal {}: no new connections; answering what was asked", number);
      context_.stop();
      return;
    }
    // On the thread of syncs: a large file of users takes seconds, and connections are accepted meanwhile.
    boost::asio::post(sync_context_, [this] {
      const Result<void> loaded = service_.load_files();
      if (loaded) {
        spdlog::info("certificates and users were read anew");
      } else {
        spdlog::error("certificates and users stay as they were: {}", loaded.error().message);
      }
    });
    wait_for_signal();
  });
}

void Server::stop() { context_.stop(); }

void Server::accept(Acceptor& acceptor, Welcome greet) {
  acceptor.async_accept([this, &acceptor, greet](const boost::system::error_code& error, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (!error) {
      (this->*greet)(std::move(socket));
      return accept(acceptor, greet);
    }
    // There are no descriptors, say: not again at once.
    spdlog::warn("accepting a connection: {}", error.message());
    const auto pause = std::make_shared<boost::asio::steady_timer>(context_, std::chrono::milliseconds(100));
    pause->async_wait([this, &acceptor, greet, pause](const boost::system::error_code& ended) {
      if (!ended && acceptor.is_open()) accept(acceptor, greet);
    });
  });
}

void Server::welcome_http(tcp::socket socket) {
  if (http_connections_.use_count() <= http_connections_max_)
    serve_http(service_, context_, std::move(socket), http_connections_);
}

void Server::welcome(tcp::socket socket) {
  boost::system::error_code error;
  const tcp::endpoint from = socket.remote_endpoint(error);
  const tcp::endpoint to = socket.local_endpoint(error);
  if (error) return;  // It has gone again.
  service_.counters().connections.fetch_add(1, std::memory_order_relaxed);
  if (static_cast<std::int64_t>(service_.client_count()) >= service_.live().clients_max) {
    service_.counters().rejected.fetch_add(1, std::memory_order_relaxed);
    socket.non_blocking(true, error);
    constexpr ByteView kText = "-ERR max number of clients reached\r\n";
    socket.write_some(boost::asio::buffer(kText), error);
    return;
  }
  const auto info = std::make_shared<ClientInfo>(service_.next_client_id(), text_of(from), text_of(to));
  info->since_boot_ms = service_.boot_ms();
  threads_[next_thread_]->adopt(std::move(socket), info);
  next_thread_ = (next_thread_ + 1) % threads_.size();
}

/// Once a second.
void Server::count_commands(std::uint64_t before) {
  const std::uint64_t now = service_.counters().commands();
  service_.counters().commands_per_s = now >= before ? now - before : now;  // CONFIG RESETSTAT sets them to 0.
  rate_timer_.expires_after(std::chrono::seconds(1));
  rate_timer_.async_wait([this, now](const boost::system::error_code& error) {
    if (!error) count_commands(now);
  });
}

/// On the thread of syncs: a disk may take long to answer.
void Server::look_at_disk() {
  service_.disk().look(service_.config().dir);
  disk_timer_.expires_after(std::chrono::seconds(2));
  disk_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look_at_disk();
  });
}

/// Of durability "interval:MS".
void Server::sync_now_and_then() {
  const std::int64_t ms = service_.config().sync_interval_ms;
  if (ms == 0) return;
  sync_timer_.expires_after(std::chrono::milliseconds(ms));
  sync_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    for (int number = 0; number < kDatabases; ++number) {
      Timeline* const timeline = service_.databases().find(number);
      if (timeline == nullptr) continue;
      const Result<void> synced = timeline->sync();
      if (!synced) spdlog::error("database {} could not be synced: {}", number, synced.error().to_string());
    }
    sync_now_and_then();
  });
}

}  // namespace cairn::server
