// A lease kept in files. The record is `lease-EPOCH`, created exclusively; renewing rewrites it in place. How the
// rules below follow from what we assume of clocks and locks is argued in docs/guarantees.md.
//
//   * A kernel lock on the record is held as long as the owner's process lives: whoever can take it knows that the
//     owner is dead. It is a shortcut only; an expired lease is taken over whether the lock is held or not.
//   * In one boot of one machine both sides read the same boot clock, so the record carries the time of its renewal.
//   * From another machine the lease has expired when its record did not change for a whole lease time by the
//     observer's own clock.
//   * Records are deleted oldest first, so "mine is there and the next one is not" proves that nobody came after.
//   * Expired is not lost: an owner that was stopped past its time renews, if its epoch is still the greatest. Someone
//     taking over may have judged the lease expired just before, so it reads the old record once more after it published its
//     own: if the old owner renewed in between, the new one waits until that renewal has run out. It cannot be renewed again,
//     because a renewal looks for greater epochs after it is written and counts only if there is none.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/bytes.h"
#include "storage/lease.h"

namespace cairn::storage {

class Storage;

/// A held kernel lock on a small file; released when destroyed or when the process dies.
class HeldLock {
 public:
  virtual ~HeldLock() = default;
  /// Overwrites the file in place and makes it durable, through the descriptor that holds the lock: a process that is short
  /// of descriptors can still renew. `contents` is as long as the file.
  virtual Result<void> rewrite(ByteView contents) = 0;
};

/// What a FileLease needs beyond Storage.
class LeaseFiles {
 public:
  virtual ~LeaseFiles() = default;
  /// The lock on `name`, or nullptr if another living process holds it.
  virtual Result<std::unique_ptr<HeldLock>> try_lock(const std::string& name) = 0;
  /// Storage::publish with the lock on the new file held from before anyone can see it.
  virtual Result<std::unique_ptr<HeldLock>> publish_locked(const std::string& name, ByteView contents) = 0;
  /// {name of this machine, id of its current boot}.
  struct Machine {
    std::string host;
    std::string boot;
  };
  virtual Machine machine() = 0;
};

struct LeaseRecord {
  std::string owner;
  std::string host;
  std::string boot;
  std::int64_t pid = 0;
  std::int64_t started_wall_ms = 0;
  std::uint64_t epoch = 0;
  std::int64_t lease_ms = 0;
  std::int64_t renewed_boot_ms = 0;
  std::uint64_t renewals = 0;
  bool released = false;
};

/// As lines of `name = value`, padded to 512 bytes (one sector), the last line a checksum.
Bytes encode_lease(const LeaseRecord& record);
Result<LeaseRecord> decode_lease(ByteView text, const std::string& file);

/// "lease-EPOCH", or the epoch in such a name.
std::string lease_name(std::uint64_t epoch);
std::optional<std::uint64_t> lease_epoch(const std::string& name);
/// Why the record of `epoch` is gone: kLeaseLost, later owners came and deleted it; kReadOnly, another program did.
Result<void> missing_lease(Storage& storage, std::uint64_t epoch);

class FileLease final : public Lease {
 public:
  FileLease(Storage& storage, LeaseFiles& files, Clock& clock) : storage_(storage), files_(files), clock_(clock) {}
  ~FileLease() override { release(); }

  Result<std::uint64_t> acquire(const std::string& owner, std::int64_t lease_ms, std::uint64_t epoch_above = 0) override;
  Result<void> wait_until_free() override;
  Result<void> renew() override CAIRN_EXCLUDES(mutex_);
  Result<void> check() override;
  Result<void> check_time() override;
  void release() override CAIRN_EXCLUDES(mutex_);

 private:
  Result<std::optional<Bytes>> ensure_free(const std::string& name);
  Result<bool> let_run_out(const std::string& name, const std::optional<Bytes>& judged);
  Result<std::vector<std::uint64_t>> epochs();

  Storage& storage_;
  LeaseFiles& files_;
  Clock& clock_;
  Mutex mutex_{Rank::kLease};
  LeaseRecord record_ CAIRN_GUARDED_BY(mutex_);
  std::unique_ptr<HeldLock> lock_ CAIRN_GUARDED_BY(mutex_);  // None: not acquired, or released.
  std::atomic<std::int64_t> ends_boot_ms_{0};                // 0: not held.
};

}  // namespace cairn::storage
