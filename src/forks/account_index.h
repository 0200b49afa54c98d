// Where the versions of every account are: 16 bytes an account, {keyed hash, word}, in memory. What a word says is its users'
// matter, and so is telling two accounts apart whose 64-bit hashes are equal: keys are not kept here.
//
// The hash space is cut into regions. In each the slots stand in the order of their hashes, as near to where the hash would be in
// an even spread as those before allow (Amble and Knuth, "Ordered hash tables", 1974): a search ends at the first greater hash,
// also where it finds nothing, so that a region can be six sevenths full. A region that is too full gets an eighth more room
// behind it and is spread again, some microseconds of work: there is no moment at which all is moved. Each has its own range of
// addresses, of which the kernel gives memory to what is touched, so that no slot is ever freed under a reader.
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
#include "cairn/result.h"

namespace cairn::forks {

class AccountIndex {
 public:
  /// `region_bytes_max`: of addresses, a multiple of 4 KiB; tests make it small. kNoSpace: the process may not have as many.
  static Result<std::unique_ptr<AccountIndex>> create(std::uint64_t region_bytes_max = kRegionBytes);
  ~AccountIndex();
  AccountIndex(const AccountIndex&) = delete;
  AccountIndex& operator=(const AccountIndex&) = delete;

  /// The word of the `nth` account with this hash; 0: there are no more.
  [[nodiscard]] std::uint64_t find(std::uint64_t hash, unsigned nth = 0) const;
  /// Asks for the memory that find() will look at.
  void prefetch(std::uint64_t hash) const;

  struct Slot {
    std::atomic<std::uint64_t> hash;  // 0: empty.
    std::atomic<std::uint64_t> word;
  };
  struct Region;

  /// The accounts of one hash, nobody else changing them: one region is locked as long as this lives, of those of one thread at
  /// most one.
  class Locked {
   public:
    Locked(AccountIndex& index, std::uint64_t hash) CAIRN_NO_ANALYSIS;
    ~Locked() CAIRN_NO_ANALYSIS;
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    /// As find().
    [[nodiscard]] std::uint64_t get(unsigned nth) const;
    /// Of an account that is there; `word` is not 0.
    void set(unsigned nth, std::uint64_t word) { first_[nth].word.store(word, std::memory_order_release); }
    /// Another account, before those with the same hash. False: the region has no room, which takes billions of accounts.
    [[nodiscard]] bool insert(std::uint64_t word);
    /// Of an account that is there.
    void erase(unsigned nth);

   private:
    AccountIndex& index_;
    Region& region_;
    const std::uint64_t hash_;
    Slot* first_ = nullptr;  // Of the hash, or where it would stand.
  };

  struct Entry {
    std::uint64_t hash;
    std::uint64_t word;
  };
  static constexpr std::size_t kRegions = 4096;
  /// Puts the accounts of region `number` into `entries`, by hash.
  void copy_region(std::size_t number, std::vector<Entry>& entries) const;

  [[nodiscard]] std::uint64_t size() const;
  /// Of slots and regions, in memory once they were touched.
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  static constexpr std::uint64_t kRegionBytes = std::uint64_t{16} << 20;  // 3.6 billion accounts in all.
  AccountIndex(char* memory, std::uint64_t region_bytes_max);
  [[nodiscard]] Region& region_of(std::uint64_t hash) const;
  [[nodiscard]] Slot* slots_of_region(std::size_t number) const;
  [[nodiscard]] Slot* home(std::uint64_t slots, std::uint64_t hash) const;
  [[nodiscard]] Slot* first_of(const Region& region, std::uint64_t hash) const;
  bool resize(std::size_t number, std::uint64_t pages);

  char* const memory_;
  const std::uint64_t region_bytes_max_;
  const std::unique_ptr<std::array<Region, kRegions>> regions_;
};

}  // namespace cairn::forks
