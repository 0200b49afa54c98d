// Where the versions of every account are: 16 bytes an account, {keyed hash, word}, in memory. What a word says is its users'
// matter, and so is telling two accounts apart whose hashes are equal: keys are not kept here.
//
// The hash space is cut into regions. In each the slots stand in the order of their hashes, as near to where the hash would be in
// an even spread as those before allow (Amble and Knuth, "Ordered hash tables", 1974): a search ends at the first greater hash,
// also where it finds nothing, so that a region can be eleven twelfths full.
//
// Regions lie side by side, in huge pages. When one is full, all get an eighth more room (small ones twice as much): they move,
// one after the other, to another area, each taking some microseconds and each with the memory behind it given back; whoever adds
// accounts moves some. Where most is erased, who erases moves all of what is left to less room. Both areas keep their addresses
// for good, so that no slot is ever unmapped under a reader.
//
// Readers take no lock. They begin again if slots of their region were moved meanwhile (a seqlock); a word that changes in its
// place they see as it was or as it is.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/sip_hash.h"
#include "cairn/result.h"

namespace cairn::forks {

class AccountIndex {
 public:
  /// `area_bytes`: of addresses, a multiple of 2 MiB; tests make it small. kNoSpace: the process may not have as many.
  static Result<std::unique_ptr<AccountIndex>> create(std::uint64_t area_bytes = kAreaBytes);
  ~AccountIndex();
  AccountIndex(const AccountIndex&) = delete;
  AccountIndex& operator=(const AccountIndex&) = delete;

  static constexpr std::size_t kRegions = 4096;
  struct Hash {
    std::uint32_t region;  // Below kRegions.
    std::uint64_t rest;    // In it; not 0.
    static Hash of(const Hash128& hash) {
      return {.region = static_cast<std::uint32_t>(hash.high % kRegions), .rest = hash.low + (hash.low == 0 ? 1 : 0)};
    }
  };

  /// The word of the `nth` account with this hash; 0: there are no more.
  [[nodiscard]] std::uint64_t find(Hash hash, unsigned nth = 0) const;
  /// Asks for the memory that find() will look at.
  void prefetch(Hash hash) const;

  struct Slot {
    std::atomic<std::uint64_t> hash;  // Its rest; 0: empty.
    std::atomic<std::uint64_t> word;
  };
  struct Shape;  // Of a region.

  /// The accounts of one hash, nobody else changing them: one region is locked as long as this lives, of those of one thread at
  /// most one.
  class Locked {
   public:
    Locked(AccountIndex& index, Hash hash);
    ~Locked();
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    /// As find().
    [[nodiscard]] std::uint64_t get(unsigned nth) const;
    /// Of an account that is there; `word` is not 0.
    void set(unsigned nth, std::uint64_t word) { first_[nth].word.store(word, std::memory_order_release); }
    /// Another account, before those with the same hash. False: there is no room, which takes billions of accounts.
    [[nodiscard]] bool insert(std::uint64_t word);
    /// Of an account that is there. The others of this hash are looked up anew.
    void erase(unsigned nth);

   private:
    [[nodiscard]] bool is_full() const;
    AccountIndex& index_;
    const Hash hash_;
    Shape& shape_;
    bool moves_another_ = false;
    bool has_less_ = false;
    Slot* first_ = nullptr;  // Of the hash, or where it would stand.
  };

  struct Entry {
    std::uint64_t hash;  // Its rest.
    std::uint64_t word;
  };
  /// Makes room for `most` accounts in each region; of an index in which nothing is. False: there is not so much.
  bool reserve(std::uint64_t most) CAIRN_EXCLUDES(moves_mutex_);
  /// Puts accounts, by hash, into region `number`, which has none and has room for them.
  void fill(std::size_t number, const std::vector<Entry>& entries);
  /// Puts the accounts of region `number` into `entries`, by hash.
  void copy_region(std::size_t number, std::vector<Entry>& entries) const;

  [[nodiscard]] std::uint64_t size() const;
  /// Of slots and regions, in memory once they were touched.
  [[nodiscard]] std::uint64_t memory_bytes() const CAIRN_EXCLUDES(moves_mutex_);

 private:
#if defined(__SANITIZE_THREAD__)
  static constexpr std::uint64_t kAreaBytes = std::uint64_t{256} << 20;  // It notes something for every byte that is mapped.
#else
  static constexpr std::uint64_t kAreaBytes = std::uint64_t{64} << 30;  // 3.6 billion accounts.
#endif
  struct Area {
    Slot* slots = nullptr;
    std::atomic<std::uint32_t> region_slots{0};  // Changed while no region is in it.
  };

  AccountIndex(char* memory, std::uint64_t area_bytes);
  [[nodiscard]] Slot* slots_of(const Shape& shape, std::size_t number) const;
  [[nodiscard]] Slot* home(Hash hash) const;
  [[nodiscard]] Slot* first_of(Hash hash) const;
  [[nodiscard]] std::uint64_t region_slots(const Shape& shape) const;
  void take_entries(std::size_t number, std::vector<Entry>& entries) const;
  void spread(std::size_t number, std::uint32_t area, const std::vector<Entry>& entries, std::uint32_t crowding);

  // Moving.
  bool make_room(std::size_t number) CAIRN_EXCLUDES(moves_mutex_);
  void make_less() CAIRN_EXCLUDES(moves_mutex_);
  void move_another() CAIRN_EXCLUDES(moves_mutex_);
  bool begin_moves(std::uint64_t region_slots) CAIRN_REQUIRES(moves_mutex_);
  void move_next() CAIRN_REQUIRES(moves_mutex_);
  void move(std::size_t number) CAIRN_REQUIRES(moves_mutex_);

  char* const memory_;
  const std::uint64_t area_bytes_;
  std::array<Area, 2> areas_;
  const std::unique_ptr<std::array<Shape, kRegions>> shapes_;

  mutable Mutex moves_mutex_{Rank::kMoves};
  std::atomic<std::uint32_t> move_every_{0};  // So many accounts that come; 0: nothing moves.
  std::atomic<std::uint32_t> target_{0};      // The area that regions move to, or moved to. Changed under the mutex.
  std::size_t moved_ CAIRN_GUARDED_BY(moves_mutex_) = kRegions;
  std::vector<Entry> buffer_ CAIRN_GUARDED_BY(moves_mutex_);
};

}  // namespace cairn::forks
