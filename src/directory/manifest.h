// The manifest: which files are live, in order, and how each view is set up. TOML, checksummed, one new file for each
// version. Changing it is the only commit point of flush, compaction and every other change of the line-up.
// docs/formats.md shows one.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "sealed/sealed_format.h"
#include "segment/segment_format.h"

namespace cairn::directory {

enum class SegmentState : std::uint8_t {
  kActive,  // Taking writes of this epoch: recovery finds its end.
  kEnded,   // Ends where the manifest says.
};

struct SegmentEntry {
  std::string file;
  SegmentState state = SegmentState::kActive;
  std::uint64_t end = 0;          // kEnded: every record below verifies, nothing above is read.
  std::uint64_t durable_end = 0;  // kActive: a sync covered what is below.
  bool linked = false;            // It is in a checkpoint too: only ever unlinked, never changed or recycled.
  std::uint16_t root = 0;         // The drive it lies on: 0, the directory itself; else counted from 1 in Manifest::roots.
  std::uint16_t writer = 0;       // Of several that a view has: whose segment it is.
  std::uint64_t as_of = 0;        // Of a fork store's that was made of others: it has no version that one of the root up to
                                  // this one replaces.
  bool operator==(const SegmentEntry&) const = default;
};

/// Sealed files of one age, partitioned by key.
struct RunEntry {
  std::vector<std::string> files;   // Ordered by key; each says in its preamble which keys it covers.
  std::uint64_t version_first = 0;  // Runs and segments are ordered by the versions they cover.
  std::uint64_t version_last = 0;
  /// Not empty: a merge has moved the keys below it on to the run it is making, the nearest one before this in the
  /// list that has no `from`. All its inputs have the same.
  Bytes from;
  /// Of a run that was joined from others: where each file but the first begins to cover, in place of what the files say.
  std::vector<Bytes> starts;
  bool operator==(const RunEntry&) const = default;
};

struct IndexEntry {
  std::string name;
  std::uint32_t key_bytes = 0;
  std::string extractor;
  bool operator==(const IndexEntry&) const = default;
};

struct FamilyEntry {
  std::string name;
  std::uint16_t number = 0;  // Its place among the view's families.
  sealed::Compression compression = sealed::Compression::kNone;
  std::int64_t ttl_ms = 0;  // 0: for ever.
  std::vector<IndexEntry> indexes;
  std::vector<RunEntry> runs;  // Oldest first.
  bool operator==(const FamilyEntry&) const = default;
};

/// A value too large for the log, alone in a segment.
struct LargeEntry {
  std::string file;
  std::uint64_t end = 0;
  bool pending = false;  // Its reference was in no sealed file yet: it is in a log, or was never written.
  bool operator==(const LargeEntry&) const = default;
};

/// The lines of a timeline, in the order in which their blocks stand.
enum class Line : std::uint8_t {
  kNext,        // B: what is kept of A, under construction.
  kPersistent,  // A: what has left the main line.
  kMain,        // M.
};

/// A closed block of a timeline: a segment that has ended. A block index holds its saves.
struct BlockEntry {
  std::string file;
  Line line = Line::kMain;
  std::uint64_t end = 0;  // Of the segment.
  std::uint64_t stamp_first = 0;
  std::uint64_t stamp_last = 0;
  std::uint64_t saves = 0;
  bool operator==(const BlockEntry&) const = default;
  [[nodiscard]] std::uint64_t number() const;
};

/// A sealed file that holds the saves of some blocks by key and by stamp.
struct BlockIndexEntry {
  std::string file;
  std::vector<std::uint64_t> blocks;  // Their numbers, oldest first; those that have left the timeline are left out.
  bool operator==(const BlockIndexEntry&) const = default;
};

/// Saves with a stamp in (to, until] are rolled back.
struct RollbackEntry {
  std::uint64_t to = 0;
  std::uint64_t until = 0;
  std::int64_t undo_until_ms = 0;  // 0: it was confirmed.
  bool operator==(const RollbackEntry&) const = default;
};

struct TimelineEntry {
  std::int64_t timeout_ms = 0;
  bool persist = false;  // What expires moves on to the persistent line; else it is dropped.
  std::uint64_t block_keys_max = 0;
  std::uint64_t block_bytes_max = 0;
  std::int64_t block_span_ms_max = 0;
  std::int64_t undo_ms = 0;        // How long a rollback can be undone.
  std::uint64_t given_until = 0;   // Of stamps that were given to saves and are dropped: the last.
  std::uint64_t main_after = 0;    // The main line has nothing with a stamp up to this one any more.
  std::uint64_t cycle_until = 0;   // 0: none under way; else the last stamp of those saves of A that the next line takes up.
  std::uint64_t cycled_bytes = 0;  // Of A when the last cycle had ended.
  std::vector<BlockEntry> blocks;  // Oldest first.
  std::vector<BlockIndexEntry> indexes;  // By their first blocks.
  std::vector<RollbackEntry> rollbacks;  // By `until`.
  bool operator==(const TimelineEntry&) const = default;
  /// Takes out blocks by their numbers; an index that has no other goes too.
  void erase_blocks(const std::set<std::uint64_t>& numbers);
};

/// A fork of a fork store.
struct ForkEntry {
  std::uint64_t number = 0;
  std::uint64_t parent = 0;  // Of the root: its own number.
  bool frozen = false;       // Nothing is stored in it any more.
  std::uint64_t since = 0;   // The write version above which all its versions are: an earlier fork may have had its number.
  bool operator==(const ForkEntry&) const = default;
};
/// So that a manifest can say the number of a fork, and one more.
inline constexpr std::uint64_t kForkMost = (std::uint64_t{1} << 62) - 1;
inline constexpr std::uint64_t kGoneMost = 1U << 24U;  // Bounds what a few damaged bytes can expand to.

/// A fork that was purged: what is stored in it with a version in (since, until] was never. Kept while a segment has such.
struct PurgedEntry {
  std::uint64_t fork = 0;
  std::uint64_t since = 0;
  std::uint64_t until = 0;
  bool operator==(const PurgedEntry&) const = default;
};

/// The newest format. A manifest is written in the oldest that can say what is in it: 2 has `gone` of fork
/// stores, and `tree` and `purged_forks` where there are many.
inline constexpr std::uint64_t kManifestFormat = 2;

struct ForksEntry {
  std::vector<ForkEntry> forks;  // By their numbers; the first is the root.
  std::vector<PurgedEntry> purged;
  std::vector<std::uint64_t> gone;  // Numbers above the root that were purged or pruned and not given again, ascending.
  std::vector<std::string> index;   // Sealed files of one index over segments; empty: there is none.
  bool operator==(const ForksEntry&) const = default;
};

struct ViewEntry {
  std::string name;
  std::string kind;  // "table", "timeline" or "forks"; other engines bring theirs.
  std::uint16_t number = 0;
  std::vector<FamilyEntry> families;
  std::vector<SegmentEntry> log;  // Of each log the oldest first; its active ones stand last.
  std::vector<LargeEntry> large;
  std::optional<TimelineEntry> timeline;  // Of kind "timeline".
  std::optional<ForksEntry> forks;        // Of kind "forks".
  bool operator==(const ViewEntry&) const = default;
};

/// The views of a manifest, which copies of it share until one is edited: a directory may have thousands, and a switch
/// changes one. Each keeps its text once it was encoded.
class ViewList {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = ViewEntry;
    using difference_type = std::ptrdiff_t;
    using pointer = const ViewEntry*;
    using reference = const ViewEntry&;
    Iterator(const ViewList* list, std::size_t at) : list_(list), at_(at) {}
    reference operator*() const { return (*list_)[at_]; }
    pointer operator->() const { return &(*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const ViewList* list_;
    std::size_t at_;
  };

  [[nodiscard]] std::size_t size() const { return shared_.size(); }
  [[nodiscard]] bool empty() const { return shared_.empty(); }
  [[nodiscard]] const ViewEntry& operator[](std::size_t i) const { return shared_[i]->view; }
  [[nodiscard]] Iterator begin() const { return {this, 0}; }
  [[nodiscard]] Iterator end() const { return {this, size()}; }
  void push_back(ViewEntry view) { shared_.push_back(std::make_shared<Shared>(std::move(view))); }
  /// View `i`, for changes, which other copies do not see.
  ViewEntry& edit(std::size_t i) {
    shared_[i] = std::make_shared<Shared>(shared_[i]->view);
    return shared_[i]->view;
  }
  /// The text of view `i`; made by `encode` the first time. Of all copies one thread at a time may ask.
  template <typename Encode>
  const std::string& text(std::size_t i, Encode encode) const {
    if (shared_[i]->text.empty()) shared_[i]->text = encode(shared_[i]->view);
    return shared_[i]->text;
  }
  bool operator==(const ViewList& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

 private:
  struct Shared {
    explicit Shared(ViewEntry the_view) : view(std::move(the_view)) {}
    ViewEntry view;
    std::string text;
  };
  std::vector<std::shared_ptr<Shared>> shared_;
};

struct Manifest {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  segment::DatabaseId database{};
  std::uint64_t hash_seed = 0;
  std::uint64_t next_file = 1;
  std::uint16_t next_view = 1;
  std::uint64_t version_ceiling = 0;  // No write version or stamp above these was ever given out.
  std::uint64_t stamp_ceiling = 0;
  std::int64_t clock_ms = 0;       // When this version was written: no later open reads an earlier time.
  bool incremental = false;        // Of a checkpoint: files that are in the one it was taken over are not here.
  std::vector<std::string> roots;  // Directories on further drives.
  ViewList views;
  bool operator==(const Manifest&) const = default;

  /// The view's entry, or nullptr.
  [[nodiscard]] const ViewEntry* view(const std::string& kind, const std::string& name) const;
  /// The entry of a view that is there, for changes.
  [[nodiscard]] ViewEntry& edit_view(std::uint16_t number);
  [[nodiscard]] std::vector<std::string> files() const;
};

std::string encode_manifest(const Manifest& manifest);
/// `file` is for messages. kCorruption; kUnsupported for what a newer version wrote.
Result<Manifest> decode_manifest(const std::string& text, const std::string& file);

inline constexpr std::size_t kDrivesMax = 64;  // Besides the directory itself.

/// 1 to 64 of a-z A-Z 0-9 _ - . : what a view or family may be called.
bool valid_name(const std::string& name);
/// Printable ASCII without quotes and backslashes: what an extractor may be called.
bool valid_text(const std::string& text);
inline constexpr std::uint32_t kTermBytesMax = 1024;
inline constexpr std::size_t kIndexesMax = 16;  // Of a family; a sealed file has room for 32 tables of all kinds.

}  // namespace cairn::directory
