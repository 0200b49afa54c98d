#include "forks/account_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/error.h"
#include "base/reached.h"

namespace cairn::forks {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kPageSlots = kPageBytes / sizeof(AccountIndex::Slot);
constexpr unsigned kRegionBits = 12;
static_assert(std::size_t{1} << kRegionBits == AccountIndex::kRegions);

// Slots at the end of the last page that are nobody's place: those before them may have to give way that far.
constexpr std::uint64_t kSpareSlots = 32;
constexpr std::uint64_t slots_of(std::uint64_t pages) { return pages == 0 ? 0 : pages * kPageSlots - kSpareSlots; }
constexpr std::uint64_t filled_max(std::uint64_t slots) { return slots / 7 * 6; }
constexpr std::uint64_t more_pages(std::uint64_t pages) { return pages + std::max<std::uint64_t>(pages / 8, 1); }
constexpr int kSpins = 100;

constexpr std::size_t region_number(std::uint64_t hash) { return hash >> (64 - kRegionBits); }

}  // namespace

struct alignas(64) AccountIndex::Region {
  Mutex mutex{Rank::kLeaf};
  std::atomic<std::uint32_t> moves{0};  // Odd: slots are being moved.
  std::atomic<std::uint32_t> pages{0};
  std::atomic<std::uint32_t> filled{0};  // Changed under the mutex.

