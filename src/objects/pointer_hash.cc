// The writer's side of PointerHash. Invariant: from the place where the hash of an object begins to its entry no entry is empty,
// at any moment at which a reader may look: a table that grows is filled before it is published, and an entry is emptied only if
// the entry behind it is empty.
#include "cairn/objects/pointer_hash.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/epochs.h"

namespace cairn::objects {
namespace {

constexpr std::uint64_t kCapacityMin = 8;
// At most 3 of 4 entries are used, and after growing at least 3 of 8: 10.7 to 21.3 bytes an object.
constexpr std::uint64_t capacity_for(std::uint64_t count) { return std::bit_ceil(std::max(kCapacityMin, count + count / 3 + 1)); }

}  // namespace

PointerHash::PointerHash(const IndexKey& key, RetireList& retired) : key_(key), retired_(retired), entries_(make(kCapacityMin)) {}

PointerHash::~PointerHash() { ::operator delete(entries_.load()); }

PointerHash::Entries* PointerHash::make(std::uint64_t capacity) {
  void* const memory = ::operator new(sizeof(Entries) + capacity * sizeof(Entry));
  auto* const entries = new (memory) Entries{capacity - 1};
  for (std::uint64_t i = 0; i < capacity; ++i) new (&entries->at(i)) Entry(kEmpty);
  return entries;
}

void PointerHash::insert(const PersistentObject& object) {
  reserve(size_ + 1);
  const Entries& entries = *entries_.load(std::memory_order_relaxed);
  const std::uint64_t hash = key_.hash(object);
  std::uint64_t at = hash & entries.mask;
  while (entries.at(at).load(std::memory_order_relaxed) > kErased) at = (at + 1) & entries.mask;
  if (entries.at(at).load(std::memory_order_relaxed) == kEmpty) ++used_;
  // Release: who finds the object finds it whole.
  entries.at(at).store(entry_of(hash, object), std::memory_order_release);
  ++size_;
}

void PointerHash::replace(const PersistentObject& before, const PersistentObject& after) {
  const std::uint64_t hash = key_.hash(before);
  entry_with(hash, before).store(entry_of(hash, after), std::memory_order_release);
}

void PointerHash::erase(const PersistentObject& object) {
  const Entries& entries = *entries_.load(std::memory_order_relaxed);
  Entry* entry = &entry_with(key_.hash(object), object);
  entry->store(kErased, std::memory_order_release);
  --size_;
  auto at = static_cast<std::uint64_t>(entry - &entries.at(0));
  if (entries.at((at + 1) & entries.mask).load(std::memory_order_relaxed) != kEmpty) return;
  // A probe that comes here would end at the next entry: it may end here.
  while (entries.at(at).load(std::memory_order_relaxed) == kErased) {
    entries.at(at).store(kEmpty, std::memory_order_release);
    --used_;
    at = (at - 1) & entries.mask;
  }
}

PointerHash::Entry& PointerHash::entry_with(std::uint64_t hash, const PersistentObject& object) const {
  const Entries& entries = *entries_.load(std::memory_order_relaxed);
  const std::uint64_t entry = entry_of(hash, object);
  std::uint64_t at = hash & entries.mask;
  while (entries.at(at).load(std::memory_order_relaxed) != entry) at = (at + 1) & entries.mask;
  return entries.at(at);
}

void PointerHash::reserve(std::uint64_t count) {
  const std::uint64_t capacity = entries_.load(std::memory_order_relaxed)->mask + 1;
  // Erased entries count: without an empty one a probe would not end.
  const std::uint64_t used_after = std::max(count, used_ + (count > size_ ? count - size_ : 0));
  if (used_after + used_after / 3 + 1 > capacity) rebuild(count);
}

void PointerHash::rebuild(std::uint64_t count) {
  Entries* const before = entries_.load(std::memory_order_relaxed);
  // Room for an eighth more, so that a table in which as many are inserted as erased is not rebuilt at each insert.
  Entries* const after = make(capacity_for(count + count / 8));
  for (std::uint64_t i = 0; i <= before->mask; ++i) {
    const std::uint64_t entry = before->at(i).load(std::memory_order_relaxed);
    if (entry <= kErased) continue;
    const std::uint64_t hash = key_.hash(*object_of(entry));
    std::uint64_t at = hash & after->mask;
    while (after->at(at).load(std::memory_order_relaxed) != kEmpty) at = (at + 1) & after->mask;
    after->at(at).store(entry, std::memory_order_relaxed);
  }
  used_ = size_;
  entries_.store(after, std::memory_order_release);
  retired_.retire(before, [](void* memory) { ::operator delete(memory); }, bytes_of(*before));
}

void PointerHash::copy_from(const PointerHash& other) {
  const Entries& from = *other.entries_.load(std::memory_order_relaxed);
  Entries* const copy = make(from.mask + 1);
  for (std::uint64_t i = 0; i <= from.mask; ++i) {
    copy->at(i).store(from.at(i).load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  ::operator delete(entries_.exchange(copy));
  size_ = other.size_;
  used_ = other.used_;
}

std::uint64_t PointerHash::memory_bytes() const { return bytes_of(*entries_.load(std::memory_order_relaxed)); }

}  // namespace cairn::objects
