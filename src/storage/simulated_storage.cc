#include "storage/simulated_storage.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace cairn::storage {
namespace {
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSector = 512;
}  // namespace

class SimulatedMap final : public MappedFile {
 public:
  SimulatedMap(std::string name, SimulatedDisk::InodePtr inode)
      : MappedFile(std::move(name), inode->live.data(), inode->size), inode_(std::move(inode)) {}
  [[nodiscard]] const std::atomic<bool>& bad_flag() const override { return inode_->bad; }

 private:
  SimulatedDisk::InodePtr inode_;
};

class SimulatedAppendFile final : public AppendFile {
 public:
  SimulatedAppendFile(SimulatedDisk& disk, SimulatedDisk::InodePtr inode, const std::string& name)
      : AppendFile(inode->live.data(), inode->size, std::make_shared<SimulatedMap>(name, inode)),
        disk_(disk),
        inode_(std::move(inode)) {}

  Result<void> sync(std::uint64_t upto) override {
    const Result<void> injected = disk_.before(Io::kSync, name());
    const MutexLock lock(disk_.mutex_);
    disk_.sync_inode(*inode_, upto, !injected.has_value());
    return injected;
  }
  Result<void> finish(std::uint64_t end) override { return trim(end); }
  Result<void> trim(std::uint64_t end) override {
    const Result<void> injected = disk_.before(Io::kFinish, name());
    const MutexLock lock(disk_.mutex_);
    if (injected) inode_->size = end;
    disk_.sync_inode(*inode_, end, !injected.has_value());
    return injected;
  }
  Result<void> write(std::uint64_t offset, ByteView bytes) override {
    CAIRN_TRY_VOID(disk_.before(Io::kWrite, name()));
    std::copy(bytes.begin(), bytes.end(), data() + offset);
    return {};
  }
  void write_back(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}
  void populate(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}
  void bring_in(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}

 private:
  SimulatedDisk& disk_;
  SimulatedDisk::InodePtr inode_;
};

class SimulatedLock final : public HeldLock {
 public:
  SimulatedLock(SimulatedDisk& disk, SimulatedDisk::InodePtr inode, std::string name)
      : disk_(disk), inode_(std::move(inode)), name_(std::move(name)) {}
  ~SimulatedLock() override {
    const MutexLock lock(disk_.mutex_);
    inode_->locked = false;
  }
  SimulatedLock(const SimulatedLock&) = delete;
  SimulatedLock& operator=(const SimulatedLock&) = delete;
  Result<void> rewrite(ByteView contents) override {
    CAIRN_TRY_VOID(disk_.before(Io::kRewrite, name_));
    const MutexLock lock(disk_.mutex_);
    CAIRN_ASSERT(contents.size() == inode_->size);
    std::copy(contents.begin(), contents.end(), inode_->live.begin());
    disk_.sync_inode(*inode_, inode_->size, false);
    return {};
  }

 private:
  SimulatedDisk& disk_;
  SimulatedDisk::InodePtr inode_;
  const std::string name_;
};

SimulatedDisk::Inode::Inode(std::uint64_t capacity) : live(capacity), clean(capacity), size(capacity) {}

Result<void> SimulatedDisk::before(Io io, const std::string& name) {
  const std::uint64_t number = hooks_of_->io_count_.fetch_add(1);
  if (!hooks_of_->hook_) return {};
  return hooks_of_->hook_(io, name, number);
}

void SimulatedDisk::sync_inode(Inode& inode, std::uint64_t upto, bool failing) {
  if (inode.durable.size() != inode.size) inode.durable.resize(inode.size);
  const std::uint64_t end = std::min(round_up(upto, kPage), inode.size);
  for (std::uint64_t at = 0; at < end; at += kPage) {
    const std::uint64_t n = std::min(kPage, inode.size - at);
    if (std::memcmp(inode.live.data() + at, inode.clean.data() + at, n) == 0) continue;
    std::memcpy(inode.clean.data() + at, inode.live.data() + at, n);
    // A failed sync writes some pages, forgets the others, and calls them all clean.
    if (!failing || random_.one_in(2)) std::memcpy(inode.durable.data() + at, inode.live.data() + at, n);
  }
}

std::uint64_t SimulatedDisk::space_used() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : names_) bytes += inode->size;
  return bytes;
}

