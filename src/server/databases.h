// The numbered databases of the Redis protocol: timelines of one Database. 0 is "main", n is "redis-n", made when it is first
// written to.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "cairn/cairn.h"

namespace cairn::server {

inline constexpr int kDatabases = 16;

class Databases {
 public:
  /// `database` outlives it. Opens what is there, and makes database 0.
  static Result<std::unique_ptr<Databases>> open(Database& database);

  [[nodiscard]] static std::string name_of(int number);
  /// nullptr: nobody has written to it yet. From any thread; stays as long as this.
  [[nodiscard]] Timeline* find(int number) const {
    return opened_[static_cast<std::size_t>(number)].load(std::memory_order_acquire);
  }
  /// The same, made if need be.
  Result<Timeline*> get(int number) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] Database& database() const { return database_; }

 private:
  explicit Databases(Database& database) : database_(database) {}

  Database& database_;
  Mutex mutex_{Rank::kServer};
  std::array<std::unique_ptr<Timeline>, kDatabases> timelines_ CAIRN_GUARDED_BY(mutex_);
  std::array<std::atomic<Timeline*>, kDatabases> opened_{};
};

}  // namespace cairn::server
