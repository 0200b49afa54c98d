// An adaptive radix tree (Leis, Kemper, Neumann 2013) of things that lie elsewhere, ordered by key, then newest first. One
// writer at a time; readers take no lock.
//
// What readers may meet: a node takes more children in place, the child stored before it is counted; where it is full, or
// its prefix is split, a copy takes its place in its parent, and the old one stays as it is for who is in it. Nothing is
// ever removed, so whoever starts at the root, or is in an old node, sees everything that was there when he came ("ROWEX",
// Leis et al. 2016, without its locks). Memory goes with the arena.
//
// Equal keys hang off one leaf, the newest first, each with a pointer that jumps over many (Myers, "An applicative random
// access stack", 1983): a key overwritten a million times is still read at an old version in logarithmic time.
//
// Traits say what a thing's key and version are; things are aligned to 8 bytes.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/hash.h"
#include "cairn/bytes.h"
#include "cairn/result.h"

namespace cairn {

/// Nodes, and references to them; nothing here depends on what the things are.
namespace radix {

struct Node;

/// The versions of one key, if there are several.
struct Version {
  const char* thing;
  std::uint64_t version;
  const Version* older;
  const Version* jump;  // Older by many; none from the oldest.
  std::uint64_t count;  // Older ones.
};

/// A node, or a leaf: a thing, or versions of it. Tagged in the lowest bits.
class Ref {
 public:
  Ref() = default;
  static Ref to(const Node* node) { return Ref(std::bit_cast<std::uintptr_t>(node)); }
  static Ref to(const char* thing) { return Ref(std::bit_cast<std::uintptr_t>(thing) | kThing); }
  static Ref to(const Version* version) { return Ref(std::bit_cast<std::uintptr_t>(version) | kVersions); }
  [[nodiscard]] bool empty() const { return bits_ == 0; }
  [[nodiscard]] bool is_node() const { return (bits_ & (kThing | kVersions)) == 0; }
  [[nodiscard]] Node* node() const { return std::bit_cast<Node*>(bits_); }
  [[nodiscard]] const Version* versions() const {
    return (bits_ & kVersions) != 0 ? std::bit_cast<const Version*>(bits_ & ~kVersions) : nullptr;
  }
  /// The newest of a leaf.
  [[nodiscard]] const char* thing() const {
    if (const Version* const newest = versions()) return newest->thing;
    return std::bit_cast<const char*>(bits_ & ~kThing);
  }

 private:
  static constexpr std::uintptr_t kThing = 1;
  static constexpr std::uintptr_t kVersions = 2;
  explicit Ref(std::uintptr_t bits) : bits_(bits) {}
  std::uintptr_t bits_ = 0;
};
using Slot = std::atomic<Ref>;
static_assert(Slot::is_always_lock_free);

/// Positions in a node: the key that ends at it comes before those that go on with byte 0, 1, … 255.
inline constexpr int kBeforeAll = -2;
inline constexpr int kEnd = -1;
inline constexpr int kAfterAll = 256;

enum class Kind : std::uint8_t { k4, k16, k48, k256 };

struct Node {
  static constexpr std::size_t kInline = 10;
  Kind kind;
  std::uint16_t prefix_size = 0;
  std::atomic<std::uint16_t> count{0};  // Children, the end not among them.
  std::array<char, kInline> prefix{};   // Or, if it is longer, where its bytes are: in a thing's key.
  Slot end{};                           // The leaf whose key ends behind the prefix.

