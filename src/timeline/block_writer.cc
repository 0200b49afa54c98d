#include "timeline/block_writer.h"

#include <algorithm>

namespace cairn::timeline {

BlockWriter::BlockWriter(directory::Directory& directory, std::uint16_t view, std::string view_name,
                         std::uint64_t block_bytes_max, std::uint64_t bytes_expected)
    : directory_(directory),
      view_(view),
      view_name_(std::move(view_name)),
      block_bytes_max_(block_bytes_max),
      bytes_expected_(bytes_expected) {}

BlockWriter::~BlockWriter() {
  if (!directory_.state()) return;
  if (writer_) directory_.abandon(writer_->name());
  for (const Made& made : made_) directory_.abandon(made.file);
}

Result<void> BlockWriter::add(const segment::RecordView& record) {
  if (!group_.empty() && group_.back().header.stamp != record.header.stamp) CAIRN_TRY_VOID(write_group());
  group_.push_back(record);
  return {};
}

Result<void> BlockWriter::write_group() {
  std::uint64_t bytes = 0;
  for (const segment::RecordView& record : group_) bytes += record.bytes;
  if (writer_ && !writer_->has_room(bytes)) CAIRN_TRY_VOID(finish_segment());
  if (!writer_) {
    const std::uint64_t least = segment::kHeaderBytes + segment::SegmentWriter::with_slack(bytes) + 256;
    const std::uint64_t wanted = std::min(segment::kHeaderBytes + bytes_expected_ + 4 * kKiB, block_bytes_max_);
    CAIRN_TRY(fresh, directory_.new_segment(view_, view_name_, round_up(std::max(least, wanted), 4 * kKiB)));
    writer_ = std::move(fresh.writer);
    writer_->collect();
  }
  for (const segment::RecordView& record : group_) {
    writer_->append({.kind = record.kind(),
                     .flags = 0,  // What was in a batch is durable as a whole by now.
                     .write_version = record.header.write_version,
                     .stamp = record.header.stamp,
                     .view = record.header.view,
                     .family = record.header.family,
                     .account = record.account,
                     .expiry_ms = record.expiry_ms,
                     .key = record.key,
                     .value = record.value});
  }
  bytes_expected_ -= std::min(bytes_expected_, bytes);
  group_.clear();
  return {};
}

Result<void> BlockWriter::finish_segment() {
  const Result<void> done = writer_->finish();
  if (done) made_.push_back({.file = writer_->name(), .end = writer_->end()});
  if (done) writer_.reset();
  return done;
}

Result<void> BlockWriter::finish() {
  if (!group_.empty()) CAIRN_TRY_VOID(write_group());
  return writer_ ? finish_segment() : Result<void>{};
}

}  // namespace cairn::timeline
