#include "base/radix_tree.h"

#include <numeric>
#include <utility>

namespace cairn::radix {
namespace {

template <typename T>
T* make(Arena& arena, auto... arguments) {
  return new (arena.allocate(sizeof(T))) T(arguments...);
}

/// Calls `with` with the node as what it is.
template <typename N, typename F>
auto visit(N& node, F with) {
  const auto as = [&]<typename T>(T* /*of*/) -> auto& {
    return static_cast<std::conditional_t<std::is_const_v<N>, const T, T>&>(node);
  };
  switch (node.kind) {
    case Kind::k4: return with(as(static_cast<Node4*>(nullptr)));
    case Kind::k16: return with(as(static_cast<Node16*>(nullptr)));
    case Kind::k48: return with(as(static_cast<Node48*>(nullptr)));
    case Kind::k256: break;
  }
  return with(as(static_cast<Node256*>(nullptr)));
}

template <std::size_t kChildren>
std::uint8_t byte_of(const Few<kChildren>& node, std::size_t i) {
  return static_cast<std::uint8_t>(node.bytes[i / 8].load(std::memory_order_relaxed) >> (i % 8 * 8));
}

template <std::size_t kChildren>
Slot* find_child(Few<kChildren>& node, std::uint8_t byte) {
  const std::size_t count = node.count.load(std::memory_order_acquire);
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  for (std::size_t word = 0; word * 8 < count; ++word) {
    // The lowest zero byte of `differ` is the lowest set bit of what is left (Mycroft's trick; higher ones may be false).
    const std::uint64_t differ = node.bytes[word].load(std::memory_order_relaxed) ^ (kOnes * byte);
    const std::uint64_t zeros = (differ - kOnes) & ~differ & (kOnes << 7);
    if (zeros == 0) continue;
    const std::size_t i = word * 8 + static_cast<std::size_t>(std::countr_zero(zeros)) / 8;
    return i < count ? &node.children[i] : nullptr;  // A byte behind the last is 0, or not counted yet.
  }
  return nullptr;
}
Slot* find_child(Node48& node, std::uint8_t byte) {
  const std::size_t place = node.index[byte].load(std::memory_order_acquire);
  return place != 0 ? &node.children[place - 1] : nullptr;
}
Slot* find_child(Node256& node, std::uint8_t byte) {
  Slot& slot = node.children[byte];
  return slot.load(std::memory_order_acquire).empty() ? nullptr : &slot;
}

/// The nearest byte taken on that side of `from`.
template <bool kUp, std::size_t kChildren>
int nearest(const Few<kChildren>& node, int from) {
  const std::size_t count = node.count.load(std::memory_order_acquire);
  int found = kUp ? kAfterAll : kEnd;
  for (std::size_t i = 0; i < count; ++i) {
    const int byte = byte_of(node, i);
    if (kUp ? byte > from && byte < found : byte < from && byte > found) found = byte;
  }
  return found;
}
template <bool kUp>
int nearest(const Node48& node, int from) {
  int byte = kUp ? from + 1 : from - 1;
  while (byte >= 0 && byte < 256 && node.index[static_cast<std::size_t>(byte)].load(std::memory_order_acquire) == 0) {
    byte += kUp ? 1 : -1;
  }
  return byte;
}
template <bool kUp>
int nearest(const Node256& node, int from) {
  int byte = kUp ? from + 1 : from - 1;
  while (byte >= 0 && byte < 256 && node.children[static_cast<std::size_t>(byte)].load(std::memory_order_acquire).empty()) {
    byte += kUp ? 1 : -1;
  }
  return byte;
}

template <std::size_t kChildren>
bool add_child(Few<kChildren>& node, std::uint8_t byte, Ref child) {
  const std::size_t count = node.count.load(std::memory_order_relaxed);
  if (count == kChildren) return false;
  std::atomic<std::uint64_t>& word = node.bytes[count / 8];
  word.store(word.load(std::memory_order_relaxed) | std::uint64_t{byte} << (count % 8 * 8), std::memory_order_relaxed);
  node.children[count].store(child, std::memory_order_relaxed);
  node.count.store(static_cast<std::uint16_t>(count + 1), std::memory_order_release);
  return true;
}
bool add_child(Node48& node, std::uint8_t byte, Ref child) {
  const std::size_t count = node.count.load(std::memory_order_relaxed);
  if (count == node.children.size()) return false;
  node.children[count].store(child, std::memory_order_relaxed);
  node.index[byte].store(static_cast<std::uint8_t>(count + 1), std::memory_order_release);
  node.count.store(static_cast<std::uint16_t>(count + 1), std::memory_order_release);
  return true;
}
bool add_child(Node256& node, std::uint8_t byte, Ref child) {
  node.children[byte].store(child, std::memory_order_release);
  return true;
}

Node* copy(const Node& node, Kind kind, Arena& arena) {
  Node* const into = new_node(arena, kind);
  into->set_prefix(node.prefix_bytes());
  into->end.store(node.end.load(std::memory_order_relaxed), std::memory_order_relaxed);
  for (int position = next(node, kEnd); position != kAfterAll; position = next(node, position)) {
    add(*into, static_cast<std::uint8_t>(position), at(node, position));
  }
  return into;
}

}  // namespace

Node* new_node(Arena& arena, Kind kind) {
  switch (kind) {
    case Kind::k4: return make<Node4>(arena, kind);
    case Kind::k16: return make<Node16>(arena, kind);
    case Kind::k48: return make<Node48>(arena);
    case Kind::k256: break;
  }
  return make<Node256>(arena);
}

Slot* find(Node& node, std::uint8_t byte) {
  return visit(node, [&](auto& of) { return find_child(of, byte); });
}

Ref at(const Node& node, int position) {
  if (position == kEnd) return node.end.load(std::memory_order_acquire);
  return find(const_cast<Node&>(node), static_cast<std::uint8_t>(position))->load(std::memory_order_acquire);
}

int next(const Node& node, int after) {
  if (after == kBeforeAll && !node.end.load(std::memory_order_acquire).empty()) return kEnd;
  return visit(node, [&](const auto& of) { return nearest<true>(of, std::max(after, kEnd)); });
}

int previous(const Node& node, int before) {
  if (before == kEnd) return kBeforeAll;
  const int found = visit(node, [&](const auto& of) { return nearest<false>(of, before); });
  return found == kEnd && node.end.load(std::memory_order_acquire).empty() ? kBeforeAll : found;
}

bool add(Node& node, std::uint8_t byte, Ref child) {
  return visit(node, [&](auto& of) { return add_child(of, byte, child); });
}

Node* grown(const Node& node, Arena& arena) { return copy(node, static_cast<Kind>(static_cast<int>(node.kind) + 1), arena); }

Node* without_prefix(const Node& node, std::size_t cut, Arena& arena) {
  Node* const shorter = copy(node, node.kind, arena);
  shorter->set_prefix(node.prefix_bytes().substr(cut));
  return shorter;
}

void prefetch(const Node& node) {
  const auto each = [](const auto& children, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Ref child = children[i].load(std::memory_order_acquire);
      if (child.is_node()) continue;
      __builtin_prefetch(child.thing());
      __builtin_prefetch(child.thing() + 64);
      __builtin_prefetch(child.thing() + 128);
    }
  };
  const std::size_t count = node.count.load(std::memory_order_acquire);
  visit(node, [&](const auto& of) { each(of.children, std::min(count, of.children.size())); });
}

