#include "server/service.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/random.h"

namespace cairn::server {

std::uint64_t ScanCursors::add(Bytes key, int database, std::uint64_t from, std::uint64_t client) {
  const MutexLock lock(mutex_);
  if (const auto before = stops_.find(from); before != stops_.end()) {
    if (const auto older = stops_.find(before->second.from); older != stops_.end()) forget(older);
  }
  const std::uint64_t cursor = next_++;
  bytes_ += key.size() + sizeof(Stop);
  stops_[cursor] = {std::move(key), database, from, client};
  std::set<std::uint64_t>& own = of_client_[client];
  own.insert(cursor);
  if (own.size() > kOfClientMax) forget(stops_.find(*own.begin()));
  while (bytes_ > kBytesMax && stops_.size() > 1) forget(stops_.begin());
  return cursor;
}

void ScanCursors::forget(Stops::iterator stop) {
  bytes_ -= stop->second.key.size() + sizeof(Stop);
  const auto own = of_client_.find(stop->second.client);
  own->second.erase(stop->first);
  if (own->second.empty()) of_client_.erase(own);
  stops_.erase(stop);
}

Result<Bytes> ScanCursors::find(std::uint64_t cursor, int database) {
  const MutexLock lock(mutex_);
  const auto found = stops_.find(cursor);
  if (found != stops_.end() && found->second.database == database) return found->second.key;
  return refuse("ERR invalid cursor: it is not of this server's start, of another database, or too old; begin with 0 again");
}

Service::Service(const Config& config, std::unique_ptr<Databases> databases, std::unique_ptr<Backups> backups)
    : config_(config),
      databases_(std::move(databases)),
      live_(config),
      backups_(std::move(backups)),
      started_boot_ms_(system_clock().boot_ms()) {
  walker_ = std::make_unique<Walker>(*this);
  run_id_ = fmt::format("{:016x}{:016x}{:08x}", system_random(), system_random(), system_random() & 0xffffffffU);
}

Service::~Service() = default;

Result<void> Service::load_files() {
  std::shared_ptr<const Users> users;
  TlsContext tls;
  if (!config_.users_file.empty()) {
    CAIRN_TRY(text, read_text_file("users_file", config_.users_file));
    CAIRN_TRY(parsed, Users::parse(text, config_.users_file));
    users = parsed;
  }
  if (!config_.tls_certificate.empty()) {
    CAIRN_TRY(loaded, load_tls(config_));
    tls = loaded;
  }
  {
    const MutexLock lock(mutex_);
    users_ = std::move(users);
    tls_ = std::move(tls);
    users_generation_.fetch_add(1, std::memory_order_release);
  }
  authenticator_.forget();
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

std::int64_t Service::last_save_s() const {
  const std::int64_t last_ms = backups_->status().last_ms;
  return (last_ms != 0 ? last_ms : started_ms_) / 1000;
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
  if (client_memory_.fetch_add(bytes, std::memory_order_relaxed) + bytes <=
          static_cast<std::uint64_t>(config_.client_memory_mib) * kMiB ||
      always)
    return true;
  client_memory_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

}  // namespace cairn::server