  /// Slots are about to be moved, and then were.
  void begin_move() { moves.store(moves.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  void end_move() { moves.store(moves.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
};

namespace {
// While slots are moved: each store is seen only by who sees begin_move() too.
void put(AccountIndex::Slot& slot, std::uint64_t hash, std::uint64_t word) {
  slot.hash.store(hash, std::memory_order_release);
  slot.word.store(word, std::memory_order_release);
}
void copy(const AccountIndex::Slot& from, AccountIndex::Slot& to) {
  put(to, from.hash.load(std::memory_order_relaxed), from.word.load(std::memory_order_relaxed));
}
}  // namespace

Result<std::unique_ptr<AccountIndex>> AccountIndex::create(std::uint64_t region_bytes_max) {
  const std::uint64_t bytes = kRegions * region_bytes_max + kPageBytes;  // A search in what is being moved ends behind it.
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return system_error(errno, "reserving addresses for an index of accounts");
  return std::unique_ptr<AccountIndex>(new AccountIndex(static_cast<char*>(memory), region_bytes_max));
}

AccountIndex::AccountIndex(char* memory, std::uint64_t region_bytes_max)
    : memory_(memory), region_bytes_max_(region_bytes_max), regions_(std::make_unique<std::array<Region, kRegions>>()) {}

AccountIndex::~AccountIndex() { munmap(memory_, kRegions * region_bytes_max_ + kPageBytes); }

AccountIndex::Region& AccountIndex::region_of(std::uint64_t hash) const { return (*regions_)[region_number(hash)]; }

AccountIndex::Slot* AccountIndex::slots_of_region(std::size_t number) const {
  return reinterpret_cast<Slot*>(memory_ + number * region_bytes_max_);
}

/// Where `hash` would stand if it had no neighbours.
AccountIndex::Slot* AccountIndex::home(std::uint64_t slots, std::uint64_t hash) const {
  __extension__ using Wide = unsigned __int128;
  return slots_of_region(region_number(hash)) + static_cast<std::uint64_t>((Wide{hash << kRegionBits} * slots) >> 64);
}

AccountIndex::Slot* AccountIndex::first_of(const Region& region, std::uint64_t hash) const {
  Slot* slot = home(slots_of(region.pages.load(std::memory_order_relaxed)), hash);
  // An empty one ends it as a greater one does.
  while (slot->hash.load(std::memory_order_acquire) - 1 < hash - 1) ++slot;
  return slot;
}

std::uint64_t AccountIndex::find(std::uint64_t hash, unsigned nth) const {
  hash += hash == 0 ? 1 : 0;
  Region& region = region_of(hash);
  for (int spins = 0; spins < kSpins; ++spins) {
    const std::uint32_t before = region.moves.load(std::memory_order_acquire);
    if ((before & 1U) != 0) {
      __builtin_ia32_pause();
      continue;
    }
    const Slot* const slot = first_of(region, hash) + nth;
    std::uint64_t word = slot->word.load(std::memory_order_acquire);
    if (slot->hash.load(std::memory_order_acquire) != hash) word = 0;
    if (region.moves.load(std::memory_order_relaxed) == before) return word;
  }
  // Whoever moves them may have lost the processor.
  const MutexLock lock(region.mutex);
  const Slot* const slot = first_of(region, hash) + nth;
  return slot->hash.load(std::memory_order_relaxed) == hash ? slot->word.load(std::memory_order_relaxed) : 0;
}

void AccountIndex::prefetch(std::uint64_t hash) const {
  const Region& region = region_of(hash);
  const Slot* const slot = home(slots_of(region.pages.load(std::memory_order_relaxed)), hash);
  __builtin_prefetch(slot);
  __builtin_prefetch(slot + 4);
}

AccountIndex::Locked::Locked(AccountIndex& index, std::uint64_t hash)
    : index_(index), region_(index.region_of(hash)), hash_(hash == 0 ? 1 : hash) {
  region_.mutex.lock();
  first_ = index_.first_of(region_, hash_);
}

AccountIndex::Locked::~Locked() { region_.mutex.unlock(); }

std::uint64_t AccountIndex::Locked::get(unsigned nth) const {
  const Slot& slot = first_[nth];
  return slot.hash.load(std::memory_order_relaxed) == hash_ ? slot.word.load(std::memory_order_relaxed) : 0;
}

bool AccountIndex::Locked::insert(std::uint64_t word) {
  const std::uint64_t filled = region_.filled.load(std::memory_order_relaxed);
  const std::uint64_t pages = region_.pages.load(std::memory_order_relaxed);
  const Slot* const end = index_.slots_of_region(region_number(hash_)) + pages * kPageSlots;
  const auto last_free = [&] { return pages == 0 || end[-2].hash.load(std::memory_order_relaxed) == 0; };
  if (filled >= filled_max(slots_of(pages)) || !last_free()) {
    if (!index_.resize(region_number(hash_), more_pages(pages))) return false;
    first_ = index_.first_of(region_, hash_);
    return insert(word);
  }
  Slot* free = first_;
  while (free->hash.load(std::memory_order_relaxed) != 0) ++free;
  region_.begin_move();
  for (; free != first_; --free) copy(free[-1], free[0]);
  put(*first_, hash_, word);
  region_.end_move();
  region_.filled.store(static_cast<std::uint32_t>(filled + 1), std::memory_order_relaxed);
  return true;
}

void AccountIndex::Locked::erase(unsigned nth) {
  const std::uint64_t filled = region_.filled.load(std::memory_order_relaxed) - 1;
  const std::uint64_t pages = region_.pages.load(std::memory_order_relaxed);
  const std::uint64_t slots = slots_of(pages);
  region_.begin_move();
  Slot* slot = first_ + nth;
  // What had to give way may come back.
  for (;; ++slot) {
    const std::uint64_t next = slot[1].hash.load(std::memory_order_relaxed);
    if (next == 0 || index_.home(slots, next) == slot + 1) break;
    copy(slot[1], slot[0]);
  }
  put(*slot, 0, 0);
  region_.end_move();
  region_.filled.store(static_cast<std::uint32_t>(filled), std::memory_order_relaxed);
  if (pages > 1 && filled < slots / 2 && index_.resize(region_number(hash_), std::max<std::uint64_t>(pages * 2 / 3, 1))) {
    CAIRN_REACHED("region of accounts shrunk");
  }
  first_ = index_.first_of(region_, hash_);
}

/// Spreads the slots of a region, whose mutex is held, over `pages`. False: it cannot have as many.
bool AccountIndex::resize(std::size_t number, std::uint64_t pages) {
  Region& region = (*regions_)[number];
  Slot* const slots = slots_of_region(number);
  const std::uint64_t before = region.pages.load(std::memory_order_relaxed);
  std::vector<Entry> entries;
  entries.reserve(region.filled.load(std::memory_order_relaxed));
  for (const Slot *slot = slots, *end = slot + before * kPageSlots; slot != end; ++slot) {
    const std::uint64_t hash = slot->hash.load(std::memory_order_relaxed);
    if (hash != 0) entries.push_back({hash, slot->word.load(std::memory_order_relaxed)});
  }
  // Should so many be neighbours that they do not fit, more room does not harm.
  for (;; pages = more_pages(pages)) {
    if (pages * kPageBytes > region_bytes_max_) return false;
    const Slot* at = slots;
    for (const Entry& entry : entries) at = std::max<const Slot*>(at, home(slots_of(pages), entry.hash)) + 1;
    if (at + 2 <= slots + pages * kPageSlots) break;
    CAIRN_REACHED("region of accounts with many neighbours");
  }
  region.begin_move();
  Slot* at = slots;
  for (const Entry& entry : entries) {
    Slot* const to = std::max(at, home(slots_of(pages), entry.hash));
    for (; at != to; ++at) put(*at, 0, 0);
    put(*at++, entry.hash, entry.word);
  }
  for (Slot* const end = slots + before * kPageSlots; at < end; ++at) put(*at, 0, 0);
  region.pages.store(static_cast<std::uint32_t>(pages), std::memory_order_release);
  region.end_move();
  if (pages < before) madvise(slots + pages * kPageSlots, (before - pages) * kPageBytes, MADV_DONTNEED);
  return true;
}

void AccountIndex::copy_region(std::size_t number, std::vector<Entry>& entries) const {
  entries.clear();
  Region& region = (*regions_)[number];
  const MutexLock lock(region.mutex);
  const Slot* const slots = slots_of_region(number);
  const Slot* const end = slots + region.pages.load(std::memory_order_relaxed) * kPageSlots;
  for (const Slot* slot = slots; slot != end; ++slot) {
    const std::uint64_t hash = slot->hash.load(std::memory_order_relaxed);
    if (hash != 0) entries.push_back({hash, slot->word.load(std::memory_order_relaxed)});
  }
}

std::uint64_t AccountIndex::size() const {
  std::uint64_t all = 0;
  for (const Region& region : *regions_) all += region.filled.load(std::memory_order_relaxed);
  return all;
}

std::uint64_t AccountIndex::memory_bytes() const {
  std::uint64_t pages = 0;
  for (const Region& region : *regions_) pages += region.pages.load(std::memory_order_relaxed);
  return pages * kPageBytes + sizeof(*regions_);
}

}  // namespace cairn::forks
