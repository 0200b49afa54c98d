// The in-memory index over log segments: for each family the records where they lie in the mapped log, by key and by
// term, and its range tombstones. One writer at a time; readers take no lock.
#pragma once
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
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  /// A log segment whose records this memtable will index, kept as long as it lives.
  using Source = directory::Log::Source;
  /// More make the set of range tombstones, which is made anew for each, too slow: time to freeze.
  static constexpr std::uint64_t kRangeTombstonesMax = 256;

  /// For the one writer; all about sources that follows, for anybody.
  void add_source(Source source);
  /// Oldest first.
  [[nodiscard]] std::vector<Source> sources() const;
  /// The one whose bytes `at` points to, or nullptr.
  [[nodiscard]] const Source* source_of(const char* at) const;

  // For the one writer, and for anybody once it is frozen.
  /// Indexes `record`, of one of the families, which lies at `at` in one of the sources. Versions ascend. Its terms are
  /// those of `indexed`, the value itself also where the record has only a reference to it.
  void insert(const char* at, const segment::RecordView& record, ByteView indexed);
  /// The same for the first ones of a memtable, if there are many: the index has them after insert_noted() only.
  void note(const char* at, const segment::RecordView& record, ByteView indexed);
  void insert_noted(directory::JobRunner& jobs);
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

  [[nodiscard]] bool has(std::uint16_t family) const { return family < families_.size(); }
  [[nodiscard]] bool empty() const { return record_count() == 0; }
  /// Of all families, range tombstones too.
  [[nodiscard]] std::uint64_t record_count() const { return records_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t record_count(std::uint16_t family) const;
  [[nodiscard]] std::uint64_t range_tombstone_count() const { return range_tombstones_; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return arena_.bytes() + other_arena_.bytes(); }
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
  using Terms = RadixTree<TermTraits>;

  struct FamilyIndex {
    FamilyIndex(Arena& arena, std::shared_ptr<const Family> of);
    std::shared_ptr<const Family> family;
    Records records;
    std::vector<std::unique_ptr<Terms>> terms;  // One for each index of the family.
    std::atomic<const RangeTombstones*> range_tombstones;
    std::vector<std::unique_ptr<const RangeTombstones>> range_tombstones_ever;  // Readers may be in any of them.
    std::atomic<std::uint64_t> record_count{0};
    sealed::SealedBounds bounds;
    std::vector<const char*> noted;
    std::size_t noted_common = 0;  // Bytes that the keys of all of them begin with.
  };
  [[nodiscard]] FamilyIndex& at(std::uint16_t family) const { return *families_[family]; }
  void count(FamilyIndex& index, const segment::RecordView& record);
  void insert_terms(FamilyIndex& index, const char* at, ByteView value);
  void insert_range_tombstone(FamilyIndex& index, const segment::RecordView& record);

  const std::uint64_t hash_seed_;
  Arena arena_;
  Arena other_arena_;  // Of a thread that helps to insert what was noted.
  struct SourceNode {
    Source source;
    const SourceNode* older;
  };
  std::deque<SourceNode> source_nodes_;  // Which stay where they are; readers come in by the newest.
  std::atomic<const SourceNode*> newest_source_{nullptr};
  std::vector<std::unique_ptr<FamilyIndex>> families_;
  std::uint64_t range_tombstones_ = 0;
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> log_bytes_{0};
  std::atomic<std::uint64_t> version_first_{0};
  std::atomic<std::uint64_t> version_last_{0};
};

}  // namespace cairn::table
