#include "table/memtable.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "sealed/sealed_format.h"

namespace cairn::table {
namespace {

constexpr std::uint64_t kBlockBytes = 256 * kKiB;

std::uint64_t head_of(ByteView key) {
  std::uint64_t head = 0;
  std::memcpy(&head, key.data(), std::min<std::size_t>(key.size(), sizeof head));
  return __builtin_bswap64(head);
}

sealed::Entry entry_of(const char* at) {
  const segment::RecordView record = segment::view_record(at, 0);
  return {.key = record.key,
          .value = record.value,
          .kind = record.kind(),
          .write_version = record.header.write_version,
          .stamp = record.header.stamp,
          .account = record.account,
          .expiry_ms = record.expiry_ms};
}

}  // namespace

Memtable::Memtable(directory::MemoryBudget& memory) : memory_(memory) { head_ = new_node(kHeightMax); }

Memtable::~Memtable() { memory_.subtract(memory_bytes_); }

char* Memtable::allocate(std::uint64_t bytes) {
  if (bytes > block_left_) {
    blocks_.push_back(std::make_unique<char[]>(kBlockBytes));
    block_at_ = blocks_.back().get();
    block_left_ = kBlockBytes;
    memory_.add(kBlockBytes);
    memory_bytes_.fetch_add(kBlockBytes, std::memory_order_relaxed);
  }
  char* const at = block_at_;
  block_at_ += bytes;
  block_left_ -= bytes;
  return at;
}

Memtable::Node* Memtable::new_node(int height) {
  const std::uint64_t extra = static_cast<std::uint64_t>(height - 1) * sizeof(std::atomic<Node*>);
  Node* const node = new (allocate(sizeof(Node) + extra)) Node{};
  for (int i = 1; i < height; ++i) new (&node->next[i]) std::atomic<Node*>(nullptr);
  return node;
}

int Memtable::random_height() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  // One more for each two zero bits: a quarter of the nodes of each height reach the next.
  return std::min(kHeightMax, 1 + std::countr_zero(random_ | (std::uint64_t{1} << 62)) / 2);
}

bool Memtable::before(const Node& node, std::uint64_t head, ByteView key, std::uint64_t version) {
  if (node.head != head) return node.head < head;
  const segment::RecordView record = segment::view_record(node.record, 0);
  const int order = record.key.compare(key);
  return order != 0 ? order < 0 : record.header.write_version > version;
}

const Memtable::Node* Memtable::lower_bound(ByteView key, std::uint64_t version, Node** previous) const {
  const std::uint64_t head = head_of(key);
  Node* node = head_;
  const int height = height_.load(std::memory_order_acquire);
  for (int level = height - 1; level >= 0; --level) {
    while (true) {
      Node* const next = node->next[level].load(std::memory_order_acquire);
      if (next == nullptr || !before(*next, head, key, version)) break;
      node = next;
    }
    if (previous != nullptr) previous[level] = node;
  }
  return node->next[0].load(std::memory_order_acquire);
}

const Memtable::Node* Memtable::last_before(ByteView key, std::uint64_t version) const {
  std::array<Node*, kHeightMax> previous{};
  lower_bound(key, version, previous.data());
  return previous[0] == head_ ? nullptr : previous[0];
}

const Memtable::Node* Memtable::last() const {
  const Node* node = head_;
  for (int level = height_.load(std::memory_order_acquire) - 1; level >= 0; --level) {
    while (const Node* const next = node->next[level].load(std::memory_order_acquire)) node = next;
  }
  return node == head_ ? nullptr : node;
}

void Memtable::insert(const char* at, const segment::RecordView& record) {
  std::array<Node*, kHeightMax> previous{};
  previous.fill(head_);
  lower_bound(record.key, record.header.write_version, previous.data());
  const int height = random_height();
  Node* const node = new_node(height);
  node->head = head_of(record.key);
  node->record = at;
  for (int level = 0; level < height; ++level) {
    node->next[level].store(previous[static_cast<std::size_t>(level)]->next[level].load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
    previous[static_cast<std::size_t>(level)]->next[level].store(node, std::memory_order_release);
  }
  if (height > height_.load(std::memory_order_relaxed)) height_.store(height, std::memory_order_release);

  if (version_first() == 0) version_first_.store(record.header.write_version, std::memory_order_relaxed);
  version_last_.store(record.header.write_version, std::memory_order_relaxed);
  records_.fetch_add(1, std::memory_order_relaxed);
  log_bytes_.fetch_add(record.bytes, std::memory_order_relaxed);
  object_bytes_ += sealed::object_bytes(record.key.size(), record.value.size(), record.header.flags);
  key_bytes_max_ = std::max<std::uint64_t>(key_bytes_max_, record.key.size());
}

std::optional<sealed::Entry> Memtable::get(ByteView key, std::uint64_t version_max) const {
  const Node* const node = lower_bound(key, version_max, nullptr);
  if (node == nullptr) return std::nullopt;
  const sealed::Entry entry = entry_of(node->record);
  if (entry.key != key) return std::nullopt;
  return entry;
}

class MemtableCursor final : public sealed::Cursor {
 public:
  explicit MemtableCursor(std::shared_ptr<const Memtable> memtable) : memtable_(std::move(memtable)) {}
  Result<void> seek(ByteView key) override { return to(memtable_->lower_bound(key, kNewest, nullptr)); }
  Result<void> seek_first() override { return to(memtable_->head_->next[0].load(std::memory_order_acquire)); }
  Result<void> seek_before(ByteView key) override { return to(memtable_->last_before(key, kNewest)); }
  Result<void> seek_last() override { return to(memtable_->last()); }
  Result<void> next() override { return to(node_->next[0].load(std::memory_order_acquire)); }
  Result<void> prev() override { return to(memtable_->last_before(entry_.key, entry_.write_version)); }
  [[nodiscard]] bool valid() const override { return node_ != nullptr; }
  [[nodiscard]] const sealed::Entry& entry() const override { return entry_; }
  [[nodiscard]] std::shared_ptr<const void> hold() const override { return memtable_; }

 private:
  static constexpr std::uint64_t kNewest = ~std::uint64_t{0};
  Result<void> to(const Memtable::Node* node) {
    node_ = node;
    if (node != nullptr) entry_ = entry_of(node->record);
    return {};
  }
  std::shared_ptr<const Memtable> memtable_;
  const Memtable::Node* node_ = nullptr;
  sealed::Entry entry_;
};

std::unique_ptr<sealed::Cursor> Memtable::cursor() const { return std::make_unique<MemtableCursor>(shared_from_this()); }

}  // namespace cairn::table
