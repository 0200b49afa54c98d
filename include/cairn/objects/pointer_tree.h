// An ordered sequence of pointers to objects: one writer at a time, any number of readers, which take no lock.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "cairn/epoch_pin.h"
#include "cairn/objects/object.h"

namespace cairn {
class RetireList;
}

namespace cairn::objects {

/// A B+ tree. Objects are ordered by an IndexKey and then by id; several may have equal keys. A leaf has the pointers; an inner
/// node has for each child its pointer, the prefix of the key of its first object and the number of its live objects. A change
/// copies one leaf and stores the pointer to the copy into the inner node; only a split or merge of children copies inner nodes.
/// So a reader that walks an inner node that was replaced meanwhile walks the tree as it was.
///
/// An object may be hidden: it keeps its place, but no reader sees it, and it counts for nothing.
///
/// Functions that change the tree are for one thread at a time. Readers of any thread hold an EpochPin.
class CAIRN_API PointerTree {
  struct Node;
  struct Leaf;
  struct Inner;

 public:
  /// `retired` takes the nodes that were replaced. It and `key` outlive this.
  PointerTree(const IndexKey& key, RetireList& retired);
  ~PointerTree();
  PointerTree(const PointerTree&) = delete;
  PointerTree& operator=(const PointerTree&) = delete;

  void insert(const PersistentObject& object);
  /// `before` is in the tree, and `after` has the same key and id. `hides`: `after` is hidden from now on.
  void replace(const PersistentObject& before, const PersistentObject& after, bool hides = false);
  /// `object` is in the tree, hidden or not.
  void erase(const PersistentObject& object);
  /// Makes this tree, which is empty and has no readers, one of the same objects as `other`, hidden ones too.
  void copy_from(const PointerTree& other);

  /// A place between objects: it moves over one object at a time, in either direction, and skips those that are hidden.
  class Cursor {
   public:
    /// The next object, or the one before; nullptr: there is none.
    const PersistentObject* next() { return move(true); }
    const PersistentObject* previous() { return move(false); }

   private:
    friend class PointerTree;
    static constexpr unsigned kHeightMax = 10;
    struct Step {
      const Inner* node;
      unsigned child;
    };
    const PersistentObject* move(bool forward);
    bool next_leaf(bool forward);

    std::array<Step, kHeightMax> path_;
    unsigned height_ = 0;
    const Leaf* leaf_ = nullptr;
    unsigned at_ = 0;  // The object behind the place.
  };

  /// The place before the first object for which `is_before(object)` is false. It is true for a first part of the order and false
  /// for the rest: true where the prefix of an object is less than `prefix`, false where it is greater.
  template <typename IsBefore>
  [[nodiscard]] Cursor seek(std::uint64_t prefix, const IsBefore& is_before) const;
  [[nodiscard]] Cursor begin() const;
  [[nodiscard]] Cursor end() const;
  /// Objects that are not hidden before the place that seek() gives.
  template <typename IsBefore>
  [[nodiscard]] std::uint64_t rank(std::uint64_t prefix, const IsBefore& is_before) const;
  /// The place before the object with `rank` live objects before it; the end, if there are not so many.
  [[nodiscard]] Cursor at_rank(std::uint64_t rank) const;
  /// Objects that are not hidden. Exact unless a change is under way.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::uint64_t memory_bytes() const { return memory_bytes_; }
  /// Walks the whole tree: orders, counts and prefixes are right. For tests; no change is under way.
  [[nodiscard]] bool is_sound() const;

 private:
  static constexpr unsigned kLeafMax = 64;
  static constexpr unsigned kInnerMax = 64;
  static constexpr std::uint64_t kHidden = 1;  // A bit of a pointer in a leaf.

  using Slot = std::atomic<std::uint64_t>;
  struct Node {
    std::uint16_t count = 0;
    bool is_leaf = false;
  };
  struct Leaf : Node {
    std::uint8_t shift = 0;
    std::uint64_t base = 0;
    // 16 bits of the prefix of each object, from `base` on and without the lowest `shift` bits: a search follows only the
    // pointers of objects for which they are equal to those of what is sought.
    std::array<std::uint16_t, kLeafMax> fragments;
    std::array<Slot, kLeafMax> slots;
  };
  struct Inner : Node {
    std::array<std::uint64_t, kInnerMax> prefixes;
    std::array<std::atomic<Node*>, kInnerMax> children;
    std::array<std::atomic<std::uint32_t>, kInnerMax> live;
  };
  struct Path;

