// Appending to a log, group commit, and what readers may see of it.
#include "directory/log.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/reached.h"

namespace cairn::directory {
namespace {
constexpr std::int64_t kIdleFrameMs = 50;  // An idle log says this long after its last sync how far it reached.
}  // namespace

Log::Log(std::shared_ptr<Directory> directory, std::uint16_t view, std::string view_name, const LogTuning& tuning,
         std::uint16_t number)
    : directory_(std::move(directory)),
      environment_(directory_->environment()),
      view_(view),
      view_name_(std::move(view_name)),
      tuning_(tuning),
      number_(number),
      next_segment_bytes_(std::min(tuning.segment_bytes_first, tuning.segment_bytes_max)) {}

segment::SegmentWriter& Log::begin() {
  tail_before_ = writer_->tail();
  append_pending_frame();
  return *writer_;
}

void Log::publish(WriteVersion version, std::uint64_t stamp, Durability durability) {
  writer_->publish();
  applied_ = {.version = version, .stamp = stamp};
  if (durability == Durability::kDisk) {
    last_disk_version_ = version;
    is_synced_ = true;
  }
  add_alone(written_bytes_, writer_->tail() - tail_before_);
  update_visible();
  if (writer_->half_full()) want_next_segment();
  if (!is_synced_ && !background_sync_set_ && writer_->tail() - durable_end_ >= tuning_.background_sync_bytes) {
    background_sync_set_ = true;
    environment_.syncs.after(0, this, [this] { sync_in_background(); });
  }
}

/// The first record after a sync tells the log how far it reached.
void Log::append_pending_frame() {
  if (!frame_pending_) return;
  frame_pending_ = false;
  writer_->append_sync_frame(durable_end_, applied_.version, applied_.stamp);
}

/// Readers may see everything up to the last write, unless a kDisk write in it waits for its sync: then only what the
/// last sync covered.
void Log::update_visible() {
  const Point& visible = synced_.version >= last_disk_version_ ? applied_ : synced_;
  if (visible.version <= visible_version_.load(std::memory_order_relaxed)) return;
  visible_stamp_.store(visible.stamp, std::memory_order_release);
  visible_version_.store(visible.version, std::memory_order_release);
  if (watchers_ != 0) changed_.notify_all();
}

void Log::synced(const Point& upto) {
  syncs_.fetch_add(1, std::memory_order_relaxed);
  if (upto.version > synced_.version) synced_ = upto;
  update_visible();
}

void Log::wait_beyond(std::uint64_t stamp, std::int64_t ms) {
  const MutexLock lock(mutex);
  if (closed_ || visible_stamp_.load(std::memory_order_relaxed) > stamp) return;
  ++watchers_;
  changed_.wait_for(mutex, std::chrono::milliseconds(ms));
  --watchers_;
}

inline Result<void> Log::confirm_lease() { return directory_->lease_in_time() ? directory_->state() : confirm_expired_lease(); }

Result<void> Log::wait_until_visible(WriteVersion version) {
  while (visible_version_.load(std::memory_order_relaxed) < version) {
    CAIRN_TRY_VOID(directory_->state());
    if (syncing_ || busy_) {
      changed_.wait(mutex);
    } else {
      CAIRN_TRY_VOID(lead_sync());
    }
  }
  CAIRN_TRY_VOID(writer_ ? writer_->view()->status() : Result<void>{});
  // What was stored before this moment is what the next owner finds.
  return confirm_lease();
}

/// Lets go of the lock while it waits for the renewal.
Result<void> Log::confirm_expired_lease() {
  mutex.unlock();
  Result<void> confirmed = directory_->check_lease();
  mutex.lock();
  return confirmed;
}

Result<void> Log::sync_all() {
  const WriteVersion upto = applied_.version;
  while (synced_.version < upto) {
    CAIRN_TRY_VOID(directory_->state());
    if (syncing_ || busy_) {
      changed_.wait(mutex);
    } else if (!ending_.empty()) {
      CAIRN_TRY_VOID(end_predecessors());  // sync() reports a full disk; only an accepted write waits for room.
    } else if (!writer_) {
      return {};  // It stands in segments that have ended, which are synced.
    } else {
      CAIRN_TRY_VOID(lead_sync());
    }
  }
  return confirm_lease();
}

/// Syncs everything that is in the log by now, for all who wait. Lets go of the lock meanwhile.
Result<void> Log::lead_sync() {
  if (!ending_.empty()) return end_predecessors_of_accepted();  // Whoever waits for more looks again.
  const std::shared_ptr<segment::SegmentWriter> writer = writer_;
  if (!writer) return {};
  const std::uint64_t end = writer->end();
  const Point last = applied_;
  syncing_ = true;
  mutex.unlock();
  Result<void> synced = writer->file().sync(end);
  if (!synced) directory_->stop_writing(synced.error());
  if (synced) synced = directory_->check_lease();
  mutex.lock();
  syncing_ = false;
  changed_.notify_all();
  if (!synced) {
    CAIRN_REACHED("sync of the log failed");
    CAIRN_TRY_VOID(directory_->state());
    return synced;  // The lease could not be confirmed: the bytes are on the device, but must not be acknowledged yet.
  }
  this->synced(last);
  if (writer == writer_) {
    durable_end_ = end;
    frame_pending_ = true;
    last_sync_boot_ms_ = environment_.clock.boot_ms();
    schedule_idle_frame(kIdleFrameMs);
  }
  return {};
}

void Log::schedule_idle_frame(std::int64_t ms) {
  if (idle_timer_set_ || closed_) return;
  idle_timer_set_ = true;
  environment_.syncs.after(ms, this, [this] { on_idle(); });
}

/// An idle log appends its sync frame by itself, once, so that damage to its last group is told from a torn write.
void Log::on_idle() {
  const MutexLock lock(mutex);
  idle_timer_set_ = false;
  if (!frame_pending_ || busy_ || closed_ || !writer_ || !directory_->state()) return;
  const std::int64_t idle_ms = environment_.clock.boot_ms() - last_sync_boot_ms_;
  if (idle_ms < kIdleFrameMs) {
    schedule_idle_frame(kIdleFrameMs - idle_ms);
    return;
  }
  CAIRN_REACHED("idle sync frame");
  append_pending_frame();
  writer_->publish();
}

/// A log without kDisk writes is synced every few MiB, so that a crash of the machine loses little of it.
void Log::sync_in_background() {
  const MutexLock lock(mutex);
  background_sync_set_ = false;
  if (busy_ || syncing_ || closed_ || !directory_->state()) return;
  CAIRN_REACHED("log synced in the background");
  // A failure has stopped writing; who writes next is told.
  // Not behind segments that were left meanwhile: lead_sync() would wait for them, and this thread serves every directory.
  if (end_predecessors() && !syncing_ && ending_.empty()) lead_sync().ignore_error();
}

void Log::raise_versions(WriteVersion version, std::uint64_t stamp) {
  applied_ = {.version = std::max(applied_.version, version), .stamp = std::max(applied_.stamp, stamp)};
  synced_ = applied_;
  visible_stamp_ = applied_.stamp;
  visible_version_ = applied_.version;
}

}  // namespace cairn::directory
