// A block whose index is in memory only: the one that takes saves, and those whose index is being written. One writer at a
// time; readers take no lock.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/arena.h"
#include "base/radix_tree.h"
#include "base/striped.h"
#include "directory/directory.h"
#include "sealed/entry.h"
#include "segment/record.h"
#include "timeline/save.h"

namespace cairn::timeline {

class OpenBlock : public std::enable_shared_from_this<OpenBlock> {
 public:
  OpenBlock(MemoryBudget& memory, std::shared_ptr<directory::LiveFile> live);
  OpenBlock(const OpenBlock&) = delete;
  OpenBlock& operator=(const OpenBlock&) = delete;

  /// For the one writer: indexes the save at `at` in the segment. Stamps ascend; saves of one stamp come in order of key.
  void insert(const char* at, const segment::RecordView& record);
  /// All saves of the segment below `end`, verified. kCorruption.
  static Result<std::shared_ptr<OpenBlock>> replay(directory::Directory& directory, const std::string& file, std::uint64_t end,
                                                   std::uint16_t view);

  // For readers.
  /// The last save of `key` with a stamp not above `stamp_max`.
  [[nodiscard]] std::optional<Save> find(ByteView key, std::uint64_t stamp_max) const;
  /// The save that an entry of visit() or of a cursor is.
  [[nodiscard]] Save save(const sealed::Entry& entry) const {
    Save save = save_of(entry);
    save.open = this;
    return save;
  }
  /// An erase of all keys.
  struct EraseOfAll {
    std::uint64_t stamp;
    const EraseOfAll* older;
  };
  /// The newest; nullptr: none.
  [[nodiscard]] const EraseOfAll* erases() const { return erases_.load(std::memory_order_acquire); }
  /// For who is about to look these keys up, or to save under them; best of so many.
  static constexpr std::size_t kPrefetched = 32;
  void prefetch(std::span<const ByteView> keys) const { records_.prefetch(keys); }
  [[nodiscard]] bool holds(ByteView key) const { return records_.find(key, ~std::uint64_t{0}) != nullptr; }
  /// Calls `visit` with the saves with stamps in [first, last], in order, as long as it returns true.
  Result<void> visit(std::uint64_t first, std::uint64_t last,
                     const std::function<Result<bool>(const sealed::Entry&)>& visit) const;
  /// The save that was made as number `i` of saves().
  [[nodiscard]] sealed::Entry nth(std::uint64_t i, PlaceBytes& place) const { return entry_at(save_at(i), place); }
  /// By key, newest first; entries as in a block index.
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor() const;
  /// The record of a save of it.
  [[nodiscard]] segment::RecordView record(std::uint64_t offset) const {
    return segment::view_record(live_->map()->data() + offset, offset);
  }
  /// The data of a save of it.
  [[nodiscard]] Result<Pinned> data(std::uint64_t offset) const;

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const std::string& name() const { return live_->map()->name(); }
  [[nodiscard]] const std::shared_ptr<directory::LiveFile>& live() const { return live_; }
  [[nodiscard]] bool empty() const { return saves() == 0; }
  [[nodiscard]] std::uint64_t saves() const { return saves_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t keys() const { return keys_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // Of log.
  [[nodiscard]] std::uint64_t key_bytes() const { return key_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t key_bytes_max() const { return key_bytes_max_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t memory_bytes() const { return arena_.bytes(); }
  /// Of one that is not empty.
  [[nodiscard]] std::uint64_t stamp_first() const { return stamp_first_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t stamp_last() const { return stamp_last_.load(std::memory_order_relaxed); }

 private:
  friend class OpenBlockCursor;
  struct Traits {
    static ByteView key(const char* at) { return segment::key_at(at); }
    static std::uint64_t version(const char* at) { return load<std::uint64_t>(at + offsetof(segment::RecordHeader, stamp)); }
  };
  static constexpr std::uint64_t kChunkSaves = 1024;

  [[nodiscard]] const char* save_at(std::uint64_t i) const;
  [[nodiscard]] sealed::Entry entry_at(const char* at, PlaceBytes& place) const;

  const std::shared_ptr<directory::LiveFile> live_;
  const Striped<void> hold_;  // Of the file, for the data that readers are given.
  const std::uint64_t number_;
  Arena arena_;
  RadixTree<Traits> records_;
  std::vector<std::atomic<std::uint32_t*>> order_;  // Offsets / 8 of the saves, in chunks.
  std::atomic<const EraseOfAll*> erases_{nullptr};
  std::atomic<std::uint64_t> saves_{0};
  std::atomic<std::uint64_t> keys_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> key_bytes_{0};
  std::atomic<std::uint64_t> key_bytes_max_{0};
  std::atomic<std::uint64_t> stamp_first_{0};
  std::atomic<std::uint64_t> stamp_last_{0};
};

}  // namespace cairn::timeline
