#include "storage/posix_storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/mutex.h"
#include "base/random.h"
#include "storage/bus_error.h"

namespace cairn::storage {
namespace {

constexpr std::uint64_t kPageBytes = 4096;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// Repeats a system call that a signal interrupted. Not for close(2): Linux has let go of the descriptor by then.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixMap final : public MappedFile {
 public:
  PosixMap(std::string name, char* data, std::uint64_t size, std::optional<BusErrorGuard> guard)
      : MappedFile(std::move(name), data, size), guard_(std::move(guard)) {}
  ~PosixMap() override {
    guard_.reset();  // Before the addresses can belong to somebody else.
    if (size() != 0) munmap(const_cast<char*>(data()), size());
  }
  PosixMap(const PosixMap&) = delete;
  PosixMap& operator=(const PosixMap&) = delete;
  [[nodiscard]] const std::atomic<bool>& bad_flag() const override {
    static const std::atomic<bool> never{false};
    return guard_ ? guard_->bad() : never;
  }
  void expect_random_reads() const override {
    if (guard_) guard_->expect_random_reads();
  }
  void will_read(std::uint64_t from, std::uint64_t to) const override {
    if (!guard_ || !guard_->reads_pages_alone()) return;
    constexpr std::uint64_t kStepBytes = 128 * kKiB;  // Of a longer range Linux takes as much as the device is set to.
    to = std::min(to, size());
    for (from = from / kPageBytes * kPageBytes; from < to; from += kStepBytes) {
      madvise(const_cast<char*>(data()) + from, std::min(kStepBytes, to - from), MADV_WILLNEED);
    }
  }

 private:
  std::optional<BusErrorGuard> guard_;  // None for an empty file, which has no map.
};

Result<std::shared_ptr<PosixMap>> map_file(const Fd& file, const std::string& name, std::uint64_t size, int protection) {
  if (size == 0) return std::make_shared<PosixMap>(name, nullptr, 0, std::nullopt);
  void* const data = mmap(nullptr, size, protection, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) return system_error(errno, "mapping", name);
  if ((protection & PROT_WRITE) != 0) madvise(data, size, MADV_DONTFORK);
  Result<BusErrorGuard> guard = BusErrorGuard::watch(static_cast<char*>(data), size, (protection & PROT_WRITE) != 0);
  if (!guard) {
    munmap(data, size);
    return std::unexpected(guard.error());
  }
  return std::make_shared<PosixMap>(name, static_cast<char*>(data), size, std::move(*guard));
}

Result<void> write_all(const Fd& file, ByteView contents, const std::string& name, std::uint64_t offset = 0) {
  std::uint64_t done = 0;
  while (done < contents.size()) {
    const ssize_t n = pwrite(file.get(), contents.data() + done, contents.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "writing", name);
    done += static_cast<std::uint64_t>(n);
  }
  return {};
}

/// Gives back the room after `end`, a little at a time: a device that discards the blocks does nothing else meanwhile.
bool shrink(const Fd& file, std::uint64_t end) {
  constexpr off_t kStepBytes = 4 * kMiB;
  const auto to = static_cast<off_t>(end);
  struct stat info{};
  if (fstat(file.get(), &info) != 0) return false;
  for (off_t size = info.st_size - kStepBytes; size > to; size -= kStepBytes) {
    if (uninterrupted([&] { return ftruncate(file.get(), size); }) != 0) return false;
  }
  return uninterrupted([&] { return ftruncate(file.get(), to); }) == 0;
}

class PosixAppendFile final : public AppendFile {
 public:
  PosixAppendFile(Fd file, const std::shared_ptr<PosixMap>& map)
      : AppendFile(const_cast<char*>(map->data()), map->size(), map), file_(std::move(file)) {}

