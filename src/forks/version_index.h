// Which versions of each account there are, and where they lie: for almost all accounts one, whose place is a word of the
// AccountIndex; for those that were stored in several forks that are not rooted yet a small list beside it.
//
// Of two versions of an account in one fork the one with the greater write version counts, in whatever order they come: recovery
// reads segments in any order and in parallel.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/mutex.h"
#include "base/published.h"
#include "cairn/bytes.h"
#include "forks/account_index.h"
#include "forks/fork_tree.h"
#include "forks/segment_table.h"

namespace cairn::forks {

inline constexpr std::size_t kAccountKeyBytes = 32;
/// What the record of a version has as its key: fork, big-endian, then the account's key.
inline constexpr std::size_t kRecordKeyBytes = 8 + kAccountKeyBytes;
/// Of a record that lies at `at`.
std::uint64_t fork_of(const char* at);
ByteView account_of(const char* at);

class VersionIndex {
 public:
  /// `hash_bits`: that differ; tests let hashes of accounts meet.
  static Result<std::unique_ptr<VersionIndex>> create(const SegmentTable& segments, std::uint64_t hash_seed,
                                                      unsigned hash_bits = 64);
  ~VersionIndex();
  VersionIndex(const VersionIndex&) = delete;
  VersionIndex& operator=(const VersionIndex&) = delete;

  struct Stored {
    ByteView key;  // The account's.
    Place place;
    Place stale{};       // Set by store(): what counts no more, if anything; it may be `place` itself.
    bool first = false;  // Likewise: it is the first of the account in its fork.
  };
  /// Versions of `fork`, whose records are there already. kIo: a segment that must be looked into cannot be read; kNoSpace: there
  /// are too many accounts. Some may be stored then.
  Result<void> store(std::uint64_t fork, std::span<Stored> versions);

  struct Found {
    Place place;
    std::shared_ptr<const directory::LiveFile> file;  // None: the fork sees no version.
  };
  /// The newest versions that `path` sees, also if they are erases. kIo.
  Result<void> find(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const;

  /// Versions of forks that are gone (`gone` of them, ascending) and those that a newer one hides in all forks, since both are
  /// not above the root, count no more: they are added to `stale`. kIo.
  Result<void> prune(ByteView key, std::span<const std::uint64_t> gone, std::uint64_t root, std::vector<Place>& stale);
  /// Whether the version of `fork` still lay at `from`, and lies at `to` from now on. kIo.
  Result<bool> move(ByteView key, std::uint64_t fork, Place from, Place to);

  struct Version {
    std::uint64_t fork;
    Found at;
  };
  /// Calls `visit` with the versions of each account in part `number` of kParts, the greatest fork first. kIo.
  static constexpr std::size_t kParts = AccountIndex::kRegions;
  Result<void> visit(std::size_t number, const std::function<Result<void>(std::span<const Version>)>& visit) const;

  [[nodiscard]] std::uint64_t accounts() const { return index_->size(); }
  /// Of the index and the lists.
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return index_->memory_bytes() + list_bytes_.load(std::memory_order_relaxed);
  }
  /// Returns when no reader has a place any more that it took before: what nothing refers to may be taken out of the table then.
  void wait_for_readers() CAIRN_EXCLUDES(retired_mutex_);

 private:
  /// Immutable, the greatest fork first; several. Freed when it was replaced and readers have left.
  struct List;
  struct Placed {
    std::uint64_t fork;
    Place place;
  };
  static constexpr std::uint64_t kIsList = std::uint64_t{1} << 63;
  static constexpr std::size_t kBatch = 16;  // Waits for memory are overlapped for so many.

  VersionIndex(const SegmentTable& segments, std::uint64_t hash_seed, unsigned hash_bits, std::unique_ptr<AccountIndex> index);
  [[nodiscard]] std::uint64_t hash_of(ByteView key) const { return xxh3(key, hash_seed_) & hash_mask_; }
  Result<void> store_some(std::uint64_t fork, std::span<Stored> versions);
  Result<void> find_some(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const;
  /// Which one of those of its hash an account is; nullopt: none.
  Result<std::optional<unsigned>> slot_of(const AccountIndex::Locked& locked, ByteView key) const;
  Result<bool> is_at(Place place, ByteView key) const;
  [[nodiscard]] std::span<const Placed> versions_of(std::uint64_t word, Placed& alone) const;
  std::uint64_t word_of(std::span<const Placed> versions);
  void retire(std::uint64_t word) CAIRN_EXCLUDES(retired_mutex_);
  void prefetch_key(std::uint64_t word) const;

  const SegmentTable& segments_;
  const std::uint64_t hash_seed_;
  const std::uint64_t hash_mask_;
  const std::unique_ptr<AccountIndex> index_;
  Copiers readers_;
  std::atomic<std::uint64_t> list_bytes_{0};
  Mutex retired_mutex_{Rank::kLeaf};
  std::vector<const List*> retired_ CAIRN_GUARDED_BY(retired_mutex_);
};

}  // namespace cairn::forks
