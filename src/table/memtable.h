// The in-memory index over log segments: for each family the records where they lie in the mapped log, by key and by
// term, and its range tombstones. One writer at a time; readers take no lock.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/radix_tree.h"
#include "directory/log.h"
#include "sealed/entry.h"
#include "sealed/sealed_writer.h"
#include "segment/record.h"
#include "table/family.h"
#include "table/range_tombstones.h"

namespace cairn::table {

class Memtable : public std::enable_shared_from_this<Memtable> {
 public:
  Memtable(MemoryBudget& memory, std::vector<std::shared_ptr<const Family>> families, std::uint64_t hash_seed);
  ~Memtable();
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  /// A log segment whose records this memtable will index, kept as long as it lives.
  using Source = directory::Log::Source;
  /// More make the set of range tombstones, which is made anew for each write, too slow: time to freeze. One write may pass it.
  static constexpr std::uint64_t kRangeTombstonesMax = 256;

  /// For the one writer; all about sources that follows, for anybody.
  void add_source(Source source);
  /// Oldest first.
  [[nodiscard]] std::vector<Source> sources() const;
  /// The one whose bytes `at` points to, or nullptr.
  [[nodiscard]] const Source* source_of(const char* at) const;

  // For the one writer, and for anybody once it is frozen.
  /// Indexes `record`, of one of the families, which lies at `at` in one of the sources, under `terms`. Versions ascend. Range
  /// tombstones count from end_write() on.
  void insert(const char* at, const segment::RecordView& record, std::span<const Term> terms);
  /// The same for the first ones of a memtable, if there are many: the index has them after insert_noted() only.
  void note(const char* at, const segment::RecordView& record, std::span<const Term> terms);
  void insert_noted(directory::JobRunner& jobs);
  /// Ends a write: the range tombstones inserted or noted since the last call are merged into the set together.
  void end_write();
  /// Adds a family, empty in this memtable. At most kFamiliesMax; its number is the next one.
  void add_family(std::shared_ptr<const Family> family);
  [[nodiscard]] const Family& family(std::uint16_t number) const { return *at(number).family; }
  /// Upper bounds of what a family holds.
  [[nodiscard]] sealed::SealedBounds bounds(std::uint16_t family) const {
    return has(family) ? at(family).bounds : sealed::SealedBounds{};
  }

  // For readers. A family that was made after this memtable is empty in it.
  [[nodiscard]] std::optional<sealed::Entry> get(std::uint16_t family, ByteView key, std::uint64_t version_max) const;
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor(std::uint16_t family) const;
  /// Records with the stored term `term` in the family's index number `index`.
  Result<void> find_term(std::uint16_t family, std::size_t index, ByteView term,
                         const std::function<Result<void>(const sealed::Entry&)>& visit) const;
  /// As they are now; valid as long as this memtable.
  [[nodiscard]] const RangeTombstones& range_tombstones(std::uint16_t family) const;

  [[nodiscard]] bool has(std::uint16_t family) const { return family < family_count_.load(std::memory_order_acquire); }
  [[nodiscard]] bool empty() const { return record_count() == 0; }
  /// Of all families, range tombstones too.
  [[nodiscard]] std::uint64_t record_count() const { return records_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t record_count(std::uint16_t family) const;
  [[nodiscard]] std::uint64_t range_tombstone_count() const { return range_tombstones_; }
  /// Whether a write with so many may be indexed. They are cut at those of every write before, so only one write has many.
  [[nodiscard]] bool takes_range_tombstones(std::uint64_t count) const {
    return count == 0 || range_tombstones_ == 0 || range_tombstones_ + count <= kRangeTombstonesMax;
  }
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return arena_.bytes() + other_arena_.bytes() + range_tombstone_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t log_bytes() const { return log_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t version_first() const { return version_first_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t version_last() const { return version_last_.load(std::memory_order_relaxed); }

 private:
  friend class MemtableCursor;
  struct RecordTraits {
    static ByteView key(const char* at) { return segment::key_at(at); }
    static std::uint64_t version(const char* at) {
      return load<std::uint64_t>(at + offsetof(segment::RecordHeader, write_version));
    }
  };
  /// {record, size of the term, term}.
  struct TermTraits {
    static ByteView key(const char* at);
    static std::uint64_t version(const char* at);
  };
  using Records = RadixTree<RecordTraits>;
  using TermTree = RadixTree<TermTraits>;

  struct FamilyIndex {
    FamilyIndex(Arena& arena, std::shared_ptr<const Family> of);
    std::shared_ptr<const Family> family;
    Records records;
    std::vector<std::unique_ptr<TermTree>> terms;  // One for each index of the family.
    std::atomic<const RangeTombstones*> range_tombstones;
    std::vector<std::unique_ptr<const RangeTombstones>> range_tombstones_ever;  // Readers may be in any of them.
    std::vector<sealed::Entry> range_tombstones_of_write;                       // Not among those yet.
    std::atomic<std::uint64_t> record_count{0};
    sealed::SealedBounds bounds;
    std::vector<const char*> noted;
    std::size_t noted_common = 0;  // Bytes that the keys of all of them begin with.
  };
  [[nodiscard]] FamilyIndex& at(std::uint16_t family) const { return *families_[family]; }
  void count(FamilyIndex& index, const segment::RecordView& record);
  void insert_terms(FamilyIndex& index, const char* at, std::span<const Term> terms);
  void note_range_tombstone(FamilyIndex& index, const segment::RecordView& record);

  MemoryBudget& memory_;
  const std::uint64_t hash_seed_;
  Arena arena_;
  Arena other_arena_;  // Of a thread that helps to insert what was noted.
  struct SourceNode {
    Source source;
    const SourceNode* older;
  };
  std::deque<SourceNode> source_nodes_;  // Which stay where they are; readers come in by the newest.
  std::atomic<const SourceNode*> newest_source_{nullptr};
  // By number. Slots below family_count_ are set before it is raised, and never change: readers need no lock.
  std::array<std::unique_ptr<FamilyIndex>, kFamiliesMax> families_;
  std::atomic<std::size_t> family_count_{0};
  std::uint64_t range_tombstones_ = 0;
  bool range_tombstones_noted_ = false;  // Some are of the write that has not ended.
  std::atomic<std::uint64_t> range_tombstone_bytes_{0};
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> log_bytes_{0};
  std::atomic<std::uint64_t> version_first_{0};
  std::atomic<std::uint64_t> version_last_{0};
};

}  // namespace cairn::table