namespace {

void prefetch_node(const Node& node) {
  const char* const bytes = reinterpret_cast<const char*>(&node);
  for (std::size_t line = 0; line < sizeof(Node16); line += 64) __builtin_prefetch(bytes + line);
}

/// One way down.
struct Descent {
  ByteView rest;  // Of the key.
  Ref at;
  bool newest_asked = false;

  /// Takes what was asked for last and asks for what comes next; false: there is nothing more.
  bool step() {
    if (!at.is_node()) {
      if (at.versions() != nullptr && !std::exchange(newest_asked, true)) {
        __builtin_prefetch(at.versions());
        return true;
      }
      __builtin_prefetch(at.thing());
      __builtin_prefetch(at.thing() + 64);
      return false;
    }
    Node& node = *at.node();
    if (!rest.starts_with(node.prefix_bytes())) return false;
    rest.remove_prefix(node.prefix_size);
    const Slot* slot = &node.end;
    if (!rest.empty()) {
      slot = find(node, static_cast<std::uint8_t>(rest.front()));
      rest.remove_prefix(1);
    }
    at = slot != nullptr ? slot->load(std::memory_order_acquire) : Ref();
    if (at.empty()) return false;
    if (at.is_node()) prefetch_node(*at.node());
    return true;
  }
};

}  // namespace

void prefetch(Ref root, std::span<const ByteView> keys) {
  constexpr std::size_t kAtOnce = 32;
  while (!keys.empty() && !root.empty()) {
    std::array<Descent, kAtOnce> descents;
    std::size_t count = std::min(keys.size(), kAtOnce);
    for (std::size_t i = 0; i < count; ++i) descents[i] = {.rest = keys[i], .at = root};
    keys = keys.subspan(count);
    while (count != 0) {
      for (std::size_t i = 0; i < count;) {
        if (descents[i].step()) {
          ++i;
        } else {
          descents[i] = descents[--count];
        }
      }
    }
  }
}

