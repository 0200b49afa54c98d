// The state of accounts over forks: from a 32-byte account key to any bytes, for a tree of possible states.
// To use it, read this file. To change it, start at docs/paths.md.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/export.h"
#include "cairn/result.h"
#include "cairn/stats.h"
#include "cairn/write.h"

namespace cairn {

namespace forks {
class ForkStoreImpl;
class Writer;
struct OpenAccount;
}  // namespace forks

inline constexpr std::size_t kAccountKeyBytes = 32;  ///< An account key has so many bytes, no more and no less.
/// The number of a fork: 0 to 2^62 - 1. Greater than its parent's.
using ForkNumber = std::uint64_t;

struct CAIRN_API ForkStoreOptions {
  bool create_if_missing = true;
  /// Of background work, 0: as fast as it goes.
  std::uint64_t job_bytes_per_s_max = 0;
};

/// What one account becomes; borrows its bytes.
struct CAIRN_API AccountUpdate {
  ByteView key = {};
  ByteView value = {};  ///< Any bytes, also none.
  bool erase = false;   ///< There is no account of this key any more in the fork; `value` is not looked at.
};

struct CAIRN_API StoreOptions {
  Durability durability = Durability::kDisk;
};

struct CAIRN_API ForkInfo {
  ForkNumber number = 0;
  ForkNumber parent = 0;  ///< Of the root: its own number.
  bool frozen = false;
  std::uint64_t accounts_changed = 0;  ///< That have a version of this fork; 0 for the root, where all are.
};

/// An account that is being changed in place (ForkStore::get_mut()). Moves only. Nobody else may read or change the account in
/// this fork as long as it lives; changes count at once in this process, and are stored with the next sync() or freeze() of the
/// fork after it is gone.
class CAIRN_API MutableAccount {
 public:
  MutableAccount(std::span<char> bytes, std::shared_ptr<forks::OpenAccount> account);
  MutableAccount(MutableAccount&& other) noexcept;
  MutableAccount& operator=(MutableAccount&& other) noexcept;
  ~MutableAccount();
  [[nodiscard]] std::span<char> bytes() const { return bytes_; }

 private:
  std::span<char> bytes_;
  std::shared_ptr<forks::OpenAccount> account_;
};

/// One who stores in segments of its own, so that several store at once without waiting for each other. Moves only; one thread at
/// a time. Must be gone before the Database is closed.
class CAIRN_API ForkWriter {
 public:
  explicit ForkWriter(std::shared_ptr<forks::ForkStoreImpl> store, std::shared_ptr<forks::Writer> writer);
  ForkWriter(ForkWriter&&) noexcept;
  ForkWriter& operator=(ForkWriter&&) noexcept;
  ~ForkWriter();
  /// As ForkStore::store().
  Result<WriteVersion> store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options = {});

 private:
  std::shared_ptr<forks::ForkStoreImpl> store_;
  std::shared_ptr<forks::Writer> writer_;
};

/// Of all accounts of a fork: two forks with the same accounts have the same, in whatever order these were stored. The sum of a
/// 256-bit hash of each (as LtHash adds: Bellare and Micciancio, "A new paradigm for collision-free hashing", 1997, but of XXH3):
/// it tells damage, and not what somebody has made to look the same.
struct CAIRN_API StateHash {
  std::array<std::uint64_t, 4> words{};
  bool operator==(const StateHash&) const = default;
  /// 64 hexadecimal digits.
  [[nodiscard]] std::string to_string() const;
};

/// Called with an account; `return {};` goes on, an error ends the walk with it. `key` is valid during the call; `value` may be
/// kept.
using AccountVisitor = std::function<Result<void>(ByteView key, const Pinned& value)>;
/// Called with an account that two forks see differently; nullopt: that fork sees none.
using DifferenceVisitor =
    std::function<Result<void>(ByteView key, const std::optional<Pinned>& in_a, const std::optional<Pinned>& in_b)>;

struct CAIRN_API DriveStats {
  std::string path = {};
  std::uint64_t segments = 0;  ///< Of one fork store.
  std::uint64_t bytes = 0;     ///< Of their records, live or stale.
  std::string error = {};      ///< Why new segments are on other drives at the moment; empty: they are not.
};

struct CAIRN_API ForkStoreStats {
  std::vector<ForkInfo> forks = {};
  std::uint64_t accounts = 0;     ///< Of all forks, each once; those that were erased as long as that has to be remembered.
  std::uint64_t index_bytes = 0;  ///< Of memory: it grows with the accounts, not within the memory budget.
  std::uint64_t open_bytes = 0;   ///< Of accounts that are changed in place, in memory until their fork is synced.
  std::uint64_t segments = 0;
  std::uint64_t segment_bytes = 0;      ///< Of their records, live or stale.
  std::uint64_t live_bytes = 0;         ///< Of records that a fork sees, as far as it has been counted.
  std::vector<DriveStats> drives = {};  ///< The directory itself, and further drives.
  std::uint64_t purged_remembered = 0;  ///< Purged forks that segments still have records of.
  std::uint64_t writes = 0;             ///< Batches since open, as are all counts below.
  std::uint64_t written_bytes = 0;      ///< Keys and values.
  std::uint64_t log_bytes = 0;
  std::uint64_t moved_bytes = 0;  ///< By the collector.
  std::uint64_t segments_reclaimed = 0;
  std::uint64_t syncs = 0;
  std::vector<JobStats> jobs = {};             ///< Of the process.
  std::vector<std::string> open_reports = {};  ///< What opening had to leave out.
  std::string write_state = {};                ///< Empty, or why nothing can be written.
  std::vector<std::string> job_errors = {};    ///< Why background work stands still, until it goes on; with file and offset.
};

