#include "segment/segment_writer.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace cairn::segment {
namespace {
// Populating dirties pages, which the next sync then writes; not populating costs a page fault every 4 KiB:
// docs/decisions/0006-populating-segments.md.
constexpr std::uint64_t kPopulateBytes = 256 * kKiB;
constexpr std::uint64_t kPopulateLeastBytes = 16 * kKiB;  // Of a log that has just begun: many stay small.
constexpr std::uint64_t kPageBytes = 4 * kKiB;            // The first has the header.
constexpr std::uint64_t kCollectBytes = 256 * kKiB;
constexpr std::uint64_t kWriteBackBytes = 1 * kMiB;
}  // namespace

SegmentWriter::SegmentWriter(std::unique_ptr<storage::AppendFile> file, const SegmentIdentity& identity, bool recycled)
    : file_(std::move(file)),
      identity_(identity),
      seed_(segment_seed(identity.database, identity.number, identity.salt)),
      recycled_(recycled),
      pages_there_(recycled),
      populates_(!recycled) {}

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::start(std::unique_ptr<storage::AppendFile> file,
                                                            const SegmentIdentity& identity, bool recycled) {
  SegmentHeader header{.magic = kMagic,
                       .format = kFormat,
                       .view = identity.view,
                       .database = identity.database,
                       .number = identity.number,
                       .salt = identity.salt,
                       .epoch = identity.epoch,
                       .capacity = file->capacity(),
                       .view_name = {},
                       .reserved = {},
                       .checksum = 0};
  std::copy_n(identity.view_name.begin(), std::min(identity.view_name.size(), header.view_name.size()), header.view_name.begin());
  header.checksum = xxh3(bytes_of(header).substr(0, offsetof(SegmentHeader, checksum)));
  Bytes head(kHeaderBytes + kTerminatorBytes, '\0');
  store(head.data(), header);
  CAIRN_TRY_VOID(file->write(0, head));  // A store would make the kernel read ahead, and so fill, megabytes of nothing.
  CAIRN_TRY_VOID(file->sync(kHeaderBytes + kTerminatorBytes));
  return std::unique_ptr<SegmentWriter>(new SegmentWriter(std::move(file), identity, recycled));
}

Result<void> SegmentWriter::write_ahead(bool durable) {
  if (pages_there_) return {};
  // The page cache keeps together what is written together, and a sync writes all of that for one record in it.
  const Bytes zeros(durable ? kPageBytes : kPopulateBytes, '\0');
  for (std::uint64_t at = kPageBytes; at < file_->capacity(); at += zeros.size()) {
    CAIRN_TRY_VOID(file_->write(at, ByteView(zeros).substr(0, file_->capacity() - at)));
  }
  if (durable) CAIRN_TRY_VOID(file_->sync(file_->capacity()));
  pages_there_ = true;
  populates_ = !durable;
  return {};
}

void SegmentWriter::bring_in() {
  if (pages_there_) file_->bring_in(end(), file_->capacity());
}

/// Where a record at the tail is encoded whose room may not be there yet.
char* SegmentWriter::make_room(std::uint64_t bytes) {
  if (collects_) {
    if (collected_.size() + bytes > kCollectBytes) write_collected();
    collected_.resize(collected_.size() + bytes);
    return collected_.data() + collected_.size() - bytes;
  }
  const std::uint64_t ahead = std::clamp(tail_, kPopulateLeastBytes, kPopulateBytes);
  populated_ = std::min(tail_ + std::max(bytes, ahead), file_->capacity());
  file_->populate(tail_, populated_);
  return file_->data() + tail_;
}

void SegmentWriter::write_collected() {
  if (collected_written_) collected_written_ = file_->write(tail_ - collected_.size(), collected_);
  collected_.clear();
  if (tail_ - written_back_ < kWriteBackBytes) return;
  file_->write_back(written_back_, tail_);
  written_back_ = tail_;
}

Result<void> SegmentWriter::finish() {
  write_collected();
  CAIRN_TRY_VOID(collected_written_);
  publish();
  return file_->finish(end());
}

RecordView SegmentWriter::append(const RecordInput& record) {
  const std::uint64_t bytes = encoded_bytes(record);
  CAIRN_ASSERT(tail_ + bytes + kTerminatorBytes <= file_->capacity());
  const bool there = !populates_ || tail_ + bytes + kTerminatorBytes <= populated_;
  char* const at = there ? file_->data() + tail_ : make_room(bytes);
  encode_record(at, record, record_seed(seed_, tail_));
  const RecordView view = view_record(at, tail_);
  tail_ += bytes;
  return view;
}

void SegmentWriter::append_frame(RecordKind kind, std::uint64_t write_version, std::uint64_t stamp, ByteView value) {
  append({.kind = kind, .write_version = write_version, .stamp = stamp, .view = identity_.view, .key = {}, .value = value});
}

void SegmentWriter::append_batch_frame(std::uint64_t batch_begin, std::span<const std::uint64_t> checksums,
                                       const RecordInput& last) {
  const BatchFrame frame{.first_version = last.write_version + 1 - checksums.size(),
                         .count = checksums.size(),
                         .bytes = tail_ - batch_begin,
                         .checksums = xxh3({reinterpret_cast<const char*>(checksums.data()), checksums.size_bytes()})};
  append_frame(RecordKind::kBatchFrame, last.write_version, last.stamp, bytes_of(frame));
}

void SegmentWriter::append_sync_frame(std::uint64_t durable_end, std::uint64_t write_version, std::uint64_t stamp) {
  const SyncFrame frame{.group = ++syncs_, .durable_end = durable_end};
  append_frame(RecordKind::kSyncFrame, write_version, stamp, bytes_of(frame));
}

void SegmentWriter::append_segment_frame(const SegmentFrame& frame, std::uint64_t write_version, std::uint64_t stamp) {
  append_frame(RecordKind::kSegmentFrame, write_version, stamp, bytes_of(frame));
}

void SegmentWriter::publish() {
  if (recycled_) std::memset(file_->data() + tail_, 0, kTerminatorBytes);
  end_.store(tail_, std::memory_order_release);
}

}  // namespace cairn::segment
