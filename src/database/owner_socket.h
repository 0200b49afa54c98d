// The Unix socket on which a process that owns a directory answers calls of others (owner_calls.h), and the other end of it.
//
// A frame is its kind (1 byte), the number of bytes behind it (8, little-endian) and these. The owner begins with a hello, or
// with an error and the end of the connection. Then, for each request: rows and progress, at last end or error.
#pragma once
#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "database/owner_calls.h"

namespace cairn::database {

class DatabaseImpl;

/// In the directory. It has mode 0600, and only processes of the same user, or of root, are answered.
inline constexpr const char* kOwnerSocketName = "owner.socket";

/// Sends and receives frames on a connected socket. One thread at a time uses it; any thread may call shut_down().
class OwnerConnection {
 public:
  enum class Kind : std::uint8_t { kHello = 1, kRequest, kRow, kProgress, kEnd, kError };
  struct Frame {
    Kind kind;
    Bytes bytes;
  };
  explicit OwnerConnection(int socket) : socket_(socket) {}
  OwnerConnection(const OwnerConnection&) = delete;
  OwnerConnection& operator=(const OwnerConnection&) = delete;
  ~OwnerConnection();

  Result<void> send(Kind kind, ByteView bytes);
  /// A frame of the kind kRow: how many parts there are, and each with its length before it.
  Result<void> send_row(std::span<const ByteView> row);
  /// nullopt: the other end is gone. `bytes_max`: of the frame. `interrupted` is asked when a signal ended the wait; true:
  /// kUnavailable.
  Result<std::optional<Frame>> receive(std::uint64_t bytes_max, const std::function<bool()>& interrupted = {});
  /// Whether the other end has gone, or has sent something.
  [[nodiscard]] bool has_news() const;
  /// The user of the other end; nullopt: the system does not say.
  [[nodiscard]] std::optional<std::uint32_t> peer_user() const;
  /// From any thread: ends every wait.
  void shut_down() const;

 private:
  Result<void> send_all(iovec* parts, std::size_t count);
  Result<bool> receive_all(char* into, std::size_t bytes, const std::function<bool()>& interrupted);

  const int socket_;
};

/// The owner's end: a thread that accepts, and one for each connection.
class OwnerListener {
 public:
  static constexpr std::size_t kConnectionsMax = 256;

  /// Removes an old socket file and listens. `database` outlives the listener. Errors: the system call that failed. The caller
  /// owns the directory, so the process that made the old file does not.
  static Result<std::unique_ptr<OwnerListener>> start(DatabaseImpl& database, const std::string& directory);
  /// Ends all calls and removes the socket.
  ~OwnerListener();
  OwnerListener(const OwnerListener&) = delete;
  OwnerListener& operator=(const OwnerListener&) = delete;

 private:
  struct Served {
    explicit Served(int socket) : connection(socket) {}
    OwnerConnection connection;
    std::thread thread;
    std::atomic<bool> ended{false};
  };
  OwnerListener(DatabaseImpl& database, std::string directory, int folder, int socket, int wake);
  void accept_all() CAIRN_EXCLUDES(mutex_);
  void serve(int socket) CAIRN_EXCLUDES(mutex_);
  void forget_ended() CAIRN_EXCLUDES(mutex_);
  void answer(Served& served);
  Result<void> answer_request(OwnerConnection& connection, ByteView bytes);

  DatabaseImpl& database_;
  const std::string directory_;
  const int folder_;  // Descriptors: of the directory,
  const int socket_;  // of the socket that listens,
  const int wake_;    // of an eventfd.
  std::uint64_t inode_ = 0;
  std::atomic<bool> stopping_{false};
  Mutex mutex_{Rank::kLeaf};
  std::list<std::unique_ptr<Served>> served_ CAIRN_GUARDED_BY(mutex_);
  std::thread thread_;  // Last: it uses the members above.
};

/// The end of a process that asks. One thread.
class OwnerClient {
 public:
  /// nullptr: nobody listens in the directory. Errors: kPermissionDenied, this user is not answered; kUnsupported, the owner is
  /// of another version; kUnavailable, it does not answer.
  static Result<std::unique_ptr<OwnerClient>> connect(const std::string& directory);
  /// As run_call(), in the process that owns the directory. kUnavailable, too: that process has ended, or `progress` returned
  /// false.
  Result<void> call(const Request& request, const Emit& emit, const Progress& progress);

 private:
  OwnerClient(int socket, std::string directory) : connection_(socket), directory_(std::move(directory)) {}

  OwnerConnection connection_;
  const std::string directory_;
};

}  // namespace cairn::database
