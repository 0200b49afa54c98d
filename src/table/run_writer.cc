#include "table/run_writer.h"

#include <algorithm>

#include "base/reached.h"
#include "directory/file_name.h"

namespace cairn::table {
namespace {

std::uint64_t terms_bytes(const Family& family) {
  std::uint64_t bytes = 0;
  for (const Index& index : family.indexes) bytes += index.key_bytes + 4;
  return bytes;
}

sealed::SealedBounds bounds_of(std::span<const sealed::Entry> entries) {
  sealed::SealedBounds bounds{.records = entries.size()};
  for (const sealed::Entry& entry : entries) {
    bounds.object_bytes += sealed::object_bytes(entry.key.size(), entry.value.size(), entry.flags());
    bounds.key_bytes_max = std::max<std::uint64_t>(bounds.key_bytes_max, entry.key.size());
  }
  return bounds;
}

sealed::Entry entry_of(const RangeTombstones::Version& version, ByteView from, ByteView to) {
  return {.key = from,
          .value = to,
          .kind = RecordKind::kRangeTombstone,
          .write_version = version.write_version,
          .stamp = version.stamp};
}

}  // namespace

RunWriter::RunWriter(directory::Directory& directory, RunTarget target, OnFile on_file)
    : directory_(directory), target_(std::move(target)), on_file_(std::move(on_file)) {
  target_.bounds.term_bytes = terms_bytes(*target_.family);
  for (const RangeTombstones::Fragment& fragment : target_.range_tombstones.fragments()) {
    // Either bound may become that of a file, which is a key.
    const std::uint64_t key_bytes_max = std::max({target_.bounds.key_bytes_max, fragment.from.size(), fragment.to.size()});
    range_bounds_.object_bytes += fragment.versions.size() * sealed::object_bytes(key_bytes_max, key_bytes_max, 0);
    range_bounds_.key_bytes_max = std::max(range_bounds_.key_bytes_max, key_bytes_max);
  }
  range_bounds_.replaces = target_.replaces.size();
  range_bounds_.term_bytes = target_.bounds.term_bytes;
  target_.bounds.add(range_bounds_);
}

RunWriter::~RunWriter() {
  if (writer_) complete_.push_back(std::move(writer_));
  for (const auto& writer : complete_) {
    if (directory_.state()) directory_.abandon(writer->name());
  }
}

Result<void> RunWriter::open_file(const sealed::SealedBounds& first) {
  sealed::SealedBounds least = range_bounds_;
  least.add(first);
  const std::uint64_t all = sealed::sealed_bytes_max(target_.bounds);
  capacity_ = std::max(sealed::sealed_bytes_max(least), std::min(all, target_.file_bytes_max));
  takes_all_ = capacity_ >= all;
  sealed::SealedIdentity identity{.view = target_.view,
                                  .family = target_.family->number,
                                  .version_first = target_.version_first,
                                  .version_last = target_.version_last,
                                  .view_name = target_.view_name,
                                  .family_name = target_.family->name,
                                  .cover_from = target_.from,
                                  .replaces = target_.replaces};
  sealed::SealedOptions options{.compression = target_.family->compression, .terms = {}, .one_version = target_.one_version};
  for (const Index& index : target_.family->indexes) options.terms.push_back({index.name, index.key_bytes});
  CAIRN_TRY(file, directory_.new_sealed(identity, capacity_));
  const std::uint64_t per_record = sealed::SealedWriter::kMemoryBytesPerRecord + range_bounds_.term_bytes;
  memory_ =
      std::make_unique<MemoryUse>(directory_.environment().memory, std::min(target_.bounds.records, capacity_ / 32) * per_record);
  writer_ = std::make_unique<sealed::SealedWriter>(std::move(file), identity, options);
  added_ = range_bounds_;
  return {};
}

Result<void> RunWriter::add(std::span<const sealed::Entry> versions) {
  if (versions.empty()) return {};
  const sealed::SealedBounds more = bounds_of(versions);
  if (writer_ && !takes_all_) {
    sealed::SealedBounds with = added_;
    with.add(more);
    if (sealed::sealed_bytes_max(with) > capacity_) CAIRN_TRY_VOID(finish_file(versions.front().key));
  }
  if (!writer_) CAIRN_TRY_VOID(open_file(more));
  added_.add(more);
  std::vector<sealed::TermOf> terms;
  for (const sealed::Entry& entry : versions) {
    terms.clear();
    ByteView value = entry.value;
    if (entry.kind == RecordKind::kReference && !target_.family->indexes.empty()) {
      CAIRN_TRY(large, target_.large_value(entry));
      value = large;
    }
    for (std::size_t i = 0; is_value(entry.kind) && i < target_.family->indexes.size(); ++i) {
      const Index& index = target_.family->indexes[i];
      Result<std::optional<Bytes>> term = index.term_of(value);
      if (!term) {
        if (target_.extractor_failures == nullptr) return std::unexpected(term.error());
        CAIRN_REACHED("extractor threw while a record was sealed");
        target_.extractor_failures->fetch_add(1, std::memory_order_relaxed);
      } else if (*term) {
        terms.push_back({i, index.stored(**term, directory_.hash_seed())});
      }
    }
    writer_->add(entry, terms);
  }
  return {};
}

bool RunWriter::range_tombstones_from(ByteView key) const {
  const auto& fragments = target_.range_tombstones.fragments();
  return !fragments.empty() && below(key, fragments.back().to);
}

/// Completes the open file, which covers keys up to `cover_to`, with the range tombstones there.
Result<void> RunWriter::finish_file(ByteView cover_to) {
  for (const RangeTombstones::Fragment& fragment : target_.range_tombstones.fragments()) {
    if (!below(target_.from, fragment.to) || !below(fragment.from, cover_to)) continue;
    const ByteView from = std::max(ByteView(fragment.from), ByteView(target_.from));
    const bool ends_sooner = !fragment.to.empty() && below(fragment.to, cover_to);
    const ByteView to = ends_sooner ? ByteView(fragment.to) : cover_to;
    for (const RangeTombstones::Version& version : fragment.versions) writer_->add_range_tombstone(entry_of(version, from, to));
  }
  CAIRN_TRY_VOID(writer_->complete(cover_to));
  complete_.push_back(std::move(writer_));
  memory_.reset();
  target_.from = cover_to;
  return target_.one_version ? Result<void>{} : hand_over();
}

/// Makes the complete files durable, and gives them away.
Result<void> RunWriter::hand_over() {
  for (const auto& writer : complete_) CAIRN_TRY_VOID(writer->finish());
  CAIRN_TRY_VOID(directory_.storage().sync_names());
  while (!complete_.empty()) {
    CAIRN_TRY(file, RunFile::open(directory_, complete_.front()->name(), target_.view, target_.family->number));
    complete_.pop_front();
    CAIRN_TRY_VOID(on_file_(file));
  }
  return {};
}

Result<void> RunWriter::publish(std::uint64_t write_version, std::uint64_t stamp) {
  for (const auto& writer : complete_) writer->set_version(write_version, stamp);
  return hand_over();
}

Result<void> RunWriter::finish() {
  if (!writer_ && range_tombstones_from(target_.from)) CAIRN_TRY_VOID(open_file({}));
  return writer_ ? finish_file({}) : Result<void>{};
}

}  // namespace cairn::table
