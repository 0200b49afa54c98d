// Which versions of each account there are, and where they lie: for almost all accounts one, which is a word of the AccountIndex;
// for those that were stored in several forks that are not rooted yet a small list beside it.
//
// A word has a tag, five more bits of the account's hash; a number for the fork, 0 for all that is not above the root; and the
// place. Nothing that is stored is looked at to put a version in. Two accounts are taken for one if 81 bits of a keyed hash are
// equal, which happens to one of 10^9 stores with 50 million accounts; find() reads the record and reports it.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/published.h"
#include "base/sip_hash.h"
#include "cairn/bytes.h"
#include "forks/account_index.h"
#include "forks/fork_tree.h"
#include "forks/record_key.h"
#include "forks/segment_table.h"

namespace cairn::forks {

/// Of a record that lies at `at`; where the device has failed, of none.
std::uint64_t fork_of(const char* at);
ByteView account_of(const char* at);

class VersionIndex {
 public:
  /// `hash_bits`, of the rest: tests let hashes of accounts meet.
  static Result<std::unique_ptr<VersionIndex>> create(const SegmentTable& segments, Hash128 hash_key, unsigned hash_bits = 64);
  ~VersionIndex();
  VersionIndex(const VersionIndex&) = delete;
  VersionIndex& operator=(const VersionIndex&) = delete;

  struct Stored {
    ByteView key;  // The account's.
    Place place;
  };
  /// What came of it, added to what is there.
  struct Outcome {
    std::vector<Place> stale;      // What lies there counts no more.
    std::vector<Hash128> touched;  // Hashes of accounts that the fork, which is above the root, had no version of.
  };
  /// How versions come.
  enum class Order : std::uint8_t {
    kAscending,  // Each is newer than those there are of its account and fork.
    kAny,        // The write version in their records says which is: recovery reads segments in any order, and in parallel.
  };
  /// Versions of `fork`, which is not below the root; kAny: or an earlier root's. kNoSpace: there are too many accounts; some may
  /// be stored then. kAny: kIo.
  Result<void> store(std::uint64_t fork, std::uint64_t root, std::span<const Stored> versions, Outcome& outcome,
                     Order order = Order::kAscending);

