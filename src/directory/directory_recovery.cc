// What every open does before anything is served: the logs of the owner before us get their ends. docs/guarantees.md
// argues each step.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/directory.h"
#include "directory/file_name.h"

namespace cairn::directory {

Result<void> Directory::recover_logs(Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.views.size(); ++i) {
    const std::vector<SegmentEntry>& log = manifest.views[i].log;
    if (std::ranges::find(log, SegmentState::kActive, &SegmentEntry::state) == log.end()) continue;
    CAIRN_TRY_VOID(recover_view(manifest.views.edit(i)));
  }
  return {};
}

/// The last segments of a log are active: the one that took writes, and those before it that were full and not ended yet.
Result<void> Directory::recover_view(ViewEntry& view) {
  std::map<std::uint16_t, std::vector<SegmentEntry>> active;  // By their writers.
  for (const SegmentEntry& segment : view.log) {
    if (segment.state == SegmentState::kActive) active[segment.writer].push_back(segment);
  }
  std::erase_if(view.log, [](const SegmentEntry& segment) { return segment.state == SegmentState::kActive; });
  for (const auto& [writer, segments] : active) {
    std::optional<segment::SegmentFrame> before;
    for (const SegmentEntry& segment : segments) CAIRN_TRY_VOID(recover_segment(view, segment, before));
  }
  return {};
}

