// The in-memory index over log segments: a skip list (Pugh 1990) whose nodes point at records where they lie in the
// mapped log, ordered by key, then newest first. One writer at a time; readers take no lock.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "directory/environment.h"
#include "sealed/entry.h"
#include "segment/record.h"

namespace cairn::table {

class Memtable : public std::enable_shared_from_this<Memtable> {
 public:
  explicit Memtable(directory::MemoryBudget& memory);
  ~Memtable();
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  /// A log segment whose records this memtable will index, kept as long as it lives.
  struct Source {
    std::shared_ptr<directory::LiveFile> file;
    std::uint64_t recyclable_bytes = 0;  // Its capacity; 0: not to be recycled.
  };

  // For the one writer, and for anybody once it is frozen.
  void add_source(Source source) { sources_.push_back(std::move(source)); }
  [[nodiscard]] const std::vector<Source>& sources() const { return sources_; }
  /// Indexes `record`, which lies at `at` in one of the sources. Versions ascend.
  void insert(const char* at, const segment::RecordView& record);

  // For readers.
  [[nodiscard]] std::optional<sealed::Entry> get(ByteView key, std::uint64_t version_max) const;
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor() const;

  [[nodiscard]] bool empty() const { return record_count() == 0; }
  [[nodiscard]] std::uint64_t record_count() const { return records_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t log_bytes() const { return log_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t version_first() const { return version_first_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t version_last() const { return version_last_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t object_bytes() const { return object_bytes_; }
  [[nodiscard]] std::uint64_t key_bytes_max() const { return key_bytes_max_; }

 private:
  friend class MemtableCursor;
  static constexpr int kHeightMax = 14;  // 4^14 records.
  struct Node {
    std::uint64_t head;  // First bytes of the key, as a big-endian number: settles most comparisons.
    const char* record;
    std::atomic<Node*> next[1];  // As many as the node is high.
  };

  Node* new_node(int height);
  char* allocate(std::uint64_t bytes);
  int random_height();
  /// Whether `node` comes before every version of `key` not above `version`.
  static bool before(const Node& node, std::uint64_t head, ByteView key, std::uint64_t version);
  /// The first node not before (key, version); its predecessors in `previous`, if wanted.
  const Node* lower_bound(ByteView key, std::uint64_t version, Node** previous) const;
  /// The last node before (key, version), or nullptr.
  [[nodiscard]] const Node* last_before(ByteView key, std::uint64_t version) const;
  [[nodiscard]] const Node* last() const;

  directory::MemoryBudget& memory_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* block_at_ = nullptr;
  std::uint64_t block_left_ = 0;
  Node* head_ = nullptr;
  std::atomic<int> height_{1};
  std::uint64_t random_ = 0x2545f4914f6cdd1dULL;
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> memory_bytes_{0};
  std::atomic<std::uint64_t> log_bytes_{0};
  std::atomic<std::uint64_t> version_first_{0};
  std::atomic<std::uint64_t> version_last_{0};
  std::uint64_t object_bytes_ = 0;
  std::uint64_t key_bytes_max_ = 0;
};

}  // namespace cairn::table
