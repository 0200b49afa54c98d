// A timeline: its log, its blocks and their indexes, and the ways through them.
//
//   timeline_open.cc      opening (replay of blocks without an index), closing, stats
//   timeline_write.cc     the way of a save, and when a block ends
//   timeline_read.cc      get, get_at
//   key_walk.cc           what is there, in the order of keys; one key by chance
//   key_count.cc          how many keys there are
//   walks.cc              keys, history: walks in the order of time
//   watcher.cc            following saves as they come
//   timeline_blocks.cc    indexes of blocks that have ended, merging of indexes
//   housekeeping.cc       what expires leaves the main line; the cycle of the persistent line
//   timeline_rollback.cc  rollback, undo, confirm
//
// The manifest's TimelineEntry says what there is; a line-up is made of it and of the open blocks, whenever it changes
// (change()). Locks, outermost first; never take one above a lock you hold.
//   log_.mutex     Orders saves in the log. Never held across I/O.
//   state_mutex_   The line-up, for writers and jobs. Never held across I/O.
// Readers take neither: they reach the line-up through Published and see saves up to log_.visible_stamp().
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/home_process.h"
#include "base/mutex.h"
#include "base/published.h"
#include "cairn/timeline.h"
#include "directory/directory.h"
#include "directory/log.h"
#include "sealed/levelling.h"
#include "timeline/key_count.h"
#include "timeline/line_up.h"

namespace cairn::timeline {

/// Sizes that tests shrink.
struct Tuning : directory::LogTuning {
  Tuning() { segments_stay = true; }
  std::size_t open_blocks_in_burst = 4;              // Ended and without an index, while one ends soon after the other.
  std::size_t open_blocks_max = 8;                   // More hold up writers.
  std::uint64_t open_bytes_at_close_max = 4 * kMiB;  // Of such: more get their index before the timeline closes.
  std::uint64_t block_memory_least = 8 * kMiB;       // What a block may take though the budget is used up.
  std::size_t indexes_max = 8;                       // More are merged,
  std::size_t indexes_in_burst = 16;                 // in a burst more than these.
  std::uint64_t index_bytes_max = 512 * kMiB;        // Of a merged one: it is sorted in memory.
  std::size_t cycle_blocks_max = 8;                  // Of A that one step of a cycle takes.
  std::uint64_t collect_step_saves = 1024;           // A listing by prefix looks at so many at once (walks.cc),
  std::size_t collected_keys_max = 1U << 20U;        // and keeps at most so many keys.
  bool housekeep_by_itself = true;
};

/// One save of a write; borrows its bytes.
struct SaveRef {
  ByteView key;
  ByteView data;
  RecordKind kind = RecordKind::kPut;
  std::optional<std::int64_t> expiry_ms;  // 0: never; none: as the options say.
  std::uint64_t changed = 0;              // Of an expiry change: the stamp of its save.
};

/// What a read sees.
struct ReadView {
  std::shared_ptr<const LineUp> line_up;
  std::uint64_t visible = 0;  // Stamp of the last save it sees.
  std::int64_t now_ms = 0;
  std::uint64_t main_first = 0;  // The main line has no stamps below.
};

/// A block of so many bytes is worth to be one of its own.
inline constexpr std::uint64_t kLargeBlockBytes = 4 * kMiB;

class TimelineImpl : public std::enable_shared_from_this<TimelineImpl> {
 public:
  /// Opens the view `entry` of the manifest: indexes what has no index yet.
  static Result<std::shared_ptr<TimelineImpl>> open(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry,
                                                    const TimelineOptions& options, const Tuning& tuning = {});
  ~TimelineImpl();
  TimelineImpl(const TimelineImpl&) = delete;
  TimelineImpl& operator=(const TimelineImpl&) = delete;
  /// Of a new timeline.
  static directory::TimelineEntry defaults();
  /// `entry` with what `options` give, checked.
  static Result<directory::TimelineEntry> configure(directory::TimelineEntry entry, const TimelineOptions& options);
  /// kInvalidArgument, which names both: an option is given and differs from what this open timeline was opened with.
  [[nodiscard]] Result<void> check_same(const TimelineOptions& options) const;

  [[nodiscard]] const HomeProcess& home() const { return home_; }