  explicit Node(Kind of) : kind(of) {}
  [[nodiscard]] ByteView prefix_bytes() const {
    return {prefix_size <= kInline ? prefix.data() : load<const char*>(prefix.data()), prefix_size};
  }
  /// `bytes` stay where they are as long as the tree.
  void set_prefix(ByteView bytes) {
    prefix_size = static_cast<std::uint16_t>(bytes.size());
    if (bytes.size() <= kInline) {
      std::copy(bytes.begin(), bytes.end(), prefix.begin());
    } else {
      store(prefix.data(), bytes.data());
    }
  }
};

/// Children in the order of their coming; `bytes` has eight of their keys in a word.
template <std::size_t kChildren>
struct Few : Node {
  std::array<std::atomic<std::uint64_t>, (kChildren + 7) / 8> bytes{};
  std::array<Slot, kChildren> children{};
  explicit Few(Kind of) : Node(of) {}
};
using Node4 = Few<4>;
using Node16 = Few<16>;
struct Node48 : Node {
  std::array<std::atomic<std::uint8_t>, 256> index{};  // 1 + the place of its child; 0: none.
  std::array<Slot, 48> children{};
  Node48() : Node(Kind::k48) {}
};
struct Node256 : Node {
  std::array<Slot, 256> children{};
  Node256() : Node(Kind::k256) {}
};
static_assert(sizeof(Node) == 24 && sizeof(Node4) == 64 && sizeof(Node16) == 168);

/// The child for `byte`, or nullptr.
Slot* find(Node& node, std::uint8_t byte);
/// What stands at a position that next() or previous() gave.
Ref at(const Node& node, int position);
/// The next position behind `after` that is taken; kAfterAll: none.
int next(const Node& node, int after);
/// The last position before `before` that is taken; kBeforeAll: none.
int previous(const Node& node, int before);
/// Adds a child for a byte that has none; false: the node is full.
bool add(Node& node, std::uint8_t byte, Ref child);
/// A larger node with the same end, prefix and children.
Node* grown(const Node& node, Arena& arena);
/// The same node with what is behind the first `cut` bytes of its prefix.
Node* without_prefix(const Node& node, std::size_t cut, Arena& arena);
Node* new_node(Arena& arena, Kind kind);
/// Asks for the memory of the leaves below, which are about to be read in order.
void prefetch(const Node& node);
/// Asks for what lies on the way from `root` to the leaves of `keys`, and for these.
void prefetch(Ref root, std::span<const ByteView> keys);
/// Where a walk enters the node at `position`: asks for the leaves of the one behind that, and for the node of the one behind
/// both.
void look_ahead(const Node& node, int position);

/// A thing and head_of() what its key has behind the bytes that all keys of a tree begin with: 8 at least.
struct Headed {
  std::uint64_t head;
  const char* thing;
};
/// What several threads fill a tree with: each takes nodes from an arena of its own.
struct Fillers {
  static constexpr std::size_t kWorkers = 2;
  using Work = std::function<void(std::size_t item, std::size_t worker)>;
  /// Calls work(item, worker) once for each item below `count`, each worker in a thread of its own, and returns when all is done.
  std::function<void(const char* name, std::size_t count, const Work& work)> share;
  std::array<Arena*, kWorkers> arenas;
};
/// Puts those things whose keys have 8 bytes behind the first `common` into `headed`, which has room for all and is returned as
/// far as it is filled, and adds the others to `left`.
std::span<Headed> take_heads(std::span<const char* const> things, std::size_t common, ByteView (*key_of)(const char*),
                             const Fillers& fillers, std::span<Headed> headed, std::vector<const char*>& left);
/// The tree of `things`, of which there is one at least and which are left in any order. Of those with one head the first is in
/// it, the others are added to `left`, as they came.
Ref build(std::span<Headed> things, const Fillers& fillers, std::vector<const char*>& left);

/// One version more, newer than those of `leaf`.
const Version* with_newer(Ref leaf, std::uint64_t leaf_version, const char* thing, std::uint64_t version, Arena& arena);
/// The newest that is not above `version`, or nullptr.
inline const Version* not_above(const Version* newest, std::uint64_t version) {
  while (newest != nullptr && newest->version > version) {
    newest = newest->jump != nullptr && newest->jump->version > version ? newest->jump : newest->older;
  }
  return newest;
}
/// The one that has `count` older ones; that many or more must be there.
inline const Version* with_older(const Version* newest, std::uint64_t count) {
  while (newest->count > count) {
    newest = newest->jump != nullptr && newest->jump->count >= count ? newest->jump : newest->older;
  }
  return newest;
}

}  // namespace radix

/// How many bytes both begin with.
inline std::size_t common_bytes(ByteView a, ByteView b) {
  const auto end = a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return static_cast<std::size_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
}

/// Traits: static ByteView key(const char* thing); static std::uint64_t version(const char* thing).
template <typename Traits>
class RadixTree {
 public:
  explicit RadixTree(Arena& arena) : arena_(arena) {}

  /// Fills an empty tree with things whose keys all begin with `common` bytes, later ones newer: without a look at most of
  /// them, since each would be a miss of the cache.
  void fill(std::span<const char* const> things, std::size_t common, const radix::Fillers& fillers) {
    std::vector<const char*> left;
    const auto room = std::make_unique_for_overwrite<radix::Headed[]>(things.size());
    const auto headed = radix::take_heads(things, common, Traits::key, fillers, {room.get(), things.size()}, left);
    if (!headed.empty()) {
      const radix::Ref root = radix::build(headed, fillers, left);
      if (root.is_node()) {
        radix::Node& node = *root.node();
        node.set_prefix(Traits::key(headed.front().thing).substr(0, common + node.prefix_size));
      }
      root_.store(root, std::memory_order_release);
    }
    for (const char* const thing : left) insert(thing);
  }

