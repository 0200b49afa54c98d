#include "server/service.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/random.h"

namespace cairn::server {

std::uint64_t ScanCursors::add(Bytes key, int database) {
  const MutexLock lock(mutex_);
  bytes_ += key.size() + sizeof(Place);
  places_[next_] = {std::move(key), database};
  while (bytes_ > kBytesMax && places_.size() > 1) {
    bytes_ -= places_.begin()->second.key.size() + sizeof(Place);
    places_.erase(places_.begin());
  }
  return next_++;
}

Result<Bytes> ScanCursors::find(std::uint64_t cursor, int database) {
  const MutexLock lock(mutex_);
  const auto found = places_.find(cursor);
  if (found != places_.end() && found->second.database == database) return found->second.key;
  return refuse("ERR invalid cursor: it is not of this server's start, of another database, or too old; begin with 0 again");
}

Service::Service(const Config& config, std::unique_ptr<Databases> databases)
    : config_(config),
      databases_(std::move(databases)),
      live_{.clients_max = config.clients_max, .idle_timeout_s = config.idle_timeout_s, .allow_flush = config.allow_flush},
      started_boot_ms_(system_clock().boot_ms()) {
  run_id_ = fmt::format("{:016x}{:016x}{:08x}", system_random(), system_random(), system_random() & 0xffffffffU);
}

Result<void> Service::load_files() {
  std::shared_ptr<const Users> users;
  TlsContext tls;
  if (!config_.users_file.empty()) {
    CAIRN_TRY(text, read_text_file(config_.users_file));
    CAIRN_TRY(parsed, Users::parse(text, config_.users_file));
    users = parsed;
  }
  if (!config_.tls_certificate.empty()) {
    CAIRN_TRY(loaded, load_tls(config_));
    tls = loaded;
  }
  const MutexLock lock(mutex_);
  users_ = std::move(users);
  tls_ = std::move(tls);
  users_generation_.fetch_add(1, std::memory_order_release);
  return {};
}

std::shared_ptr<const Users> Service::users() const {
  const MutexLock lock(mutex_);
  return users_;
}

TlsContext Service::tls() const {
  const MutexLock lock(mutex_);
  return tls_;
}

void Service::add_client(const std::shared_ptr<ClientInfo>& client) {
  const MutexLock lock(mutex_);
  clients_[client->id] = client;
}

void Service::remove_client(std::uint64_t id) {
  const MutexLock lock(mutex_);
  clients_.erase(id);
}

std::vector<std::shared_ptr<ClientInfo>> Service::clients() const {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<ClientInfo>> clients;
  clients.reserve(clients_.size());
  for (const auto& [id, client] : clients_) clients.push_back(client);
  return clients;
}

std::size_t Service::client_count() const {
  const MutexLock lock(mutex_);
  return clients_.size();
}

bool Service::take_memory(std::uint64_t bytes, bool always) {
  if (client_memory_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= config_.client_memory_max || always) return true;
  client_memory_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

}  // namespace cairn::server