/// A named fork store of an open Database. A handle: cheap to copy, safe to use from any thread, valid as long as the Database it
/// came from. A new one has one fork, 0, which is its root.
///
/// A fork sees what was stored in it and in its ancestors. Two calls that change one account in one fork must not overlap: which
/// of them counts is not said, and may be another after the next open. Readers wait for nobody. They may see a part of a batch
/// while it is being stored: who wants all or nothing reads a frozen fork.
class CAIRN_API ForkStore {
 public:
  explicit ForkStore(std::shared_ptr<forks::ForkStoreImpl> impl) : impl_(std::move(impl)) {}

  /// Makes a fork below `parent`, and freezes `parent` for good. On disk when it returns. Errors: kConflict, there is a fork of
  /// this number; kNotFound, there is no such parent; kInvalidArgument, the number is not above the parent's; others as freeze().
  Result<void> create_fork(ForkNumber fork, ForkNumber parent);
  /// Nothing can be stored in `fork` any more. All that was is on disk when it returns. Errors: kNotFound; kConflict, one of its
  /// accounts is being changed in place; kNoSpace, kTimeout: try again; kLeaseLost; kReadOnly.
  Result<void> freeze(ForkNumber fork);
  /// All that was stored in `fork` is on disk when it returns, also what was changed in place. Errors as freeze().
  Result<void> sync(ForkNumber fork);
  /// Makes `fork` the root: what its ancestors hold can no longer be undone, and every fork that does not descend from it is
  /// purged. `fork` need not be frozen, and stays as it is. Takes time in proportion to the accounts that changed above the old
  /// root. Errors as freeze().
  Result<void> set_root(ForkNumber fork);
  /// Reverses `fork` and all its descendants, as if they never were; their numbers may be given again. Errors as freeze(), and
  /// kInvalidArgument: it is the root.
  Result<void> purge(ForkNumber fork);
  /// All forks, by their numbers; the first is the root.
  [[nodiscard]] std::vector<ForkInfo> list() const;

  /// Stores all of `batch`, such as std::array<AccountUpdate, 2>, in `fork` or none, and returns the write version of its last.
  /// Of two updates of one account the later counts. Readers see the batch once it has the durability of `options`. Errors:
  /// kNotFound, there is no such fork; kInvalidArgument, it is frozen, a key has not 32 bytes, or the batch takes more than 1
  /// GiB; kNoSpace, kTimeout: nothing was stored, try again; kLeaseLost; kReadOnly, as Table::write().
  Result<WriteVersion> store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options = {});
  Result<WriteVersion> store(ForkNumber fork, ByteView key, ByteView value, const StoreOptions& options = {});
  Result<WriteVersion> erase(ForkNumber fork, ByteView key, const StoreOptions& options = {});
  /// kUnavailable: there are 64 already.
  Result<ForkWriter> writer();

  /// The account as `fork` sees it; nullopt: there is none. As long as the forks are a single line, a number that was never given
  /// stands for the greatest fork below it (a chain need not make a fork for every block); so in all functions that read, and not
  /// in those that store. A fork that was purged is kNotFound. The value is a view of mapped bytes that stays valid as long as
  /// the Pinned is held. Errors: kNotFound, there is no such fork, or it lies below the root; kInvalidArgument; kCorruption, with
  /// file and offset; kIo.
  [[nodiscard]] Result<std::optional<Pinned>> load(ForkNumber fork, ByteView key) const;
  /// load() of each key: sooner than one by one, as memory is waited for together.
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> load_many(ForkNumber fork, std::span<const ByteView> keys) const;

  /// All accounts that `fork` sees, in no order, lie in so many parts of about the same size, which threads may share.
  static constexpr std::size_t kParts = 4096;
  /// Calls `visit` with those of part `part`, below kParts. Of a fork that is not frozen some that are stored meanwhile may be
  /// left out. Errors as load(), and those of `visit`.
  Result<void> scan(ForkNumber fork, std::size_t part, const AccountVisitor& visit) const;
  /// Of all parts.
  Result<void> scan(ForkNumber fork, const AccountVisitor& visit) const;
  /// Calls `visit` with each account that `a` and `b` see differently, in no order. Takes time in proportion to what changed in
  /// forks that only one of them sees. Errors as load(), and those of `visit`.
  Result<void> diff(ForkNumber a, ForkNumber b, const DifferenceVisitor& visit) const;
  /// Reads all accounts of `fork`, with two threads. Errors as load().
  [[nodiscard]] Result<StateHash> state_hash(ForkNumber fork) const;

  /// The account as `fork` sees it, to be changed in place; nullopt: there is none. Its size stays. Until the fork is synced or
  /// frozen the changes are in memory alone: a crash gives the fork back as it was synced last. Errors: as store(), and
  /// kConflict, it is being changed already.
  Result<std::optional<MutableAccount>> get_mut(ForkNumber fork, ByteView key);

  [[nodiscard]] ForkStoreStats stats() const;

 private:
  std::shared_ptr<forks::ForkStoreImpl> impl_;
};

}  // namespace cairn