  // One at a time, and after a failure none succeeds: the kernel tells of a failed write once, to one of the callers.
  Result<void> sync(std::uint64_t upto) override {
    unmap(upto);
    const MutexLock lock(mutex_);
    if (synced_ && uninterrupted([&] { return fdatasync(file_.get()); }) != 0) synced_ = system_error(errno, "syncing", name());
    return synced_ ? view()->status() : synced_;
  }
  Result<void> trim(std::uint64_t end) override {
    unmap(end);
    // A whole page stays mapped beyond `end`, reading as zeros; no reader looks there.
    if (!shrink(file_, end)) return system_error(errno, "truncating", name());
    const MutexLock lock(mutex_);
    if (synced_ && uninterrupted([&] { return fsync(file_.get()); }) != 0) synced_ = system_error(errno, "syncing", name());
    return synced_ ? view()->status() : synced_;
  }
  Result<void> finish(std::uint64_t end) override {
    CAIRN_TRY_VOID(trim(end));
    mprotect(data(), capacity(), PROT_READ);
    return {};
  }
  Result<void> write(std::uint64_t offset, ByteView bytes) override { return write_all(file_, bytes, name(), offset); }
  void write_back(std::uint64_t from, std::uint64_t to) override {
    sync_file_range(file_.get(), static_cast<off_t>(from), static_cast<off_t>(to - from), SYNC_FILE_RANGE_WRITE);
  }
  void populate(std::uint64_t from, std::uint64_t to) override { advise(from, to, MADV_POPULATE_WRITE); }
  void bring_in(std::uint64_t from, std::uint64_t to) override { advise(from, to, MADV_POPULATE_READ); }

 private:
  void advise(std::uint64_t from, std::uint64_t to, int advice) {
    from = from / kPageBytes * kPageBytes;
    to = std::min(to, capacity());
    if (from < to) madvise(data() + from, to - from, advice);
  }

  /// Before pages up to `upto` are written out. That is done write-protected, and taking the right to write from a mapped page
  /// interrupts every other core of the process, page by page. Unmapped first, all at once, they cost one interrupt; readers
  /// map them again, 16 at a time.
  void unmap(std::uint64_t upto) {
    const std::uint64_t from = unmapped_.load(std::memory_order_relaxed);
    const std::uint64_t to = upto / kPageBytes * kPageBytes;
    if (to < from + kUnmapBytesMin) return;
    madvise(data() + from, to - from, MADV_DONTNEED);
    unmapped_.store(to, std::memory_order_relaxed);  // Of two at once either may win: no byte depends on it.
  }

  static constexpr std::uint64_t kUnmapBytesMin = 16 * kPageBytes;
  std::atomic<std::uint64_t> unmapped_{0};
  Fd file_;
  Mutex mutex_{Rank::kLeaf};
  Result<void> synced_ CAIRN_GUARDED_BY(mutex_);
};

class PosixLock final : public HeldLock {
 public:
  PosixLock(Fd file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}
  Result<void> rewrite(ByteView contents) override {
    CAIRN_TRY_VOID(write_all(file_, contents, name_));
    if (uninterrupted([&] { return fdatasync(file_.get()); }) != 0) return system_error(errno, "syncing", name_);
    return {};
  }

 private:
  Fd file_;
  const std::string name_;
};

std::string first_line_of(const char* path) {
  std::string line;
  if (std::FILE* const file = std::fopen(path, "re")) {
    for (int c = std::fgetc(file); c > ' '; c = std::fgetc(file)) line.push_back(static_cast<char>(c));
    static_cast<void>(std::fclose(file));
  }
  return line;
}

Result<void> sync_fd_of_directory(const std::string& path) {
  const Fd directory(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!directory.ok() || uninterrupted([&] { return fsync(directory.get()); }) != 0)
    return system_error(errno, "syncing directory", path);
  return {};
}

/// A path ends for the kernel where a zero byte is: "data\0x" would name another directory than the caller meant.
Result<void> check_path(const std::string& path) {
  if (path.empty()) return fail(ErrorCode::kInvalidArgument, "the path is empty");
  const std::size_t zero = path.find('\0');
  if (zero == std::string::npos) return {};
  return fail(ErrorCode::kInvalidArgument, "the path has a zero byte at offset " + std::to_string(zero), path.substr(0, zero));
}

}  // namespace

