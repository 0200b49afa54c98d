// A closed block: a segment that has ended, mapped when somebody reads a save in it and as long as the process has not too many
// that were read since. Immutable. Thread-safe; readers of a block that is mapped take no lock.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/on_demand.h"
#include "directory/directory.h"
#include "segment/segment_reader.h"

namespace cairn::timeline {

class Block {
 public:
  /// `live`: its file, if that is mapped already.
  Block(std::shared_ptr<directory::Directory> directory, const directory::BlockEntry& entry, std::uint16_t view,
        std::shared_ptr<directory::LiveFile> live);
  /// Lets go of the file, if it is obsolete.
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// The data of the save with `stamp` whose record begins at `offset`, verified. kCorruption, kIo.
  [[nodiscard]] Result<Pinned> data(std::uint64_t offset, std::uint64_t stamp) const;
  /// Asks the memory for the record at `offset`, for who will want its data.
  void prefetch(std::uint64_t offset) const {
    const char* const at = mapped_at_.load(std::memory_order_relaxed);
    if (at != nullptr) __builtin_prefetch(at + offset);
  }
  /// All saves in order, each verified.
  Result<void> replay(const segment::SegmentReader::Visitor& visit) const;

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t bytes() const { return end_; }
  [[nodiscard]] std::uint64_t saves() const { return saves_; }
  [[nodiscard]] std::uint64_t stamp_first() const { return stamp_first_; }
  [[nodiscard]] std::uint64_t stamp_last() const { return stamp_last_; }
  /// It has left the manifest: its file goes with its last reader.
  void set_obsolete() const { obsolete_ = true; }

 private:
  struct Opened {
    Opened(std::shared_ptr<directory::LiveFile> file, segment::SegmentReader the_reader);
    std::shared_ptr<directory::LiveFile> live;
    segment::SegmentReader reader;
    /// Of each 16 KiB: the offset / 8 of the record of at least that size that begins there, once it was verified.
    mutable std::vector<std::atomic<std::uint32_t>> verified;
  };
  [[nodiscard]] Result<std::shared_ptr<const Opened>> opened() const;
  [[nodiscard]] Result<std::shared_ptr<const Opened>> open(std::shared_ptr<directory::LiveFile> file) const;
  [[nodiscard]] std::shared_ptr<directory::LiveFile> live() const CAIRN_EXCLUDES(mutex_);
  /// `file`, or what came first.
  [[nodiscard]] std::shared_ptr<directory::LiveFile> keep(std::shared_ptr<directory::LiveFile> file) const CAIRN_EXCLUDES(mutex_);

  const std::shared_ptr<directory::Directory> directory_;
  const std::string name_;
  const std::uint64_t number_;
  const std::uint16_t view_;
  const std::uint64_t end_;
  const std::uint64_t saves_;
  const std::uint64_t stamp_first_;
  const std::uint64_t stamp_last_;
  mutable Mutex mutex_{Rank::kLeaf};
  /// What a reader may still have of it when it is no longer opened: nobody reads in a second, so that the file goes with
  /// the last who does.
  mutable std::weak_ptr<directory::LiveFile> live_ CAIRN_GUARDED_BY(mutex_);
  mutable OnDemand<Opened> opened_;
  mutable std::atomic<const char*> mapped_at_{nullptr};  // When it was last; only to be prefetched, which no address can fail.
  mutable std::atomic<bool> obsolete_{false};
};

}  // namespace cairn::timeline