  // See cairn/timeline.h.
  enum class Until : std::uint8_t { kApplied, kAcknowledged };
  enum class As : std::uint8_t { kOneWrite, kOneEach };  // The latter of puts alone.
  Result<Applied> write(std::span<SaveRef> saves, const SaveOptions& options, Until until = Until::kAcknowledged,
                        As as = As::kOneWrite) CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] bool applies_at_once(std::uint64_t bytes) const CAIRN_EXCLUDES(log_.mutex);
  /// kInvalidArgument: another timeline, or another open of this one, applied it.
  Result<void> settle(const Applied& applied) CAIRN_EXCLUDES(log_.mutex);
  Result<void> sync() CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Result<std::optional<Pinned>> get(ByteView key, Sees sees) const CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> multi_get(std::span<const ByteView> keys, Sees sees) const
      CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Result<std::optional<SaveInfo>> info(ByteView key, Sees sees) const CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Result<Stamp> changed(ByteView key, Sees sees) const CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Stamp last() const { return Stamp{log_.visible_stamp()}; }
  [[nodiscard]] Result<std::optional<Pinned>> get_at(ByteView key, Moment at) const;
  Result<RolledBack> rollback(Moment to, const RollbackOptions& options) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> undo(bool discard) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> confirm() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> close_block() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> housekeep(bool until_done) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  [[nodiscard]] TimelineStats stats() const CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> end_held(std::uint64_t id) CAIRN_EXCLUDES(state_mutex_);

  /// Ends the log's active segment, if there is one: everything written so far then stands in files that do not change.
  Result<void> end_log() CAIRN_EXCLUDES(log_.mutex);
  /// Ends the log and waits for jobs. Writes fail afterwards, reads go on. If it is short of something it can be called again,
  /// unless `for_good`: then it leaves to the next open what it could not do, and nothing of the timeline runs any more.
  Result<void> close(bool for_good = false) CAIRN_EXCLUDES(log_.mutex, state_mutex_);

  [[nodiscard]] Result<KeyCounts> key_counts() const { return key_count_.count(*this); }