Result<std::unique_ptr<PosixStorage>> PosixStorage::open(const std::string& path, bool create, mode_t file_mode) {
  CAIRN_TRY_VOID(check_path(path));
  const mode_t directory_mode = file_mode | ((file_mode & 0444U) >> 2U);
  if (create && mkdir(path.c_str(), directory_mode) == 0) {
    // The umask was applied to it, but not to what was asked for.
    if (chmod(path.c_str(), directory_mode) != 0) return system_error(errno, "setting the permissions of", path);
    const std::size_t slash = path.find_last_of('/', path.find_last_not_of('/'));
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    CAIRN_TRY_VOID(sync_fd_of_directory(parent));
  } else if (create && errno != EEXIST) {
    return system_error(errno, "making directory", path);
  }
  const int fd = uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return system_error(errno, "opening directory", path);
  return std::unique_ptr<PosixStorage>(new PosixStorage(path, fd, file_mode));
}

Result<PosixStorage::Around> PosixStorage::open_around(const std::string& path) {
  CAIRN_TRY_VOID(check_path(path));
  const std::filesystem::path file(path);
  if (!file.has_filename()) return fail(ErrorCode::kInvalidArgument, "'" + path + "' names no file");
  CAIRN_TRY(storage, open(file.has_parent_path() ? file.parent_path().string() : ".", false));
  return Around{std::move(storage), file.filename().string()};
}

PosixStorage::~PosixStorage() { close(directory_fd_); }

Result<std::vector<std::string>> PosixStorage::list() {
  const int fd = open_file(".", O_RDONLY | O_DIRECTORY);
  DIR* const directory = fd < 0 ? nullptr : fdopendir(fd);
  if (directory == nullptr) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return system_error(error, "listing", path_);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* const entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  const int error = errno;
  closedir(directory);
  if (error != 0) return system_error(error, "listing", path_);
  return names;
}

Result<std::unique_ptr<AppendFile>> PosixStorage::create(const std::string& name, std::uint64_t capacity) {
  CAIRN_TRY_VOID(check_epoch());
  Fd file(open_file(name.c_str(), O_RDWR | O_CREAT | O_EXCL));
  if (!file.ok()) return system_error(errno, "creating", path_of(name));
  int error = 0;
  // In steps: a file system in memory undoes a whole call that a signal interrupts, and a timer may come faster than that.
  constexpr std::uint64_t kStepBytes = 4 * kMiB;
  for (std::uint64_t at = 0; error == 0 && at < capacity; at += kStepBytes) {
    const auto step = static_cast<off_t>(std::min(kStepBytes, capacity - at));
    do {
      error = posix_fallocate(file.get(), static_cast<off_t>(at), step);
    } while (error == EINTR);
  }
  if (error != 0) {
    unlinkat(directory_fd_, name.c_str(), 0);
    return system_error(error, "allocating room for", path_of(name));
  }
  Result<std::shared_ptr<PosixMap>> map = map_file(file, name, capacity, PROT_READ | PROT_WRITE);
  if (!map) {
    unlinkat(directory_fd_, name.c_str(), 0);
    return std::unexpected(map.error());
  }
  return std::make_unique<PosixAppendFile>(std::move(file), *map);
}

