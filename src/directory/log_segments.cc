// The segments of a log: the one that takes writes; those before it, as long as they are not ended in the manifest; and those
// that stand ready behind it. A full segment is left at once, without I/O, if the next stands ready: it is then synced and
// ended by whoever needs that first, and until then nothing in its successors is made durable.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/log.h"

namespace cairn::directory {
namespace {
constexpr std::int64_t kRoomRetryMs = 100;

void drop_from(std::vector<SegmentEntry>& log, const std::deque<Directory::NewSegment>& dropped) {
  std::erase_if(log, [&](const SegmentEntry& segment) {
    return std::ranges::find(dropped, segment.file, &Directory::NewSegment::name) != dropped.end();
  });
}
}  // namespace

Result<Log::Left> Log::leave(std::uint64_t bytes) {
  if (!next_.empty() && next_.front().writer->has_room(bytes)) {
    CAIRN_REACHED("went on in the next segment without waiting");
    append_pending_frame();
    writer_->publish();
    if (!ending_.empty()) CAIRN_REACHED("several segments left and not ended");
    ending_.push_back({.writer = std::move(writer_), .last = applied_});
    return Left::kReady;
  }
  if (preparing_) {
    changed_.wait(mutex);
    return Left::kNot;
  }
  CAIRN_TRY_VOID(end_segment());
  return busy_ || writer_ ? Left::kNot : Left::kEnded;
}

/// In the segment that stands ready, which says what it follows.
void Log::go_on() {
  adopt_next();
  const segment::SegmentWriter& before = *ending_.back().writer;
  const segment::SegmentFrame frame{.predecessor = before.identity().number, .end = before.end()};
  writer_->append_segment_frame(frame, applied_.version, applied_.stamp);
  writer_->publish();
  schedule_segment_work();
}

/// Writes go into `fresh`, which the manifest lists.
void Log::adopt(Directory::NewSegment fresh) {
  writer_ = std::move(fresh.writer);
  next_segment_bytes_ = std::min(2 * next_segment_bytes_, tuning_.segment_bytes_max);
  next_wanted_ = false;
  durable_end_ = segment::kHeaderBytes;
  frame_pending_ = false;
}

Log::Source Log::source() const {
  const std::uint64_t got = writer_->file().capacity();
  return {directory_->live(writer_->view()), got <= 2 * tuning_.segment_bytes_max ? got : 0};
}

void Log::adopt_next() {
  Directory::NewSegment next = std::move(next_.front());
  next_.pop_front();
  adopt(std::move(next));
}

/// Makes a segment and lists it in the manifest, at the end of the log and instead of `dropped`. With `write_ahead` all its
/// room is written first and, for a log that is synced, synced. After an error nothing has changed, unless writing has ended.
Result<Directory::NewSegment> Log::list_new_segment(std::uint64_t capacity, const NextSegments& dropped,
                                                    std::optional<Durability> write_ahead) {
  std::optional<std::uint16_t> root;
  if (tuning_.on_all_drives) root = static_cast<std::uint16_t>(number_ % directory_->roots());
  CAIRN_TRY(fresh, directory_->new_segment(view_, view_name_, capacity, root));
  if (write_ahead) {
    const Result<void> written = fresh.writer->write_ahead(*write_ahead == Durability::kDisk);
    if (!written) directory_->abandon(fresh.name);
    CAIRN_TRY_VOID(written);
  }
  const Result<void> listed = directory_->commit([&](Manifest& manifest) -> Result<void> {
    std::vector<SegmentEntry>& log = manifest.edit_view(view_).log;
    drop_from(log, dropped);
    log.push_back({.file = fresh.name, .durable_end = segment::kHeaderBytes, .root = fresh.root, .writer = number_});
    return {};
  });
  if (!listed && directory_->state()) directory_->abandon(fresh.name);
  CAIRN_TRY_VOID(listed);
  return fresh;
}

Result<void> Log::start(std::uint64_t bytes) {
  if (!next_.empty() && next_.front().writer->has_room(bytes)) {
    adopt_next();
    return {};
  }
  // A batch is never split: one that is larger than segments are gets a larger one.
  const std::uint64_t least = segment::kHeaderBytes + segment::SegmentWriter::with_slack(bytes) + 2 * segment::kSyncFrameBytes +
                              segment::kSegmentFrameBytes;
  const std::uint64_t capacity = std::max(next_segment_bytes_, round_up(least, 4 * kKiB));
  NextSegments too_small = std::exchange(next_, {});
  Result<Directory::NewSegment> fresh = exclusively([&] {
    auto made = list_new_segment(capacity, too_small);
    if (!made) return made;
    for (Directory::NewSegment& dropped : too_small) directory_->discard(std::move(dropped));
    return made;
  });
  if (!fresh) next_ = std::move(too_small);
  CAIRN_TRY_VOID(fresh);
  adopt(*std::move(fresh));
  return {};
}

/// How many should stand ready. A log that goes in circles has four, so that a device which does nothing for as long as it takes
/// to fill them holds up no writer. Not where there is a bound on space, of which they would take most.
std::size_t Log::segments_ahead() const { return !tuning_.unused_given_back && writer_ && writer_->recycled() ? 4 : 1; }

/// Asks for the next segments in good time.
void Log::want_next_segment() {
  if (next_wanted_ || next_.size() >= segments_ahead()) return;
  next_wanted_ = true;
  schedule_segment_work();
}

void Log::schedule_segment_work() {
  if (segment_work_set_ || closed_) return;
  segment_work_set_ = true;
  environment_.syncs.after(0, this, [this] { do_segment_work(); });
}

/// What no writer should wait for. A failure is met again by the writer who needs it. Something to go on in is needed sooner
/// than what was left is ended, and may be used up while that is.
void Log::do_segment_work() {
  const MutexLock lock(mutex);
  segment_work_set_ = false;
  while (!closed_ && directory_->state()) {
    if (next_.empty() && make_next_segment()) continue;
    if (ending_.empty()) break;
    if (!end_oldest()) return;
  }
  while (make_next_segment()) {
  }
  bring_in_segments();
}

/// A page of a segment that the kernel has let go of would be read by the writer, who may wait for long for a device that is busy
/// with something else. As a rule all are there. So the segment that has just begun is looked at, and the one after it.
void Log::bring_in_segments() {
  std::vector<std::shared_ptr<segment::SegmentWriter>> segments;
  if (writer_) segments.push_back(writer_);
  if (!next_.empty()) segments.push_back(next_.front().writer);
  mutex.unlock();
  for (const auto& segment : segments) segment->bring_in();
  mutex.lock();
}

/// Makes one ready behind those that are, if it is wanted. Whether it did.
bool Log::make_next_segment() {
  if (!next_wanted_ || preparing_ || busy_ || closed_ || !writer_ || !directory_->state()) return false;
  if (next_.size() >= segments_ahead()) return false;
  CAIRN_REACHED("next segment made ready");
  if (!next_.empty()) CAIRN_REACHED("two segments stand ready");
  const std::uint64_t capacity = next_segment_bytes_;
  const Durability durability = is_synced_ ? Durability::kDisk : Durability::kKernel;
  preparing_ = true;
  mutex.unlock();
  Result<Directory::NewSegment> fresh = list_new_segment(capacity, {}, durability);
  mutex.lock();
  preparing_ = false;
  changed_.notify_all();
  if (!fresh) return false;
  next_.push_back(*std::move(fresh));
  return true;
}

/// Makes the segment at its end durable and ends it there in the manifest; everything up to its last record is synced then.
Result<void> Log::end_in_manifest(const Ending& ending) {
  const std::shared_ptr<segment::SegmentWriter>& writer = ending.writer;
  const std::uint64_t end = writer->end();
  const bool much_unused = writer->file().capacity() - end >= writer->file().capacity() / 4;
  const bool give_back = tuning_.segments_stay || (closed_ && writer == writer_) || (tuning_.unused_given_back && much_unused);
  mutex.unlock();
  Result<void> done = writer->file().sync(end);
  if (!done) {
    directory_->stop_writing(done.error());
    done = directory_->state();  // Even where the device lacks room: that is not what kNoSpace says of a write.
  } else {
    done = directory_->commit([&](Manifest& manifest) -> Result<void> {
      for (SegmentEntry& segment : manifest.edit_view(view_).log) {
        if (segment.file != writer->name()) continue;
        segment.state = SegmentState::kEnded;
        segment.end = end;
        segment.durable_end = 0;
      }
      return {};
    });
  }
  // Not before the switch: should that find no room, the segment goes on. All its records are on the device by now, so nothing
  // is lost if the room cannot be given back.
  if (done && give_back) writer->file().finish(end).ignore_error();
  mutex.lock();
  if (done) synced(ending.last);
  return done;
}

/// Ends the first of those that were left, or waits while somebody else does.
Result<void> Log::end_oldest() {
  if (ending_now_) {
    changed_.wait(mutex);
    return {};
  }
  CAIRN_TRY_VOID(directory_->state());
  ending_now_ = true;
  const Ending ending = ending_.front();
  const Result<void> done = end_in_manifest(ending);
  ending_now_ = false;
  changed_.notify_all();
  CAIRN_TRY_VOID(done);
  ending_.pop_front();
  return {};
}

Result<void> Log::end_predecessors() {
  const WriteVersion last = ending_.empty() ? 0 : ending_.back().last.version;
  while (!ending_.empty() && ending_.front().last.version <= last) CAIRN_TRY_VOID(end_oldest());
  return {};
}

/// The same for a write that is in the log already. It must not be told that there is no room: it waits until there is, until
/// writing ends, or until the database closes. Meanwhile later writes are refused (check_not_short).
Result<void> Log::end_predecessors_of_accepted() {
  while (true) {
    Result<void> done = end_predecessors();
    // A lease that cannot be renewed is not waited for without end: that took one lease time already.
    if (done || !directory_->state() || !directory_->lease_in_time()) {
      short_of_.reset();
      return done;
    }
    CAIRN_REACHED("accepted write waited for want of something");
    if (closed_ || gives_up_) {
      short_of_.reset();
      return fail(ErrorCode::kUnavailable, "the database was closed before the write could be made durable: " +
                                               done.error().message + "; the next open finds it, unless the machine fails first");
    }
    short_of_ = done.error();
    mutex.unlock();
    environment_.clock.sleep_ms(kRoomRetryMs);
    mutex.lock();
  }
}

/// Makes the log so far durable and ends it in the manifest. Whatever comes next stands in another segment. Whether the
/// active segment, or only those before it, have ended is for the caller to see.
Result<void> Log::end_segment() {
  if (!ending_.empty()) return end_predecessors();
  if (!writer_) return {};
  busy_ = true;
  const Result<void> done = end_in_manifest({.writer = writer_, .last = applied_});
  busy_ = false;
  changed_.notify_all();
  CAIRN_TRY_VOID(done);
  writer_.reset();
  return {};
}

Result<void> Log::end() {
  while (true) {
    while (busy_ || syncing_ || preparing_) changed_.wait(mutex);
    if (!writer_ && ending_.empty()) return {};
    CAIRN_TRY_VOID(end_segment());
  }
}

void Log::begin_close() {
  while (busy_ || syncing_) changed_.wait(mutex);
  closed_ = true;
}

Result<void> Log::drop_next() {
  if (next_.empty()) return {};
  NextSegments dropped = std::exchange(next_, {});
  const Result<void> done = exclusively([&] {
    Result<void> listed = directory_->commit([&](Manifest& manifest) -> Result<void> {
      drop_from(manifest.edit_view(view_).log, dropped);
      return {};
    });
    if (listed) {
      for (Directory::NewSegment& each : dropped) directory_->discard(std::move(each));
    }
    return listed;
  });
  if (!done) next_ = std::move(dropped);
  return done;
}

Result<void> Log::rest() {
  while (busy_ || syncing_ || preparing_) changed_.wait(mutex);
  if (closed_ || writer_ || !ending_.empty()) return {};
  next_segment_bytes_ = std::min(tuning_.segment_bytes_first, tuning_.segment_bytes_max);
  next_wanted_ = false;
  if (!next_.empty()) CAIRN_REACHED("prepared segments of a resting log given back");
  return drop_next();
}

}  // namespace cairn::directory
