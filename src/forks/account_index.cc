#include "forks/account_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/reached.h"
#include "cairn/bytes.h"

namespace cairn::forks {
namespace {

constexpr std::uint64_t kHugePageBytes = 2 * kMiB;
constexpr std::uint64_t kHugeFromBytes = 64 * kMiB;  // Of an area: the last page of less than that would weigh.
constexpr std::uint64_t kRegionSlotsLeast = 64;
constexpr std::uint64_t kSlotsFew = 128;  // A region that has less gets twice as many: moving often costs more than the room.
// Slots at the end of a region are nobody's place: those before them may have to give way that far, in one of 10^9 regions
// that are full farther. The last is empty.
constexpr std::uint64_t kSpareSlotsMost = 160;
constexpr std::uint64_t places_in(std::uint64_t region_slots) {
  return region_slots - std::min(24 + region_slots / 24, kSpareSlotsMost);
}
constexpr std::uint64_t filled_max(std::uint64_t region_slots) { return places_in(region_slots) / 12 * 11; }
constexpr std::uint64_t slots_for(std::uint64_t filled) { return std::max(filled + filled / 3 + 64, kRegionSlotsLeast); }
constexpr int kSpins = 100;

}  // namespace

struct AccountIndex::Shape {
  std::atomic<std::uint32_t> moves{0};  // Odd: slots are being moved.
  std::atomic<std::uint32_t> area{0};
  std::atomic<std::uint16_t> crowding{0};  // Its places lie in this part of it: the first half, quarter, …
  std::atomic<bool> locked{false};         // Somebody changes it.
  std::atomic<std::uint32_t> filled{0};    // Slots.