Result<std::unique_ptr<AppendFile>> PosixStorage::recycle(const std::string& from, const std::string& to) {
  CAIRN_TRY_VOID(check_epoch());
  Fd file(open_file(from.c_str(), O_RDWR));
  struct stat info{};
  if (!file.ok() || fstat(file.get(), &info) != 0) return system_error(errno, "opening", path_of(from));
  CAIRN_TRY(map, map_file(file, to, static_cast<std::uint64_t>(info.st_size), PROT_READ | PROT_WRITE));
  if (syscall(SYS_renameat2, directory_fd_, from.c_str(), directory_fd_, to.c_str(), 1U /* RENAME_NOREPLACE */) != 0) {
    return system_error(errno, "renaming to " + to, path_of(from));
  }
  return std::make_unique<PosixAppendFile>(std::move(file), map);
}

Result<std::shared_ptr<const MappedFile>> PosixStorage::open(const std::string& name) {
  const Fd file(open_file(name.c_str(), O_RDONLY));
  struct stat info{};
  if (!file.ok() || fstat(file.get(), &info) != 0) return system_error(errno, "opening", path_of(name));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kIo, "not a regular file", path_of(name));
  return map_file(file, name, static_cast<std::uint64_t>(info.st_size), PROT_READ);
}

Result<Bytes> PosixStorage::read(const std::string& name) {
  const Fd file(open_file(name.c_str(), O_RDONLY));
  struct stat info{};
  if (!file.ok() || fstat(file.get(), &info) != 0) return system_error(errno, "opening", path_of(name));
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kIo, "not a regular file", path_of(name));
  Bytes bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(errno, "reading", path_of(name));
    if (n == 0) return fail(ErrorCode::kIo, "the file became shorter while it was read", name, done);
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

Result<void> PosixStorage::publish(const std::string& name, ByteView contents) {
  CAIRN_TRY_VOID(publish_locked(name, contents));  // The lock is let go of at once.
  return {};
}

Result<std::unique_ptr<HeldLock>> PosixStorage::publish_locked(const std::string& name, ByteView contents) {
  CAIRN_TRY_VOID(check_epoch());
  const std::string temporary = temporary_name(system_random());
  Fd file(open_file(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL));
  if (!file.ok()) return system_error(errno, "creating", path_of(temporary));
  const auto give_up = [&](std::unexpected<Error> error) {
    unlinkat(directory_fd_, temporary.c_str(), 0);
    return error;
  };
  if (uninterrupted([&] { return flock(file.get(), LOCK_EX | LOCK_NB); }) != 0) {
    return give_up(system_error(errno, "locking", path_of(temporary)));
  }
  if (Result<void> written = write_all(file, contents, name); !written) {
    return give_up(std::unexpected(written.error()));
  }
  if (uninterrupted([&] { return fsync(file.get()); }) != 0) return give_up(system_error(errno, "syncing", path_of(name)));
  if (linkat(directory_fd_, temporary.c_str(), directory_fd_, name.c_str(), 0) != 0) {
    return give_up(system_error(errno, "publishing", path_of(name)));
  }
  unlinkat(directory_fd_, temporary.c_str(), 0);
  CAIRN_TRY_VOID(sync_published_name());
  return std::make_unique<PosixLock>(std::move(file), name);
}

Result<void> PosixStorage::remove(const std::string& name) {
  CAIRN_TRY_VOID(check_epoch());
  if (unlinkat(directory_fd_, name.c_str(), 0) != 0 && errno != ENOENT) return system_error(errno, "removing", path_of(name));
  return {};
}

Result<void> PosixStorage::reclaim(const std::string& name) {
  const Fd file(open_file(name.c_str(), O_WRONLY));
  CAIRN_TRY_VOID(remove(name));
  struct stat info{};
  // It may have another name, in a checkpoint. What is not given back here is when the last descriptor is closed.
  if (file.ok() && fstat(file.get(), &info) == 0 && info.st_nlink == 0) shrink(file, 0);
  return {};
}

Result<void> PosixStorage::link(const std::string& name, Storage& target) {
  auto& other = dynamic_cast<PosixStorage&>(target);
  CAIRN_TRY_VOID(other.check_epoch());
  if (linkat(directory_fd_, name.c_str(), other.directory_fd_, name.c_str(), 0) == 0) return {};
  // Another file system, or one without links, or one link too many.
  if (errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK) return copy(name, other);
  return system_error(errno, "linking into " + other.path_, name);
}

