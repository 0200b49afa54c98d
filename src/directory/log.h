// The log of one view, or one of several: the order of its writes, in segments one after the other, and group commit. What
// stands in it an engine indexes itself, under the same mutex.
//
//   log.cc           appending, durability, what readers may see
//   log_segments.cc  the segments: the one that takes writes, those left before it, those that stand ready
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "cairn/write.h"
#include "directory/directory.h"

namespace cairn::directory {

/// Sizes that tests shrink; the defaults are what core documents.
struct LogTuning {
  std::uint64_t segment_bytes_first = 1 * kMiB;  // Each next segment has twice as much.
  std::uint64_t segment_bytes_max = 64 * kMiB;
  std::uint64_t background_sync_bytes = 8 * kMiB;  // Of a log without kDisk writes.
  /// The longest that one write waits for background work before it is in the log. Then it is refused with kTimeout.
  std::int64_t write_wait_ms_max = 10'000;
  /// Segments that end stay as they are: room that they do not use is given back at once.
  bool segments_stay = false;
  /// A segment that ends early gives back what it does not use, if that is a quarter of it or more.
  bool unused_given_back = false;
  /// Segments may be on any drive: those of log n begin on drive n, of as many as there are.
  bool on_all_drives = false;
};

/// All but visible(), visible_version() and the counters with `mutex` held, and what does I/O lets go of it meanwhile.
class Log {
 public:
  /// `number`: which it is of those that the view has.
  Log(std::shared_ptr<Directory> directory, std::uint16_t view, std::string view_name, const LogTuning& tuning,
      std::uint16_t number = 0);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Orders the writes. Never held across I/O: who needs I/O on the log marks it as busy and lets go.
  mutable Mutex mutex{Rank::kCommit};
  /// Until something has changed that is guarded by the mutex.
  void wait() CAIRN_REQUIRES(mutex) { changed_.wait(mutex); }
  void notify() CAIRN_REQUIRES(mutex) { changed_.notify_all(); }
  /// Calls work() without the mutex, while nobody appends and no segment starts or ends.
  template <typename Work>
  auto exclusively(Work work) CAIRN_REQUIRES(mutex) {
    busy_ = true;
    mutex.unlock();
    auto result = work();
    mutex.lock();
    busy_ = false;
    changed_.notify_all();
    return result;
  }

  // The way of a write: start() or leave() and go_on() until there is room, begin(), publish(), wait_until_visible().
  /// Somebody starts or ends a segment: wait().
  [[nodiscard]] bool changing() const CAIRN_REQUIRES(mutex) { return busy_ || (!writer_ && preparing_); }
  /// Whether there is a segment that takes writes. Without it nothing stands in the log that is not ended, but what was left.
  [[nodiscard]] bool has_segment() const CAIRN_REQUIRES(mutex) { return writer_ != nullptr; }
  [[nodiscard]] bool has_room(std::uint64_t bytes) const CAIRN_REQUIRES(mutex) { return writer_->has_room(bytes); }
  /// The error that later writes are refused with, as long as a write that is in the log waits for want of something: kNoSpace or
  /// kUnavailable.
  [[nodiscard]] Result<void> check_not_short() const CAIRN_REQUIRES(mutex) {
    return short_of_ ? Result<void>(std::unexpected(*short_of_)) : Result<void>{};
  }
  /// Puts a segment with room for `bytes` at the end of a log that has none. After an error nothing has changed, unless writing
  /// has ended.
  Result<void> start(std::uint64_t bytes) CAIRN_REQUIRES(mutex);
  enum class Left : std::uint8_t {
    kNot,    ///< Or only in part, or by somebody else: look again.
    kEnded,  ///< It is ended, and the log without one.
    kReady,  ///< The next stands ready: go_on().
  };
  /// Leaves the segment that takes writes, which has no room for `bytes` or should have no more.
  Result<Left> leave(std::uint64_t bytes) CAIRN_REQUIRES(mutex);
  void go_on() CAIRN_REQUIRES(mutex);
  struct Source {
    std::shared_ptr<LiveFile> file;
    std::uint64_t recyclable_bytes = 0;  // Its capacity; 0: not to be recycled.
  };
  /// The segment that takes writes, for who keeps what stands in it: to be taken once after each start() and go_on().
  [[nodiscard]] Source source() const CAIRN_REQUIRES(mutex);
  /// The segment to append to, which has room.
  segment::SegmentWriter& begin() CAIRN_REQUIRES(mutex);
  /// What was appended since begin() is applied: its last version, and its stamp.
  void publish(WriteVersion version, std::uint64_t stamp, Durability durability) CAIRN_REQUIRES(mutex);
  /// Returns when readers see `version`, or with the reason why they never will. Of those who wait one leads and syncs for all
  /// that is in the log by then.
  Result<void> wait_until_visible(WriteVersion version) CAIRN_REQUIRES(mutex);

