#include "directory/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "directory/file_name.h"
#include "directory/manifest_section.h"
#include "directory/toml.h"

namespace cairn::directory {
namespace {

constexpr const char* kCompressionNames[] = {"none", "lz4", "zstd"};
constexpr std::string_view kChecksumLine = "checksum = \"";

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
  if (section.has("root")) {
    CAIRN_TRY(root, section.integer("root", kDrivesMax));
    entry.root = static_cast<std::uint16_t>(root);
  }
  if (section.has("writer")) {
    CAIRN_TRY(writer, section.integer("writer", 0xffff));
    entry.writer = static_cast<std::uint16_t>(writer);
  }
  if (section.has("as_of")) {
    CAIRN_TRY(as_of, section.integer("as_of"));
    entry.as_of = as_of;
  }
  return entry;
}

/// Of each log, those that are active stand last.
Result<void> check_log(const std::vector<SegmentEntry>& log, const SegmentEntry& next, const Section& section) {
  const auto before =
      std::find_if(log.rbegin(), log.rend(), [&](const SegmentEntry& each) { return each.writer == next.writer; });
  if (before != log.rend() && before->state == SegmentState::kActive && next.state != SegmentState::kActive) {
    return section.wrong("state", "has ended behind an active one");
  }
  return {};
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

Result<ViewEntry> read_view(Section& section) {
  ViewEntry entry;
  CAIRN_TRY(name, section.string("name"));
  if (!valid_name(name)) return section.wrong("name", "is not a valid name");
  CAIRN_TRY(kind, section.string("kind"));
  if (kind != "table" && kind != "timeline" && kind != "forks")
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
  CAIRN_TRY_VOID(section.sections("forks", [&](Section& forks) -> Result<void> {
    CAIRN_TRY(read, read_forks(forks));
    if (entry.forks) return section.wrong("forks", "is there twice");
    entry.forks = read;
    return {};
  }));
  if (entry.families.empty() != (kind != "table")) return section.wrong("family", "is missing, or of no table");
  if (entry.timeline.has_value() != (kind == "timeline")) return section.wrong("timeline", "is missing, or of no timeline");
  if (entry.forks.has_value() != (kind == "forks")) return section.wrong("forks", "is missing, or of no fork store");
  CAIRN_TRY_VOID(section.sections("log", [&](Section& log) -> Result<void> {
    CAIRN_TRY(read, read_segment(log));
    CAIRN_TRY_VOID(check_log(entry.log, read, log));
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
  if (format == 0 || format > kManifestFormat)
    return fail(ErrorCode::kUnsupported, "manifest format " + std::to_string(format) + " needs a newer Cairn");
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
  if (section.has("incremental")) {
    CAIRN_TRY(incremental, section.string("incremental"));
    if (incremental != "yes") return section.wrong("incremental", "is not \"yes\"");
    manifest.incremental = true;
  }
  if (section.has("roots")) {
    CAIRN_TRY(roots, section.strings("roots"));
    if (roots.size() > kDrivesMax) return section.wrong("roots", "has more than " + std::to_string(kDrivesMax) + " drives");
    manifest.roots = roots;
  }
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
    for (const SegmentEntry& segment : read.log) {
      if (segment.root > manifest.roots.size()) return view.wrong("log", "has a file on a drive that is not listed");
    }
    manifest.views.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.string("checksum"));  // Checked before; read here so that done() does not find it left over.
  CAIRN_TRY_VOID(section.done());
  return manifest;
}

}  // namespace

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
    if (view.forks) names.insert(names.end(), view.forks->index.begin(), view.forks->index.end());
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
    if (segment.root != 0) text += fmt::format("  root = {}\n", segment.root);
    if (segment.writer != 0) text += fmt::format("  writer = {}\n", segment.writer);
    if (segment.as_of != 0) text += fmt::format("  as_of = {}\n", segment.as_of);
  }
  for (const LargeEntry& large : view.large) {
    text += fmt::format("\n  [[view.large]]\n  file = \"{}\"\n  end = {}\n", large.file, large.end);
    if (large.pending) text += "  pending = \"yes\"\n";
  }
  if (view.timeline) text += encode_timeline(*view.timeline);
  if (view.forks) text += encode_forks(*view.forks);
  return text;
}

/// The oldest format that can say what is in it.
std::uint64_t format_of(const Manifest& manifest) {
  std::uint64_t format = 1;
  for (const ViewEntry& view : manifest.views) {
    if (view.forks) format = std::max(format, format_of(*view.forks));
  }
  return format;
}

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  std::string text = fmt::format(
      "# The manifest of a Cairn directory: what is live, in order. Not for editing: the checksum would not match.\n"
      "format = {}\nepoch = {}\nversion = {}\ndatabase = \"{:016x}{:016x}\"\nhash_seed = \"{:016x}\"\n"
      "next_file = {}\nnext_view = {}\nversion_ceiling = {}\nstamp_ceiling = {}\nclock_ms = {}\n",
      format_of(manifest), manifest.epoch, manifest.version, manifest.database[0], manifest.database[1], manifest.hash_seed,
      manifest.next_file, manifest.next_view, manifest.version_ceiling, manifest.stamp_ceiling, manifest.clock_ms);
  if (manifest.incremental) text += "incremental = \"yes\"\n";
  if (!manifest.roots.empty()) text += fmt::format("roots = [\"{}\"]\n", fmt::join(manifest.roots, "\", \""));
  for (std::size_t i = 0; i < manifest.views.size(); ++i) text += manifest.views.text(i, encode_view);
  // TOML has no way back to the top level after a table, so the checksum goes to the front of the rest.
  const std::size_t at = text.find("format = ");
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
