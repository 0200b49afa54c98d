// A directory and its further drives as one storage: names are unique over all of them, and each file lies on one drive. Drive 0
// is the directory itself, with the lease, the manifests and all that nobody put elsewhere.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "storage/storage.h"

namespace cairn::storage {

/// Drives are added before anybody else uses it; else thread-safe.
class Drives final : public Storage {
 public:
  /// `first`: drive 0, which outlives it.
  explicit Drives(Storage& first) : first_(first) {}

  void add(std::unique_ptr<Storage> drive) { further_.push_back(std::move(drive)); }
  [[nodiscard]] std::size_t count() const { return 1 + further_.size(); }
  [[nodiscard]] Storage& drive(std::size_t i) { return i == 0 ? first_ : *further_[i - 1]; }
  /// Says where a file lies, as long as it is not removed. list() says it of what it finds and nobody has said it of; else drive
  /// 0.
  void place(const std::string& name, std::size_t drive) CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] std::size_t drive_of(const std::string& name) const CAIRN_EXCLUDES(mutex_);
  /// As create(), on that drive.
  Result<std::unique_ptr<AppendFile>> create_on(std::size_t drive, const std::string& name, std::uint64_t capacity);

  [[nodiscard]] std::string describe() const override { return first_.describe(); }
  Result<std::vector<std::string>> list() override;
  Result<std::unique_ptr<AppendFile>> create(const std::string& name, std::uint64_t capacity) override;
  /// On the drive where `from` lies.
  Result<std::unique_ptr<AppendFile>> recycle(const std::string& from, const std::string& to) override;
  Result<std::shared_ptr<const MappedFile>> open(const std::string& name) override { return of(name).open(name); }
  Result<Bytes> read(const std::string& name) override { return of(name).read(name); }
  Result<void> publish(const std::string& name, ByteView contents) override { return first_.publish(name, contents); }
  Result<void> remove(const std::string& name) override;
  Result<void> reclaim(const std::string& name) override;
  Result<void> link(const std::string& name, Storage& target) override { return of(name).link(name, target); }
  Result<void> sync_names() override;
  /// The same for one drive: another drive that fails must not fail a file on this one.
  Result<void> sync_names_on(std::size_t drive) { return this->drive(drive).sync_names(); }
  Result<std::unique_ptr<Storage>> open_beside(const std::string& path, bool create) override {
    return first_.open_beside(path, create);
  }

  void set_epoch(std::uint64_t epoch) override { first_.set_epoch(epoch); }
  Result<void> check_epoch() override { return first_.check_epoch(); }
  std::unique_ptr<Lease> make_lease(Clock& clock) override { return first_.make_lease(clock); }

 private:
  [[nodiscard]] Storage& of(const std::string& name) { return drive(drive_of(name)); }
  void forget(const std::string& name) CAIRN_EXCLUDES(mutex_);

  Storage& first_;
  std::vector<std::unique_ptr<Storage>> further_;
  mutable Mutex mutex_{Rank::kLeaf};
  std::map<std::string, std::size_t> places_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::storage
