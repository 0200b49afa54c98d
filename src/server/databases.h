// The numbered databases of the Redis protocol: timelines of one Database. Timeline 0 is "main", timeline n is "redis-n", which
// is made when it is first written to. Database n is timeline n until SWAPDB exchanges two of them. The order after that stands
// in a table, so that it is durable and part of every checkpoint.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "cairn/cairn.h"
#include "server/config.h"

namespace cairn::server {

/// The timeout of a database that the server makes.
inline constexpr std::chrono::milliseconds kDefaultTimeout = std::chrono::hours(1);

/// How a timeline ends its history: what `config` says of the database `number`, and for one that is `made` now the defaults.
TimelineOptions history_options(const Config& config, int number, bool made);

class Databases {
 public:
  /// The table that holds the order of the timelines. It exists once a SWAPDB was made. Clients may not write to it.
  static constexpr const char* kOrderTable = "redis-databases";

  /// `database` outlives it. Opens what is there, and makes timeline 0. kCorruption: the order in the table is none.
  static Result<std::unique_ptr<Databases>> open(Database& database, const Config& config);

  [[nodiscard]] static std::string name_of(std::size_t timeline) {
    return timeline == 0 ? "main" : "redis-" + std::to_string(timeline);
  }
  /// Which database timeline `timeline` is now. From any thread.
  [[nodiscard]] int number_of(std::size_t timeline) const;
  /// Which timeline database `number` is now. From any thread.
  [[nodiscard]] std::size_t timeline_of(int number) const { return place(order_.load(std::memory_order_acquire), number); }
  /// nullptr: nobody has written to it yet. From any thread; stays as long as this.
  [[nodiscard]] Timeline* timeline(std::size_t timeline) const { return opened_[timeline].load(std::memory_order_acquire); }
  [[nodiscard]] Timeline* find(int number) const { return timeline(timeline_of(number)); }
  /// The same, made if need be.
  Result<Timeline*> get(std::size_t timeline) CAIRN_EXCLUDES(mutex_);
  /// Exchanges two databases, durably. Others see both exchanged, or none. From the writer, when everything is settled.
  Result<void> swap(int first, int second) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] Database& database() const { return database_; }

 private:
  Databases(Database& database, Config config) : database_(database), config_(std::move(config)) {}
  Result<void> load_order();
  static constexpr std::uint64_t kBits = 4;  // order_ has four bits for each database.
  static std::size_t place(std::uint64_t order, int number) {
    return (order >> (kBits * static_cast<std::uint64_t>(number))) % kDatabases;
  }

  Database& database_;
  const Config config_;
  std::atomic<std::uint64_t> order_{0xfedcba9876543210};  // The timelines of all databases, that of database 0 lowest.
  Mutex mutex_{Rank::kServer};
  std::array<std::unique_ptr<Timeline>, kDatabases> timelines_ CAIRN_GUARDED_BY(mutex_);
  std::array<std::atomic<Timeline*>, kDatabases> opened_{};
};

}  // namespace cairn::server
