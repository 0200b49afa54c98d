#include "directory/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "directory/file_name.h"
#include "directory/toml.h"

namespace cairn::directory {
namespace {

constexpr const char* kCompressionNames[] = {"none", "lz4", "zstd"};
constexpr const char* kLineNames[] = {"next", "persistent", "main"};
constexpr std::string_view kChecksumLine = "checksum = \"";

/// One table being read: takes its keys one by one and complains about what is missing, wrong or left over.
class Section {
 public:
  Section(const TomlTable& table, std::string path, std::string file)
      : table_(table), path_(std::move(path)), file_(std::move(file)) {}

  Result<std::uint64_t> integer(const char* key, std::uint64_t most = std::uint64_t{1} << 62) {
    const auto* const value = take<std::int64_t>(key);
    if (value == nullptr || *value < 0 || static_cast<std::uint64_t>(*value) > most) {
      return wrong(key, "is not an integer from 0 to " + std::to_string(most));
    }
    return static_cast<std::uint64_t>(*value);
  }
  Result<std::string> string(const char* key) {
    const auto* const value = take<std::string>(key);
    if (value == nullptr) return wrong(key, "is not a string");
    return *value;
  }
  /// 64 bits as 16 hexadecimal digits, `words` of them.
  Result<std::vector<std::uint64_t>> hex(const char* key, std::size_t words) {
    CAIRN_TRY(text, string(key));
    std::vector<std::uint64_t> values(words);
    if (text.size() != words * 16) return wrong(key, "has the wrong length");
    for (std::size_t i = 0; i < words; ++i) {
      const char* const begin = text.data() + i * 16;
      const auto [end, error] = std::from_chars(begin, begin + 16, values[i], 16);
      if (error != std::errc{} || end != begin + 16) return wrong(key, "is not hexadecimal");
    }
    return values;
  }
  /// Bytes as hexadecimal digits; at least one.
  Result<Bytes> hex_bytes(const char* key) {
    CAIRN_TRY(text, string(key));
    return bytes_of_hex(key, text);
  }
  Result<Bytes> bytes_of_hex(const char* key, const std::string& text) const {
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
      std::uint8_t byte = 0;
      const char* const begin = text.data() + i;
      const auto [end, error] = std::from_chars(begin, text.data() + std::min(i + 2, text.size()), byte, 16);
      if (error != std::errc{} || end != begin + 2) return wrong(key, "is not hexadecimal");
      bytes.push_back(static_cast<char>(byte));
    }
    if (bytes.empty()) return wrong(key, "is empty");
    return bytes;
  }
  [[nodiscard]] bool has(const char* key) const { return table_.values.contains(key); }
  Result<std::vector<std::string>> strings(const char* key) {
    const auto* const value = take<std::vector<std::string>>(key);
    if (value == nullptr || value->empty()) return wrong(key, "is not a list of strings");
    return *value;
  }
  /// Calls `each` with the sections of an array of tables, which may be absent.
  template <typename Each>
  Result<void> sections(const char* key, Each each) {
    taken_.insert(key);
    const auto found = table_.tables.find(key);
    if (found == table_.tables.end()) return {};
    for (std::size_t i = 0; i < found->second.size(); ++i) {
      Section section(found->second[i], fmt::format("{}{}[{}].", path_, key, i), file_);
      CAIRN_TRY_VOID(each(section));
      CAIRN_TRY_VOID(section.done());
    }
    return {};
  }
  [[nodiscard]] Result<void> done() const {
    for (const auto& [key, value] : table_.values) CAIRN_TRY_VOID(known(key));
    for (const auto& [key, tables] : table_.tables) CAIRN_TRY_VOID(known(key));
    return {};
  }
  [[nodiscard]] std::unexpected<Error> wrong(const char* key, const std::string& what) const {
    return corruption(fmt::format("manifest key {}{} {}", path_, key, what), file_);
  }

 private:
  template <typename T>
  const T* take(const char* key) {
    taken_.insert(key);
    const auto found = table_.values.find(key);
    return found == table_.values.end() ? nullptr : std::get_if<T>(&found->second);
  }
  [[nodiscard]] Result<void> known(const std::string& key) const {
    if (taken_.contains(key)) return {};
    return fail(ErrorCode::kUnsupported, fmt::format("manifest key {}{} needs a newer Cairn", path_, key), file_);
  }

