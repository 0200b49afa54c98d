// A hash table of pointers to objects: one writer at a time, any number of readers, which take no lock.
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/epoch_pin.h"
#include "cairn/objects/object.h"

namespace cairn {
class RetireList;
}

namespace cairn::objects {

/// Open addressing with linear probing. An entry is a pointer with 16 bits of the hash above it, so that a probe follows hardly
/// any pointer in vain. Functions that change it are for one thread at a time; find() is for any thread, while it holds an
/// EpochPin.
class CAIRN_API PointerHash {
 public:
  /// `retired` takes the arrays that were replaced. It and `key` outlive this.
  PointerHash(const IndexKey& key, RetireList& retired);
  ~PointerHash();
  PointerHash(const PointerHash&) = delete;
  PointerHash& operator=(const PointerHash&) = delete;

  /// The object with that hash for which `matches(object)` holds; nullptr: none.
  template <typename Matches>
  [[nodiscard]] const PersistentObject* find(std::uint64_t hash, const Matches& matches) const {
    const Entries& entries = *entries_.load(std::memory_order_acquire);
    const std::uint64_t tag = tag_of(hash);
    for (std::uint64_t at = hash & entries.mask;; at = (at + 1) & entries.mask) {
      const std::uint64_t entry = entries.at(at).load(std::memory_order_acquire);
      if (entry == kEmpty) return nullptr;
      if ((entry & kTagMask) == tag && matches(*object_of(entry))) return object_of(entry);
    }
  }
  void insert(const PersistentObject& object);
  /// `before` is in the table, and its key and that of `after` are equal.
  void replace(const PersistentObject& before, const PersistentObject& after);
  /// `object` is in the table.
  void erase(const PersistentObject& object);
  /// Makes this table, which has no readers, one of the same objects as `other`.
  void copy_from(const PointerHash& other);
  /// The size of the table in bytes.
  [[nodiscard]] std::uint64_t memory_bytes() const;
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Calls `each(object)` for every object.
  template <typename Each>
  void for_each(const Each& each) const {
    constexpr std::uint64_t kAhead = 16;  // So many objects are on their way to the cache.
    const Entries& entries = *entries_.load(std::memory_order_acquire);
    for (std::uint64_t at = 0; at <= entries.mask; ++at) {
      const std::uint64_t ahead = entries.at((at + kAhead) & entries.mask).load(std::memory_order_relaxed);
      if (ahead > kErased) __builtin_prefetch(object_of(ahead));
      const std::uint64_t entry = entries.at(at).load(std::memory_order_acquire);
      if (entry != kEmpty && entry != kErased) each(*object_of(entry));
    }
  }

 private:
  using Entry = std::atomic<std::uint64_t>;
  /// In one piece of memory with its entries.
  struct Entries {
    std::uint64_t mask;  // Their number, a power of 2, less 1.
    [[nodiscard]] Entry& at(std::uint64_t i) const { return reinterpret_cast<Entry*>(const_cast<Entries*>(this) + 1)[i]; }
  };
  static_assert(sizeof(Entries) % alignof(Entry) == 0);

  static constexpr std::uint64_t kEmpty = 0;
  static constexpr std::uint64_t kErased = 1;  // Its tag is none.
  static constexpr unsigned kPointerBits = 48;
  static constexpr std::uint64_t kTagMask = ~std::uint64_t{0} << kPointerBits;
  static constexpr std::uint64_t kTagNever0 = std::uint64_t{1} << kPointerBits;

  static std::uint64_t tag_of(std::uint64_t hash) { return (hash & kTagMask) | kTagNever0; }
  static const PersistentObject* object_of(std::uint64_t entry) {
    return reinterpret_cast<const PersistentObject*>(entry & ~kTagMask);
  }
  static std::uint64_t entry_of(std::uint64_t hash, const PersistentObject& object) {
    return tag_of(hash) | reinterpret_cast<std::uint64_t>(&object);
  }
  static Entries* make(std::uint64_t capacity);
  static std::uint64_t bytes_of(const Entries& entries) { return sizeof(Entries) + (entries.mask + 1) * sizeof(Entry); }
  [[nodiscard]] Entry& entry_with(std::uint64_t hash, const PersistentObject& object) const;
  /// Makes room for so many objects.
  void reserve(std::uint64_t count);
  void rebuild(std::uint64_t count);

  const IndexKey& key_;
  RetireList& retired_;
  std::atomic<Entries*> entries_;
  std::uint64_t size_ = 0;
  std::uint64_t used_ = 0;  // Entries that are not empty.
};

}  // namespace cairn::objects