void look_ahead(const Node& node, int position) {
  const int behind = next(node, position);
  if (behind == kAfterAll) return;
  if (const Ref sibling = at(node, behind); sibling.is_node()) prefetch(*sibling.node());
  const int far = next(node, behind);
  if (far == kAfterAll) return;
  if (const Ref sibling = at(node, far); sibling.is_node()) prefetch_node(*sibling.node());
}

namespace {

/// Arranges things that share their first `depth` bytes, and no more where `differ` of their heads begins, under a node.
class Builder {
 public:
  Builder(Arena& arena, std::vector<const char*>& left) : arena_(arena), left_(left) {}

  /// `room` has as many places as there are things, and both are left in any order.
  Ref build(std::span<Headed> things, std::span<Headed> room, std::size_t depth) {
    if (things.size() <= kFew) {
      sort(things);
      return build_sorted(things, depth);
    }
    const Parts parts = part(things, room, depth);
    if (parts.node == nullptr) return leaf(things);
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto [begin, count] = parts.of(byte);
      if (count == 0) continue;
      add(*parts.node, static_cast<std::uint8_t>(byte),
          build(room.subspan(begin, count), things.subspan(begin, count), parts.depth));
    }
    return Ref::to(parts.node);
  }
  /// The same by several threads, for many.
  static Ref build_shared(std::span<Headed> things, std::span<Headed> room, const Fillers& fillers,
                          std::vector<const char*>& left) {
    Builder top(*fillers.arenas[0], left);
    const Parts parts = top.part(things, room, 0);
    if (parts.node == nullptr) return top.leaf(things);
    std::array<Ref, 256> children{};
    std::array<std::vector<const char*>, Fillers::kWorkers> lefts;
    fillers.share("fill a memtable", children.size(), [&](std::size_t byte, std::size_t worker) {
      const auto [begin, count] = parts.of(byte);
      if (count == 0) return;
      Builder builder(*fillers.arenas[worker], lefts[worker]);
      children[byte] = builder.build(room.subspan(begin, count), things.subspan(begin, count), parts.depth);
    });
    for (std::size_t byte = 0; byte < children.size(); ++byte) {
      if (!children[byte].empty()) add(*parts.node, static_cast<std::uint8_t>(byte), children[byte]);
    }
    for (const auto& more : lefts) left.insert(left.end(), more.begin(), more.end());
    return Ref::to(parts.node);
  }

 private:
  static constexpr std::size_t kFew = 32;

  static std::uint8_t byte_of(const Headed& each, std::size_t place) {
    return static_cast<std::uint8_t>(each.head >> (56 - place * 8));
  }
  static std::size_t common_bytes(std::uint64_t differ) { return static_cast<std::size_t>(std::countl_zero(differ)) / 8; }

