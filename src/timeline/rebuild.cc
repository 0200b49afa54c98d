#include "timeline/rebuild.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "timeline/block_index_writer.h"
#include "timeline/block_writer.h"

namespace cairn::timeline {
namespace {

using segment::RecordView;

/// By stamp, then by key, each once.
void sort_out(std::vector<RecordView>& saves) {
  const auto rank = [](const RecordView& save) { return std::tuple(save.header.stamp, save.key); };
  std::ranges::stable_sort(saves, {}, rank);
  const auto twice = std::ranges::unique(saves, {}, rank);
  saves.erase(twice.begin(), twice.end());
}

Result<void> number_versions(directory::Directory& directory, std::vector<RecordView>& saves) {
  CAIRN_TRY_VOID(directory.prepare_versions(saves.size()));
  const auto given = directory.reserve_versions(saves.size());
  if (!given) return fail(ErrorCode::kUnavailable, "the clock ran away during repair; try again");
  std::uint64_t version = given->write_version;
  for (RecordView& save : saves) save.header.write_version = version++;
  return {};
}

}  // namespace

Result<directory::TimelineEntry> rebuild(directory::Directory& directory, std::uint16_t number, const std::string& name,
                                         const directory::TimelineEntry& as, std::vector<RecordView> saves) {
  directory::TimelineEntry entry = as;
  entry.blocks.clear();
  entry.indexes.clear();
  entry.cycle_until = 0;
  entry.cycled_bytes = 0;
  sort_out(saves);
  if (!entry.persist) std::erase_if(saves, [&](const RecordView& save) { return save.header.stamp <= entry.main_after; });
  CAIRN_TRY_VOID(number_versions(directory, saves));
  std::uint64_t bytes = 0;
  for (RecordView& save : saves) {
    save.header.view = number;
    bytes += save.bytes;
  }
  BlockWriter writer(directory, number, name, entry.block_bytes_max, bytes);
  const RecordView* first = nullptr;  // Of the block being written.
  for (const RecordView& save : saves) {
    // A block has one line, and no more time than one may span.
    const auto spans_ms = [&] { return directory::ms_of_stamp(save.header.stamp) - directory::ms_of_stamp(first->header.stamp); };
    const bool fits = first == nullptr || (spans_ms() <= entry.block_span_ms_max &&
                                           (first->header.stamp <= entry.main_after) == (save.header.stamp <= entry.main_after));
    if (!fits) CAIRN_TRY_VOID(writer.finish());
    if (!fits || first == nullptr) first = &save;
    CAIRN_TRY_VOID(writer.add(save));
  }
  CAIRN_TRY_VOID(writer.finish());
  for (const BlockWriter::Made& made : writer.made()) {
    CAIRN_TRY(block, OpenBlock::replay(directory, made.file, made.end, number));
    const OpenBlock* const one = block.get();
    CAIRN_TRY(index, write_block_index(directory, name, number, {&one, 1}, [](std::uint64_t) { return Result<void>{}; }));
    entry.blocks.push_back(
        {.file = made.file,
         .line = block->stamp_last() <= entry.main_after ? directory::Line::kPersistent : directory::Line::kMain,
         .end = made.end,
         .stamp_first = block->stamp_first(),
         .stamp_last = block->stamp_last(),
         .saves = block->saves()});
    entry.indexes.push_back({.file = index, .blocks = {block->number()}});
  }
  writer.keep();
  return entry;
}

}  // namespace cairn::timeline