  /// Slots are about to be moved, and then were.
  void begin_move() { moves.store(moves.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  void end_move() { moves.store(moves.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
};

static_assert(sizeof(AccountIndex::Slot) == 16);

namespace {
/// Of changes to a region. There are too many of them, and they are held for too short a time, for a Mutex each.
class RegionLock {
 public:
  explicit RegionLock(AccountIndex::Shape& shape) : shape_(shape) { lock(shape_); }
  ~RegionLock() { unlock(shape_); }
  RegionLock(const RegionLock&) = delete;
  RegionLock& operator=(const RegionLock&) = delete;

  static void lock(AccountIndex::Shape& shape) {
    for (int spins = 0; shape.locked.exchange(true, std::memory_order_acquire);) {
      if (++spins < kSpins) {
        __builtin_ia32_pause();
      } else {
        std::this_thread::yield();  // Whoever has it may have lost the processor.
      }
    }
  }
  static void unlock(AccountIndex::Shape& shape) { shape.locked.store(false, std::memory_order_release); }

 private:
  AccountIndex::Shape& shape_;
};

// While slots are moved: each store is seen only by who sees begin_move() too.
void put(AccountIndex::Slot& slot, std::uint64_t hash, std::uint64_t word) {
  slot.hash.store(hash, std::memory_order_release);
  slot.word.store(word, std::memory_order_release);
}
void copy(const AccountIndex::Slot& from, AccountIndex::Slot& to) {
  put(to, from.hash.load(std::memory_order_relaxed), from.word.load(std::memory_order_relaxed));
}
bool is_empty(const AccountIndex::Slot& slot) { return slot.hash.load(std::memory_order_relaxed) == 0; }
/// Where `hash` would stand in a region of so many slots if it had no neighbours.
std::uint64_t place_of(std::uint64_t hash, std::uint64_t region_slots, std::uint32_t crowding) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((Wide{hash} * (places_in(region_slots) >> crowding)) >> 64);
}
}  // namespace

Result<std::unique_ptr<AccountIndex>> AccountIndex::create(std::uint64_t area_bytes) {
  void* const memory = mmap(nullptr, 2 * area_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return system_error(errno, "reserving addresses for an index of accounts");
  return std::unique_ptr<AccountIndex>(new AccountIndex(static_cast<char*>(memory), area_bytes));
}

AccountIndex::AccountIndex(char* memory, std::uint64_t area_bytes)
    : memory_(memory), area_bytes_(area_bytes), shapes_(std::make_unique<std::array<Shape, kRegions>>()) {
  for (std::size_t i = 0; i < areas_.size(); ++i) areas_[i].slots = reinterpret_cast<Slot*>(memory_ + i * area_bytes_);
  areas_[0].region_slots = kRegionSlotsLeast;
}

AccountIndex::~AccountIndex() { munmap(memory_, 2 * area_bytes_); }

std::uint64_t AccountIndex::region_slots(const Shape& shape) const {
  return areas_[shape.area.load(std::memory_order_relaxed)].region_slots.load(std::memory_order_relaxed);
}

AccountIndex::Slot* AccountIndex::slots_of(const Shape& shape, std::size_t number) const {
  const Area& area = areas_[shape.area.load(std::memory_order_relaxed)];
  return area.slots + number * area.region_slots.load(std::memory_order_relaxed);
}

AccountIndex::Slot* AccountIndex::home(Hash hash) const {
  const Shape& shape = (*shapes_)[hash.region];
  const Area& area = areas_[shape.area.load(std::memory_order_relaxed)];
  const std::uint64_t slots = area.region_slots.load(std::memory_order_relaxed);
  return area.slots + hash.region * slots + place_of(hash.rest, slots, shape.crowding.load(std::memory_order_relaxed));
}

AccountIndex::Slot* AccountIndex::first_of(Hash hash) const {
  Slot* slot = home(hash);
  // An empty one ends it as a greater one does.
  while (slot->hash.load(std::memory_order_acquire) - 1 < hash.rest - 1) ++slot;
  return slot;
}

std::uint64_t AccountIndex::find(Hash hash, unsigned nth) const {
  Shape& shape = (*shapes_)[hash.region];
  for (int spins = 0; spins < kSpins; ++spins) {
    const std::uint32_t before = shape.moves.load(std::memory_order_acquire);
    if ((before & 1U) != 0) {
      __builtin_ia32_pause();
      continue;
    }
    const Slot* const slot = first_of(hash) + nth;
    std::uint64_t word = slot->word.load(std::memory_order_acquire);
    if (slot->hash.load(std::memory_order_acquire) != hash.rest) word = 0;
    if (shape.moves.load(std::memory_order_relaxed) == before) return word;
  }
  // Whoever moves them may have lost the processor.
  const RegionLock lock(shape);
  const Slot* const slot = first_of(hash) + nth;
  return slot->hash.load(std::memory_order_relaxed) == hash.rest ? slot->word.load(std::memory_order_relaxed) : 0;
}

void AccountIndex::prefetch(Hash hash) const {
  const Slot* const slot = home(hash);
  __builtin_prefetch(slot);
  __builtin_prefetch(slot + 3);  // As a rule it is not farther.
}

AccountIndex::Locked::Locked(AccountIndex& index, Hash hash) : index_(index), hash_(hash), shape_((*index.shapes_)[hash.region]) {
  RegionLock::lock(shape_);
  for (bool made = true; made && is_full();) {
    RegionLock::unlock(shape_);
    made = index_.make_room(hash_.region);
    RegionLock::lock(shape_);
  }
  first_ = index_.first_of(hash_);
}

AccountIndex::Locked::~Locked() {
  RegionLock::unlock(shape_);
  if (moves_another_) index_.move_another();
  if (has_less_) index_.make_less();
}

/// Also where it could not be moved any more.
bool AccountIndex::Locked::is_full() const {
  const std::uint64_t target = index_.areas_[index_.target_].region_slots.load(std::memory_order_relaxed);
  return shape_.filled.load(std::memory_order_relaxed) >= filled_max(std::min(target, index_.region_slots(shape_)));
}

std::uint64_t AccountIndex::Locked::get(unsigned nth) const {
  const Slot& slot = first_[nth];
  return slot.hash.load(std::memory_order_relaxed) == hash_.rest ? slot.word.load(std::memory_order_relaxed) : 0;
}

bool AccountIndex::Locked::insert(std::uint64_t word) {
  if (is_full()) return false;
  if (!is_empty(index_.slots_of(shape_, hash_.region)[index_.region_slots(shape_) - 2])) {
    CAIRN_REACHED("region of accounts that crowd at its end");
    std::vector<Entry> entries;
    index_.take_entries(hash_.region, entries);
    index_.spread(hash_.region, shape_.area, entries, shape_.crowding.load(std::memory_order_relaxed) + 1);
    first_ = index_.first_of(hash_);
  }
  Slot* free = first_;
  while (!is_empty(*free)) ++free;
  shape_.begin_move();
  for (; free != first_; --free) copy(free[-1], free[0]);
  put(*first_, hash_.rest, word);
  shape_.end_move();
  const std::uint32_t filled = shape_.filled.load(std::memory_order_relaxed) + 1;
  shape_.filled.store(filled, std::memory_order_relaxed);
  const std::uint32_t every = index_.move_every_.load(std::memory_order_relaxed);
  moves_another_ = every != 0 && filled % every == 0;
  return true;
}

void AccountIndex::Locked::erase(unsigned nth) {
  const std::uint64_t slots = index_.region_slots(shape_);
  shape_.begin_move();
  Slot* slot = first_ + nth;
  // What had to give way may come back.
  for (;; ++slot) {
    const std::uint64_t next = slot[1].hash.load(std::memory_order_relaxed);
    if (next == 0 || index_.home({.region = hash_.region, .rest = next}) == slot + 1) break;
    copy(slot[1], slot[0]);
  }
  put(*slot, 0, 0);
  shape_.end_move();
  const std::uint32_t filled = shape_.filled.load(std::memory_order_relaxed) - 1;
  shape_.filled.store(filled, std::memory_order_relaxed);
  first_ = index_.first_of(hash_);
  has_less_ = filled == slots / 4 || filled == 0;
}

/// A region is full. False: there is no more.
bool AccountIndex::make_room(std::size_t number) {
  const MutexLock lock(moves_mutex_);
  const Shape& shape = (*shapes_)[number];
  if (shape.area.load(std::memory_order_relaxed) == target_) {
    while (moved_ < kRegions) move_next();
    const std::uint64_t slots = areas_[target_].region_slots;
    if (!begin_moves(slots < kSlotsFew ? 2 * slots : slots + slots / 8)) return false;
  }
  move(number);
  return true;
}

/// A region has few accounts. If all have, they get less room.
void AccountIndex::make_less() {
  const MutexLock lock(moves_mutex_);
  const std::uint64_t slots = areas_[target_].region_slots;
  if (slots == kRegionSlotsLeast) return;
  std::uint64_t most = 0;
  for (const Shape& shape : *shapes_) most = std::max<std::uint64_t>(most, shape.filled.load(std::memory_order_relaxed));
  if (slots_for(most) > slots / 2) return;
  CAIRN_REACHED("index of accounts shrinks");
  while (moved_ < kRegions) move_next();
  begin_moves(slots_for(most));
  while (moved_ < kRegions) move_next();
}

void AccountIndex::move_another() {
  if (!moves_mutex_.try_lock()) return;
  if (moved_ < kRegions) move_next();
  moves_mutex_.unlock();
}

bool AccountIndex::begin_moves(std::uint64_t region_slots) {
  if (kRegions * region_slots * sizeof(Slot) > area_bytes_) return false;
  Area& area = areas_[1 - target_];
  area.region_slots = static_cast<std::uint32_t>(region_slots);
  target_ = 1 - target_;
  const std::uint64_t bytes = kRegions * region_slots * sizeof(Slot);
  madvise(area.slots, area_bytes_, bytes >= kHugeFromBytes ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  moved_ = 0;
  // All have moved when half of the new room is taken.
  move_every_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(size() / kRegions / 16, 1));
  return true;
}

void AccountIndex::move_next() {
  const std::size_t number = moved_;
  if ((*shapes_)[number].area.load(std::memory_order_relaxed) != target_) move(number);
  ++moved_;
  const Area& from = areas_[1 - target_];
  const std::uint64_t region_bytes = from.region_slots * sizeof(Slot);
  const std::uint64_t begin = number * region_bytes / kHugePageBytes * kHugePageBytes;
  std::uint64_t end = moved_ * region_bytes / kHugePageBytes * kHugePageBytes;
  if (moved_ == kRegions) {
    end = round_up(moved_ * region_bytes, kHugePageBytes);
    move_every_ = 0;
  }
  if (end > begin) madvise(reinterpret_cast<char*>(from.slots) + begin, end - begin, MADV_DONTNEED);
}

/// To the target, in which it has not been.
void AccountIndex::move(std::size_t number) {
  // Memory that is read first is the system's page of zeros, and the write after it a second fault, which interrupts every core.
  constexpr std::uintptr_t kPage = 4 * kKiB;
  const std::uint64_t region_bytes = areas_[target_].region_slots * sizeof(Slot);
  const auto begin = std::bit_cast<std::uintptr_t>(areas_[target_].slots) + number * region_bytes;
  const std::uintptr_t from = begin / kPage * kPage;
  madvise(std::bit_cast<void*>(from), begin + region_bytes - from, MADV_POPULATE_WRITE);
  const RegionLock lock((*shapes_)[number]);
  take_entries(number, buffer_);
  spread(number, target_, buffer_, 0);
}

/// Puts all accounts of a region that is locked to their places in an area, where there is room for them.
void AccountIndex::spread(std::size_t number, std::uint32_t area, const std::vector<Entry>& entries, std::uint32_t crowding) {
  Shape& shape = (*shapes_)[number];
  const std::uint64_t slots = areas_[area].region_slots;
  shape.begin_move();
  shape.area.store(area, std::memory_order_release);
  Slot* const to = slots_of(shape, number);
  std::size_t fit = 0;
  // With all places at its beginning everything fits.
  for (; fit < entries.size(); ++crowding) {
    shape.crowding.store(static_cast<std::uint16_t>(crowding), std::memory_order_release);
    std::uint64_t at = 0;
    for (fit = 0; fit < entries.size() && at < slots - 2; ++fit) {
      const Entry& entry = entries[fit];
      for (const std::uint64_t place = place_of(entry.hash, slots, crowding); at < place; ++at) {
        if (!is_empty(to[at])) put(to[at], 0, 0);
      }
      put(to[at++], entry.hash, entry.word);
    }
    for (; at < slots; ++at) {
      if (!is_empty(to[at])) put(to[at], 0, 0);
    }
  }
  shape.end_move();
}

bool AccountIndex::reserve(std::uint64_t most) {
  const MutexLock lock(moves_mutex_);
  std::uint64_t slots = kRegionSlotsLeast;
  while (filled_max(slots) <= most) slots += slots < kSlotsFew ? slots : slots / 8;
  if (slots <= areas_[target_].region_slots) return true;
  if (!begin_moves(slots)) return false;
  while (moved_ < kRegions) move_next();
  return true;
}

void AccountIndex::fill(std::size_t number, const std::vector<Entry>& entries) {
  Shape& shape = (*shapes_)[number];
  const RegionLock lock(shape);
  spread(number, shape.area, entries, 0);
  shape.filled.store(static_cast<std::uint32_t>(entries.size()), std::memory_order_relaxed);
}

void AccountIndex::copy_region(std::size_t number, std::vector<Entry>& entries) const {
  const RegionLock lock((*shapes_)[number]);
  take_entries(number, entries);
}

void AccountIndex::take_entries(std::size_t number, std::vector<Entry>& entries) const {
  entries.resize((*shapes_)[number].filled.load(std::memory_order_relaxed));
  const Shape& shape = (*shapes_)[number];
  const Slot* slot = slots_of(shape, number);
  for (Entry& entry : entries) {
    while (is_empty(*slot)) ++slot;
    entry = {slot->hash.load(std::memory_order_relaxed), slot->word.load(std::memory_order_relaxed)};
    ++slot;
  }
}

std::uint64_t AccountIndex::size() const {
  std::uint64_t all = 0;
  for (const Shape& shape : *shapes_) all += shape.filled.load(std::memory_order_relaxed);
  return all;
}

std::uint64_t AccountIndex::memory_bytes() const {
  const MutexLock lock(moves_mutex_);
  const std::uint64_t slots = moved_ * areas_[target_].region_slots + (kRegions - moved_) * areas_[1 - target_].region_slots;
  return slots * sizeof(Slot) + sizeof(*shapes_);
}

}  // namespace cairn::forks