  const TomlTable& table_;
  std::string path_;
  std::string file_;
  std::set<std::string> taken_;
};

Result<SegmentEntry> read_segment(Section& section) {
  SegmentEntry entry;
  CAIRN_TRY(file, section.string("file"));
  const auto name = FileName::parse(file);
  if (!name || name->suffix != kSegmentSuffix) return section.wrong("file", "is not the name of a segment");
  entry.file = file;
  CAIRN_TRY(state, section.string("state"));
  if (state == "active") {
    entry.state = SegmentState::kActive;
    CAIRN_TRY(durable_end, section.integer("durable_end"));
    entry.durable_end = durable_end;
  } else if (state == "ended") {
    entry.state = SegmentState::kEnded;
    CAIRN_TRY(end, section.integer("end"));
    if (end < segment::kHeaderBytes) return section.wrong("end", "lies in the file header");
    entry.end = end;
  } else {
    return fail(ErrorCode::kUnsupported, "segment state '" + state + "' needs a newer Cairn", file);
  }
  if (section.has("linked")) {
    CAIRN_TRY(linked, section.string("linked"));
    if (linked != "yes") return section.wrong("linked", "is not \"yes\"");
    entry.linked = true;
  }
  return entry;
}

Result<LargeEntry> read_large(Section& section) {
  LargeEntry entry;
  CAIRN_TRY(file, section.string("file"));
  const auto name = FileName::parse(file);
  if (!name || name->suffix != kSegmentSuffix) return section.wrong("file", "is not the name of a segment");
  entry.file = file;
  CAIRN_TRY(end, section.integer("end"));
  if (end < segment::kHeaderBytes) return section.wrong("end", "lies in the file header");
  entry.end = end;
  if (section.has("pending")) {
    CAIRN_TRY(pending, section.string("pending"));
    if (pending != "yes") return section.wrong("pending", "is not \"yes\"");
    entry.pending = true;
  }
  return entry;
}

Result<RunEntry> read_run(Section& section) {
  RunEntry entry;
  CAIRN_TRY(files, section.strings("files"));
  for (const std::string& file : files) {
    const auto name = FileName::parse(file);
    if (!name || name->suffix != kSealedSuffix) return section.wrong("files", "has what is not the name of a sealed file");
  }
  entry.files = files;
  CAIRN_TRY(first, section.integer("version_first"));
  CAIRN_TRY(last, section.integer("version_last"));
  if (first > last) return section.wrong("version_last", "is below version_first");
  entry.version_first = first;
  entry.version_last = last;
  if (section.has("from")) {
    CAIRN_TRY(from, section.hex_bytes("from"));
    entry.from = from;
  }
  if (section.has("starts")) {
    CAIRN_TRY(starts, section.strings("starts"));
    if (starts.size() + 1 != files.size()) return section.wrong("starts", "is not one for each file but the first");
    for (const std::string& text : starts) {
      CAIRN_TRY(start, section.bytes_of_hex("starts", text));
      if (!entry.starts.empty() && start <= entry.starts.back()) return section.wrong("starts", "does not ascend");
      entry.starts.push_back(start);
    }
  }
  return entry;
}

Result<IndexEntry> read_index(Section& section) {
  IndexEntry entry;
  CAIRN_TRY(name, section.string("name"));
  if (!valid_name(name) || name.size() > sealed::kTableNameBytes) return section.wrong("name", "is not a valid name");
  CAIRN_TRY(key_bytes, section.integer("key_bytes", kTermBytesMax));
  if (key_bytes == 0) return section.wrong("key_bytes", "is 0");
  CAIRN_TRY(extractor, section.string("extractor"));
  entry.name = name;
  entry.key_bytes = static_cast<std::uint32_t>(key_bytes);
  entry.extractor = extractor;
  return entry;
}

/// Runs ascend in their versions, but for the inputs of a merge under way, which lie within those of its output.
Result<void> check_order(const std::vector<RunEntry>& runs, const RunEntry& next, const Section& section) {
  if (runs.empty()) {
    if (!next.from.empty()) return section.wrong("from", "has no run before it");
    return {};
  }
  const RunEntry& last = runs.back();
  const RunEntry& output = *std::find_if(runs.rbegin(), runs.rend(), [](const RunEntry& run) { return run.from.empty(); });
  const bool input = !next.from.empty();
  const bool within = next.version_first >= output.version_first && next.version_last <= output.version_last;
  const bool ascends = next.version_first > (input && last.from.empty() ? output.version_first - 1 : last.version_last);
  if (input ? !within || !ascends : next.version_first <= output.version_last) {
    return section.wrong("version_first", "does not ascend from run to run");
  }
  if (input && !last.from.empty() && last.from != next.from) return section.wrong("from", "differs between inputs of one merge");
  return {};
}

Result<FamilyEntry> read_family(Section& section) {
  FamilyEntry entry;
  CAIRN_TRY(name, section.string("name"));
  if (!valid_name(name)) return section.wrong("name", "is not a valid name");
  CAIRN_TRY(number, section.integer("number", 0xffff));
  CAIRN_TRY(compression, section.string("compression"));
  entry.name = name;
  entry.number = static_cast<std::uint16_t>(number);
  const auto* const found = std::find(std::begin(kCompressionNames), std::end(kCompressionNames), compression);
  if (found == std::end(kCompressionNames)) {
    return fail(ErrorCode::kUnsupported, "compression '" + compression + "' needs a newer Cairn");
  }
  entry.compression = static_cast<sealed::Compression>(found - std::begin(kCompressionNames));
  CAIRN_TRY_VOID(section.sections("run", [&](Section& run) -> Result<void> {
    CAIRN_TRY(read, read_run(run));
    CAIRN_TRY_VOID(check_order(entry.runs, read, run));
    entry.runs.push_back(read);
    return {};
  }));
  if (section.has("ttl_ms")) {
    CAIRN_TRY(ttl_ms, section.integer("ttl_ms"));
    entry.ttl_ms = static_cast<std::int64_t>(ttl_ms);
  }
  CAIRN_TRY_VOID(section.sections("index", [&](Section& index) -> Result<void> {
    CAIRN_TRY(read, read_index(index));
    entry.indexes.push_back(read);
    return {};
  }));
  if (entry.indexes.size() > kIndexesMax) return section.wrong("index", "is there too often");
  return entry;
}

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

Result<ViewEntry> read_view(Section& section) {
  ViewEntry entry;
  CAIRN_TRY(name, section.string("name"));
  if (!valid_name(name)) return section.wrong("name", "is not a valid name");
  CAIRN_TRY(kind, section.string("kind"));
  if (kind != "table" && kind != "timeline")
    return fail(ErrorCode::kUnsupported, "a view of kind '" + kind + "' needs a newer Cairn");
  CAIRN_TRY(number, section.integer("number", 0xffff));
  entry.name = name;
  entry.kind = kind;
  entry.number = static_cast<std::uint16_t>(number);
  CAIRN_TRY_VOID(section.sections("family", [&](Section& family) -> Result<void> {
    CAIRN_TRY(read, read_family(family));
    if (read.number != entry.families.size()) return family.wrong("number", "is not its place in the list");
    entry.families.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.sections("timeline", [&](Section& timeline) -> Result<void> {
    CAIRN_TRY(read, read_timeline(timeline));
    if (entry.timeline) return section.wrong("timeline", "is there twice");
    entry.timeline = read;
    return {};
  }));
  if (entry.families.empty() != (kind != "table")) return section.wrong("family", "is missing, or of no table");
  if (entry.timeline.has_value() != (kind == "timeline")) return section.wrong("timeline", "is missing, or of no timeline");
  CAIRN_TRY_VOID(section.sections("log", [&](Section& log) -> Result<void> {
    CAIRN_TRY(read, read_segment(log));
    if (!entry.log.empty() && entry.log.back().state == SegmentState::kActive && read.state != SegmentState::kActive) {
      return log.wrong("state", "has ended behind an active one");
    }
    entry.log.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.sections("large", [&](Section& large) -> Result<void> {
    CAIRN_TRY(read, read_large(large));
    entry.large.push_back(read);
    return {};
  }));
  return entry;
}

Result<Manifest> read_manifest(Section& section) {
  Manifest manifest;
  CAIRN_TRY(format, section.integer("format"));
  if (format != 1) return fail(ErrorCode::kUnsupported, "manifest format " + std::to_string(format) + " needs a newer Cairn");
  CAIRN_TRY(epoch, section.integer("epoch"));
  CAIRN_TRY(version, section.integer("version"));
  CAIRN_TRY(database, section.hex("database", 2));
  CAIRN_TRY(hash_seed, section.hex("hash_seed", 1));
  CAIRN_TRY(next_file, section.integer("next_file"));
  CAIRN_TRY(next_view, section.integer("next_view", 0xffff));
  CAIRN_TRY(version_ceiling, section.integer("version_ceiling"));
  CAIRN_TRY(stamp_ceiling, section.integer("stamp_ceiling", ~std::uint64_t{0} >> 1));
  CAIRN_TRY(clock_ms, section.integer("clock_ms"));
  manifest.clock_ms = static_cast<std::int64_t>(clock_ms);
  manifest.epoch = epoch;
  manifest.version = version;
  manifest.database = {database[0], database[1]};
  manifest.hash_seed = hash_seed[0];
  manifest.next_file = next_file;
  manifest.next_view = static_cast<std::uint16_t>(next_view);
  manifest.version_ceiling = version_ceiling;
  manifest.stamp_ceiling = stamp_ceiling;
  std::set<std::uint16_t> numbers;
  std::set<std::pair<std::string, std::string>> names;
  CAIRN_TRY_VOID(section.sections("view", [&](Section& view) -> Result<void> {
    CAIRN_TRY(read, read_view(view));
    if (!numbers.insert(read.number).second) return view.wrong("number", "is used twice");
    if (!names.insert({read.kind, read.name}).second) return view.wrong("name", "is used twice");
    manifest.views.push_back(read);
    return {};
  }));
  (void)section.string("checksum");
  CAIRN_TRY_VOID(section.done());
  return manifest;
}

}  // namespace

std::uint64_t BlockEntry::number() const { return FileName::parse(file)->number; }

void TimelineEntry::erase_blocks(const std::set<std::uint64_t>& numbers) {
  if (numbers.empty()) return;
  std::erase_if(blocks, [&](const BlockEntry& block) { return numbers.contains(block.number()); });
  for (BlockIndexEntry& index : indexes) {
    std::erase_if(index.blocks, [&](std::uint64_t number) { return numbers.contains(number); });
  }
  std::erase_if(indexes, [](const BlockIndexEntry& index) { return index.blocks.empty(); });
}

const ViewEntry* Manifest::view(const std::string& kind, const std::string& name) const {
  const auto found =
      std::find_if(views.begin(), views.end(), [&](const ViewEntry& view) { return view.kind == kind && view.name == name; });
  return found == views.end() ? nullptr : &*found;
}

ViewEntry& Manifest::edit_view(std::uint16_t number) {
  std::size_t i = 0;
  while (i < views.size() && views[i].number != number) ++i;
  CAIRN_ASSERT(i < views.size());
  return views.edit(i);
}

std::vector<std::string> Manifest::files() const {
  std::vector<std::string> names;
  for (const ViewEntry& view : views) {
    for (const SegmentEntry& segment : view.log) names.push_back(segment.file);
    for (const LargeEntry& large : view.large) names.push_back(large.file);
    for (const FamilyEntry& family : view.families) {
      for (const RunEntry& run : family.runs) names.insert(names.end(), run.files.begin(), run.files.end());
    }
    if (!view.timeline) continue;
    for (const BlockEntry& block : view.timeline->blocks) names.push_back(block.file);
    for (const BlockIndexEntry& index : view.timeline->indexes) names.push_back(index.file);
  }
  return names;
}

namespace {

std::string hex_of(const Bytes& bytes) {
  const auto* const begin = reinterpret_cast<const unsigned char*>(bytes.data());
  return fmt::format("{:02x}", fmt::join(begin, begin + bytes.size(), ""));
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

std::string encode_view(const ViewEntry& view) {
  std::string text = fmt::format("\n[[view]]\nname = \"{}\"\nkind = \"{}\"\nnumber = {}\n", view.name, view.kind, view.number);
  for (const FamilyEntry& family : view.families) {
    text += fmt::format("\n  [[view.family]]\n  name = \"{}\"\n  number = {}\n  compression = \"{}\"\n", family.name,
                        family.number, kCompressionNames[static_cast<std::size_t>(family.compression)]);
    if (family.ttl_ms != 0) text += fmt::format("  ttl_ms = {}\n", family.ttl_ms);
    for (const IndexEntry& index : family.indexes) {
      text += fmt::format("\n    [[view.family.index]]\n    name = \"{}\"\n    key_bytes = {}\n    extractor = \"{}\"\n",
                          index.name, index.key_bytes, index.extractor);
    }
    for (const RunEntry& run : family.runs) {
      text += fmt::format("\n    [[view.family.run]]\n    files = [\"{}\"]\n    version_first = {}\n    version_last = {}\n",
                          fmt::join(run.files, "\", \""), run.version_first, run.version_last);
      if (!run.from.empty()) text += fmt::format("    from = \"{}\"\n", hex_of(run.from));
      if (!run.starts.empty()) {
        std::vector<std::string> starts;
        starts.reserve(run.starts.size());
        for (const Bytes& start : run.starts) starts.push_back(hex_of(start));
        text += fmt::format("    starts = [\"{}\"]\n", fmt::join(starts, "\", \""));
      }
    }
  }
  for (const SegmentEntry& segment : view.log) {
    text += fmt::format("\n  [[view.log]]\n  file = \"{}\"\n", segment.file);
    if (segment.state == SegmentState::kActive) {
      text += fmt::format("  state = \"active\"\n  durable_end = {}\n", segment.durable_end);
    } else {
      text += fmt::format("  state = \"ended\"\n  end = {}\n", segment.end);
    }
    if (segment.linked) text += "  linked = \"yes\"\n";
  }
  for (const LargeEntry& large : view.large) {
    text += fmt::format("\n  [[view.large]]\n  file = \"{}\"\n  end = {}\n", large.file, large.end);
    if (large.pending) text += "  pending = \"yes\"\n";
  }
  if (view.timeline) text += encode_timeline(*view.timeline);
  return text;
}

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  std::string text = fmt::format(
      "# The manifest of a Cairn directory: what is live, in order. Not for editing: the checksum would not match.\n"
      "format = 1\nepoch = {}\nversion = {}\ndatabase = \"{:016x}{:016x}\"\nhash_seed = \"{:016x}\"\n"
      "next_file = {}\nnext_view = {}\nversion_ceiling = {}\nstamp_ceiling = {}\nclock_ms = {}\n",
      manifest.epoch, manifest.version, manifest.database[0], manifest.database[1], manifest.hash_seed, manifest.next_file,
      manifest.next_view, manifest.version_ceiling, manifest.stamp_ceiling, manifest.clock_ms);
  for (std::size_t i = 0; i < manifest.views.size(); ++i) text += manifest.views.text(i, encode_view);
  // TOML has no way back to the top level after a table, so the checksum goes to the front of the rest.
  const std::size_t at = text.find("format = 1");
  const std::string body = text.substr(at);
  return text.substr(0, at) + fmt::format("{}{:016x}\"\n", kChecksumLine, xxh3(text)) + body;
}

Result<Manifest> decode_manifest(const std::string& text, const std::string& file) {
  const std::size_t at = text.find(kChecksumLine);
  const std::size_t line_bytes = kChecksumLine.size() + 16 + 2;
  if (at == std::string::npos || text.size() < at + line_bytes) return corruption("manifest without a checksum", file, 0);
  const std::string body = text.substr(0, at) + text.substr(at + line_bytes);
  if (text.substr(at, line_bytes) != fmt::format("{}{:016x}\"\n", kChecksumLine, xxh3(body))) {
    return corruption("manifest checksum", file, at);
  }
  CAIRN_TRY(table, parse_toml(text, file));
  Section section(table, "", file);
  Result<Manifest> manifest = read_manifest(section);
  if (!manifest && manifest.error().file.empty()) manifest.error().file = file;
  return manifest;
}

bool valid_text(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
}

bool valid_name(const std::string& name) {
  if (name.empty() || name.size() > 64) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
           c == ':';
  });
}

}  // namespace cairn::directory