SimulatedDisk::InodePtr SimulatedDisk::survivor(const Inode& inode, Random& random) {
  const bool size_survived = inode.durable.size() == inode.size || random.one_in(2);
  const std::uint64_t size = size_survived ? inode.size : inode.durable.size();
  auto copy = std::make_shared<Inode>(size);
  std::copy_n(inode.durable.data(), std::min<std::uint64_t>(size, inode.durable.size()), copy->live.data());
  const std::uint64_t mode = random.below(4);  // 0: nothing unsynced survives; 1: everything; else a mixture.
  for (std::uint64_t at = 0; at < std::min(size, inode.size); at += kPage) {
    const std::uint64_t n = std::min(kPage, size - at);
    const char* const live = inode.live.data() + at;
    if (std::memcmp(live, inode.clean.data() + at, n) == 0) continue;
    if (mode == 0 || (mode > 1 && random.one_in(3))) continue;
    const bool torn = mode > 1 && random.one_in(2);
    for (std::uint64_t s = 0; s < n; s += kSector) {
      if (!torn || random.one_in(2)) std::memcpy(copy->live.data() + at + s, live + s, std::min(kSector, n - s));
    }
  }
  copy->clean = copy->live;
  copy->durable = copy->live;
  return copy;
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::with_files(std::uint64_t seed, std::map<std::string, InodePtr> names) {
  auto disk = std::make_unique<SimulatedDisk>(seed);
  const MutexLock lock(disk->mutex_);
  disk->durable_names_ = names;
  disk->names_ = std::move(names);
  return disk;
}

template <typename Copy>
void SimulatedDisk::copy_beside_to(SimulatedDisk& disk, Copy copy) const {
  std::map<std::string, const SimulatedDisk*> others;
  {
    const MutexLock lock(mutex_);
    for (const auto& [path, other] : beside_) others[path] = other.get();
  }
  for (const auto& [path, other] : others) {
    auto made = copy(*other);
    made->hooks_of_ = &disk;
    const MutexLock lock(disk.mutex_);
    disk.beside_[path] = std::move(made);
  }
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::crashed(std::uint64_t seed) const {
  Random random(seed);
  const std::uint64_t next_seed = random.next();
  std::map<std::string, InodePtr> names;
  {
    const MutexLock lock(mutex_);
    std::map<std::string, InodePtr> surviving;
    for (const auto& [name, inode] : durable_names_) {
      const auto now = names_.find(name);
      const bool unchanged = now != names_.end() && now->second == inode;
      if (unchanged || random.one_in(2)) surviving[name] = inode;
    }
    for (const auto& [name, inode] : names_) {
      const auto before = durable_names_.find(name);
      const bool synced = before != durable_names_.end() && before->second == inode;
      if (!synced && random.one_in(2)) surviving[name] = inode;
    }
    std::map<const Inode*, InodePtr> copies;  // Two names of one file stay two names of one file.
    for (const auto& [name, inode] : surviving) {
      InodePtr& copy = copies[inode.get()];
      if (!copy) copy = survivor(*inode, random);
      names[name] = copy;
    }
  }
  auto disk = with_files(next_seed, std::move(names));
  copy_beside_to(*disk, [&](const SimulatedDisk& other) { return other.crashed(random.next()); });
  return disk;
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::killed() const {
  std::map<std::string, InodePtr> names;
  {
    const MutexLock lock(mutex_);
    for (const auto& [name, inode] : names_) {
      auto copy = std::make_shared<Inode>(inode->size);
      std::copy_n(inode->live.data(), inode->size, copy->live.data());
      copy->clean = copy->live;
      copy->durable = copy->live;
      names[name] = copy;
    }
  }
  auto disk = with_files(mix(io_count_.load() + 0x9e3779b97f4a7c15ULL), std::move(names));
  copy_beside_to(*disk, [](const SimulatedDisk& other) { return other.killed(); });
  return disk;
}

SimulatedDisk* SimulatedDisk::beside(const std::string& path) const {
  const MutexLock lock(mutex_);
  const auto found = beside_.find(path);
  return found == beside_.end() ? nullptr : found->second.get();
}

SimulatedDisk& SimulatedDisk::add_beside(const std::string& path) {
  const MutexLock lock(mutex_);
  auto& disk = beside_[path];
  if (!disk) {
    disk = std::make_unique<SimulatedDisk>(random_.next());
    disk->hooks_of_ = this;
  }
  return *disk;
}

void SimulatedDisk::remove_beside(const std::string& path) {
  const MutexLock lock(mutex_);
  beside_.erase(path);
}

std::map<std::string, std::uint64_t> SimulatedDisk::file_sizes() const {
  const MutexLock lock(mutex_);
  std::map<std::string, std::uint64_t> sizes;
  for (const auto& [name, inode] : names_) sizes[name] = inode->size;
  return sizes;
}

void SimulatedDisk::flip_bit(const std::string& name, std::uint64_t bit) {
  const MutexLock lock(mutex_);
  Inode& inode = *names_.at(name);
  CAIRN_ASSERT(bit / 8 < inode.size);
  inode.live[bit / 8] = static_cast<char>(inode.live[bit / 8] ^ (1 << (bit % 8)));
}

void SimulatedDisk::truncate(const std::string& name, std::uint64_t size) {
  const MutexLock lock(mutex_);
  names_.at(name)->size = size;
}

Bytes SimulatedDisk::contents(const std::string& name) const {
  const MutexLock lock(mutex_);
  const Inode& inode = *names_.at(name);
  return {inode.live.data(), inode.size};
}

void SimulatedDisk::erase(const std::string& name) {
  const MutexLock lock(mutex_);
  names_.erase(name);
}

void SimulatedDisk::put(const std::string& name, ByteView contents) {
  const MutexLock lock(mutex_);
  auto inode = std::make_shared<Inode>(contents.size());
  std::copy(contents.begin(), contents.end(), inode->live.begin());
  inode->clean = inode->live;
  inode->durable = inode->live;
  names_[name] = inode;
  durable_names_[name] = inode;
}

Result<std::vector<std::string>> SimulatedStorage::list() {
  CAIRN_TRY_VOID(disk_.before(Io::kList, ""));
  const MutexLock lock(disk_.mutex_);
  std::vector<std::string> names;
  names.reserve(disk_.names_.size());
  for (const auto& [name, inode] : disk_.names_) names.push_back(name);
  return names;
}

Result<std::unique_ptr<AppendFile>> SimulatedStorage::create(const std::string& name, std::uint64_t capacity) {
  CAIRN_TRY_VOID(disk_.before(Io::kCreate, name));
  CAIRN_TRY_VOID(check_epoch());
  const MutexLock lock(disk_.mutex_);
  if (disk_.names_.contains(name)) return fail(ErrorCode::kConflict, "the file exists", name);
  if (disk_.creates_fail_) return fail(*disk_.creates_fail_, "creating", name);
  if (disk_.space_used() + capacity > disk_.space_max_) return fail(ErrorCode::kNoSpace, "the disk is full", name);
  auto inode = std::make_shared<SimulatedDisk::Inode>(capacity);
  disk_.names_[name] = inode;
  return std::make_unique<SimulatedAppendFile>(disk_, inode, name);
}

Result<std::unique_ptr<AppendFile>> SimulatedStorage::recycle(const std::string& from, const std::string& to) {
  CAIRN_TRY_VOID(disk_.before(Io::kRecycle, from));
  CAIRN_TRY_VOID(check_epoch());
  const MutexLock lock(disk_.mutex_);
  if (disk_.creates_fail_) return fail(*disk_.creates_fail_, "renaming", from);
  const auto found = disk_.names_.find(from);
  if (found == disk_.names_.end()) return fail(ErrorCode::kNotFound, "no such file", from);
  if (disk_.names_.contains(to)) return fail(ErrorCode::kConflict, "the file exists", to);
  auto inode = found->second;
  disk_.names_.erase(found);
  disk_.names_[to] = inode;
  return std::make_unique<SimulatedAppendFile>(disk_, inode, to);
}

Result<std::shared_ptr<const MappedFile>> SimulatedStorage::open(const std::string& name) {
  CAIRN_TRY_VOID(disk_.before(Io::kOpen, name));
  const MutexLock lock(disk_.mutex_);
  const auto found = disk_.names_.find(name);
  if (found == disk_.names_.end()) return fail(ErrorCode::kNotFound, "no such file", name);
  return std::make_shared<SimulatedMap>(name, found->second);
}

Result<Bytes> SimulatedStorage::read(const std::string& name) {
  CAIRN_TRY_VOID(disk_.before(Io::kRead, name));
  const MutexLock lock(disk_.mutex_);
  const auto found = disk_.names_.find(name);
  if (found == disk_.names_.end()) return fail(ErrorCode::kNotFound, "no such file", name);
  return Bytes(found->second->live.data(), found->second->size);
}

Result<void> SimulatedStorage::publish(const std::string& name, ByteView contents) {
  CAIRN_TRY_VOID(publish_locked(name, contents));
  return {};
}

// Each step of publishing is an I/O of its own, so that a crash can fall between any two.
Result<std::unique_ptr<HeldLock>> SimulatedStorage::publish_locked(const std::string& name, ByteView contents) {
  std::string temporary;
  {
    const MutexLock lock(disk_.mutex_);
    temporary = temporary_name(disk_.random_.next());
  }
  CAIRN_TRY(file, create(temporary, contents.size()));
  std::copy(contents.begin(), contents.end(), file->data());
  if (Result<void> synced = file->sync(contents.size()); !synced) {
    remove(temporary).ignore_error();  // The next open removes temporary files.
    return std::unexpected(synced.error());
  }
  CAIRN_TRY_VOID(disk_.before(Io::kPublish, name));
  CAIRN_TRY_VOID(check_epoch());
  std::unique_ptr<HeldLock> held;
  {
    const MutexLock lock(disk_.mutex_);
    auto inode = disk_.names_.at(temporary);
    disk_.names_.erase(temporary);
    if (disk_.names_.contains(name)) return fail(ErrorCode::kConflict, "the file exists", name);
    disk_.names_[name] = inode;
    inode->locked = true;
    held = std::make_unique<SimulatedLock>(disk_, inode, name);
  }
  CAIRN_TRY_VOID(sync_published_name());
  return held;
}

Result<void> SimulatedStorage::remove(const std::string& name) {
  CAIRN_TRY_VOID(disk_.before(Io::kRemove, name));
  CAIRN_TRY_VOID(check_epoch());
  const MutexLock lock(disk_.mutex_);
  disk_.names_.erase(name);
  return {};
}

Result<void> SimulatedStorage::reclaim(const std::string& name) {
  SimulatedDisk::InodePtr inode;
  {
    const MutexLock lock(disk_.mutex_);
    if (const auto found = disk_.names_.find(name); found != disk_.names_.end()) inode = found->second;
  }
  CAIRN_TRY_VOID(remove(name));
  const MutexLock lock(disk_.mutex_);
  if (inode && !inode->linked) std::ranges::fill(inode->live, '\xdd');  // Whoever reads it all the same notices.
  return {};
}

Result<void> SimulatedStorage::link(const std::string& name, Storage& target) {
  auto& other = dynamic_cast<SimulatedStorage&>(target);
  CAIRN_TRY_VOID(disk_.before(Io::kLink, name));
  CAIRN_TRY_VOID(other.disk_.before(Io::kLink, name));
  CAIRN_TRY_VOID(other.check_epoch());
  SimulatedDisk::InodePtr inode;
  {
    const MutexLock lock(disk_.mutex_);
    const auto found = disk_.names_.find(name);
    if (found == disk_.names_.end()) return fail(ErrorCode::kNotFound, "no such file", name);
    inode = found->second;
    inode->linked = true;
  }
  const MutexLock lock(other.disk_.mutex_);
  if (!other.disk_.names_.emplace(name, inode).second) return fail(ErrorCode::kConflict, "the file exists", name);
  return {};
}

Result<void> SimulatedStorage::sync_names() {
  CAIRN_TRY_VOID(disk_.before(Io::kSyncNames, ""));
  const MutexLock lock(disk_.mutex_);
  disk_.durable_names_ = disk_.names_;
  return {};
}

Result<void> SimulatedStorage::check_epoch() {
  const std::uint64_t epoch = epoch_.load();
  if (epoch == 0) return {};
  {
    const MutexLock lock(disk_.mutex_);
    const bool next_there = disk_.names_.contains(lease_name(epoch + 1));
    if (next_there) return fail(ErrorCode::kLeaseLost, "another owner has taken over the directory", describe());
    if (disk_.names_.contains(lease_name(epoch))) return {};
  }
  return missing_lease(*this, epoch);
}

Result<std::unique_ptr<Storage>> SimulatedStorage::open_beside(const std::string& path, bool create) {
  SimulatedDisk* const disk = create ? &disk_.add_beside(path) : disk_.beside(path);
  if (disk == nullptr) return fail(ErrorCode::kNotFound, "no such disk", path);
  return std::make_unique<SimulatedStorage>(*disk);
}

std::unique_ptr<Lease> SimulatedStorage::make_lease(Clock& clock) { return std::make_unique<FileLease>(*this, *this, clock); }

Result<std::unique_ptr<HeldLock>> SimulatedStorage::try_lock(const std::string& name) {
  const MutexLock lock(disk_.mutex_);
  const auto found = disk_.names_.find(name);
  if (found == disk_.names_.end()) return fail(ErrorCode::kNotFound, "no such file", name);
  if (found->second->locked) return nullptr;
  found->second->locked = true;
  return std::make_unique<SimulatedLock>(disk_, found->second, name);
}

}  // namespace cairn::storage
