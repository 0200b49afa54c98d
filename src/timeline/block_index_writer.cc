#include "timeline/block_index_writer.h"

#include <utility>

#include "sealed/merge_cursor.h"
#include "timeline/block_index.h"

namespace cairn::timeline {
namespace {

constexpr std::uint64_t kProgressSaves = 4096;

}  // namespace

Result<std::string> write_block_index(directory::Directory& directory, const std::string& view_name, std::uint16_t view,
                                      const IndexInput& input) {
  sealed::SealedIdentity identity{.view = view,
                                  .family = kTimelineFamily,
                                  .version_first = input.stamp_first,
                                  .version_last = input.stamp_last,
                                  .view_name = view_name,
                                  .family_name = {},
                                  .cover_from = {},
                                  .replaces = input.replaces};
  const sealed::SealedOptions options{.terms = {{kTimes, sizeof(std::uint64_t)}}};
  sealed::SealedBounds bounds = input.bounds;
  bounds.object_bytes += input.erases.size() * sealed::object_bytes(0, 0, 0);
  CAIRN_TRY(file, directory.new_sealed(identity, sealed::sealed_bytes_max(bounds)));
  std::string name = file->name();
  const MemoryUse memory(directory.environment().memory,
                         input.bounds.records * (sealed::SealedWriter::kMemoryBytesPerRecord + 28));
  sealed::SealedWriter writer(std::move(file), identity, options);
  const auto write = [&]() -> Result<void> {
    for (const std::uint64_t stamp : input.erases) {
      writer.add_range_tombstone(
          {.key = {}, .value = {}, .kind = RecordKind::kRangeTombstone, .write_version = stamp, .stamp = stamp});
    }
    CAIRN_TRY_VOID(input.cursor.seek_first());
    std::uint64_t bytes = 0;
    while (input.cursor.valid()) {
      const sealed::Entry& entry = input.cursor.entry();
      CAIRN_TRY(stays, input.stays(entry));
      const sealed::TermOf term{0, term_of_stamp(entry.stamp)};
      if (stays) writer.add(entry, {&term, 1});
      bytes += entry.key.size() + kPlaceBytes;
      if (writer.record_count() % kProgressSaves == 0) CAIRN_TRY_VOID(input.progress(std::exchange(bytes, 0)));
      CAIRN_TRY_VOID(input.cursor.next());
    }
    CAIRN_TRY_VOID(writer.complete());
    CAIRN_TRY_VOID(writer.finish());
    return directory.storage().sync_names();
  };
  const Result<void> done = write();
  if (!done && directory.state()) directory.abandon(name);
  CAIRN_TRY_VOID(done);
  return name;
}

Result<std::string> write_block_index(directory::Directory& directory, const std::string& view_name, std::uint16_t view,
                                      std::span<const OpenBlock* const> blocks, const IndexProgress& progress) {
  std::vector<std::unique_ptr<sealed::Cursor>> cursors;
  std::vector<std::uint64_t> erases;
  sealed::SealedBounds bounds;
  const std::uint64_t entry_bytes = sealed::object_bytes(0, kPlaceBytesMax + sealed::kAlign, kHasAccount | kHasExpiry);
  for (const OpenBlock* const block : blocks) {
    cursors.push_back(block->cursor());
    for (const auto* erase = block->erases(); erase != nullptr; erase = erase->older) erases.push_back(erase->stamp);
    bounds.add({.records = block->saves(),
                .object_bytes = block->key_bytes() + block->saves() * entry_bytes,
                .key_bytes_max = block->key_bytes_max(),
                .term_bytes = kTermBytesPerSave});
  }
  sealed::MergeCursor cursor(std::move(cursors));
  return write_block_index(directory, view_name, view,
                           {.cursor = cursor,
                            .bounds = bounds,
                            .stamp_first = blocks.front()->stamp_first(),
                            .stamp_last = blocks.back()->stamp_last(),
                            .replaces = {},
                            .erases = std::move(erases),
                            .stays = [](const sealed::Entry&) { return Result<bool>(true); },
                            .progress = progress});
}

}  // namespace cairn::timeline
