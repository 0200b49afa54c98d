// The frames, the listener and the client. Invariant: a caller gets a whole answer or an error, and waits for neither without a
// bound; a listener that is destroyed has ended every call before.
#include "database/owner_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>

#include "base/descriptor.h"
#include "base/error.h"
#include "database/database_impl.h"

namespace cairn::database {
namespace {

constexpr const char* kHello = "cairn owner 1";  // The version of the frames and of what stands in them.
constexpr std::size_t kHeadBytes = 9;
constexpr std::uint64_t kRequestBytesMax = kMiB;
constexpr std::uint64_t kAnswerBytesMax = kGiB + kMiB;  // A value has at most 1 GiB.
constexpr int kSecondsToTake = 60;                      // A peer that reads nothing for so long is disconnected.
constexpr int kSecondsToHello = 5;
constexpr int kSecondsOfSilence =
    120;  // The owner shows every few seconds that it is there; copying one large file takes longer.
constexpr std::chrono::seconds kSignOfLife(5);
constexpr int kBacklog = 128;
constexpr std::chrono::milliseconds kProgressPause(100);

/// The name of the socket for bind() and connect(), which take 107 bytes: by way of the directory's descriptor, so that the path
/// of the directory may be longer.
sockaddr_un address_in(int folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(folder) + "/" + kOwnerSocketName;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

const sockaddr* as_address(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }  // NOLINT

void set_timeout(int socket, int which, int seconds) {
  const timeval time{.tv_sec = seconds, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, which, &time, sizeof time);
}

Error silent(const std::string& directory) {
  return {ErrorCode::kUnavailable, "the process that owns the directory does not answer: it is busy, or has ended", directory};
}

Error gone(const std::string& directory) {
  return {ErrorCode::kUnavailable, "the process that owns the directory ended before it had answered: try again", directory};
}

}  // namespace

OwnerConnection::~OwnerConnection() { close(socket_); }

void OwnerConnection::shut_down() const { shutdown(socket_, SHUT_RDWR); }

bool OwnerConnection::has_news() const {
  pollfd one{.fd = socket_, .events = POLLIN | POLLRDHUP, .revents = 0};
  return poll(&one, 1, 0) > 0;
}

std::optional<std::uint32_t> OwnerConnection::peer_user() const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket_, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

Result<void> OwnerConnection::send_all(iovec* parts, std::size_t count) {
  while (count != 0) {
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return system_error(errno, "answering");
    auto left = static_cast<std::size_t>(sent);
    while (count != 0 && left >= parts->iov_len) {
      left -= parts->iov_len;
      ++parts;
      --count;
    }
    if (count == 0) break;
    parts->iov_base = static_cast<char*>(parts->iov_base) + left;
    parts->iov_len -= left;
  }
  return {};
}

Result<void> OwnerConnection::send(Kind kind, ByteView bytes) {
  std::array<char, kHeadBytes> head{static_cast<char>(kind)};
  for (std::size_t i = 1; i < kHeadBytes; ++i) head[i] = static_cast<char>(bytes.size() >> (8 * (i - 1)));
  std::array<iovec, 2> parts{iovec{.iov_base = head.data(), .iov_len = head.size()},
                             iovec{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()}};  // NOLINT: only read.
  return send_all(parts.data(), parts.size());
}

Result<void> OwnerConnection::send_row(std::span<const ByteView> row) {
  std::uint64_t total = 0;
  for (const ByteView part : row) total += sizeof(std::uint64_t) + part.size();
  std::vector<Bytes> lengths;
  std::vector<iovec> parts;
  lengths.reserve(row.size() + 1);
  parts.reserve(2 * row.size() + 1);
  const auto add = [&](ByteView bytes) {
    parts.push_back({.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()});  // NOLINT: only read.
  };
  Bytes& head = lengths.emplace_back(1, static_cast<char>(Kind::kRow));
  head += encode_message(total);
  add(head);
  for (const ByteView part : row) {
    add(lengths.emplace_back(encode_message(std::uint64_t{part.size()})));
    add(part);
  }
  return send_all(parts.data(), parts.size());
}

/// False: the other end is gone.
Result<bool> OwnerConnection::receive_all(char* into, std::size_t bytes, const std::function<bool()>& interrupted) {
  while (bytes != 0) {
    const ssize_t got = recv(socket_, into, bytes, 0);
    if (got < 0 && errno == EINTR) {
      if (interrupted && interrupted()) return fail(ErrorCode::kUnavailable, "cancelled");
      continue;
    }
    if (got < 0 && errno == ECONNRESET) return false;
    if (got < 0 && errno == EAGAIN) return fail(ErrorCode::kUnavailable, "the other process has been silent for too long");
    if (got < 0) return system_error(errno, "receiving");
    if (got == 0) return false;
    into += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

Result<std::optional<OwnerConnection::Frame>> OwnerConnection::receive(std::uint64_t bytes_max,
                                                                       const std::function<bool()>& interrupted) {
  std::array<char, kHeadBytes> head{};
  CAIRN_TRY(there, receive_all(head.data(), head.size(), interrupted));
  if (!there) return std::nullopt;
  std::uint64_t size = 0;
  for (std::size_t i = 1; i < kHeadBytes; ++i) size |= std::uint64_t{static_cast<unsigned char>(head[i])} << (8 * (i - 1));
  if (size > bytes_max)
    return fail(ErrorCode::kUnsupported, "a frame of " + std::to_string(size) + " bytes on " + kOwnerSocketName);
  Frame frame{.kind = static_cast<Kind>(head[0]), .bytes = {}};
  frame.bytes.resize(size);
  CAIRN_TRY(whole, receive_all(frame.bytes.data(), size, interrupted));
  if (!whole) return std::nullopt;
  return frame;
}

Result<std::unique_ptr<OwnerListener>> OwnerListener::start(DatabaseImpl& database, const std::string& directory) {
  Descriptor folder(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return system_error(errno, "opening the directory", directory);
  Descriptor listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (listening.get() < 0) return system_error(errno, "making a socket");
  if (unlinkat(folder.get(), kOwnerSocketName, 0) != 0 && errno != ENOENT) {
    return system_error(errno, "removing an old socket", directory + "/" + kOwnerSocketName);
  }
  const sockaddr_un address = address_in(folder.get());
  // On Linux the name gets the permissions that the socket has before bind(): at no moment are they others.
  if (fchmod(listening.get(), S_IRUSR | S_IWUSR) != 0 || bind(listening.get(), as_address(address), sizeof address) != 0 ||
      listen(listening.get(), kBacklog) != 0) {
    return system_error(errno, "listening", directory + "/" + kOwnerSocketName);
  }
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake.get() < 0) return system_error(errno, "making an eventfd");
  std::unique_ptr<OwnerListener> listener(
      new OwnerListener(database, directory, folder.release(), listening.release(), wake.release()));
  try {
    listener->thread_ = std::thread([&listener = *listener] { listener.accept_all(); });
  } catch (const std::system_error& error) {
    return system_error(error.code().value(), "starting a thread");
  }
  return listener;
}

OwnerListener::OwnerListener(DatabaseImpl& database, std::string directory, int folder, int socket, int wake)
    : database_(database), directory_(std::move(directory)), folder_(folder), socket_(socket), wake_(wake) {
  struct stat made{};
  if (fstatat(folder_, kOwnerSocketName, &made, AT_SYMLINK_NOFOLLOW) == 0) inode_ = made.st_ino;
}

OwnerListener::~OwnerListener() {
  stopping_ = true;
  eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  std::list<std::unique_ptr<Served>> served;
  {
    const MutexLock lock(mutex_);
    served.swap(served_);
  }
  for (const auto& each : served) each->connection.shut_down();
  for (const auto& each : served) each->thread.join();
  // Not the socket of another owner, should this process have lost the directory.
  struct stat now{};
  if (fstatat(folder_, kOwnerSocketName, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == inode_) {
    unlinkat(folder_, kOwnerSocketName, 0);
  }
  for (const int descriptor : {socket_, wake_, folder_}) close(descriptor);
}

void OwnerListener::accept_all() {
  while (!stopping_) {
    std::array<pollfd, 2> both{pollfd{.fd = socket_, .events = POLLIN, .revents = 0},
                               pollfd{.fd = wake_, .events = POLLIN, .revents = 0}};
    if (poll(both.data(), both.size(), -1) < 0 && errno != EINTR) return;
    if (stopping_) return;
    eventfd_t wakes = 0;
    eventfd_read(wake_, &wakes);
    forget_ended();
    const int socket = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket >= 0) {
      serve(socket);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      // There are no descriptors, say: not again at once.
      poll(&both[1], 1, static_cast<int>(kProgressPause.count()));
    }
  }
}

void OwnerListener::forget_ended() {
  std::list<std::unique_ptr<Served>> ended;
  {
    const MutexLock lock(mutex_);
    for (auto each = served_.begin(); each != served_.end();) {
      const auto next = std::next(each);
      if ((*each)->ended) ended.splice(ended.end(), served_, each);
      each = next;
    }
  }
  for (const auto& each : ended) each->thread.join();
}

void OwnerListener::serve(int socket) {
  auto served = std::make_unique<Served>(socket);
  set_timeout(socket, SO_SNDTIMEO, kSecondsToTake);
  const auto refuse = [&](ErrorCode code, const std::string& message) {
    // If the caller has disconnected, the refusal is lost, and nothing else depends on it.
    served->connection.send(OwnerConnection::Kind::kError, encode_message(Error{code, message, directory_})).ignore_error();
  };
  const auto user = served->connection.peer_user();
  if (!user || (*user != geteuid() && *user != 0)) {
    return refuse(ErrorCode::kPermissionDenied, "the process that owns the directory answers its own user alone");
  }
  const MutexLock lock(mutex_);
  if (served_.size() >= kConnectionsMax) {
    return refuse(ErrorCode::kUnavailable,
                  "the process that owns the directory has " + std::to_string(kConnectionsMax) + " callers already: try again");
  }
  try {
    served->thread = std::thread([this, &served = *served] { answer(served); });
  } catch (const std::system_error&) {
    return refuse(ErrorCode::kUnavailable, "the process that owns the directory has no thread for another caller: try again");
  }
  served_.push_back(std::move(served));
}

void OwnerListener::answer(Served& served) {
  OwnerConnection& connection = served.connection;
  try {
    Result<void> going = connection.send(OwnerConnection::Kind::kHello, kHello);
    while (going && !stopping_) {
      const auto frame = connection.receive(kRequestBytesMax);
      if (!frame || !*frame || (*frame)->kind != OwnerConnection::Kind::kRequest) break;
      going = answer_request(connection, (*frame)->bytes);
    }
  } catch (const std::exception&) {  // Out of memory, say: it ends this call, not the process.
  }
  connection.shut_down();
  served.ended = true;
  eventfd_write(wake_, 1);  // For forget_ended().
}

/// The error is one of the connection: that of the call goes to the caller.
Result<void> OwnerListener::answer_request(OwnerConnection& connection, ByteView bytes) {
  const auto request = decode_message<Request>(bytes);
  if (!request) {
    const Error error{ErrorCode::kUnsupported, "the process that owns the directory does not understand the request", directory_};
    return connection.send(OwnerConnection::Kind::kError, encode_message(error));
  }
  Result<void> sent;
  const Emit emit = [&](std::span<const ByteView> row) -> Result<void> {
    if (stopping_) return fail(ErrorCode::kUnavailable, "the process that owns the directory closes it");
    return sent = connection.send_row(row);
  };
  auto last = std::chrono::steady_clock::now();
  const Progress progress = [&](std::uint64_t done, std::uint64_t total) {
    if (stopping_ || !sent || connection.has_news()) return false;  // The caller is gone: it has nothing to say.
    const auto now = std::chrono::steady_clock::now();
    if (now - last < (total == 0 ? std::chrono::milliseconds(kSignOfLife) : kProgressPause)) return true;
    last = now;
    sent = connection.send(OwnerConnection::Kind::kProgress, encode_message(std::vector{done, total}));
    return sent.has_value();
  };
  Database database(std::shared_ptr<DatabaseImpl>(std::shared_ptr<void>(), &database_));
  const ViewFilter sees = [&](const std::string& kind, const std::string& name) { return database_.is_open(kind, name); };
  const Result<void> done = run_call(database, directory_, *request, emit, progress, sees);
  if (!sent) return sent;
  if (done) return connection.send(OwnerConnection::Kind::kEnd, {});
  return connection.send(OwnerConnection::Kind::kError, encode_message(done.error()));
}

Result<std::unique_ptr<OwnerClient>> OwnerClient::connect(const std::string& directory) {
  const Descriptor folder(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  Descriptor made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (folder.get() < 0 || made.get() < 0) return nullptr;
  const sockaddr_un address = address_in(folder.get());
  set_timeout(made.get(), SO_SNDTIMEO, kSecondsToHello);  // For connect(), too: the queue of the owner may be full.
  if (::connect(made.get(), as_address(address), sizeof address) != 0) {
    if (errno == EAGAIN || errno == EINTR) return std::unexpected(silent(directory));
    if (errno != EACCES && errno != EPERM) return nullptr;
    return fail(ErrorCode::kPermissionDenied, "another user's process owns the directory, and answers that user alone",
                directory);
  }
  set_timeout(made.get(), SO_RCVTIMEO, kSecondsToHello);
  const int socket = made.get();
  std::unique_ptr<OwnerClient> client(new OwnerClient(made.release(), directory));
  auto hello = client->connection_.receive(kRequestBytesMax);
  if (!hello || !*hello) return std::unexpected(silent(directory));
  if ((*hello)->kind == OwnerConnection::Kind::kError) {
    const auto error = decode_message<Error>((*hello)->bytes);
    return std::unexpected(error ? *error : gone(directory));
  }
  if ((*hello)->bytes != kHello) {
    return fail(ErrorCode::kUnsupported, "the process that owns the directory is of another version of Cairn: use its command",
                directory);
  }
  set_timeout(socket, SO_RCVTIMEO, kSecondsOfSilence);
  set_timeout(socket, SO_SNDTIMEO, kSecondsToTake);
  return client;
}

Result<void> OwnerClient::call(const Request& request, const Emit& emit, const Progress& progress) {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  const auto interrupted = [&] { return progress && !progress(done, total); };
  if (!connection_.send(OwnerConnection::Kind::kRequest, encode_message(request))) return std::unexpected(gone(directory_));
  while (true) {
    CAIRN_TRY(frame, connection_.receive(kAnswerBytesMax, interrupted));
    if (!frame) return std::unexpected(gone(directory_));
    switch (frame->kind) {
      case OwnerConnection::Kind::kEnd: return {};
      case OwnerConnection::Kind::kError: {
        const auto error = decode_message<Error>(frame->bytes);
        return std::unexpected(error ? *error : gone(directory_));
      }
      case OwnerConnection::Kind::kProgress: {
        const auto both = decode_message<std::vector<std::uint64_t>>(frame->bytes);
        if (both && both->size() == 2) {
          done = (*both)[0];
          total = (*both)[1];
        }
        if (interrupted()) return fail(ErrorCode::kUnavailable, "cancelled");
        break;
      }
      case OwnerConnection::Kind::kRow: {
        std::vector<ByteView> row;
        ByteView rest = frame->bytes;
        while (rest.size() >= sizeof(std::uint64_t)) {
          const std::uint64_t size =
              decode_message<std::uint64_t>(rest.substr(0, sizeof(std::uint64_t))).value_or(~std::uint64_t{0});
          rest.remove_prefix(sizeof(std::uint64_t));
          if (size > rest.size()) return std::unexpected(gone(directory_));
          row.push_back(rest.substr(0, size));
          rest.remove_prefix(size);
        }
        if (row.size() < parts_of(request.call)) return std::unexpected(gone(directory_));
        if (emit) CAIRN_TRY_VOID(emit(row));
        break;
      }
      default: return std::unexpected(gone(directory_));
    }
  }
}

}  // namespace cairn::database