  /// `thing` is newer than every other of its key. Whether it is the first.
  bool insert(const char* thing) {
    const ByteView key = Traits::key(thing);
    radix::Slot* slot = &root_;
    std::size_t depth = 0;
    bool at_end = false;
    while (true) {
      const radix::Ref ref = slot->load(std::memory_order_relaxed);
      if (ref.empty()) {
        slot->store(radix::Ref::to(thing), std::memory_order_release);
        return true;
      }
      if (!ref.is_node()) return add_to_leaf(*slot, ref, thing, depth, at_end);
      radix::Node& node = *ref.node();
      const ByteView prefix = node.prefix_bytes();
      const std::size_t common = common_bytes(prefix, key.substr(depth));
      if (common < prefix.size()) {
        split_prefix(*slot, node, common, thing, depth);
        return true;
      }
      depth += common;
      if (depth == key.size()) {
        slot = &node.end;
        at_end = true;
        continue;
      }
      const auto byte = static_cast<std::uint8_t>(key[depth++]);
      radix::Slot* const child = radix::find(node, byte);
      if (child == nullptr) {
        add_child(*slot, node, byte, radix::Ref::to(thing));
        return true;
      }
      slot = child;
    }
  }

  /// The newest thing of `key` whose version is not above `version`, or nullptr.
  [[nodiscard]] const char* find(ByteView key, std::uint64_t version) const {
    const radix::Ref leaf = find_leaf(key);
    if (leaf.empty()) return nullptr;
    const char* const newest = leaf.thing();
    __builtin_prefetch(newest + 64);  // What follows the key is wanted next.
    __builtin_prefetch(newest + 128);
    if (Traits::key(newest) != key) return nullptr;
    if (leaf.versions() == nullptr) return Traits::version(newest) <= version ? newest : nullptr;
    const radix::Version* const found = radix::not_above(leaf.versions(), version);
    return found != nullptr ? found->thing : nullptr;
  }

  /// For who is about to insert or to find `keys`: memory that each of them would wait for by itself is waited for together.
  void prefetch(std::span<const ByteView> keys) const { radix::prefetch(root_.load(std::memory_order_acquire), keys); }

  /// Calls `visit` with the things of `key`, the newest first, as long as it returns no error.
  Result<void> visit(ByteView key, const std::function<Result<void>(const char*)>& visit) const {
    const radix::Ref leaf = find_leaf(key);
    if (leaf.empty() || Traits::key(leaf.thing()) != key) return {};
    if (leaf.versions() == nullptr) return visit(leaf.thing());
    for (const radix::Version* at = leaf.versions(); at != nullptr; at = at->older) CAIRN_TRY_VOID(visit(at->thing));
    return {};
  }

  /// Walks things by key ascending, newest first, or the exact reverse. Sees all that was inserted before its last seek. One
  /// thread.
  class Iterator {
   public:
    explicit Iterator(const RadixTree& tree) : tree_(tree) {}
    void seek(ByteView key);
    void seek_first() { start(&Iterator::descend_first); }
    /// To the last thing with a key below `key`, or that is of `key` itself and newer than `version`.
    void seek_before(ByteView key, std::uint64_t version = ~std::uint64_t{0});
    void seek_last() { start(&Iterator::descend_last); }
    void next();
    void prev();
    [[nodiscard]] bool valid() const { return thing_ != nullptr; }
    [[nodiscard]] const char* thing() const { return thing_; }

   private:
    struct Frame {
      const radix::Node* node;
      int position;
    };
    void start(void (Iterator::*descend)(radix::Ref)) {
      clear();
      const radix::Ref root = tree_.root_.load(std::memory_order_acquire);
      if (!root.empty()) (this->*descend)(root);
    }
    void clear() {
      frames_.clear();
      newer_.clear();
      thing_ = nullptr;
    }
    void descend_first(radix::Ref ref);
    void descend_last(radix::Ref ref);
    void leave_forward();
    void leave_backward();
    void set_newest(radix::Ref leaf) {
      newest_ = at_ = leaf.versions();
      thing_ = leaf.thing();
    }
    /// To the thing of the leaf that has `count` older ones.
    void set(radix::Ref leaf, std::uint64_t count);

