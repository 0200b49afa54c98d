#include "table/family.h"

#include <algorithm>
#include <charconv>
#include <map>

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
    family->indexes.push_back({.name = index.name, .key_bytes = index.key_bytes, .extract = extract});
  }
  return family;
}

const Index* Family::index(const std::string& wanted) const {
  const auto found = std::find_if(indexes.begin(), indexes.end(), [&](const Index& each) { return each.name == wanted; });
  return found == indexes.end() ? nullptr : &*found;
}

Result<directory::FamilyEntry> family_entry(const std::string& name, const FamilyOptions& options) {
  if (!directory::valid_name(name)) {
    return fail(ErrorCode::kInvalidArgument, "'" + name + "' is no name for a family: 1 to 64 of a-z A-Z 0-9 _ - . :");
  }
  if (options.ttl.count() < 0) return fail(ErrorCode::kInvalidArgument, "time to live is negative");
  // Longer than records can say is for ever.
  const std::int64_t ttl_ms = std::min<std::int64_t>(options.ttl.count(), directory::kTimeMsMost);
  directory::FamilyEntry entry{.name = name,
                               .compression = static_cast<sealed::Compression>(options.compression),
                               .ttl_ms = ttl_ms,
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

}  // namespace cairn::table

namespace cairn {

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