  // For walks and watchers.
  [[nodiscard]] ReadView read_view(Sees sees = Sees::kAcknowledged) const CAIRN_EXCLUDES(log_.mutex);
  /// What get() sees begins with this stamp.
  [[nodiscard]] std::uint64_t first_of_get(const ReadView& view) const;
  /// get() does not see a save that is so old; 0: it sees all.
  [[nodiscard]] std::int64_t expires_after_ms() const { return config_.persist ? 0 : config_.timeout_ms; }
  /// The clock was set back: what has left the timeline may not have expired by it.
  [[nodiscard]] bool clock_is_behind(const ReadView& view) const { return view.now_ms < left_by_ms_.load(); }
  [[nodiscard]] std::uint64_t hash_of(ByteView key) const { return xxh3(key, directory_->hash_seed()); }
  [[nodiscard]] const ReadCounters& counters() const { return read_counters_; }
  [[nodiscard]] const Tuning& tuning() const { return tuning_; }
  /// Waits until more than `stamp` is visible, or about `ms`.
  void wait_beyond(std::uint64_t stamp, std::int64_t ms) const { log_.wait_beyond(stamp, ms); }
  [[nodiscard]] std::int64_t boot_ms() const { return environment_.clock.boot_ms(); }
  [[nodiscard]] bool closed() const CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] std::shared_ptr<const LineUp> line_up() const { return line_up_.get(); }

 private:
  TimelineImpl(std::shared_ptr<directory::Directory> directory, const directory::ViewEntry& entry, const TimelineOptions& options,
               const Tuning& tuning);

  // timeline_open.cc
  Result<void> open_index(const directory::TimelineEntry& timeline, directory::BlockIndexEntry& index)
      CAIRN_EXCLUDES(state_mutex_);
  Result<void> load(const directory::ViewEntry& entry) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  [[nodiscard]] Result<void> check_open() const CAIRN_REQUIRES(log_.mutex);
  using Edit = std::function<Result<void>(directory::ViewEntry&)>;
  /// Edits the manifest's entry and makes the line-up follow. `then`: what else is new in it.
  Result<void> change(const Edit& edit, const std::function<void(LineUp&)>& then = {}) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] bool much_is_open() const;
  void add_background(TimelineStats& stats) const CAIRN_EXCLUDES(state_mutex_);
  void follow(const directory::TimelineEntry& entry, const std::function<void(LineUp&)>& then) CAIRN_EXCLUDES(state_mutex_);
  void replace_line_up(const std::shared_ptr<LineUp>& next) CAIRN_REQUIRES(state_mutex_);
  [[nodiscard]] std::optional<HeldStats> oldest_held(const LineUp& now) const CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] const directory::TimelineEntry& entry_in(const directory::Manifest& manifest) const;

  // timeline_write.cc
  Result<void> make_room(std::uint64_t bytes, std::span<const SaveRef> saves, std::int64_t& begin_ms) CAIRN_REQUIRES(log_.mutex);
  [[nodiscard]] bool takes_keys(std::span<const SaveRef> saves) const CAIRN_REQUIRES(log_.mutex);
  [[nodiscard]] bool takes_stamp(std::uint64_t stamp) const CAIRN_REQUIRES(log_.mutex);
  [[nodiscard]] bool takes_memory() const CAIRN_REQUIRES(log_.mutex);
  Result<void> leave_block(std::uint64_t bytes) CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  void begin_block() CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  Result<void> wait_for_close(std::int64_t& begin_ms) CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] Result<std::vector<SaveRef>> what_changes(std::span<const SaveRef> saves, std::uint64_t last_stamp) const;
  [[nodiscard]] Result<std::uint64_t> stamp_of(const SaveOptions& options, std::uint64_t now) const CAIRN_REQUIRES(log_.mutex);
  Applied append(std::span<const SaveRef> saves, const SaveOptions& options, const directory::Directory::Stamped& first, As as)
      CAIRN_REQUIRES(log_.mutex);
  void index_records() CAIRN_REQUIRES(log_.mutex);
  Result<void> end_block() CAIRN_REQUIRES(log_.mutex);

  // timeline_blocks.cc
  /// Somebody waits for closing or for housekeeping: neither rests as long as this lives.
  class Asking {
   public:
    explicit Asking(TimelineImpl& timeline) : asked_(timeline.asked_) { ++asked_; }
    ~Asking() { --asked_; }
    Asking(const Asking&) = delete;
    Asking& operator=(const Asking&) = delete;

   private:
    std::atomic<int>& asked_;
  };
  [[nodiscard]] std::int64_t burst_left_ms() const;
  [[nodiscard]] bool closing_rests(std::size_t ended) const;
  void block_is_full() CAIRN_EXCLUDES(state_mutex_);
  void schedule_close() CAIRN_EXCLUDES(state_mutex_);
  void submit_close() CAIRN_REQUIRES(state_mutex_);
  Result<bool> close_blocks(directory::Job& job) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  using OpenBlocks = std::vector<std::shared_ptr<const OpenBlock>>;
  [[nodiscard]] Result<OpenBlocks> ended_blocks() CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] OpenBlocks pick_to_close(const OpenBlocks& ended) const;
  Result<void> drop_empty(const OpenBlock& block);
  Result<std::shared_ptr<const OpenBlock>> join(directory::Job& job, const OpenBlocks& blocks, std::uint64_t& end);
  Result<void> list_closed(const OpenBlocks& from, const OpenBlock& block, std::uint64_t end, const IndexFile& index);
  Result<std::shared_ptr<const IndexFile>> write_index(directory::Job& job, const OpenBlock& block);
  [[nodiscard]] std::optional<sealed::Neighbours> pick_indexes(const LineUp& now) const;
  Result<bool> merge_indexes(directory::Job& job);
  void add_index_file(const std::shared_ptr<const IndexFile>& file) CAIRN_EXCLUDES(state_mutex_);
  void forget_index_file(const IndexFile& file) CAIRN_EXCLUDES(state_mutex_);

  // housekeeping.cc
  void schedule_housekeeping() CAIRN_EXCLUDES(state_mutex_);
  std::shared_ptr<directory::Job> submit_housekeeping() CAIRN_EXCLUDES(state_mutex_);
  void schedule_next_look(bool failed) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::int64_t merging_rests_ms() const;
  Result<void> keep_house(directory::Job& job) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> end_expired_block() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> rest_log() CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] std::int64_t time_of_leaving();
  Result<bool> expire() CAIRN_EXCLUDES(state_mutex_);
  void expire_blocks(directory::TimelineEntry& entry, std::int64_t now_ms) const;
  [[nodiscard]] directory::TimelineEntry entry() const;
  [[nodiscard]] Result<std::optional<Save>> kept_by_cycle(const LineUp& line_up, ByteView key, std::uint64_t stamp,
                                                          RecordKind kind, std::uint64_t until, std::int64_t now_ms) const;
  [[nodiscard]] Result<double> dead_share(std::uint64_t until) const;
  [[nodiscard]] Result<bool> cycle_due(const directory::TimelineEntry& entry) CAIRN_EXCLUDES(state_mutex_);
  Result<bool> cycle_step(directory::Job& job) CAIRN_EXCLUDES(state_mutex_);
  struct Step;
  Result<void> take_up(directory::Job& job, Step& step, const Block& block);
  Result<void> list_taken_up(directory::Job& job, Step& step) CAIRN_EXCLUDES(state_mutex_);
  static void add_to_next_line(directory::TimelineEntry& timeline, const Step& step);
  [[nodiscard]] ReadView visible_view() const;
  [[nodiscard]] ReadView view_of(Sees sees) const CAIRN_EXCLUDES(log_.mutex);
  void set_time(ReadView& view) const;
  [[nodiscard]] Result<std::optional<Save>> last_save(ByteView key, std::uint64_t hash, ReadView& view) const;
  [[nodiscard]] std::uint64_t main_first(const LineUp& now, std::int64_t now_ms) const;
  [[nodiscard]] bool has_expired(std::uint64_t stamp, std::int64_t now_ms) const;

  // timeline_rollback.cc
  Result<RolledBack> roll_back(Moment to, const RollbackOptions& options) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  [[nodiscard]] RolledBack count_saves(const LineUp& now, std::uint64_t after, std::uint64_t last) const;
  Result<void> undo_last(bool discard) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  static void drop_rolled_back(directory::TimelineEntry& entry);

  const HomeProcess home_;
  const std::uint64_t id_;  // No other open timeline of the process has it.
  const std::shared_ptr<directory::Directory> directory_;
  directory::Environment& environment_;
  const std::uint16_t view_;
  const std::string name_;
  directory::TimelineEntry config_;  // As it was at open: what is configured in it holds.
  const TimelineOptions options_;
  const Tuning tuning_;

  mutable directory::Log log_;
  bool closed_ CAIRN_GUARDED_BY(log_.mutex) = false;                   // close() has ended the log.
  std::int64_t last_given_ms_ CAIRN_GUARDED_BY(log_.mutex) = -1;       // The time that the last save brought.
  std::shared_ptr<OpenBlock> active_ CAIRN_GUARDED_BY(log_.mutex);     // None: the log has no segment.
  std::vector<std::uint64_t> checksums_ CAIRN_GUARDED_BY(log_.mutex);  // Of the batch being appended.
  std::vector<std::pair<const char*, segment::RecordView>> records_ CAIRN_GUARDED_BY(log_.mutex);  // Of that write.

  mutable Mutex state_mutex_{Rank::kLineUp};
  std::map<std::string, std::shared_ptr<const IndexFile>> index_files_ CAIRN_GUARDED_BY(state_mutex_);  // Live, or about to be.
  std::shared_ptr<directory::Job> close_job_ CAIRN_GUARDED_BY(state_mutex_);
  std::shared_ptr<directory::Job> last_close_job_ CAIRN_GUARDED_BY(state_mutex_);  // The same, or one that is at its end.
  std::shared_ptr<directory::Job> housekeeping_job_ CAIRN_GUARDED_BY(state_mutex_);
  std::shared_ptr<directory::Job> last_housekeeping_job_ CAIRN_GUARDED_BY(state_mutex_);  // Likewise.
  std::int64_t next_look_boot_ms_ CAIRN_GUARDED_BY(state_mutex_) = 0;                     // Of housekeeping; 0: none is set.
  std::string close_error_ CAIRN_GUARDED_BY(state_mutex_);         // Of the last job that did not end well,
  std::string housekeeping_error_ CAIRN_GUARDED_BY(state_mutex_);  // empty since one did.
  bool close_again_ CAIRN_GUARDED_BY(state_mutex_) = false;        // Something has ended since the job looked.
  bool full_cycle_wanted_ CAIRN_GUARDED_BY(state_mutex_) = false;
  bool stop_jobs_ CAIRN_GUARDED_BY(state_mutex_) = false;
  std::weak_ptr<const LineUp> newest_line_up_ CAIRN_GUARDED_BY(state_mutex_);
  struct Superseded {
    std::uint64_t id;
    std::int64_t since_boot_ms;
    std::weak_ptr<const LineUp> line_up;
  };
  std::vector<Superseded> superseded_ CAIRN_GUARDED_BY(state_mutex_);  // Oldest first: who holds one may keep what has left.
  std::uint64_t next_held_ CAIRN_GUARDED_BY(state_mutex_) = 1;

  std::atomic<std::int64_t> last_full_boot_ms_{std::numeric_limits<std::int64_t>::min() / 2};  // A block.
  std::atomic<int> asked_{0};                                                                  // How many are Asking.
  std::atomic<std::int64_t> left_by_ms_{0};    // The latest time by which a job decided what leaves.
  std::atomic<std::uint64_t> freed_bytes_{0};  // By blocks that were closed.
  std::vector<std::string> open_reports_;      // Of load() alone.
  Published<LineUp> line_up_{nullptr};
  ReadCounters read_counters_;
  mutable KeyCount key_count_;
  struct Counters {
    // These are changed under log_.mutex alone, with add_alone().
    std::atomic<std::uint64_t> writes{0};
    std::atomic<std::uint64_t> written_bytes{0};

    std::atomic<std::uint64_t> index_bytes{0};
    std::atomic<std::uint64_t> closed{0};
    std::atomic<std::uint64_t> expired{0};
    std::atomic<std::uint64_t> cycles{0};
  };
  Counters counters_;
};

}  // namespace cairn::timeline
