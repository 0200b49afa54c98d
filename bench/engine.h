// What every store under test can do. One Store per process; sessions are used by one thread each.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::bench {

struct StoreOptions {
  std::string dir;                // Empty, or left by a store of the same engine.
  bool sync = false;              // Every write is on the device when it returns.
  bool lz4 = false;               // Compress, where the engine can.
  std::uint64_t data_bytes = 0;   // Expected in all, for the sizes of maps.
  std::uint64_t cache_bytes = 0;  // For a cache of the engine's own.
};

[[noreturn]] void give_up(const std::string& why);

/// Errors end the process: a bench that goes on after one measures nothing.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;
  virtual void put(std::string_view key, std::string_view value) = 0;
  virtual void put_all(std::span<const std::pair<std::string, std::string>> entries) = 0;  // Atomically.
  virtual void erase(std::string_view key) = 0;
  /// The value's bytes, all of them read; false: no such key.
  virtual bool get(std::string_view key, std::uint64_t& sum) = 0;
  /// A fresh walk from the first key not below `from`: at most `limit` entries (0: all), whose bytes are read. Returns how many
  /// there were. `visit` is given each key, and ends the walk when it returns false.
  using Visit = std::function<bool(std::string_view key)>;
  virtual std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) = 0;
};

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;
  [[nodiscard]] virtual std::unique_ptr<Session> session() = 0;
  /// Brings background work to its end: everything compacted.
  virtual void settle() = 0;
  /// Takes in records 0 … n-1 of `record`, whose keys ascend, as the engine's files made outside. Engines that cannot give up.
  using Record = std::function<void(std::uint64_t i, std::string& key, std::string& value)>;
  virtual void ingest(std::uint64_t n, const Record& record);
  /// Opens table `i` of many, making it with a record if it is not there, and keeps it open. Engines that cannot give up.
  virtual void open_table(std::uint64_t i);
  /// What the engine says of its own bound on the wait of a write; empty: nothing.
  [[nodiscard]] virtual std::string promise() const { return {}; }
};

std::unique_ptr<Store> open_cairn(const StoreOptions& options);
std::unique_ptr<Store> open_cairn_timeline(const StoreOptions& options);
std::unique_ptr<Store> open_rocksdb(const StoreOptions& options);
std::unique_ptr<Store> open_leveldb(const StoreOptions& options);
std::unique_ptr<Store> open_lmdb(const StoreOptions& options);
std::unique_ptr<Store> open_wiredtiger(const StoreOptions& options);
std::unique_ptr<Store> open_tkrzw_hash(const StoreOptions& options);
std::unique_ptr<Store> open_tkrzw_tree(const StoreOptions& options);
std::unique_ptr<Store> open_sqlite(const StoreOptions& options);

/// Reads every byte of a value, as its user would.
inline std::uint64_t sum_of(std::string_view bytes) {
  std::uint64_t sum = bytes.size();
  for (std::size_t i = 0; i < bytes.size(); i += 64) sum += static_cast<unsigned char>(bytes[i]);  // A byte of each cache line.
  return sum;
}

}  // namespace cairn::bench
