// Storage over one directory of a local file system.
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/file_lease.h"
#include "storage/storage.h"

namespace cairn::storage {

class PosixStorage final : public Storage, public LeaseFiles {
 public:
  static constexpr mode_t kFileMode = 0600;
  /// Opens directory `path`; makes it if `create` and it is absent (its parent must exist). kNotFound otherwise. `file_mode`:
  /// permissions of files that are made; a directory has the right to search where these have the right to read.
  static Result<std::unique_ptr<PosixStorage>> open(const std::string& path, bool create, mode_t file_mode = kFileMode);
  /// The directory that the file `path` is in, or is to be in, and its name there. kInvalidArgument: it names no file.
  struct Around {
    std::unique_ptr<PosixStorage> storage;
    std::string name;
  };
  static Result<Around> open_around(const std::string& path);
  ~PosixStorage() override;
  PosixStorage(const PosixStorage&) = delete;
  PosixStorage& operator=(const PosixStorage&) = delete;

  [[nodiscard]] std::string describe() const override { return path_; }
  Result<std::vector<std::string>> list() override;
  Result<std::unique_ptr<AppendFile>> create(const std::string& name, std::uint64_t capacity) override;
  Result<std::unique_ptr<AppendFile>> recycle(const std::string& from, const std::string& to) override;
  Result<std::shared_ptr<const MappedFile>> open(const std::string& name) override;
  Result<Bytes> read(const std::string& name) override;
  Result<void> publish(const std::string& name, ByteView contents) override;
  Result<void> remove(const std::string& name) override;
  Result<void> reclaim(const std::string& name) override;
  Result<void> link(const std::string& name, Storage& target) override;
  Result<void> sync_names() override;
  Result<std::unique_ptr<Storage>> open_beside(const std::string& path, bool create) override {
    return open(path, create, file_mode_);
  }
  void set_epoch(std::uint64_t epoch) override { epoch_ = epoch; }
  Result<void> check_epoch() override;
  std::unique_ptr<Lease> make_lease(Clock& clock) override;

  Result<std::unique_ptr<HeldLock>> try_lock(const std::string& name) override;
  Result<std::unique_ptr<HeldLock>> publish_locked(const std::string& name, ByteView contents) override;
  Machine machine() override;

 private:
  Result<void> copy(const std::string& name, PosixStorage& target);
  /// A descriptor of a file in the directory, close-on-exec; -1 and errno.
  [[nodiscard]] int open_file(const char* name, int flags) const;
  [[nodiscard]] Result<bool> is_there(const std::string& name) const;
  /// The path of a file, for errors: with several drives its name alone does not say where it is.
  [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  PosixStorage(std::string path, int directory_fd, mode_t file_mode)
      : path_(std::move(path)), directory_fd_(directory_fd), file_mode_(file_mode) {}

  std::string path_;
  int directory_fd_;
  mode_t file_mode_;
  std::atomic<std::uint64_t> epoch_{0};
};

}  // namespace cairn::storage