/// Adds to the log what is left of an active segment. `before`: the active one it follows, if it does; then it itself.
Result<void> Directory::recover_segment(ViewEntry& view, const SegmentEntry& active,
                                        std::optional<segment::SegmentFrame>& before) {
  Result<std::shared_ptr<const storage::MappedFile>> file = storage_.open(active.file);
  if (!file && file.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", active.file);
  CAIRN_TRY_VOID(file);
  const std::uint64_t number = FileName::parse(active.file)->number;
  CAIRN_TRY(reader, segment::SegmentReader::open(*file, database_, number, view.number));
  CAIRN_TRY(found, reader.recover(active.durable_end));
  if (before && found.end > segment::kHeaderBytes) {
    const auto frame = reader.segment_frame();
    if (!frame || frame->predecessor != before->predecessor || frame->end != before->end) {
      // Nothing in it was acknowledged as durable: that takes an end of its predecessor in the manifest.
      if (found.durable_end > segment::kHeaderBytes) {
        return corruption("the segment before it ended at another place than here", active.file, segment::kHeaderBytes);
      }
      CAIRN_REACHED("segment dropped behind one that ends short");
      found = {.end = segment::kHeaderBytes,
               .data_end = segment::kHeaderBytes,
               .durable_end = segment::kHeaderBytes,
               .trimmed_end = std::max(found.end, found.trimmed_end),
               .why = "the segment before it ends short"};
    }
  }
  before = segment::SegmentFrame{.predecessor = number, .end = found.end};
  if (found.trimmed_end > found.end) CAIRN_TRY_VOID(keep_trimmed(reader, found));

  if (found.durable_end > segment::kHeaderBytes) {
    view.log.push_back({.file = active.file,
                        .state = SegmentState::kEnded,
                        .end = found.durable_end,
                        .root = active.root,
                        .writer = active.writer});
  }
  if (found.data_end <= found.durable_end) return {};
  // What is not known to be on disk, although it reads well, is written again before anybody sees it.
  CAIRN_TRY(copy, copy_tail(reader, view, active, found));
  view.log.push_back(copy);
  return {};
}

/// Puts what is cut off aside under the segment's name and says so.
Result<void> Directory::keep_trimmed(const segment::SegmentReader& reader, const segment::Recovered& found) {
  const std::string& segment = reader.file()->name();
  std::string aside = segment.substr(0, segment.size() - kSegmentSuffix.size());
  aside += kTrimmedSuffix;
  const ByteView bytes = reader.file()->bytes().substr(found.end, found.trimmed_end - found.end);
  const Result<void> kept = storage_.publish(aside, bytes);
  if (!kept && kept.error().code != ErrorCode::kConflict) return kept;  // An earlier try may have kept it.
  reports_.push_back(
      fmt::format("trimmed a torn tail of {}: {} bytes from offset {} ({}), never acknowledged as durable; "
                  "kept as {}",
                  segment, bytes.size(), found.end, found.why, aside));
  return {};
}

/// Writes the records in [durable_end, end) of `reader` again, with their versions, into a segment of this epoch.
Result<SegmentEntry> Directory::copy_tail(const segment::SegmentReader& reader, const ViewEntry& view, const SegmentEntry& active,
                                          const segment::Recovered& found) {
  CAIRN_REACHED("unsynced tail copied at open");
  const std::uint64_t bytes = found.end - found.durable_end;
  std::optional<std::uint16_t> root;
  if (view.forks) root = active.root;
  CAIRN_TRY(fresh, new_segment(view.number, view.name, segment::kHeaderBytes + bytes + segment::kBatchFrameBytes + 4096, root));
  segment::SegmentWriter& writer = *fresh.writer;
  writer.collect();
  std::uint64_t batch_begin = 0;
  std::vector<std::uint64_t> checksums;
  segment::RecordInput last;
  const auto close_batch = [&] {
    if (!checksums.empty()) writer.append_batch_frame(batch_begin, checksums, last);
    checksums.clear();
  };
  // A batch's members are contiguous and share a stamp that no other record has.
  const auto copy = [&](const segment::RecordView& record) -> Result<void> {
    const bool member = (record.header.flags & kInBatch) != 0;
    if (!member || record.header.stamp != last.stamp) close_batch();
    last = {.kind = record.kind(),
            .flags = record.header.flags,
            .write_version = record.header.write_version,
            .stamp = record.header.stamp,
            .view = record.header.view,
            .family = record.header.family,
            .account = record.account,
            .expiry_ms = record.expiry_ms,
            .key = record.key,
            .value = record.value};
    if (member && checksums.empty()) batch_begin = writer.tail();
    const segment::RecordView written = writer.append(last);
    if (member) checksums.push_back(written.header.checksum);
    return {};
  };
  CAIRN_TRY_VOID(reader.replay(found.end, copy, found.durable_end));
  close_batch();
  CAIRN_TRY_VOID(writer.finish());
  return SegmentEntry{
      .file = fresh.name, .state = SegmentState::kEnded, .end = writer.end(), .root = fresh.root, .writer = active.writer};
}

/// The number of the next file: above those in the manifest and those of files that came after it, which stay for a while.
Result<std::uint64_t> Directory::next_file_of(const Manifest& manifest) {
  constexpr std::uint64_t kNotOurs = std::uint64_t{1} << 61;  // Nobody can have made as many; a manifest must be able to say it.
  std::uint64_t next = manifest.next_file;
  CAIRN_TRY(names, storage_.list());
  for (const std::string& name : names) {
    const auto file = FileName::parse(name);
    if (file && file->number < kNotOurs) next = std::max(next, file->number + 1);
  }
  return next;
}

/// What no manifest lists is deleted: manifests beyond the last three at once; files of interrupted jobs, spares and temporary
/// files when next something is, since that may take long.
Result<void> Directory::drop_strays() {
  const Manifest now = manifest();
  const std::vector<std::string> live = now.files();
  const std::set<std::string> keep(live.begin(), live.end());
  CAIRN_TRY(names, storage_.list());
  std::vector<ManifestName> manifests;
  for (const std::string& name : names) {
    if (const auto parsed = ManifestName::parse(name)) manifests.push_back(*parsed);
    const auto file = FileName::parse(name);
    // The whole name must have the shape: a user's file that only begins or ends alike is left alone.
    const bool stray =
        (file && file->epoch <= epoch_ && !keep.contains(name)) || storage::is_temporary_name(name) || is_spare_name(name);
    if (stray) keeper_->drop({name, 0});
  }
  std::sort(manifests.begin(), manifests.end());
  for (std::size_t i = 0; i + 3 < manifests.size(); ++i) CAIRN_TRY_VOID(storage_.remove(manifests[i].to_string()));
  const std::set<std::string> there(names.begin(), names.end());
  for (const std::string& name : keep) {
    if (!there.contains(name)) return corruption("a live file is missing", name);
  }
  return {};
}

}  // namespace cairn::directory
