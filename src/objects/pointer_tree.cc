// The writer's side of PointerTree, and its cursor.
//
// Invariants, at any moment at which a reader may look: only the root may be an empty leaf; all leaves below a node are equally
// deep; the prefixes of all objects in a child are at least the prefix that its parent keeps for it, and those of all objects in
// the children before it at most. That prefix is the one of the first object at the time the child was made, so it stays right
// when that object is erased. Where prefixes are equal, the first object itself decides.
#include "cairn/objects/pointer_tree.h"

#include <algorithm>
#include <bit>

#include "base/epochs.h"
#include "base/error.h"

namespace cairn::objects {
namespace {

bool is_before(const IndexKey& key, const PersistentObject& a, const PersistentObject& b) {
  const int order = key.compare(a, b);
  return order != 0 ? order < 0 : a.db_id() < b.db_id();
}

}  // namespace

/// The inner nodes from the root to a leaf, the child taken in each, and the slot in the leaf.
struct PointerTree::Path {
  std::array<Inner*, Cursor::kHeightMax> nodes;
  std::array<unsigned, Cursor::kHeightMax> children;
  unsigned height = 0;
  Leaf* leaf = nullptr;
  unsigned slot = 0;
};

PointerTree::PointerTree(const IndexKey& key, RetireList& retired) : key_(key), retired_(retired), root_(nullptr) {
  root_.store(make_leaf(), std::memory_order_relaxed);
}

PointerTree::~PointerTree() { free_tree(root_.load(std::memory_order_relaxed)); }

void PointerTree::free_tree(Node* node) {
  if (node->is_leaf) {
    delete static_cast<Leaf*>(node);
    return;
  }
  auto* const inner = static_cast<Inner*>(node);
  for (unsigned i = 0; i < inner->count; ++i) free_tree(inner->children[i].load(std::memory_order_relaxed));
  delete inner;
}

PointerTree::Leaf* PointerTree::make_leaf() {
  auto* const leaf = new Leaf;
  leaf->is_leaf = true;
  memory_bytes_ += sizeof(Leaf);
  return leaf;
}

PointerTree::Inner* PointerTree::make_inner() {
  memory_bytes_ += sizeof(Inner);
  return new Inner;
}

void PointerTree::free_later(Node* node) {
  memory_bytes_ -= bytes_of(*node);
  const auto free = [](void* memory) {
    auto* const of = static_cast<Node*>(memory);
    if (of->is_leaf) {
      delete static_cast<Leaf*>(of);
    } else {
      delete static_cast<Inner*>(of);
    }
  };
  retired_.retire(node, free, bytes_of(*node));
}

/// Without the slot.
PointerTree::Path PointerTree::path_to_leaf(const PersistentObject& object) const {
  const auto before = [&](const PersistentObject& other) { return is_before(key_, other, object); };
  const std::uint64_t prefix = key_.prefix(object);
  Path path;
  Node* node = root_.load(std::memory_order_relaxed);
  while (!node->is_leaf) {
    auto* const inner = static_cast<Inner*>(node);
    unsigned child = child_for(*inner, prefix, before);
    // child_for() takes the child whose first object is before; the object itself may be the first of the next one.
    if (child + 1U < inner->count && inner->prefixes[child + 1] <= prefix) {
      const Node* const next = inner->children[child + 1].load(std::memory_order_relaxed);
      if (!is_before(key_, object, first_of(next))) ++child;
    }
    path.nodes[path.height] = inner;
    path.children[path.height++] = child;
    node = inner->children[child].load(std::memory_order_relaxed);
  }
  path.leaf = static_cast<Leaf*>(node);
  return path;
}

PointerTree::Path PointerTree::path_to(const PersistentObject& object) const {
  Path path = path_to_leaf(object);
  path.slot =
      slot_for(*path.leaf, key_.prefix(object), [&](const PersistentObject& other) { return is_before(key_, other, object); });
  return path;
}

/// The same of an object that is in the tree. In the leaf its pointer is looked for, so that no other object is touched.
PointerTree::Path PointerTree::path_to_existing(const PersistentObject& object) const {
  Path path = path_to_leaf(object);
  const auto pointer = reinterpret_cast<std::uint64_t>(&object);
  while ((path.leaf->slots[path.slot].load(std::memory_order_relaxed) & ~kHidden) != pointer) {
    ++path.slot;
    CAIRN_ASSERT(path.slot < path.leaf->count);
  }
  return path;
}

/// Puts a live object into a slot of a leaf that no reader sees yet.
void PointerTree::set_slot(Leaf& leaf, unsigned at, const PersistentObject& object) const {
  leaf.slots[at].store(reinterpret_cast<std::uint64_t>(&object), std::memory_order_relaxed);
  leaf.fragments[at] = fragment_of(leaf, key_.prefix(object));
}

/// Fits the fragments to the objects of a leaf that no reader sees yet.
void PointerTree::set_fragments(Leaf& leaf) const {
  const auto prefix_at = [&](unsigned i) { return key_.prefix(object_in(leaf.slots[i].load(std::memory_order_relaxed))); };
  leaf.base = prefix_at(0);
  const auto bits = static_cast<unsigned>(std::bit_width(prefix_at(leaf.count - 1U) - leaf.base));
  leaf.shift = static_cast<std::uint8_t>(bits > 16 ? bits - 16 : 0);
  for (unsigned i = 0; i < leaf.count; ++i) leaf.fragments[i] = fragment_of(leaf, prefix_at(i));
}

unsigned PointerTree::live_in(const Leaf& leaf, unsigned end) {
  unsigned live = 0;
  for (unsigned i = 0; i < end; ++i) live += 1U - static_cast<unsigned>(leaf.slots[i].load(std::memory_order_relaxed) & kHidden);
  return live;
}

std::uint32_t PointerTree::live_below(const Node& node) {
  if (node.is_leaf) return live_in(static_cast<const Leaf&>(node), node.count);
  const auto& inner = static_cast<const Inner&>(node);
  std::uint32_t live = 0;
  for (unsigned i = 0; i < inner.count; ++i) live += inner.live[i].load(std::memory_order_relaxed);
  return live;
}

/// Adds to the counts of live objects on the way to the leaf of `path`.
void PointerTree::add_live(const Path& path, int change) {
  for (unsigned level = 0; level < path.height; ++level) {
    path.nodes[level]->live[path.children[level]].fetch_add(static_cast<std::uint32_t>(change), std::memory_order_relaxed);
  }
}

/// Publishes `child` as what is at `level` of `path`, 0 being the root, and corrects the counts above.
void PointerTree::set_child(const Path& path, unsigned level, Node* child) {
  if (level == 0) {
    root_.store(child, std::memory_order_release);
    return;
  }
  Inner& parent = *path.nodes[level - 1];
  const unsigned at = path.children[level - 1];
  const std::uint32_t live = live_below(*child);
  const std::uint32_t change = live - parent.live[at].load(std::memory_order_relaxed);
  parent.children[at].store(child, std::memory_order_release);
  for (unsigned i = 0; i < level; ++i) path.nodes[i]->live[path.children[i]].fetch_add(change, std::memory_order_relaxed);
}

/// Appends slots of another leaf, which has the same fragments.
void PointerTree::append_slots(Leaf& to, const Leaf& from, unsigned begin, unsigned end) {
  for (unsigned i = begin; i < end; ++i) {
    to.fragments[to.count] = from.fragments[i];
    to.slots[to.count++].store(from.slots[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

void PointerTree::insert(const PersistentObject& object) {
  Path path = path_to(object);
  const Leaf& old = *path.leaf;
  const auto with_object = [&](Leaf& to, unsigned begin, unsigned end) {
    append_slots(to, old, begin, path.slot);
    set_slot(to, to.count++, object);
    append_slots(to, old, path.slot, end);
  };
  if (old.count < kLeafMax) {
    Leaf* const leaf = make_leaf();
    leaf->base = old.base;
    leaf->shift = old.shift;
    with_object(*leaf, 0, old.count);
    // As it grows; not each time, since it follows all pointers.
    if (std::has_single_bit(static_cast<unsigned>(leaf->count))) set_fragments(*leaf);
    set_child(path, path.height, leaf);
    free_later(path.leaf);
    return;
  }
  Leaf* const right = make_leaf();
  bool is_last = path.slot == kLeafMax;
  for (unsigned level = 0; level < path.height; ++level)
    is_last = is_last && path.children[level] + 1U == path.nodes[level]->count;
  if (is_last) {
    // Behind all others: the leaf stays full, as objects come that are inserted in order.
    with_object(*right, kLeafMax, kLeafMax);
    set_fragments(*right);
    replace_child(path, path.height, path.leaf, right);
    return;
  }
  Leaf* const left = make_leaf();
  constexpr unsigned kHalf = kLeafMax / 2;
  if (path.slot <= kHalf) {
    with_object(*left, 0, kHalf);
    append_slots(*right, old, kHalf, kLeafMax);
  } else {
    append_slots(*left, old, 0, kHalf);
    with_object(*right, kHalf, kLeafMax);
  }
  set_fragments(*left);
  set_fragments(*right);
  replace_child(path, path.height, left, right);
  free_later(path.leaf);
}

/// `left` and `right` take the place of what is at `level` of `path`.
void PointerTree::replace_child(Path& path, unsigned level, Node* left, Node* right) {
  const auto put = [&](Inner& to, Node* child, std::uint64_t prefix) {
    to.prefixes[to.count] = prefix;
    to.children[to.count].store(child, std::memory_order_relaxed);
    to.live[to.count++].store(live_below(*child), std::memory_order_relaxed);
  };
  const std::uint64_t right_prefix = key_.prefix(first_of(right));
  if (level == 0) {
    Inner* const root = make_inner();
    put(*root, left, key_.prefix(first_of(left)));
    put(*root, right, right_prefix);
    set_child(path, 0, root);
    return;
  }
  Inner* const parent = path.nodes[level - 1];
  const unsigned at = path.children[level - 1];
  // The children of the new parent, or of the two new ones: `first` has so many of them.
  const bool splits = parent->count == kInnerMax;
  const bool appends = at + 1U == parent->count;
  const unsigned first = !splits ? kInnerMax : appends ? kInnerMax : kInnerMax / 2;
  std::array<Inner*, 2> made{make_inner(), splits ? make_inner() : nullptr};
  unsigned placed = 0;
  const auto place = [&](Node* child, std::uint64_t prefix) { put(*made[placed++ < first ? 0 : 1], child, prefix); };
  for (unsigned i = 0; i < parent->count; ++i) {
    Node* const child = parent->children[i].load(std::memory_order_relaxed);
    place(i == at ? left : child, parent->prefixes[i]);
    if (i == at) place(right, right_prefix);
  }
  if (splits) {
    replace_child(path, level - 1, made[0], made[1]);
  } else {
    set_child(path, level - 1, made[0]);
  }
  free_later(parent);
}

void PointerTree::replace(const PersistentObject& before, const PersistentObject& after, bool hides) {
  const Path path = path_to_existing(before);
  Slot& slot = path.leaf->slots[path.slot];
  const bool was_hidden = (slot.load(std::memory_order_relaxed) & kHidden) != 0;
  slot.store(reinterpret_cast<std::uint64_t>(&after) | (hides ? kHidden : 0), std::memory_order_release);
  if (was_hidden != hides) add_live(path, hides ? -1 : 1);
}

void PointerTree::erase(const PersistentObject& object) {
  Path path = path_to_existing(object);
  Leaf* const old = path.leaf;
  if (old->count == 1 && path.height > 0) {
    remove_child(path, path.height);
    free_later(old);
    return;
  }
  Leaf* const leaf = make_leaf();
  leaf->base = old->base;
  leaf->shift = old->shift;
  append_slots(*leaf, *old, 0, path.slot);
  append_slots(*leaf, *old, path.slot + 1, old->count);
  set_child(path, path.height, leaf);
  free_later(old);
  if (path.height > 0 && leaf->count < kLeafMax / 4) merge_at(path, path.height);
}

/// Takes what is at `level` of `path` out of its parent.
void PointerTree::remove_child(Path& path, unsigned level) {
  Inner* const parent = path.nodes[level - 1];
  if (parent->count == 1) {
    if (level == 1) {
      set_child(path, 0, make_leaf());
    } else {
      remove_child(path, level - 1);
    }
    free_later(parent);
    return;
  }
  Inner* const copy = make_inner();
  for (unsigned i = 0; i < parent->count; ++i) {
    if (i == path.children[level - 1]) continue;
    copy->prefixes[copy->count] = parent->prefixes[i];
    copy->children[copy->count].store(parent->children[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    copy->live[copy->count++].store(parent->live[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  set_child(path, level - 1, copy);
  free_later(parent);
  path.nodes[level - 1] = copy;
  if (level == 1 && copy->count == 1) {
    set_child(path, 0, copy->children[0].load(std::memory_order_relaxed));  // The tree loses a level.
    free_later(copy);
  } else if (level > 1 && copy->count < kInnerMax / 4) {
    merge_at(path, level - 1);
  }
}

void PointerTree::append_children(Inner& to, const Inner& from) {
  for (unsigned i = 0; i < from.count; ++i) {
    to.prefixes[to.count] = from.prefixes[i];
    to.children[to.count].store(from.children[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.live[to.count++].store(from.live[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

/// Joins what is at `level` of `path`, which has become small, with the child behind or before it, if one node has room for both.
void PointerTree::merge_at(Path& path, unsigned level) {
  Inner& parent = *path.nodes[level - 1];
  if (parent.count < 2) return;
  const unsigned at = path.children[level - 1];
  const unsigned left = at + 1U < parent.count ? at : at - 1;
  Node* const first = parent.children[left].load(std::memory_order_relaxed);
  Node* const second = parent.children[left + 1].load(std::memory_order_relaxed);
  const unsigned most = first->is_leaf ? kLeafMax : kInnerMax;
  if (static_cast<unsigned>(first->count) + second->count > most * 3 / 4) return;
  Node* joined = nullptr;
  if (first->is_leaf) {
    Leaf* const leaf = make_leaf();
    for (const Node* const from : {first, second}) append_slots(*leaf, static_cast<const Leaf&>(*from), 0, from->count);
    set_fragments(*leaf);
    joined = leaf;
  } else {
    Inner* const inner = make_inner();
    for (const Node* const from : {first, second}) append_children(*inner, static_cast<const Inner&>(*from));
    // The first child of the second node keeps the prefix that the parent has for the node.
    inner->prefixes[first->count] = parent.prefixes[left + 1];
    joined = inner;
  }
  // One publication for both: no reader may see the objects of one of them twice, or not at all.
  Inner* const copy = make_inner();
  for (unsigned i = 0; i < parent.count; ++i) {
    if (i == left + 1) continue;
    copy->prefixes[copy->count] = parent.prefixes[i];
    Node* const child = i == left ? joined : parent.children[i].load(std::memory_order_relaxed);
    copy->children[copy->count].store(child, std::memory_order_relaxed);
    copy->live[copy->count++].store(i == left ? live_below(*joined) : parent.live[i].load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
  }
  set_child(path, level - 1, copy);
  free_later(first);
  free_later(second);
  free_later(&parent);
  path.nodes[level - 1] = copy;
  if (level == 1 && copy->count == 1) {
    set_child(path, 0, joined);
    free_later(copy);
  } else if (level > 1 && copy->count < kInnerMax / 4) {
    merge_at(path, level - 1);
  }
}

void PointerTree::copy_from(const PointerTree& other) {
  Node* const before = root_.exchange(copy_of(*other.root_.load(std::memory_order_relaxed)));
  memory_bytes_ -= bytes_of(*before);
  free_tree(before);
}

PointerTree::Node* PointerTree::copy_of(const Node& node) {
  if (node.is_leaf) {
    const auto& from = static_cast<const Leaf&>(node);
    Leaf* const leaf = make_leaf();
    leaf->base = from.base;
    leaf->shift = from.shift;
    append_slots(*leaf, from, 0, from.count);
    return leaf;
  }
  Inner* const inner = make_inner();
  append_children(*inner, static_cast<const Inner&>(node));
  for (unsigned i = 0; i < inner->count; ++i) {
    std::atomic<Node*>& child = inner->children[i];
    child.store(copy_of(*child.load(std::memory_order_relaxed)), std::memory_order_relaxed);
  }
  return inner;
}

PointerTree::Cursor PointerTree::begin() const {
  return seek(0, [](const PersistentObject&) { return false; });
}

PointerTree::Cursor PointerTree::end() const {
  return seek(~std::uint64_t{0}, [](const PersistentObject&) { return true; });
}

PointerTree::Cursor PointerTree::at_rank(std::uint64_t rank) const {
  Cursor cursor;
  const Node* node = root_.load(std::memory_order_acquire);
  while (!node->is_leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    unsigned child = 0;
    for (; child + 1U < inner.count; ++child) {
      const std::uint32_t live = inner.live[child].load(std::memory_order_relaxed);
      if (rank < live) break;
      rank -= live;
    }
    cursor.path_[cursor.height_++] = {&inner, child};
    node = inner.children[child].load(std::memory_order_acquire);
  }
  cursor.leaf_ = static_cast<const Leaf*>(node);
  for (; cursor.at_ < cursor.leaf_->count; ++cursor.at_) {
    if ((cursor.leaf_->slots[cursor.at_].load(std::memory_order_relaxed) & kHidden) != 0) continue;
    if (rank-- == 0) break;
  }
  return cursor;
}

std::uint64_t PointerTree::size() const { return live_below(*root_.load(std::memory_order_acquire)); }

const PersistentObject* PointerTree::Cursor::move(bool forward) {
  while (true) {
    if (forward ? at_ == leaf_->count : at_ == 0) {
      if (!next_leaf(forward)) return nullptr;
      continue;
    }
    const std::uint64_t slot = leaf_->slots[forward ? at_++ : --at_].load(std::memory_order_acquire);
    if ((slot & kHidden) == 0) return &object_in(slot);
  }
}

bool PointerTree::Cursor::next_leaf(bool forward) {
  unsigned level = height_;
  while (level > 0 && (forward ? path_[level - 1].child + 1U >= path_[level - 1].node->count : path_[level - 1].child == 0))
    --level;
  if (level == 0) return false;
  Step& turn = path_[level - 1];
  turn.child += forward ? 1 : -1U;
  const Node* node = turn.node->children[turn.child].load(std::memory_order_acquire);
  for (; level < height_; ++level) {
    const auto& inner = static_cast<const Inner&>(*node);
    path_[level] = {&inner, forward ? 0 : inner.count - 1U};
    node = inner.children[path_[level].child].load(std::memory_order_acquire);
  }
  leaf_ = static_cast<const Leaf*>(node);
  at_ = forward ? 0 : leaf_->count;
  return true;
}

bool PointerTree::is_sound() const {
  const PersistentObject* last = nullptr;
  unsigned depth = 0;
  for (const Node* node = root_.load(); !node->is_leaf; node = static_cast<const Inner*>(node)->children[0].load()) ++depth;
  return is_sound(*root_.load(), depth, last);
}

bool PointerTree::is_sound(const Node& node, unsigned depth, const PersistentObject*& last) const {
  if (node.is_leaf != (depth == 0) || (node.count == 0 && &node != root_.load())) return false;
  for (unsigned i = 0; i < node.count; ++i) {
    if (node.is_leaf) {
      const PersistentObject& object = object_in(static_cast<const Leaf&>(node).slots[i].load());
      if (last != nullptr && !is_before(key_, *last, object)) return false;
      last = &object;
      continue;
    }
    const auto& inner = static_cast<const Inner&>(node);
    const Node& child = *inner.children[i].load();
    const bool right = i == 0 || (last != nullptr && inner.prefixes[i] <= key_.prefix(first_of(&child)) &&
                                  inner.prefixes[i] >= key_.prefix(*last));
    if (!right || inner.live[i].load() != live_below(child) || !is_sound(child, depth - 1, last)) return false;
  }
  return true;
}

}  // namespace cairn::objects
