// The segments of a fork store by small numbers, so that a place in one of them fits into a word.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/striped.h"
#include "directory/directory.h"
#include "segment/segment_format.h"

namespace cairn::forks {

/// How large a record is, roughly, so that who replaces it need not read it to count it as stale: 0, an erase; else from one to
/// the next twice as many bytes up to 128 KiB, and eight or sixteen times as many above.
class SizeClass {
 public:
  static constexpr unsigned kBits = 4;
  static constexpr unsigned kCount = 1U << kBits;

  SizeClass() = default;
  SizeClass(std::uint64_t bytes, bool erase) {
    constexpr unsigned kFine = 10;
    const auto bits = static_cast<unsigned>(std::bit_width(bytes / 128));
    if (!erase) number_ = bits <= kFine ? 1 + bits : std::min(2 + kFine + (bits - kFine - 1) / 3, kCount - 1);
  }
  static SizeClass of_number(std::uint64_t number) {
    SizeClass size;
    size.number_ = static_cast<unsigned>(number);
    return size;
  }
  [[nodiscard]] unsigned number() const { return number_; }

 private:
  unsigned number_ = 0;
};

/// Where a record lies, and how large it is.
class Place {
 public:
  static constexpr unsigned kSegmentBits = 18;
  static constexpr unsigned kUnitBits = 27;  // Of 8 bytes: a segment has at most 1 GiB.
  static constexpr unsigned kBits = SizeClass::kBits + kSegmentBits + kUnitBits;

  Place() = default;
  Place(std::uint32_t segment, std::uint64_t offset, SizeClass size)
      : word_(std::uint64_t{size.number()} << (kSegmentBits + kUnitBits) | std::uint64_t{segment} << kUnitBits |
              offset / segment::kRecordAlign) {}
  static Place of(std::uint64_t word) {
    Place place;
    place.word_ = word;
    return place;
  }
  /// Never 0: a segment begins with its header.
  [[nodiscard]] std::uint64_t word() const { return word_; }
  [[nodiscard]] std::uint32_t segment() const {
    return static_cast<std::uint32_t>(word_ >> kUnitBits & ((std::uint64_t{1} << kSegmentBits) - 1));
  }
  [[nodiscard]] SizeClass size() const { return SizeClass::of_number(word_ >> (kSegmentBits + kUnitBits)); }
  /// The same in a segment that has another number.
  [[nodiscard]] Place in(std::uint32_t segment) const { return {segment, offset(), size()}; }
  [[nodiscard]] std::uint64_t offset() const { return (word_ & ((std::uint64_t{1} << kUnitBits) - 1)) * segment::kRecordAlign; }
  bool operator==(const Place&) const = default;

 private:
  std::uint64_t word_ = 0;
};

/// Thread-safe. Who reads a place that may be taken out at any time is among the readers meanwhile (Copiers), and takes hold().
class SegmentTable {
 public:
  SegmentTable() = default;
  ~SegmentTable();
  SegmentTable(const SegmentTable&) = delete;
  SegmentTable& operator=(const SegmentTable&) = delete;

  /// Its number, which none of those that are there has. nullopt: there are as many as numbers.
  /// `seed`: of its records, if they have to be verified when they are read; else 0.
  std::optional<std::uint32_t> add(const std::shared_ptr<const directory::LiveFile>& file, std::uint64_t seed = 0)
      CAIRN_EXCLUDES(mutex_);
  /// No place is in it any more, and no reader has one. Whoever took hold() keeps its bytes.
  void remove(std::uint32_t number) CAIRN_EXCLUDES(mutex_);

  [[nodiscard]] const char* at(Place place) const {
    return entry(place.segment()).data.load(std::memory_order_acquire) + place.offset();
  }
  [[nodiscard]] const std::shared_ptr<const directory::LiveFile>& hold(Place place) const {
    return entry(place.segment()).file.load(std::memory_order_acquire)->get();
  }
  [[nodiscard]] std::uint64_t seed(Place place) const { return entry(place.segment()).seed.load(std::memory_order_acquire); }

 private:
  static constexpr std::uint32_t kChunk = 1024;
  struct Entry {
    std::atomic<const char*> data{nullptr};
    std::atomic<const Striped<directory::LiveFile>*> file{nullptr};
    std::atomic<std::uint64_t> seed{0};
  };
  using Chunk = std::array<Entry, kChunk>;
  [[nodiscard]] Entry& entry(std::uint32_t number) const {
    return (*chunks_[number / kChunk].load(std::memory_order_acquire))[number % kChunk];
  }

  mutable std::array<std::atomic<Chunk*>, (std::uint32_t{1} << Place::kSegmentBits) / kChunk> chunks_{};
  Mutex mutex_{Rank::kLeaf};
  std::uint32_t count_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::vector<std::uint32_t> free_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::forks
