// What all connections share: the databases, what is configured and counted, who is connected, where scans stand.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/authenticator.h"
#include "server/client.h"
#include "server/config.h"
#include "server/databases.h"
#include "server/tls.h"
#include "server/users.h"

namespace cairn::server {

/// Where scans go on. A cursor is the number of a key that is kept here; of many the oldest are forgotten.
class ScanCursors {
 public:
  std::uint64_t add(Bytes key, int database) CAIRN_EXCLUDES(mutex_);
  Result<Bytes> find(std::uint64_t cursor, int database) CAIRN_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kBytesMax = 16 * kMiB;
  struct Place {
    Bytes key;
    int database;
  };
  Mutex mutex_{Rank::kLeaf};
  std::map<std::uint64_t, Place> places_ CAIRN_GUARDED_BY(mutex_);
  std::size_t bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_ CAIRN_GUARDED_BY(mutex_) = 1;
};

struct Counters {
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> rejected{0};
  std::atomic<std::uint64_t> cut_off{0};
  std::atomic<std::uint64_t> reader_commands{0};
  std::atomic<std::uint64_t> writer_commands{0};
  std::atomic<std::uint64_t> writer_rounds{0};
  std::atomic<std::uint64_t> input_bytes{0};
  std::atomic<std::uint64_t> output_bytes{0};
};

class Service {
 public:
  Service(const Config& config, std::unique_ptr<Databases> databases);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  [[nodiscard]] const Config& config() const { return config_; }
  Databases& databases() { return *databases_; }
  ScanCursors& cursors() { return cursors_; }
  Counters& counters() { return counters_; }
  /// Reads certificates and users anew; after an error everything is as it was.
  Result<void> load_files() CAIRN_EXCLUDES(mutex_);
  /// None: everybody may do everything.
  [[nodiscard]] std::shared_ptr<const Users> users() const CAIRN_EXCLUDES(mutex_);
  /// Changes when the users do.
  [[nodiscard]] std::uint64_t users_generation() const { return users_generation_.load(std::memory_order_acquire); }
  [[nodiscard]] TlsContext tls() const CAIRN_EXCLUDES(mutex_);
  Authenticator& authenticator() { return authenticator_; }
  /// What CONFIG SET can change meanwhile.
  struct Live {
    std::atomic<std::int64_t> clients_max;
    std::atomic<std::int64_t> idle_timeout_s;
    std::atomic<bool> allow_flush;
  };
  Live& live() { return live_; }

  std::uint64_t next_client_id() { return next_client_id_.fetch_add(1) + 1; }
  void add_client(const std::shared_ptr<ClientInfo>& client) CAIRN_EXCLUDES(mutex_);
  void remove_client(std::uint64_t id) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] std::vector<std::shared_ptr<ClientInfo>> clients() const CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] std::size_t client_count() const CAIRN_EXCLUDES(mutex_);

  /// Of what all clients have in memory; false: it would be more than may be. `always`: it is so little that it may be.
  bool take_memory(std::uint64_t bytes, bool always);
  void give_memory(std::uint64_t bytes) { client_memory_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t client_memory() const { return client_memory_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::int64_t boot_ms() const { return system_clock().boot_ms(); }
  [[nodiscard]] std::int64_t started_boot_ms() const { return started_boot_ms_; }
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

 private:
  const Config config_;
  const std::unique_ptr<Databases> databases_;
  ScanCursors cursors_;
  Counters counters_;
  Live live_;
  std::atomic<std::uint64_t> next_client_id_{0};
  std::atomic<std::uint64_t> client_memory_{0};
  const std::int64_t started_boot_ms_;
  std::string run_id_;
  Authenticator authenticator_;
  std::atomic<std::uint64_t> users_generation_{0};
  mutable Mutex mutex_{Rank::kLeaf};
  std::shared_ptr<const Users> users_ CAIRN_GUARDED_BY(mutex_);
  TlsContext tls_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<ClientInfo>> clients_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