  static const PersistentObject& object_in(std::uint64_t slot) {
    return *reinterpret_cast<const PersistentObject*>(slot & ~kHidden);
  }
  static const PersistentObject& first_of(const Node* node) {
    while (!node->is_leaf) node = static_cast<const Inner*>(node)->children[0].load(std::memory_order_acquire);
    return object_in(static_cast<const Leaf*>(node)->slots[0].load(std::memory_order_acquire));
  }
  /// The last child whose first object is before, or the first child.
  template <typename IsBefore>
  static unsigned child_for(const Inner& inner, std::uint64_t prefix, const IsBefore& is_before);
  template <typename IsBefore>
  static unsigned slot_for(const Leaf& leaf, std::uint64_t prefix, const IsBefore& is_before);
  /// Does not descend as the prefix ascends.
  static std::uint16_t fragment_of(const Leaf& leaf, std::uint64_t prefix) {
    if (prefix <= leaf.base) return 0;
    return static_cast<std::uint16_t>(std::min<std::uint64_t>((prefix - leaf.base) >> leaf.shift, 0xFFFF));
  }
  static unsigned live_in(const Leaf& leaf, unsigned end);

  Leaf* make_leaf();
  Inner* make_inner();
  void free_later(Node* node);
  static std::uint64_t bytes_of(const Node& node) { return node.is_leaf ? sizeof(Leaf) : sizeof(Inner); }
  static void free_tree(Node* node);
  Path path_to_leaf(const PersistentObject& object) const;
  Path path_to(const PersistentObject& object) const;
  Path path_to_existing(const PersistentObject& object) const;
  static void append_slots(Leaf& to, const Leaf& from, unsigned begin, unsigned end);
  static void append_children(Inner& to, const Inner& from);
  void set_slot(Leaf& leaf, unsigned at, const PersistentObject& object) const;
  void set_fragments(Leaf& leaf) const;
  Node* copy_of(const Node& node);
  void set_child(const Path& path, unsigned level, Node* child);
  void replace_child(Path& path, unsigned level, Node* left, Node* right);
  void remove_child(Path& path, unsigned level);
  void merge_at(Path& path, unsigned level);
  void add_live(const Path& path, int change);
  static std::uint32_t live_below(const Node& node);
  bool is_sound(const Node& node, unsigned depth, const PersistentObject*& last) const;

  const IndexKey& key_;
  RetireList& retired_;
  std::atomic<Node*> root_;
  std::uint64_t memory_bytes_ = 0;
};

template <typename IsBefore>
unsigned PointerTree::child_for(const Inner& inner, std::uint64_t prefix, const IsBefore& is_before) {
  unsigned low = 0;  // Child `low` begins before, or is the first; child `high` does not.
  unsigned high = inner.count;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    const std::uint64_t its = inner.prefixes[middle];
    const bool before =
        its != prefix ? its < prefix : is_before(first_of(inner.children[middle].load(std::memory_order_acquire)));
    (before ? low : high) = middle;
  }
  return low;
}

template <typename IsBefore>
unsigned PointerTree::slot_for(const Leaf& leaf, std::uint64_t prefix, const IsBefore& is_before) {
  const std::uint16_t fragment = fragment_of(leaf, prefix);
  unsigned low = 0;
  unsigned high = leaf.count;
  while (low < high) {
    const unsigned middle = (low + high) / 2;
    const std::uint16_t its = leaf.fragments[middle];
    if (its != fragment ? its < fragment : is_before(object_in(leaf.slots[middle].load(std::memory_order_acquire)))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

template <typename IsBefore>
PointerTree::Cursor PointerTree::seek(std::uint64_t prefix, const IsBefore& is_before) const {
  Cursor cursor;
  const Node* node = root_.load(std::memory_order_acquire);
  while (!node->is_leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    const unsigned child = child_for(inner, prefix, is_before);
    cursor.path_[cursor.height_++] = {&inner, child};
    node = inner.children[child].load(std::memory_order_acquire);
  }
  cursor.leaf_ = static_cast<const Leaf*>(node);
  cursor.at_ = slot_for(*cursor.leaf_, prefix, is_before);
  return cursor;
}

template <typename IsBefore>
std::uint64_t PointerTree::rank(std::uint64_t prefix, const IsBefore& is_before) const {
  std::uint64_t count = 0;
  const Node* node = root_.load(std::memory_order_acquire);
  while (!node->is_leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    const unsigned child = child_for(inner, prefix, is_before);
    for (unsigned i = 0; i < child; ++i) count += inner.live[i].load(std::memory_order_relaxed);
    node = inner.children[child].load(std::memory_order_acquire);
  }
  const auto& leaf = static_cast<const Leaf&>(*node);
  return count + live_in(leaf, slot_for(leaf, prefix, is_before));
}

}  // namespace cairn::objects
