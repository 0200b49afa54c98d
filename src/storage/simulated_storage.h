// A disk in memory that does the worst that docs/guarantees.md allows a disk to do, from a seed.
//
// A SimulatedDisk is the hardware; each SimulatedStorage on it is one process. What was written but not synced is
// decided at crashed(): any subset of changed 4 KiB pages survives, some torn at 512 bytes; of names created or
// removed since the last sync_names() any subset. After a failed sync the pages read well and are not on disk.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "storage/file_lease.h"
#include "storage/storage.h"

namespace cairn::storage {

enum class Io : std::uint8_t {
  kList,
  kCreate,
  kRecycle,
  kOpen,
  kRead,
  kPublish,
  kRemove,
  kSyncNames,
  kWrite,
  kSync,
  kFinish,
  kRewrite,
  kLink
};

class SimulatedDisk {
 public:
  explicit SimulatedDisk(std::uint64_t seed) : random_(seed) {}

  /// Called before each I/O, with its running number; an error it returns is injected: the I/O fails with it, a
  /// failing sync with all its consequences. May use other disks, sleep (a slow disk), or let another process run.
  using Hook = std::function<Result<void>(Io io, const std::string& name, std::uint64_t number)>;
  void set_hook(Hook hook) { hook_ = std::move(hook); }
  [[nodiscard]] std::uint64_t io_count() const { return io_count_.load(); }

  /// Another disk of this machine: it crashes with this one, and its I/O counts, and calls the hook, as this one's. Null: there
  /// is none by that name.
  [[nodiscard]] SimulatedDisk* beside(const std::string& path) const CAIRN_EXCLUDES(mutex_);
  SimulatedDisk& add_beside(const std::string& path) CAIRN_EXCLUDES(mutex_);
  /// Takes it off, with all that is on it.
  void remove_beside(const std::string& path) CAIRN_EXCLUDES(mutex_);

  /// Room for at most this many bytes of files; creating beyond it is kNoSpace.
  void set_space_max(std::uint64_t bytes) { space_max_ = bytes; }

  /// What creating a file fails with from now on, on this disk alone, as on one that is read-only or failing; none: it does not.
  void fail_creates(std::optional<ErrorCode> code) { creates_fail_ = code; }

  /// The disk as a new machine finds it after a power cut at this moment; `seed` picks what survived. This disk
  /// stays as it is.
  [[nodiscard]] std::unique_ptr<SimulatedDisk> crashed(std::uint64_t seed) const;
  /// The disk after all processes were killed: nothing that was written is lost.
  [[nodiscard]] std::unique_ptr<SimulatedDisk> killed() const;

  /// For tests that damage files, as the next open sees them.
  [[nodiscard]] std::map<std::string, std::uint64_t> file_sizes() const;
  void flip_bit(const std::string& name, std::uint64_t bit);
  void truncate(const std::string& name, std::uint64_t size);
  [[nodiscard]] Bytes contents(const std::string& name) const;
  void erase(const std::string& name);
  void put(const std::string& name, ByteView contents);

 private:
  friend class SimulatedStorage;
  friend class SimulatedAppendFile;
  friend class SimulatedMap;
  friend class SimulatedLock;
  struct Inode {
    explicit Inode(std::uint64_t capacity);
    std::vector<char> live;     // What every process reads. Never resized: maps point into it.
    std::vector<char> clean;    // What the kernel believes to be on disk.
    std::vector<char> durable;  // What is on disk.
    std::uint64_t size;         // Of live; durable has its own.
    std::atomic<bool> bad{false};
    bool locked = false;
    std::atomic<bool> linked{false};  // It got another name once, perhaps on another disk.
  };
  using InodePtr = std::shared_ptr<Inode>;

  Result<void> before(Io io, const std::string& name);
  void sync_inode(Inode& inode, std::uint64_t upto, bool failing) CAIRN_REQUIRES(mutex_);
  [[nodiscard]] std::uint64_t space_used() const CAIRN_REQUIRES(mutex_);
  static std::unique_ptr<SimulatedDisk> with_files(std::uint64_t seed, std::map<std::string, InodePtr> names);
  template <typename Copy>
  void copy_beside_to(SimulatedDisk& disk, Copy copy) const CAIRN_EXCLUDES(mutex_);
  static InodePtr survivor(const Inode& inode, Random& random);

  Hook hook_;
  SimulatedDisk* hooks_of_ = this;
  std::atomic<std::uint64_t> io_count_{0};
  std::atomic<std::uint64_t> space_max_{~std::uint64_t{0}};
  std::optional<ErrorCode> creates_fail_;
  mutable Mutex mutex_{Rank::kLeaf};
  Random random_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, InodePtr> names_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, InodePtr> durable_names_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<SimulatedDisk>> beside_ CAIRN_GUARDED_BY(mutex_);
};

/// One process's door to a SimulatedDisk, which must outlive it.
class SimulatedStorage final : public Storage, public LeaseFiles {
 public:
  explicit SimulatedStorage(SimulatedDisk& disk) : disk_(disk) {}

  [[nodiscard]] std::string describe() const override { return "simulated disk"; }
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
  Result<std::unique_ptr<Storage>> open_beside(const std::string& path, bool create) override;
  void set_epoch(std::uint64_t epoch) override { epoch_ = epoch; }
  Result<void> check_epoch() override;
  std::unique_ptr<Lease> make_lease(Clock& clock) override;

  Result<std::unique_ptr<HeldLock>> try_lock(const std::string& name) override;
  Result<std::unique_ptr<HeldLock>> publish_locked(const std::string& name, ByteView contents) override;
  Machine machine() override { return machine_; }
  /// Puts this process on another machine.
  void set_machine(const Machine& machine) { machine_ = machine; }

 private:
  SimulatedDisk& disk_;
  std::atomic<std::uint64_t> epoch_{0};
  Machine machine_{.host = "simulated", .boot = "simulated"};
};

}  // namespace cairn::storage
