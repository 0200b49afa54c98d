// What a manifest says of a timeline.
#include <algorithm>
#include <iterator>

#include "directory/file_name.h"
#include "directory/manifest_section.h"

namespace cairn::directory {
namespace {

constexpr const char* kLineNames[] = {"next", "persistent", "main"};

Result<BlockEntry> read_block(Section& section) {
  BlockEntry entry;
  CAIRN_TRY(file, section.string("file"));
  const auto name = FileName::parse(file);
  if (!name || name->suffix != kSegmentSuffix) return section.wrong("file", "is not the name of a segment");
  entry.file = file;
  CAIRN_TRY(line, section.string("line"));
  const auto* const found = std::find(std::begin(kLineNames), std::end(kLineNames), line);
  if (found == std::end(kLineNames)) return section.wrong("line", "is not next, persistent or main");
  entry.line = static_cast<Line>(found - std::begin(kLineNames));
  CAIRN_TRY(end, section.integer("end"));
  if (end < segment::kHeaderBytes) return section.wrong("end", "lies in the file header");
  CAIRN_TRY(first, section.integer("stamp_first"));
  CAIRN_TRY(last, section.integer("stamp_last"));
  CAIRN_TRY(saves, section.integer("saves"));
  if (first > last || saves == 0) return section.wrong("stamp_last", "is below stamp_first, or there are no saves");
  entry.end = end;
  entry.stamp_first = first;
  entry.stamp_last = last;
  entry.saves = saves;
  return entry;
}

Result<BlockIndexEntry> read_block_index(Section& section) {
  BlockIndexEntry entry;
  CAIRN_TRY(file, section.string("file"));
  const auto name = FileName::parse(file);
  if (!name || name->suffix != kSealedSuffix) return section.wrong("file", "is not the name of a sealed file");
  entry.file = file;
  CAIRN_TRY(blocks, section.strings("blocks"));
  for (const std::string& text : blocks) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return section.wrong("blocks", "has what is not a number");
    entry.blocks.push_back(number);
  }
  return entry;
}

Result<RollbackEntry> read_rollback(Section& section) {
  RollbackEntry entry;
  CAIRN_TRY(to, section.integer("to"));
  CAIRN_TRY(until, section.integer("until"));
  CAIRN_TRY(undo_until_ms, section.integer("undo_until_ms"));
  if (to >= until) return section.wrong("until", "is not above `to`");
  entry.to = to;
  entry.until = until;
  entry.undo_until_ms = static_cast<std::int64_t>(undo_until_ms);
  return entry;
}

/// Blocks stand line by line, by stamp, each in one index.
Result<void> check_blocks(const TimelineEntry& entry, const Section& section) {
  std::set<std::uint64_t> unindexed;
  for (std::size_t i = 0; i < entry.blocks.size(); ++i) {
    const BlockEntry& block = entry.blocks[i];
    unindexed.insert(FileName::parse(block.file)->number);
    if (i == 0) continue;
    if (block.stamp_first <= entry.blocks[i - 1].stamp_last) return section.wrong("block", "does not ascend in stamps");
    if (block.line < entry.blocks[i - 1].line) return section.wrong("block", "stands behind one of a later line");
  }
  if (unindexed.size() != entry.blocks.size()) return section.wrong("block", "is there twice");
  for (const BlockIndexEntry& index : entry.indexes) {
    for (const std::uint64_t number : index.blocks) {
      if (unindexed.erase(number) == 0) return section.wrong("index", "names a block that is not there, or one of another index");
    }
  }
  if (!unindexed.empty()) return section.wrong("block", fmt::format("{} is in no index", *unindexed.begin()));
  return {};
}

}  // namespace