  /// A node, and where its children's things are.
  struct Parts {
    Node* node = nullptr;   // None: all have one head.
    std::size_t depth = 0;  // Of the children.
    std::array<std::uint32_t, 256> ends{};
    [[nodiscard]] std::pair<std::size_t, std::size_t> of(std::size_t byte) const {
      const std::size_t begin = byte == 0 ? 0 : ends[byte - 1];
      return {begin, ends[byte] - begin};
    }
  };
  /// Moves things to `room`, by the first byte in which they differ.
  Parts part(std::span<const Headed> things, std::span<Headed> room, std::size_t depth) {
    const std::uint64_t head = things.front().head;
    std::uint64_t differ = 0;
    for (const Headed& each : things) differ |= each.head ^ head;
    if (differ == 0) return {};
    const std::size_t common = common_bytes(differ);
    std::array<std::uint32_t, 256> counts{};
    for (const Headed& each : things) ++counts[byte_of(each, common)];
    const auto children = static_cast<std::size_t>(256 - std::ranges::count(counts, 0U));
    Parts parts{.node = new_node(head, depth, common, children), .depth = common + 1, .ends = {}};
    std::exclusive_scan(counts.begin(), counts.end(), parts.ends.begin(), 0U);
    for (const Headed& each : things) room[parts.ends[byte_of(each, common)]++] = each;
    return parts;
  }
  /// A few things; equals stay as they came.
  static void sort(std::span<Headed> things) {
    for (std::size_t i = 1; i < things.size(); ++i) {
      const Headed moved = things[i];
      std::size_t at = i;
      for (; at != 0 && things[at - 1].head > moved.head; --at) things[at] = things[at - 1];
      things[at] = moved;
    }
  }
  /// Things with one head.
  Ref leaf(std::span<const Headed> things) {
    for (const Headed& each : things.subspan(1)) left_.push_back(each.thing);
    return Ref::to(things.front().thing);
  }
  Node* new_node(std::uint64_t head, std::size_t depth, std::size_t common, std::size_t children) {
    const Kind kind = children <= 4 ? Kind::k4 : children <= 16 ? Kind::k16 : children <= 48 ? Kind::k48 : Kind::k256;
    Node* const node = radix::new_node(arena_, kind);
    std::array<char, sizeof head> bytes{};
    store(bytes.data(), __builtin_bswap64(head));
    node->set_prefix(ByteView(bytes.data(), common).substr(depth));
    return node;
  }
  Ref build_sorted(std::span<const Headed> things, std::size_t depth) {
    const std::uint64_t head = things.front().head;
    const std::uint64_t differ = head ^ things.back().head;
    if (differ == 0) return leaf(things);
    const std::size_t common = common_bytes(differ);
    const auto group = [&](std::span<const Headed> from) {
      const auto same = [&](const Headed& each) { return byte_of(each, common) == byte_of(from.front(), common); };
      return from.first(static_cast<std::size_t>(std::find_if_not(from.begin(), from.end(), same) - from.begin()));
    };
    std::size_t groups = 0;
    for (auto rest = things; !rest.empty(); rest = rest.subspan(group(rest).size())) ++groups;
    Node* const node = new_node(head, depth, common, groups);
    for (auto rest = things; !rest.empty();) {
      const auto part = group(rest);
      add(*node, byte_of(part.front(), common), build_sorted(part, common + 1));
      rest = rest.subspan(part.size());
    }
    return Ref::to(node);
  }

  Arena& arena_;
  std::vector<const char*>& left_;
};

}  // namespace

std::span<Headed> take_heads(std::span<const char* const> things, std::size_t common, ByteView (*key_of)(const char*),
                             const Fillers& fillers, std::span<Headed> headed, std::vector<const char*>& left) {
  constexpr std::size_t kChunk = 16'384;
  struct Chunk {
    std::size_t count = 0;
    std::vector<const char*> left;
  };
  std::vector<Chunk> chunks((things.size() + kChunk - 1) / kChunk);
  fillers.share("read keys of a memtable", chunks.size(), [&](std::size_t number, std::size_t /*worker*/) {
    Chunk& chunk = chunks[number];
    for (const char* const thing : things.subspan(number * kChunk, std::min(kChunk, things.size() - number * kChunk))) {
      const ByteView key = key_of(thing);
      const ByteView behind = key.substr(std::min(common, key.size()));  // A page that went bad since may say anything.
      if (behind.size() >= sizeof(std::uint64_t)) {
        headed[number * kChunk + chunk.count++] = {head_of(behind), thing};
      } else {
        chunk.left.push_back(thing);
      }
    }
  });
  std::size_t count = 0;
  for (std::size_t number = 0; number < chunks.size(); ++number) {
    const auto from = headed.begin() + static_cast<std::ptrdiff_t>(number * kChunk);
    std::copy_n(from, chunks[number].count, headed.begin() + static_cast<std::ptrdiff_t>(count));
    count += chunks[number].count;
    left.insert(left.end(), chunks[number].left.begin(), chunks[number].left.end());
  }
  return headed.first(count);
}

Ref build(std::span<Headed> things, const Fillers& fillers, std::vector<const char*>& left) {
  constexpr std::size_t kMany = 8192;
  const auto room = std::make_unique_for_overwrite<Headed[]>(things.size());
  const std::span<Headed> places(room.get(), things.size());
  if (things.size() >= kMany) return Builder::build_shared(things, places, fillers, left);
  return Builder(*fillers.arenas[0], left).build(things, places, 0);
}

const Version* with_newer(Ref leaf, std::uint64_t leaf_version, const char* thing, std::uint64_t version, Arena& arena) {
  const Version* older = leaf.versions();
  if (older == nullptr) older = make<Version>(arena, Version{leaf.thing(), leaf_version, nullptr, nullptr, 0});
  const Version* const far = older->jump;
  const bool as_far = far != nullptr && far->jump != nullptr && older->count - far->count == far->count - far->jump->count;
  return make<Version>(arena, Version{thing, version, older, as_far ? far->jump : older, older->count + 1});
}

}  // namespace cairn::radix
