// What all connections share: the databases, what is configured and counted, who is connected, where scans stand.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/authenticator.h"
#include "server/backups.h"
#include "server/client.h"
#include "server/config.h"
#include "server/databases.h"
#include "server/disk_space.h"
#include "server/keyspace.h"
#include "server/script_engine.h"
#include "server/slow_log.h"
#include "server/tls.h"
#include "server/users.h"
#include "server/walker.h"

namespace cairn::server {

/// Where scans go on. A cursor is the number of a key that is kept here. A scan keeps its last two cursors, the second for a
/// client that repeats a call; each connection may keep 1,024, of which the oldest are forgotten, so that a client that leaves
/// scans unfinished loses its own cursors and not those of others. All together they take at most 64 MiB.
class ScanCursors {
 public:
  /// `from`: the cursor of the call that goes on at `key` (0: a scan begins); `client`: the number of its connection.
  std::uint64_t add(Bytes key, int database, std::uint64_t from, std::uint64_t client) CAIRN_EXCLUDES(mutex_);
  Result<Bytes> find(std::uint64_t cursor, int database) CAIRN_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kBytesMax = 64 * kMiB;
  static constexpr std::size_t kOfClientMax = 1024;
  struct Stop {
    Bytes key;
    int database;
    std::uint64_t from;
    std::uint64_t client;
  };
  using Stops = std::map<std::uint64_t, Stop>;
  void forget(Stops::iterator stop) CAIRN_REQUIRES(mutex_);

  Mutex mutex_{Rank::kLeaf};
  Stops stops_ CAIRN_GUARDED_BY(mutex_);                                                 // By cursor: the oldest first.
  std::map<std::uint64_t, std::set<std::uint64_t>> of_client_ CAIRN_GUARDED_BY(mutex_);  // Their cursors.
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
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> misses{0};
  std::atomic<std::uint64_t> commands_per_s{0};  // In the last second that is over.

  void add(const Keyspace::Lookups& lookups) {
    if (lookups.hits != 0) hits.fetch_add(lookups.hits, std::memory_order_relaxed);
    if (lookups.misses != 0) misses.fetch_add(lookups.misses, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t commands() const { return reader_commands.load() + writer_commands.load(); }
};

class Service {
 public:
  Service(const Config& config, std::unique_ptr<Databases> databases, std::unique_ptr<Backups> backups);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Databases& databases() const { return *databases_; }
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
  Walker& walker() { return *walker_; }
  SlowLog& slow_log() { return slow_log_; }
  ScriptControl& scripts() { return scripts_; }
  LiveConfig& live() { return live_; }
  DiskSpace& disk() { return disk_; }
  Backups& backups() { return *backups_; }
  /// The number of clients that the limit on open files allows. Set before the server listens.
  [[nodiscard]] std::int64_t clients_possible() const { return clients_possible_; }
  void set_clients_possible(std::int64_t clients) { clients_possible_ = clients; }

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
  /// What LASTSAVE answers, in seconds since 1970: when the last copy was begun or, as in Redis, when the server started.
  [[nodiscard]] std::int64_t last_save_s() const;
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

 private:
  const Config config_;
  const std::unique_ptr<Databases> databases_;
  ScanCursors cursors_;
  Counters counters_;
  LiveConfig live_;
  DiskSpace disk_;
  const std::unique_ptr<Backups> backups_;
  SlowLog slow_log_{live_};
  ScriptControl scripts_;
  std::int64_t clients_possible_ = kClientsMost;
  std::atomic<std::uint64_t> next_client_id_{0};
  std::atomic<std::uint64_t> client_memory_{0};
  const std::int64_t started_boot_ms_;
  const std::int64_t started_ms_ = system_clock().wall_ms();
  std::string run_id_;
  Authenticator authenticator_;
  std::atomic<std::uint64_t> users_generation_{0};
  mutable Mutex mutex_{Rank::kLeaf};
  std::shared_ptr<const Users> users_ CAIRN_GUARDED_BY(mutex_);
  TlsContext tls_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<ClientInfo>> clients_ CAIRN_GUARDED_BY(mutex_);
  std::unique_ptr<Walker> walker_;  // Last: its thread uses the members above.
};

}  // namespace cairn::server