Result<TimelineEntry> read_timeline(Section& section) {
  TimelineEntry entry;
  CAIRN_TRY(timeout_ms, section.integer("timeout_ms"));
  CAIRN_TRY(expired, section.string("expired"));
  if (expired != "drop" && expired != "persist") return section.wrong("expired", "is neither drop nor persist");
  CAIRN_TRY(block_keys_max, section.integer("block_keys_max"));
  CAIRN_TRY(block_bytes_max, section.integer("block_bytes_max"));
  CAIRN_TRY(block_span_ms_max, section.integer("block_span_ms_max"));
  CAIRN_TRY(undo_ms, section.integer("undo_ms"));
  CAIRN_TRY(given_until, section.integer("given_until"));
  CAIRN_TRY(main_after, section.integer("main_after"));
  CAIRN_TRY(cycle_until, section.integer("cycle_until"));
  CAIRN_TRY(cycled_bytes, section.integer("cycled_bytes"));
  entry.timeout_ms = static_cast<std::int64_t>(timeout_ms);
  entry.persist = expired == "persist";
  entry.block_keys_max = block_keys_max;
  entry.block_bytes_max = block_bytes_max;
  entry.block_span_ms_max = static_cast<std::int64_t>(block_span_ms_max);
  entry.undo_ms = static_cast<std::int64_t>(undo_ms);
  entry.given_until = given_until;
  entry.main_after = main_after;
  entry.cycle_until = cycle_until;
  entry.cycled_bytes = cycled_bytes;
  CAIRN_TRY_VOID(section.sections("block", [&](Section& block) -> Result<void> {
    CAIRN_TRY(read, read_block(block));
    entry.blocks.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.sections("index", [&](Section& index) -> Result<void> {
    CAIRN_TRY(read, read_block_index(index));
    entry.indexes.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.sections("rollback", [&](Section& rollback) -> Result<void> {
    CAIRN_TRY(read, read_rollback(rollback));
    entry.rollbacks.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(check_blocks(entry, section));
  return entry;
}

std::string encode_timeline(const TimelineEntry& timeline) {
  std::string text = fmt::format(
      "\n  [[view.timeline]]\n  timeout_ms = {}\n  expired = \"{}\"\n  block_keys_max = {}\n  block_bytes_max = {}\n"
      "  block_span_ms_max = {}\n  undo_ms = {}\n  given_until = {}\n  main_after = {}\n  cycle_until = {}\n  cycled_bytes = "
      "{}\n",
      timeline.timeout_ms, timeline.persist ? "persist" : "drop", timeline.block_keys_max, timeline.block_bytes_max,
      timeline.block_span_ms_max, timeline.undo_ms, timeline.given_until, timeline.main_after, timeline.cycle_until,
      timeline.cycled_bytes);
  for (const BlockEntry& block : timeline.blocks) {
    text += fmt::format(
        "\n    [[view.timeline.block]]\n    file = \"{}\"\n    line = \"{}\"\n    end = {}\n    stamp_first = {}\n"
        "    stamp_last = {}\n    saves = {}\n",
        block.file, kLineNames[static_cast<std::size_t>(block.line)], block.end, block.stamp_first, block.stamp_last,
        block.saves);
  }
  for (const BlockIndexEntry& index : timeline.indexes) {
    text += fmt::format("\n    [[view.timeline.index]]\n    file = \"{}\"\n    blocks = [\"{}\"]\n", index.file,
                        fmt::join(index.blocks, "\", \""));
  }
  for (const RollbackEntry& rollback : timeline.rollbacks) {
    text += fmt::format("\n    [[view.timeline.rollback]]\n    to = {}\n    until = {}\n    undo_until_ms = {}\n", rollback.to,
                        rollback.until, rollback.undo_until_ms);
  }
  return text;
}

std::uint64_t BlockEntry::number() const { return FileName::parse(file)->number; }

void TimelineEntry::erase_blocks(const std::set<std::uint64_t>& numbers) {
  if (numbers.empty()) return;
  std::erase_if(blocks, [&](const BlockEntry& block) { return numbers.contains(block.number()); });
  for (BlockIndexEntry& index : indexes) {
    std::erase_if(index.blocks, [&](std::uint64_t number) { return numbers.contains(number); });
  }
  std::erase_if(indexes, [](const BlockIndexEntry& index) { return index.blocks.empty(); });
}

}  // namespace cairn::directory
