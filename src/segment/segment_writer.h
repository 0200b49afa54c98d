// Appends records to one segment. One writer at a time; readers see the bytes below end().
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cairn/result.h"
#include "segment/record.h"
#include "segment/segment_format.h"
#include "storage/storage.h"

namespace cairn::segment {

/// What a segment is, apart from its records.
struct SegmentIdentity {
  DatabaseId database{};
  std::uint64_t number = 0;
  std::uint64_t salt = 0;
  std::uint64_t epoch = 0;
  std::uint16_t view = 0;
  std::string view_name;
};

/// Calls to append from one thread at a time; the rest from any thread.
class SegmentWriter {
 public:
  /// Writes the header into `file` and syncs it. `recycled`: the file holds bytes of an earlier life.
  static Result<std::unique_ptr<SegmentWriter>> start(std::unique_ptr<storage::AppendFile> file, const SegmentIdentity& identity,
                                                      bool recycled);

  /// Before anything is appended: writes zeros to all room that a fresh file has, so that its pages and blocks are there when
  /// records come; `durable`: on the device too. Afterwards nothing is known of the file if it fails.
  Result<void> write_ahead(bool durable);
  /// Reads pages behind end() back that the kernel has let go of, if all were there. Beside the one that appends.
  void bring_in();

  /// Before anything is appended: records are collected in memory and written some at a time, which is cheaper for who has many
  /// and shows them to nobody before finish(). What append() returns is then valid until the next.
  void collect() { collects_ = true; }
  /// Writes what was collected, makes everything appended durable and gives back the room after it. The first error of all
  /// writes on the way.
  Result<void> finish();

  /// Room needed by `bytes` of records together with what may have to go before or after them.
  static constexpr std::uint64_t with_slack(std::uint64_t bytes) { return bytes + kSyncFrameBytes + kTerminatorBytes; }
  [[nodiscard]] bool has_room(std::uint64_t bytes) const {
    return tail_ + with_slack(bytes) + kSyncFrameBytes + kSegmentFrameBytes <= file_->capacity();
  }

  [[nodiscard]] bool half_full() const { return tail_ >= file_->capacity() / 2; }

  /// Encodes `record` at the tail, which moves; nobody sees it before publish(). There is room (has_room).
  RecordView append(const RecordInput& record);
  /// Closes the batch whose members are everything appended since `batch_begin`.
  void append_batch_frame(std::uint64_t batch_begin, std::span<const std::uint64_t> checksums, const RecordInput& last);
  /// Says in the log how far the last sync reached.
  void append_sync_frame(std::uint64_t durable_end, std::uint64_t write_version, std::uint64_t stamp);
  /// Says what this segment, in which nothing stands yet, follows.
  void append_segment_frame(const SegmentFrame& frame, std::uint64_t write_version, std::uint64_t stamp);
  /// Makes everything appended visible to who asks end().
  void publish();

  /// Everything below is published.
  [[nodiscard]] std::uint64_t end() const { return end_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t tail() const { return tail_; }
  [[nodiscard]] const SegmentIdentity& identity() const { return identity_; }
  /// Whether it was another segment before.
  [[nodiscard]] bool recycled() const { return recycled_; }
  [[nodiscard]] storage::AppendFile& file() { return *file_; }
  [[nodiscard]] const std::string& name() const { return file_->name(); }
  [[nodiscard]] const std::shared_ptr<const storage::MappedFile>& view() const { return file_->view(); }

  /// Zeros kept after the tail of a recycled file, so that stale bytes are not taken for a torn record.
  static constexpr std::uint64_t kTerminatorBytes = kRecordHeaderBytes;

 private:
  SegmentWriter(std::unique_ptr<storage::AppendFile> file, const SegmentIdentity& identity, bool recycled);

  [[nodiscard]] char* make_room(std::uint64_t bytes);
  void write_collected();
  void append_frame(RecordKind kind, std::uint64_t write_version, std::uint64_t stamp, ByteView value);

  std::unique_ptr<storage::AppendFile> file_;
  SegmentIdentity identity_;
  std::uint64_t seed_;
  bool recycled_;
  bool pages_there_;  // Of all its room, in memory as a rule.
  bool populates_;    // Some room at a time, which is cheaper than page by page.
  std::uint64_t tail_ = kHeaderBytes;
  std::uint64_t populated_ = 0;
  std::uint64_t syncs_ = 0;
  bool collects_ = false;
  Bytes collected_;  // The last bytes below tail_.
  Result<void> collected_written_;
  std::uint64_t written_back_ = 0;
  std::atomic<std::uint64_t> end_{kHeaderBytes};
};

}  // namespace cairn::segment
