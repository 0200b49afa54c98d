#include "forks/version_writer.h"

#include <algorithm>

#include "forks/record_key.h"

namespace cairn::forks {

VersionWriter::VersionWriter(directory::Directory& directory, std::uint16_t view, std::string view_name,
                             std::uint64_t segment_bytes_max, std::uint64_t bytes_expected)
    : directory_(directory),
      view_(view),
      view_name_(std::move(view_name)),
      segment_bytes_max_(segment_bytes_max),
      bytes_expected_(bytes_expected) {}

VersionWriter::~VersionWriter() {
  if (kept_ || !directory_.state()) return;
  writer_.reset();
  for (const Made& made : made_) directory_.abandon(made.file);
}

Result<void> VersionWriter::start(std::uint64_t bytes) {
  const std::uint64_t least = segment::kHeaderBytes + segment::SegmentWriter::with_slack(bytes) + 256;
  const std::uint64_t wanted = std::min(segment::kHeaderBytes + bytes_expected_ + 4 * kKiB, segment_bytes_max_);
  const std::uint64_t capacity = round_up(std::max(least, wanted), 4 * kKiB);
  CAIRN_TRY(fresh, directory_.new_segment(view_, view_name_, capacity, directory_.next_root()));
  writer_ = std::move(fresh.writer);
  writer_->collect();
  made_.push_back({.file = fresh.name, .root = fresh.root, .map = writer_->view()});
  return {};
}

Result<VersionWriter::At> VersionWriter::add(const segment::RecordView& record, std::uint64_t fork, std::uint64_t write_version) {
  if (writer_ && !writer_->has_room(record.bytes)) CAIRN_TRY_VOID(finish_segment());
  if (!writer_) CAIRN_TRY_VOID(start(record.bytes));
  bytes_expected_ -= std::min(bytes_expected_, record.bytes);
  Made& made = made_.back();
  if (made.all.first_version == 0) made.all.first_version = write_version;
  const SizeClass size(record.bytes, record.kind() == RecordKind::kTombstone);
  made.all.sizes.add(size, record.bytes);
  if (made.forks.empty() || made.forks.back() != fork) made.forks.push_back(fork);
  const RecordKey key(fork, record.key.substr(8));
  const At at{.made = made_.size() - 1, .offset = writer_->tail(), .size = size};
  writer_->append({.kind = record.kind(),
                   .flags = 0,  // What was in a batch is durable as a whole by now.
                   .write_version = write_version,
                   .stamp = record.header.stamp,
                   .view = view_,
                   .family = kForksFamily,
                   .key = key.view(),
                   .value = record.value});
  return at;
}

Result<void> VersionWriter::finish_segment() {
  CAIRN_TRY_VOID(writer_->finish());
  Made& made = made_.back();
  made.all.end = writer_->end();
  std::ranges::sort(made.forks);
  const auto twice = std::ranges::unique(made.forks);
  made.forks.erase(twice.begin(), twice.end());
  writer_.reset();
  return {};
}

Result<void> VersionWriter::finish() { return writer_ ? finish_segment() : Result<void>(); }

}  // namespace cairn::forks
