// A skip list (Pugh 1990) of things that lie elsewhere, ordered by key, then newest first. One writer at a time; readers
// take no lock. Traits say what a thing's key and version are.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "cairn/bytes.h"
#include "directory/environment.h"

namespace cairn::table {

/// Memory that is given back all at once, counted in the budget. The first blocks are small: many tables are idle.
class Arena {
 public:
  explicit Arena(directory::MemoryBudget& memory) : memory_(memory) {}
  ~Arena() { memory_.subtract(bytes_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Aligned to 8 bytes.
  char* allocate(std::uint64_t bytes) {
    bytes = (bytes + 7) / 8 * 8;
    if (bytes > left_) {
      const std::uint64_t block = std::max(bytes, std::min(kBlockBytesMax, std::max(kBlockBytesMin, this->bytes())));
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(block));
      at_ = blocks_.back().get();
      left_ = block;
      memory_.add(block);
      bytes_.fetch_add(block, std::memory_order_relaxed);
    }
    char* const at = at_;
    at_ += bytes;
    left_ -= bytes;
    return at;
  }
  /// From any thread.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kBlockBytesMin = 512;
  static constexpr std::uint64_t kBlockBytesMax = 256 * kKiB;
  directory::MemoryBudget& memory_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* at_ = nullptr;
  std::uint64_t left_ = 0;
  std::atomic<std::uint64_t> bytes_{0};
};

/// Traits: static ByteView key(const char* thing); static std::uint64_t version(const char* thing).
template <typename Traits>
class SkipList {
 public:
  struct Node {
    std::uint64_t head;  // First bytes of the key, as a big-endian number: settles most comparisons.
    const char* thing;
    std::atomic<Node*> next[1];  // As many as the node is high.
  };

  explicit SkipList(Arena& arena) : arena_(arena) { head_ = new_node(kHeightMax); }

  void insert(const char* thing) {
    std::array<Node*, kHeightMax> previous{};
    previous.fill(head_);
    find(Traits::key(thing), Traits::version(thing), previous.data());
    const int height = random_height();
    Node* const node = new_node(height);
    node->head = head_of(Traits::key(thing));
    node->thing = thing;
    for (std::size_t level = 0; level < static_cast<std::size_t>(height); ++level) {
      node->next[level].store(previous[level]->next[level].load(std::memory_order_relaxed), std::memory_order_relaxed);
      previous[level]->next[level].store(node, std::memory_order_release);
    }
    if (height > height_.load(std::memory_order_relaxed)) height_.store(height, std::memory_order_release);
  }

  /// The first node not before (key, version), or nullptr.
  [[nodiscard]] const Node* lower_bound(ByteView key, std::uint64_t version) const { return find(key, version, nullptr); }
  [[nodiscard]] const Node* first() const { return next(*head_); }
  [[nodiscard]] static const Node* next(const Node& node) { return node.next[0].load(std::memory_order_acquire); }
  /// The last node before (key, version), or nullptr.
  [[nodiscard]] const Node* last_before(ByteView key, std::uint64_t version) const {
    std::array<Node*, kHeightMax> previous{};
    find(key, version, previous.data());
    return previous[0] == head_ ? nullptr : previous[0];
  }
  [[nodiscard]] const Node* last() const {
    const Node* node = head_;
    for (int level = height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
      while (const Node* const after = node->next[level].load(std::memory_order_acquire)) node = after;
    }
    return node == head_ ? nullptr : node;
  }

 private:
  static constexpr int kHeightMax = 14;  // 4^14 things.

  static std::uint64_t head_of(ByteView key) {
    std::uint64_t head = 0;
    if (!key.empty()) std::memcpy(&head, key.data(), std::min<std::size_t>(key.size(), sizeof head));
    return __builtin_bswap64(head);
  }
  static bool before(const Node& node, std::uint64_t head, ByteView key, std::uint64_t version) {
    if (node.head != head) return node.head < head;
    const int order = Traits::key(node.thing).compare(key);
    return order != 0 ? order < 0 : Traits::version(node.thing) > version;
  }
  /// lower_bound, and the predecessors on every level in `previous`, if wanted.
  const Node* find(ByteView key, std::uint64_t version, Node** previous) const {
    const std::uint64_t head = head_of(key);
    Node* node = head_;
    const int height = height_.load(std::memory_order_acquire);
    for (int level = height - 1; level >= 0; --level) {
      while (true) {
        Node* const after = node->next[level].load(std::memory_order_acquire);
        if (after == nullptr || !before(*after, head, key, version)) break;
        node = after;
      }
      if (previous != nullptr) previous[level] = node;
    }
    return node->next[0].load(std::memory_order_acquire);
  }
  Node* new_node(int height) {
    const std::uint64_t extra = static_cast<std::uint64_t>(height - 1) * sizeof(std::atomic<Node*>);
    Node* const node = new (arena_.allocate(sizeof(Node) + extra)) Node{};
    for (int i = 1; i < height; ++i) new (&node->next[i]) std::atomic<Node*>(nullptr);
    return node;
  }
  int random_height() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    // One more for each two zero bits: a quarter of the nodes of each height reach the next.
    return std::min(kHeightMax, 1 + std::countr_zero(random_ | (std::uint64_t{1} << 62)) / 2);
  }

  Arena& arena_;
  Node* head_ = nullptr;
  std::atomic<int> height_{1};
  std::uint64_t random_ = 0x2545f4914f6cdd1dULL;
};

}  // namespace cairn::table