  /// Returns when all that is visible is on the device.
  Result<void> sync_all() CAIRN_REQUIRES(mutex);

  /// Returns with the segments ended that were left by now.
  Result<void> end_predecessors() CAIRN_REQUIRES(mutex);
  /// Returns with the log ended, without a segment, and nobody changing it. Whatever comes next stands in another segment.
  Result<void> end() CAIRN_REQUIRES(mutex);

  /// What was read from the directory, or put into it otherwise, is durable, applied and visible.
  void raise_versions(WriteVersion version, std::uint64_t stamp = 0) CAIRN_REQUIRES(mutex);
  /// Readers may see so much; on ends of batches only.
  [[nodiscard]] const std::atomic<WriteVersion>& visible() const { return visible_version_; }
  [[nodiscard]] WriteVersion visible_version() const { return visible_version_.load(std::memory_order_acquire); }
  /// The same as a stamp.
  [[nodiscard]] std::uint64_t visible_stamp() const { return visible_stamp_.load(std::memory_order_acquire); }
  /// Waits until more than `stamp` may be visible, at most about `ms`; may come back sooner.
  void wait_beyond(std::uint64_t stamp, std::int64_t ms) CAIRN_EXCLUDES(mutex);

  /// The last stamp that was given out.
  [[nodiscard]] std::uint64_t last_stamp() const CAIRN_REQUIRES(mutex) { return applied_.stamp; }
  [[nodiscard]] bool closed() const CAIRN_REQUIRES(mutex) { return closed_; }
  /// An accepted write that waits for room gives up, and so do later ones, until this is taken back: the log is about to close.
  void stop_waiting_for_room(bool stop) CAIRN_REQUIRES(mutex) { gives_up_ = stop; }
  /// From now on nothing is made ahead, and the segment that ends gives unused room back.
  void begin_close() CAIRN_REQUIRES(mutex);
  /// Takes the prepared segments out of the log: at close, and by rest().
  Result<void> drop_next() CAIRN_REQUIRES(mutex);
  /// Gives back the prepared segments of a log without a segment, to which nothing was appended for long. The next append starts
  /// a segment of the first size.
  Result<void> rest() CAIRN_REQUIRES(mutex);
  /// Nothing runs by itself after this returned. Without the mutex.
  void cancel_timers() CAIRN_EXCLUDES(mutex) { environment_.syncs.cancel(this); }

  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }

 private:
  /// A place in the log.
  struct Point {
    WriteVersion version = 0;
    std::uint64_t stamp = 0;
  };
  struct Ending {
    std::shared_ptr<segment::SegmentWriter> writer;
    Point last;  // In it.
  };
  using NextSegments = std::deque<Directory::NewSegment>;

  // log.cc
  void append_pending_frame() CAIRN_REQUIRES(mutex);
  Result<void> lead_sync() CAIRN_REQUIRES(mutex);
  Result<void> confirm_lease() CAIRN_REQUIRES(mutex);
  Result<void> confirm_expired_lease() CAIRN_REQUIRES(mutex);
  void update_visible() CAIRN_REQUIRES(mutex);
  void synced(const Point& upto) CAIRN_REQUIRES(mutex);
  void schedule_idle_frame(std::int64_t ms) CAIRN_REQUIRES(mutex);
  void on_idle() CAIRN_EXCLUDES(mutex);
  void sync_in_background() CAIRN_EXCLUDES(mutex);

