#include "table/radix_tree.h"

#include <numeric>

namespace cairn::table::radix {
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

void look_ahead(const Node& node, int position) {
  const int behind = next(node, position);
  if (behind == kAfterAll) return;
  if (const Ref sibling = at(node, behind); sibling.is_node()) prefetch(*sibling.node());
  const int far = next(node, behind);
  if (far == kAfterAll) return;
  if (const Ref sibling = at(node, far); sibling.is_node()) {
    const char* const bytes = reinterpret_cast<const char*>(sibling.node());
    for (std::size_t line = 0; line < sizeof(Node16); line += 64) __builtin_prefetch(bytes + line);
  }
}

void sort_by_head(std::vector<Headed>& things) {
  const auto below = [](const Headed& a, const Headed& b) { return a.head < b.head; };
  constexpr std::ptrdiff_t kFew = 1024;
  const auto count = static_cast<std::ptrdiff_t>(things.size());
  if (count < kFew) return std::stable_sort(things.begin(), things.end(), below);
  // A radix sort by the upper 33 bits, behind which few heads are still the same.
  constexpr unsigned kDigitBits = 11;
  constexpr unsigned kLowest = 64 - 3 * kDigitBits;
  std::vector<Headed> other(things.size());
  for (unsigned shift = kLowest; shift < 64; shift += kDigitBits) {
    std::array<std::size_t, 1U << kDigitBits> places{};
    const auto digit = [&](const Headed& each) { return each.head >> shift & (places.size() - 1); };
    for (const Headed& each : things) ++places[digit(each)];
    std::exclusive_scan(places.begin(), places.end(), places.begin(), std::size_t{0});
    for (const Headed& each : things) other[places[digit(each)]++] = each;
    things.swap(other);
  }
  for (auto begin = things.begin(); begin != things.end();) {
    const auto end =
        std::find_if(begin, things.end(), [&](const Headed& each) { return each.head >> kLowest != begin->head >> kLowest; });
    if (end - begin > 1) std::stable_sort(begin, end, below);
    begin = end;
  }
}

Ref build(std::span<const Headed> things, std::size_t depth, Arena& arena, std::vector<const char*>& left) {
  const std::uint64_t head = things.front().head;
  const std::uint64_t differ = head ^ things.back().head;
  if (differ == 0) {
    for (const Headed& each : things.subspan(1)) left.push_back(each.thing);
    return Ref::to(things.front().thing);
  }
  const auto common = static_cast<std::size_t>(std::countl_zero(differ)) / 8;
  const auto byte_of = [&](const Headed& each) { return static_cast<std::uint8_t>(each.head >> (56 - common * 8)); };
  const auto group = [&](std::span<const Headed> from) {
    const std::uint8_t byte = byte_of(from.front());
    const auto end = std::partition_point(from.begin(), from.end(), [&](const Headed& each) { return byte_of(each) == byte; });
    return from.first(static_cast<std::size_t>(end - from.begin()));
  };
  std::size_t groups = 0;
  for (auto rest = things; !rest.empty(); rest = rest.subspan(group(rest).size())) ++groups;
  Node* const node = new_node(arena, groups <= 4 ? Kind::k4 : groups <= 16 ? Kind::k16 : groups <= 48 ? Kind::k48 : Kind::k256);
  std::array<char, sizeof head> bytes{};
  store(bytes.data(), __builtin_bswap64(head));
  node->set_prefix(ByteView(bytes.data(), common).substr(depth));
  for (auto rest = things; !rest.empty();) {
    const auto part = group(rest);
    add(*node, byte_of(part.front()), build(part, common + 1, arena, left));
    rest = rest.subspan(part.size());
  }
  return Ref::to(node);
}

const Version* with_newer(Ref leaf, std::uint64_t leaf_version, const char* thing, std::uint64_t version, Arena& arena) {
  const Version* older = leaf.versions();
  if (older == nullptr) older = make<Version>(arena, Version{leaf.thing(), leaf_version, nullptr, nullptr, 0});
  const Version* const far = older->jump;
  const bool as_far = far != nullptr && far->jump != nullptr && older->count - far->count == far->count - far->jump->count;
  return make<Version>(arena, Version{thing, version, older, as_far ? far->jump : older, older->count + 1});
}

}  // namespace cairn::table::radix