Result<void> PosixStorage::copy(const std::string& name, PosixStorage& target) {
  const Fd from(open_file(name.c_str(), O_RDONLY));
  if (!from.ok()) return system_error(errno, "opening", path_of(name));
  const Fd to(target.open_file(name.c_str(), O_WRONLY | O_CREAT | O_EXCL));
  if (!to.ok()) return system_error(errno, "creating", target.path_of(name));
  const auto give_up = [&](const char* what) {
    const int error = errno;
    unlinkat(target.directory_fd_, name.c_str(), 0);
    return system_error(error, what, name);
  };
  std::vector<char> chunk(kMiB);
  // To its end as it is then: a segment that has just ended may give back room behind its records meanwhile.
  for (off_t at = 0;;) {
    const ssize_t n = pread(from.get(), chunk.data(), chunk.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return give_up("reading");
    if (n == 0) break;
    for (ssize_t done = 0; done < n;) {
      const ssize_t written = pwrite(to.get(), chunk.data() + done, static_cast<std::size_t>(n - done), at + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return give_up("copying");
      done += written;
    }
    at += n;
  }
  if (uninterrupted([&] { return fsync(to.get()); }) != 0) return give_up("syncing");
  return {};
}

Result<void> PosixStorage::sync_names() {
  if (uninterrupted([&] { return fsync(directory_fd_); }) != 0) return system_error(errno, "syncing directory", path_);
  return {};
}

Result<void> PosixStorage::check_epoch() {
  const std::uint64_t epoch = epoch_.load();
  if (epoch == 0) return {};
  // In this order: records go oldest first, so a next one that came and went took ours with it before.
  CAIRN_TRY(next_there, is_there(lease_name(epoch + 1)));
  CAIRN_TRY(ours_there, is_there(lease_name(epoch)));
  if (next_there) return fail(ErrorCode::kLeaseLost, "another owner has taken over the directory", path_);
  return ours_there ? Result<void>{} : missing_lease(*this, epoch);
}

Result<bool> PosixStorage::is_there(const std::string& name) const {
  if (faccessat(directory_fd_, name.c_str(), F_OK, 0) == 0) return true;
  if (errno == ENOENT) return false;
  return system_error(errno, "looking for", path_of(name));
}

int PosixStorage::open_file(const char* name, int flags) const {
  const int fd = uninterrupted([&] { return openat(directory_fd_, name, flags | O_CLOEXEC, file_mode_); });
  // The umask took permissions away from file_mode_. Where they cannot be given, the file still works for its owner.
  if (fd >= 0 && (flags & O_CREAT) != 0 && file_mode_ != kFileMode) fchmod(fd, file_mode_);
  return fd;
}

std::unique_ptr<Lease> PosixStorage::make_lease(Clock& clock) { return std::make_unique<FileLease>(*this, *this, clock); }

Result<std::unique_ptr<HeldLock>> PosixStorage::try_lock(const std::string& name) {
  Fd file(open_file(name.c_str(), O_RDONLY));
  if (!file.ok()) return system_error(errno, "opening", path_of(name));
  if (uninterrupted([&] { return flock(file.get(), LOCK_EX | LOCK_NB); }) == 0) {
    return std::make_unique<PosixLock>(std::move(file), name);
  }
  if (errno == EWOULDBLOCK) return nullptr;
  return system_error(errno, "locking", path_of(name));
}

LeaseFiles::Machine PosixStorage::machine() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  // The name for people; the machine id where there is one, since names are not unique.
  return {.host = std::string(host) + "/" + first_line_of("/etc/machine-id"),
          .boot = first_line_of("/proc/sys/kernel/random/boot_id")};
}

}  // namespace cairn::storage