  // log_segments.cc
  void adopt(Directory::NewSegment fresh) CAIRN_REQUIRES(mutex);
  void adopt_next() CAIRN_REQUIRES(mutex);
  Result<Directory::NewSegment> list_new_segment(std::uint64_t capacity, const NextSegments& dropped,
                                                 std::optional<Durability> write_ahead = {});
  void want_next_segment() CAIRN_REQUIRES(mutex);
  [[nodiscard]] std::size_t segments_ahead() const CAIRN_REQUIRES(mutex);
  bool make_next_segment() CAIRN_REQUIRES(mutex);
  void schedule_segment_work() CAIRN_REQUIRES(mutex);
  void do_segment_work() CAIRN_EXCLUDES(mutex);
  void bring_in_segments() CAIRN_REQUIRES(mutex);
  Result<void> end_in_manifest(const Ending& ending) CAIRN_REQUIRES(mutex);
  Result<void> end_oldest() CAIRN_REQUIRES(mutex);
  Result<void> end_predecessors_of_accepted() CAIRN_REQUIRES(mutex);
  Result<void> end_segment() CAIRN_REQUIRES(mutex);

  const std::shared_ptr<Directory> directory_;
  Environment& environment_;
  const std::uint16_t view_;
  const std::string view_name_;
  const LogTuning tuning_;
  const std::uint16_t number_;

  CondVar changed_;                               // Of anything guarded by the mutex.
  bool busy_ CAIRN_GUARDED_BY(mutex) = false;     // A segment is being started or ended; nobody appends.
  bool syncing_ CAIRN_GUARDED_BY(mutex) = false;  // A leader syncs for all who wait.
  bool closed_ CAIRN_GUARDED_BY(mutex) = false;
  bool gives_up_ CAIRN_GUARDED_BY(mutex) = false;                           // Nothing waits for room.
  std::optional<Error> short_of_ CAIRN_GUARDED_BY(mutex);                   // Why an accepted write waits; none if none does.
  std::shared_ptr<segment::SegmentWriter> writer_ CAIRN_GUARDED_BY(mutex);  // None: nothing unsealed is being written.
  std::deque<Ending> ending_ CAIRN_GUARDED_BY(mutex);                       // Those before it: full, and not ended yet.
  bool ending_now_ CAIRN_GUARDED_BY(mutex) = false;                         // Somebody ends that.
  NextSegments next_ CAIRN_GUARDED_BY(mutex);                               // Listed, for when it is full.
  bool next_wanted_ CAIRN_GUARDED_BY(mutex) = false;
  bool preparing_ CAIRN_GUARDED_BY(mutex) = false;  // Somebody makes it.
  bool segment_work_set_ CAIRN_GUARDED_BY(mutex) = false;
  std::uint64_t next_segment_bytes_ CAIRN_GUARDED_BY(mutex);
  std::uint64_t tail_before_ CAIRN_GUARDED_BY(mutex) = 0;  // Where begin() found it.
  std::uint64_t durable_end_ CAIRN_GUARDED_BY(mutex) = 0;  // Of writer_.
  bool frame_pending_ CAIRN_GUARDED_BY(mutex) = false;     // durable_end_ moved; the log does not say so yet.
  bool idle_timer_set_ CAIRN_GUARDED_BY(mutex) = false;
  bool background_sync_set_ CAIRN_GUARDED_BY(mutex) = false;
  std::int64_t last_sync_boot_ms_ CAIRN_GUARDED_BY(mutex) = 0;
  bool is_synced_ CAIRN_GUARDED_BY(mutex) = false;  // Since the first kDisk write of this open.
  Point applied_ CAIRN_GUARDED_BY(mutex);
  Point synced_ CAIRN_GUARDED_BY(mutex);
  WriteVersion last_disk_version_ CAIRN_GUARDED_BY(mutex) = 0;
  int watchers_ CAIRN_GUARDED_BY(mutex) = 0;  // In wait_beyond().

  std::atomic<std::uint64_t> visible_stamp_{0};   // Stored under the mutex, before the version.
  std::atomic<WriteVersion> visible_version_{0};  // Likewise.
  std::atomic<std::uint64_t> written_bytes_{0};   // Changed under the mutex alone.
  std::atomic<std::uint64_t> syncs_{0};
};

}  // namespace cairn::directory