    const RadixTree& tree_;
    std::vector<Frame> frames_;
    const char* thing_ = nullptr;
    const radix::Version* newest_ = nullptr;  // Of the leaf it is in; none if that has one thing only.
    const radix::Version* at_ = nullptr;
    static constexpr std::uint64_t kNewerAtOnce = 64;
    std::vector<const radix::Version*> newer_;  // Some newer than at_, the next newer last; empty: not known.
  };

 private:
  static ByteView rest(ByteView key, std::size_t depth) { return key.substr(std::min(depth, key.size())); }

  [[nodiscard]] radix::Ref find_leaf(ByteView key) const {
    radix::Ref ref = root_.load(std::memory_order_acquire);
    std::size_t depth = 0;
    while (!ref.empty() && ref.is_node()) {
      radix::Node& node = *ref.node();
      if (!key.substr(depth).starts_with(node.prefix_bytes())) return {};
      depth += node.prefix_size;
      if (depth == key.size()) return node.end.load(std::memory_order_acquire);
      const radix::Slot* const slot = radix::find(node, static_cast<std::uint8_t>(key[depth++]));
      if (slot == nullptr) return {};
      ref = slot->load(std::memory_order_acquire);
    }
    return ref;
  }

  /// Puts `thing` into a node that nobody sees yet: where its key goes on behind `depth`, or ends.
  static void put(radix::Node& node, radix::Ref leaf, ByteView key, std::size_t depth) {
    if (depth >= key.size()) {
      node.end.store(leaf, std::memory_order_relaxed);
    } else {
      radix::add(node, static_cast<std::uint8_t>(key[depth]), leaf);
    }
  }

  /// `at_end`: where the whole key leads; what is there has that key, even if its bytes, on a bad page, say otherwise.
  bool add_to_leaf(radix::Slot& slot, radix::Ref leaf, const char* thing, std::size_t depth, bool at_end) {
    const ByteView key = Traits::key(thing);
    const ByteView other = Traits::key(leaf.thing());
    if (at_end || key == other) {
      const auto* const newest = radix::with_newer(leaf, Traits::version(leaf.thing()), thing, Traits::version(thing), arena_);
      slot.store(radix::Ref::to(newest), std::memory_order_release);
      return false;
    }
    const std::size_t common = common_bytes(rest(key, depth), rest(other, depth));
    radix::Node* const node = radix::new_node(arena_, radix::Kind::k4);
    node->set_prefix(key.substr(depth, common));
    put(*node, leaf, other, depth + common);
    put(*node, radix::Ref::to(thing), key, depth + common);
    slot.store(radix::Ref::to(node), std::memory_order_release);
    return true;
  }

  void split_prefix(radix::Slot& slot, const radix::Node& node, std::size_t common, const char* thing, std::size_t depth) {
    const ByteView prefix = node.prefix_bytes();
    const ByteView key = Traits::key(thing);
    radix::Node* const above = radix::new_node(arena_, radix::Kind::k4);
    above->set_prefix(key.substr(depth, common));
    radix::add(*above, static_cast<std::uint8_t>(prefix[common]),
               radix::Ref::to(radix::without_prefix(node, common + 1, arena_)));
    put(*above, radix::Ref::to(thing), key, depth + common);
    slot.store(radix::Ref::to(above), std::memory_order_release);
  }

  /// Adds a leaf for `byte`, which the node has no child for; a full node is replaced in its `slot`.
  void add_child(radix::Slot& slot, radix::Node& node, std::uint8_t byte, radix::Ref leaf) {
    if (radix::add(node, byte, leaf)) return;
    radix::Node* const larger = radix::grown(node, arena_);
    radix::add(*larger, byte, leaf);
    slot.store(radix::Ref::to(larger), std::memory_order_release);
  }