  struct Found {
    Place place;
    std::shared_ptr<const directory::LiveFile> file;  // None: the fork sees no version.
    std::uint64_t seed = 0;                           // Not 0: of the records of a segment that nobody has verified yet.
  };
  /// The newest versions that `path` sees, also if they are erases. kIo; kCorruption: there is another account's record.
  Result<void> find(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const;

  /// For the new root, of accounts by their hashes: versions of forks that are gone (their numbers, ascending) and those that a
  /// newer one hides in all forks, since both are not above the root, count no more; their places are added to `stale`.
  void prune(std::span<const Hash128> accounts, std::span<const std::uint64_t> gone, std::uint64_t root,
             std::vector<Place>& stale);
  /// All accounts were pruned that had versions of `fork`: it is gone, or not above the root, and nobody stores in it.
  void forget(std::uint64_t fork) CAIRN_EXCLUDES(forks_mutex_);
  // Of accounts by their hashes:
  /// Whether the version of the account that lies at `from` was there; it lies at `to` from now on.
  bool move(const Hash128& account, Place from, Place to);
  /// Whether the version that lies at `place` counts.
  [[nodiscard]] bool refers(const Hash128& account, Place place) const;
  /// Takes out the version that lies at `place`, if it counts.
  void drop(const Hash128& account, Place place);
  /// Asks for the memory that any of these will look at.
  void prefetch(const Hash128& account) const { index_->prefetch(key_of(account).hash); }
  [[nodiscard]] Hash128 hash_of(ByteView key) const { return sip_hash(key, hash_key_); }

  struct Version {
    std::uint64_t fork;
    Found at;
  };
  /// Calls `visit` with the versions of each account in part `number` of kParts, the greatest fork first. kIo.
  static constexpr std::size_t kParts = AccountIndex::kRegions;
  using Visitor = std::function<Result<void>(std::span<const Version>)>;
  Result<void> visit(std::size_t number, const Visitor& visit) const;
  /// The same with those of some accounts, by their hashes, that are there.
  Result<void> visit(std::span<const Hash128> accounts, const Visitor& visit) const;

  /// Accounts of a part as they are kept elsewhere: {hash, tag and place}.
  using Plain = std::vector<AccountIndex::Entry>;
  static Place place_of(const AccountIndex::Entry& entry);
  static AccountIndex::Entry with_place(const AccountIndex::Entry& entry, Place place);
  /// Of part `number`: accounts with one version, which is not above the root; and the places of the versions of all others.
  void copy_part(std::size_t number, Plain& plain, std::vector<Place>& others) const;
  /// Before anything is stored: room for so many accounts in each part. False: there is not so much.
  bool reserve(std::uint64_t most) { return index_->reserve(most); }
  /// Puts such accounts into part `number`, in which nothing is stored yet.
  void fill_part(std::size_t number, const Plain& plain) { index_->fill(number, plain); }

  [[nodiscard]] std::uint64_t accounts() const { return index_->size(); }
  /// Of the index and the lists.
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return index_->memory_bytes() + list_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t list_bytes() const { return list_bytes_.load(std::memory_order_relaxed); }
  /// Returns when no reader has a place any more that it took before: what nothing refers to may be taken out of the table then.
  void wait_for_readers() const { readers_.wait_until_left(); }

 private:
  static constexpr std::size_t kBatch = 16;   // Waits for memory are overlapped for so many.
  static constexpr std::size_t kForks = 512;  // That have a number; versions of others stand in lists.
  struct Key {
    AccountIndex::Hash hash;
    std::uint64_t tag;  // In its place in a word.
  };
  struct Placed {
    std::uint64_t fork;
    Place place;
  };
  /// Immutable, the greatest fork first. Freed when it was replaced and readers have left.
  struct List;
  struct Change;

  VersionIndex(const SegmentTable& segments, Hash128 hash_key, unsigned hash_bits, std::unique_ptr<AccountIndex> index);
  [[nodiscard]] Key key_of(ByteView key) const { return key_of(hash_of(key)); }
  [[nodiscard]] Key key_of(Hash128 hash) const;
  Result<void> store_some(std::uint64_t fork, std::uint64_t root, std::span<const Stored> versions, Outcome& outcome,
                          Order order);
  [[nodiscard]] std::uint64_t word_of(const Key& key) const;
  void add_versions(std::uint64_t word, std::vector<Version>& versions) const;
  static Result<void> visit_each(std::span<Version> versions, std::span<const std::size_t> ends, const Visitor& visit);
  template <typename Edit>
  bool edit(const Key& key, std::uint64_t root, Edit edit);
  void put_in(const Placed& placed, std::uint64_t root, Change& change) const;
  Result<void> put_in_any_order(const Placed& placed, std::uint64_t root, Change& change) const;
  static void ask_for(std::span<const Found> found);
  Result<void> find_some(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const;
  [[nodiscard]] std::span<const Placed> versions_of(std::uint64_t word, Placed& alone) const;
  [[nodiscard]] std::uint64_t word_of(std::span<const Placed> versions, std::uint64_t root, std::uint64_t tag);
  [[nodiscard]] std::uint64_t number_of(std::uint64_t fork, std::uint64_t root) CAIRN_EXCLUDES(forks_mutex_);
  static int slot_of(const AccountIndex::Locked& locked, std::uint64_t tag);
  void retire(std::uint64_t word) CAIRN_EXCLUDES(retired_mutex_);

  const SegmentTable& segments_;
  const Hash128 hash_key_;
  const std::uint64_t hash_mask_;
  const std::unique_ptr<AccountIndex> index_;
  mutable Copiers readers_;
  std::atomic<std::uint64_t> list_bytes_{0};
  Mutex retired_mutex_{Rank::kLeaf};
  std::vector<const List*> retired_ CAIRN_GUARDED_BY(retired_mutex_);

  std::array<std::atomic<std::uint64_t>, kForks> forks_{};  // By their numbers. Changed while no word has the number.
  Mutex forks_mutex_{Rank::kLeaf};
  std::unordered_map<std::uint64_t, std::uint64_t> numbers_ CAIRN_GUARDED_BY(forks_mutex_);
  std::vector<std::uint64_t> free_numbers_ CAIRN_GUARDED_BY(forks_mutex_);
};

/// Checks the record of a version that was found, if nobody has. kCorruption, with file and offset; kIo.
Result<void> verify(VersionIndex::Found& found);

}  // namespace cairn::forks
