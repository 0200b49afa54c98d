#include "table/family.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/home_process.h"
#include "base/mutex.h"
#include "base/reached.h"
#include "directory/write_rules.h"
#include "table/json_term.h"

namespace cairn::table {
namespace {

constexpr std::string_view kJson = "json:";
constexpr std::string_view kBytes = "bytes:";

struct Registry {
  Mutex mutex{Rank::kLeaf};
  std::map<std::string, Extractor> extractors CAIRN_GUARDED_BY(mutex);
};
Registry& registry() {
  static Registry the_registry;
  [[maybe_unused]] static const bool reset = (reset_in_child([] { new (&the_registry.mutex) Mutex(Rank::kLeaf); }), true);
  return the_registry;
}

Result<Extractor> json_extractor(const std::string& pointer) {
  CAIRN_TRY(path, parse_json_pointer(pointer));
  return [path](ByteView value) { return json_term(value, path); };
}

Result<Extractor> bytes_extractor(const std::string& text) {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, offset);
  const bool comma = first.ec == std::errc{} && first.ptr != end && *first.ptr == ',';
  const auto second = comma ? std::from_chars(first.ptr + 1, end, length) : first;
  if (!comma || second.ec != std::errc{} || second.ptr != end || length == 0) {
    return fail(ErrorCode::kInvalidArgument, "extractor 'bytes:" + text + "' is not bytes:OFFSET,LENGTH");
  }
  return [offset, length](ByteView value) -> std::optional<Bytes> {
    if (value.size() < std::uint64_t{offset} + length) return std::nullopt;
    return Bytes(value.substr(offset, length));
  };
}

}  // namespace

Result<Extractor> find_extractor(const std::string& text) {
  if (text.starts_with(kJson)) return json_extractor(text.substr(kJson.size()));
  if (text.starts_with(kBytes)) return bytes_extractor(text.substr(kBytes.size()));
  const MutexLock lock(registry().mutex);
  const auto found = registry().extractors.find(text);
  if (found == registry().extractors.end()) {
    return fail(ErrorCode::kInvalidArgument,
                "no extractor is called '" + text + "': json:/POINTER, bytes:OFFSET,LENGTH or one given to register_extractor()");
  }
  return found->second;
}

Result<std::optional<Bytes>> Index::term_of(ByteView value) const {
  const auto threw = [&](const std::string& what) {
    return fail(ErrorCode::kInvalidArgument, "the extractor of index '" + name + "' threw" + what + " for a value of " +
                                                 std::to_string(value.size()) + " bytes");
  };
  try {
    return extract(value);
  } catch (const std::exception& exception) {
    return threw(" (" + std::string(exception.what()) + ")");
  } catch (...) {
    return threw("");
  }
}

Result<Terms> Family::terms_of(ByteView value) const {
  Terms terms;
  terms.reserve(indexes.size());
  for (const Index& each : indexes) {
    CAIRN_TRY(term, each.term_of(value));
    terms.push_back(std::move(term));
  }
  return terms;
}

Terms Family::terms_or_none(ByteView value, std::atomic<std::uint64_t>& failures) const {
  Terms terms;
  terms.reserve(indexes.size());
  for (const Index& each : indexes) {
    Result<std::optional<Bytes>> term = each.term_of(value);
    if (!term) {
      CAIRN_REACHED("extractor threw for a stored record");
      failures.fetch_add(1, std::memory_order_relaxed);
    }
    terms.push_back(term ? *std::move(term) : std::nullopt);
  }
  return terms;
}

Bytes Index::stored(ByteView term, std::uint64_t hash_seed) const {
  Bytes bytes(term.substr(0, key_bytes));
  if (term.size() > key_bytes) {
    const std::array<std::uint64_t, 2> hash = {xxh3(term, hash_seed), xxh3(term, mix(hash_seed))};
    bytes = bytes_of(hash).substr(0, key_bytes);
  }
  bytes.resize(key_bytes, '\0');
  return bytes;
}

Result<std::shared_ptr<const Family>> Family::from(const directory::FamilyEntry& entry) {
  auto family = std::make_shared<Family>();
  family->name = entry.name;
  family->number = entry.number;
  family->compression = entry.compression;
  family->ttl_ms = entry.ttl_ms;
  for (const directory::IndexEntry& index : entry.indexes) {
    CAIRN_TRY(extract, find_extractor(index.extractor));
    family->indexes.push_back(
        {.name = index.name, .key_bytes = index.key_bytes, .extractor = index.extractor, .extract = extract});
  }
  return family;
}

FamilyStats Family::stats() const {
  FamilyStats stats{.name = name,
                    .compression = static_cast<Compression>(compression.load()),
                    .ttl = std::chrono::milliseconds(ttl_ms.load()),
                    .indexes = {}};
  for (const Index& each : indexes) {
    stats.indexes.push_back({.name = each.name, .term_bytes = each.key_bytes, .extractor = each.extractor});
  }
  return stats;
}

const Index* Family::index(const std::string& wanted) const {
  const auto found = std::find_if(indexes.begin(), indexes.end(), [&](const Index& each) { return each.name == wanted; });
  return found == indexes.end() ? nullptr : &*found;
}

