// One connection, as its commands see it.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/command.h"
#include "server/users.h"

namespace cairn::server {

/// What others may know of a connection. Thread-safe.
struct ClientInfo {
  ClientInfo(std::uint64_t number, std::string from, std::string to)
      : id(number), address(std::move(from)), local_address(std::move(to)) {}

  const std::uint64_t id;
  const std::string address;
  const std::string local_address;
  std::int64_t since_boot_ms = 0;  // Set before anybody else sees it.
  std::atomic<std::int64_t> active_boot_ms{0};
  std::atomic<int> database{0};
  std::atomic<int> queued{-1};  // In a transaction; -1: there is none.
  std::atomic<bool> resp3{false};
  std::atomic<bool> hides_totals{false};  // Its user sees keys with some prefixes alone: it is told no sums over all keys.
  std::atomic<const CommandInfo*> last_command{nullptr};
  std::atomic<std::uint64_t> input_bytes{0};
  std::atomic<std::uint64_t> output_bytes{0};

  /// Its address without the port.
  [[nodiscard]] std::string host() const { return address.substr(0, address.rfind(':')); }
  /// Ends the connection: nothing is received or sent on it any more.
  void kill() const;
  /// The socket; -1: it is about to be closed.
  void set_handle(int handle) {
    const MutexLock lock(mutex);
    handle_ = handle;
  }
  [[nodiscard]] std::string name() const {
    const MutexLock lock(mutex);
    return name_;
  }
  [[nodiscard]] std::string user() const {
    const MutexLock lock(mutex);
    return user_;
  }
  void set_name(ByteView name) {
    const MutexLock lock(mutex);
    name_ = name;
  }
  void set_user(ByteView user) {
    const MutexLock lock(mutex);
    user_ = user;
  }
  /// A line of CLIENT LIST.
  [[nodiscard]] std::string describe(std::int64_t now_boot_ms) const;

 private:
  mutable Mutex mutex{Rank::kLeaf};
  std::string name_ CAIRN_GUARDED_BY(mutex);
  std::string user_ CAIRN_GUARDED_BY(mutex) = "default";
  int handle_ CAIRN_GUARDED_BY(mutex) = -1;
};

/// Requests that are kept: those of a transaction, and those on their way to the writer. Owns its bytes.
class Requests {
 public:
  struct Item {
    const CommandInfo* info = nullptr;  // None: an answer that is known already, the first argument.
    std::uint32_t first = 0;            // Of places_.
    std::uint32_t count = 0;
    std::int16_t database = 0;
    bool resp3 = false;
    std::shared_ptr<WatchSet> watched;            // Of WATCH and EXEC,
    std::unique_ptr<const Requests> transaction;  // and what EXEC executes.
  };
  /// Room for what so many bytes of input may ask for; else it grows.
  void reserve(std::size_t input_bytes);
  Item& add(const CommandInfo* info, Arguments arguments, int database, bool resp3);
  /// Of EXEC.
  void attach(Item& item, std::unique_ptr<const Requests> transaction, std::shared_ptr<WatchSet> watched) {
    transaction_bytes_ += transaction->memory_bytes();
    item.transaction = std::move(transaction);
    item.watched = std::move(watched);
  }
  [[nodiscard]] const std::vector<Item>& items() const { return items_; }
  /// Into `arguments`, as views of this.
  void arguments_of(const Item& item, std::vector<ByteView>& arguments) const;
  [[nodiscard]] ByteView argument_of(const Item& item, std::uint32_t number) const {
    const Place& place = places_[item.first + number];
    return ByteView(bytes_).substr(place.offset, place.size);
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return transaction_bytes_ + bytes_.capacity() + places_.capacity() * sizeof(Place) + items_.capacity() * sizeof(Item);
  }

 private:
  struct Place {
    std::size_t offset;
    std::size_t size;
  };
  std::uint64_t transaction_bytes_ = 0;
  Bytes bytes_;
  std::vector<Place> places_;
  std::vector<Item> items_;
};

/// A prefix that a connection follows.
struct Following {
  Bytes prefix;
  int database;
  std::size_t timeline;  // Which the database was when `watch` was made.
  Watch watch;
};

/// What belongs to the connection's own thread.
struct Client {
  std::shared_ptr<ClientInfo> info;
  int database = 0;
  bool resp3 = false;
  std::shared_ptr<const User> user;  // None: nobody yet or, where there are no users, anybody.
  std::uint64_t users_generation = 0;
  bool closing = false;                   // Once what is to be sent was sent.
  std::unique_ptr<Requests> transaction;  // None: not within MULTI.
  bool transaction_failed = false;
  int database_before = 0;  // The transaction.
  std::vector<Following> following;
  std::shared_ptr<WatchSet> watched;  // Filled where WATCH runs, perhaps in the writer; none: nothing is watched.

  /// The one that was queued, if it did not fail.
  std::unique_ptr<Requests> end_transaction() {
    std::unique_ptr<Requests> ended = std::move(transaction);
    if (transaction_failed) ended.reset();
    transaction_failed = false;
    info->queued = -1;
    return ended;
  }
  void drop_transaction() {
    if (transaction) database = database_before;
    info->database = database;
    transaction_failed = true;
    end_transaction();
    watched.reset();
  }
};

}  // namespace cairn::server