  Arena& arena_;
  radix::Slot root_{};
};

template <typename Traits>
void RadixTree<Traits>::Iterator::descend_first(radix::Ref ref) {
  while (ref.is_node()) {
    const radix::Node& node = *ref.node();
    radix::prefetch(node);
    const int position = radix::next(node, radix::kBeforeAll);
    frames_.push_back({&node, position});
    ref = radix::at(node, position);
  }
  set_newest(ref);
}

template <typename Traits>
void RadixTree<Traits>::Iterator::descend_last(radix::Ref ref) {
  while (ref.is_node()) {
    const radix::Node& node = *ref.node();
    const int position = radix::previous(node, radix::kAfterAll);
    frames_.push_back({&node, position});
    ref = radix::at(node, position);
  }
  set(ref, 0);
}

template <typename Traits>
void RadixTree<Traits>::Iterator::leave_forward() {
  for (; !frames_.empty(); frames_.pop_back()) {
    Frame& frame = frames_.back();
    frame.position = radix::next(*frame.node, frame.position);
    if (frame.position == radix::kAfterAll) continue;
    const radix::Ref child = radix::at(*frame.node, frame.position);
    if (child.is_node()) radix::look_ahead(*frame.node, frame.position);
    return descend_first(child);
  }
  thing_ = nullptr;
}

template <typename Traits>
void RadixTree<Traits>::Iterator::leave_backward() {
  for (; !frames_.empty(); frames_.pop_back()) {
    Frame& frame = frames_.back();
    frame.position = radix::previous(*frame.node, frame.position);
    if (frame.position != radix::kBeforeAll) return descend_last(radix::at(*frame.node, frame.position));
  }
  thing_ = nullptr;
}

template <typename Traits>
void RadixTree<Traits>::Iterator::set(radix::Ref leaf, std::uint64_t count) {
  set_newest(leaf);
  newer_.clear();
  if (newest_ == nullptr) return;
  at_ = radix::with_older(newest_, count);
  thing_ = at_->thing;
}

template <typename Traits>
void RadixTree<Traits>::Iterator::seek(ByteView key) {
  clear();
  radix::Ref ref = tree_.root_.load(std::memory_order_acquire);
  std::size_t depth = 0;
  while (!ref.empty() && ref.is_node()) {
    const radix::Node& node = *ref.node();
    const ByteView prefix = node.prefix_bytes();
    const int order = prefix.compare(key.substr(depth, prefix.size()));
    if (order > 0) return descend_first(ref);
    if (order < 0) return leave_forward();
    depth += prefix.size();
    if (depth == key.size()) return descend_first(ref);
    frames_.push_back({&node, static_cast<std::uint8_t>(key[depth++])});
    const radix::Slot* const slot = radix::find(*ref.node(), static_cast<std::uint8_t>(key[depth - 1]));
    if (slot == nullptr) return leave_forward();
    ref = slot->load(std::memory_order_acquire);
  }
  if (ref.empty()) return;
  if (Traits::key(ref.thing()) < key) return leave_forward();
  set_newest(ref);
}

template <typename Traits>
void RadixTree<Traits>::Iterator::seek_before(ByteView key, std::uint64_t version) {
  clear();
  radix::Ref ref = tree_.root_.load(std::memory_order_acquire);
  std::size_t depth = 0;
  while (!ref.empty() && ref.is_node()) {
    const radix::Node& node = *ref.node();
    const ByteView prefix = node.prefix_bytes();
    const int order = prefix.compare(key.substr(depth, prefix.size()));
    if (order < 0) return descend_last(ref);
    if (order > 0) return leave_backward();
    depth += prefix.size();
    const bool ends = depth == key.size();
    frames_.push_back({&node, ends ? radix::kEnd : static_cast<std::uint8_t>(key[depth])});
    const radix::Slot* const slot = ends ? &node.end : radix::find(*ref.node(), static_cast<std::uint8_t>(key[depth]));
    if (slot == nullptr) return leave_backward();
    ref = slot->load(std::memory_order_acquire);
    ++depth;
  }
  if (ref.empty()) return leave_backward();
  const char* const newest = ref.thing();
  const int order = Traits::key(newest).compare(key);
  if (order < 0) return set(ref, 0);
  if (order > 0 || Traits::version(newest) <= version) return leave_backward();
  const radix::Version* const from = radix::not_above(ref.versions(), version);
  set(ref, from == nullptr ? 0 : from->count + 1);
}

template <typename Traits>
void RadixTree<Traits>::Iterator::next() {
  newer_.clear();
  if (at_ == nullptr || at_->older == nullptr) return leave_forward();
  at_ = at_->older;
  thing_ = at_->thing;
}

template <typename Traits>
void RadixTree<Traits>::Iterator::prev() {
  if (at_ == newest_) return leave_backward();
  if (newer_.empty()) {
    const std::uint64_t last = std::min(newest_->count, at_->count + kNewerAtOnce);
    for (const radix::Version* version = radix::with_older(newest_, last); version != at_; version = version->older) {
      newer_.push_back(version);
    }
  }
  at_ = newer_.back();
  newer_.pop_back();
  thing_ = at_->thing;
}

}  // namespace cairn
