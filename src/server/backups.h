// Copies of the database while it is served: made by one thread, when a client asks or by the schedule, and verified.
#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "cairn/database.h"
#include "server/backup_folder.h"
#include "server/config.h"

namespace cairn::server {

/// Safe to use from any thread.
class Backups {
 public:
  /// `database` outlives it. Without a backup_directory every request is refused.
  static Result<std::unique_ptr<Backups>> open(const Config& config, Database& database);
  ~Backups() { stop(); }
  Backups(const Backups&) = delete;
  Backups& operator=(const Backups&) = delete;

  enum class Taken : std::uint8_t { kStarted, kScheduled };
  /// Begins a copy with a name of its own (a time), which the server may remove again. `schedule`: if one is being made, another
  /// follows it. kBusy: one is being made. kUnsupported: there is no backup_directory.
  Result<Taken> request(bool schedule) CAIRN_EXCLUDES(mutex_);
  /// Begins a full copy `name`, which stays until somebody removes it. kInvalidArgument, kConflict: the name is none, or taken.
  /// kBusy, kUnsupported: as above.
  Result<void> request_named(const std::string& name) CAIRN_EXCLUDES(mutex_);

  struct Status {
    bool running = false;
    std::int64_t running_since_ms = 0;
    std::int64_t last_ms = 0;       ///< When the last copy that is whole was begun; 0: there is none.
    std::int64_t last_took_ms = 0;  ///< In this process; 0: none was made.
    std::string last_name = {};
    std::string error = {};    ///< Of the last copy; empty: it is whole.
    std::int64_t next_ms = 0;  ///< By the schedule; 0: there is none.
    std::uint64_t copies = 0;  ///< That the server may remove again.
  };
  [[nodiscard]] Status status() const CAIRN_EXCLUDES(mutex_);
  /// Ends the copy that is being made, which leaves nothing.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  Backups(const Config& config, Database& database, std::optional<BackupFolder> folder);
  void run() CAIRN_EXCLUDES(mutex_);
  std::optional<std::string> wait_for_work() CAIRN_EXCLUDES(mutex_);
  void work(const std::string& wanted) CAIRN_EXCLUDES(mutex_);
  Result<void> make(const std::string& name, bool named, std::int64_t began_ms);
  Result<void> copy(const std::string& name, const std::string& base);
  Result<void> remove_oldest() CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] Result<void> check_on() const;
  [[nodiscard]] bool is_busy() const CAIRN_REQUIRES(mutex_) { return status_.running || !wanted_.empty(); }
  void add_wanted(const std::string& name) CAIRN_REQUIRES(mutex_);
  [[nodiscard]] Progress going_on() const;

  const Config config_;
  Database& database_;
  const std::optional<BackupFolder> folder_;
  std::atomic<bool> stopping_{false};
  mutable Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  std::deque<std::string> wanted_ CAIRN_GUARDED_BY(mutex_);  // Names of the next copies; empty: one of its own.
  Status status_ CAIRN_GUARDED_BY(mutex_);
  std::thread thread_;  // Last: it uses the members above.
};

}  // namespace cairn::server