namespace {

std::string words_for_ttl(std::int64_t ms) { return ms == 0 ? "none" : words_for_ms(ms); }

std::vector<directory::IndexEntry> by_name(std::vector<directory::IndexEntry> indexes) {
  std::sort(indexes.begin(), indexes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return indexes;
}

std::string words_for(const std::vector<directory::IndexEntry>& indexes) {
  std::string words;
  for (const directory::IndexEntry& index : by_name(indexes)) {
    words += (words.empty() ? "" : ", ") + index.name + ":" + std::to_string(index.key_bytes) + ":" + index.extractor;
  }
  return words.empty() ? "none" : words;
}

std::unexpected<Error> differs(const std::string& table, const std::string& family, const std::string& option,
                               const std::string& given, const std::string& has, const std::string& hint) {
  return fail(ErrorCode::kInvalidArgument, "family '" + family + "' of table '" + table + "' has " + option + " " + has +
                                               ", not " + given + " as given; " + hint);
}

Result<void> check_same_indexes(const std::string& table, const directory::FamilyEntry& entry, const FamilyOptions& options,
                                const directory::FamilyEntry& given) {
  if (options.indexes.empty() || by_name(given.indexes) == by_name(entry.indexes)) return {};
  return differs(table, entry.name, "indexes", words_for(given.indexes), words_for(entry.indexes),
                 "the indexes of a family cannot be changed");
}

}  // namespace

Result<directory::FamilyEntry> family_entry(const std::string& name, const FamilyOptions& options) {
  if (!directory::valid_name(name)) {
    return fail(ErrorCode::kInvalidArgument, "'" + name + "' is no name for a family: 1 to 64 of a-z A-Z 0-9 _ - . :");
  }
  const std::int64_t ttl_ms = options.ttl.value_or(std::chrono::milliseconds(0)).count();
  if (ttl_ms < 0) {
    return fail(ErrorCode::kInvalidArgument, "the time to live of family '" + name + "' is negative: " + words_for_ms(ttl_ms));
  }
  const Compression compression = options.compression.value_or(Compression::kNone);
  if (compression > Compression::kZstd) {
    return fail(ErrorCode::kInvalidArgument, "the compression of family '" + name + "' is " +
                                                 std::to_string(static_cast<unsigned>(compression)) +
                                                 ", which is no Compression");
  }
  directory::FamilyEntry entry{.name = name,
                               .compression = static_cast<sealed::Compression>(compression),
                               .ttl_ms = ttl_ms >= directory::kTimeMsMost ? 0 : ttl_ms,  // Records can say no more.
                               .indexes = {},
                               .runs = {}};
  if (options.indexes.size() > directory::kIndexesMax) {
    return fail(ErrorCode::kInvalidArgument, "a family has at most " + std::to_string(directory::kIndexesMax) + " term indexes");
  }
  for (const IndexOptions& index : options.indexes) {
    if (!directory::valid_name(index.name) || index.name.size() > sealed::kTableNameBytes) {
      return fail(ErrorCode::kInvalidArgument, "'" + index.name + "' is no name for an index: 1 to 32 of a-z A-Z 0-9 _ - . :");
    }
    if (index.term_bytes == 0 || index.term_bytes > directory::kTermBytesMax) {
      return fail(ErrorCode::kInvalidArgument, "terms of index '" + index.name + "' have 1 to " +
                                                   std::to_string(directory::kTermBytesMax) + " bytes, not " +
                                                   std::to_string(index.term_bytes));
    }
    if (!directory::valid_text(index.extractor)) {
      return fail(ErrorCode::kInvalidArgument,
                  "extractor of index '" + index.name + "' is not printable ASCII without quotes and backslashes");
    }
    CAIRN_TRY_VOID(find_extractor(index.extractor));
    const bool twice = std::any_of(entry.indexes.begin(), entry.indexes.end(),
                                   [&](const directory::IndexEntry& other) { return other.name == index.name; });
    if (twice) return fail(ErrorCode::kInvalidArgument, "there are two indexes called '" + index.name + "'");
    entry.indexes.push_back({.name = index.name, .key_bytes = index.term_bytes, .extractor = index.extractor});
  }
  return entry;
}

Result<void> check_same(const std::string& table, const directory::FamilyEntry& entry, const FamilyOptions& options) {
  CAIRN_TRY(given, family_entry(entry.name, options));
  const std::string hint = "leave it out to open the family as it is, or change it with alter()";
  if (options.ttl && given.ttl_ms != entry.ttl_ms) {
    return differs(table, entry.name, "time to live", words_for_ttl(given.ttl_ms), words_for_ttl(entry.ttl_ms), hint);
  }
  if (options.compression && given.compression != entry.compression) {
    return differs(table, entry.name, "compression", name_of(static_cast<Compression>(given.compression)),
                   name_of(static_cast<Compression>(entry.compression)), hint);
  }
  return check_same_indexes(table, entry, options, given);
}

Result<directory::FamilyEntry> altered(const std::string& table, const directory::FamilyEntry& entry,
                                       const FamilyOptions& options) {
  CAIRN_TRY(given, family_entry(entry.name, options));
  CAIRN_TRY_VOID(check_same_indexes(table, entry, options, given));
  directory::FamilyEntry changed = entry;
  if (options.ttl) changed.ttl_ms = given.ttl_ms;
  if (options.compression) changed.compression = given.compression;
  return changed;
}

}  // namespace cairn::table

namespace cairn {

const char* name_of(Compression compression) {
  switch (compression) {
    case Compression::kNone: return "none";
    case Compression::kLz4: return "lz4";
    case Compression::kZstd: return "zstd";
  }
  return "unknown";
}

Result<void> register_extractor(const std::string& name, Extractor extractor) {
  if (!directory::valid_text(name) || name.starts_with(table::kJson) || name.starts_with(table::kBytes)) {
    return fail(
        ErrorCode::kInvalidArgument,
        "'" + name + "' is no name for an extractor: printable ASCII without quotes and backslashes, not json: or bytes:");
  }
  const MutexLock lock(table::registry().mutex);
  table::registry().extractors[name] = std::move(extractor);
  return {};
}

}  // namespace cairn
