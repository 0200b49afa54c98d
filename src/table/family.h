// What a family is, apart from its records: how it is stored, when its records end, by which terms they are found.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/table.h"
#include "directory/manifest.h"

namespace cairn::table {

/// The term of one record in one index; nullopt: the index does not list the record.
using Term = std::optional<Bytes>;
/// The terms of one record, one for each index of its family; empty for a record without a value.
using Terms = std::vector<Term>;

/// One term index.
struct Index {
  std::string name;
  std::uint32_t key_bytes = 0;
  Extractor extract;

  /// The term of `value`, if it has one. kInvalidArgument: the extractor threw. An extractor is the program's code: its
  /// exception must end neither a write of others nor a job.
  [[nodiscard]] Result<std::optional<Bytes>> term_of(ByteView value) const;
  /// The term as it is stored: zero-padded to key_bytes or, if longer, a keyed hash of that length. Different terms may
  /// be stored alike, so whoever finds one looks at the record again.
  [[nodiscard]] Bytes stored(ByteView term, std::uint64_t hash_seed) const;
};

struct Family {
  std::string name;
  std::uint16_t number = 0;
  sealed::Compression compression = sealed::Compression::kNone;
  std::int64_t ttl_ms = 0;
  std::vector<Index> indexes;

  /// kInvalidArgument: an index names an extractor that this program does not know.
  static Result<std::shared_ptr<const Family>> from(const directory::FamilyEntry& entry);
  [[nodiscard]] const Index* index(const std::string& name) const;

  /// The terms of `value`, one for each index. kInvalidArgument: an extractor threw.
  [[nodiscard]] Result<Terms> terms_of(ByteView value) const;
  /// The same of a record that is stored already: where an extractor throws, it has no term, and `failures` counts one more.
  [[nodiscard]] Terms terms_or_none(ByteView value, std::atomic<std::uint64_t>& failures) const;
};

/// The extractor called `text`: json:POINTER, bytes:OFFSET,LENGTH, or one the program registered.
Result<Extractor> find_extractor(const std::string& text);

/// The manifest's entry for a family called `name` with `options`, checked.
Result<directory::FamilyEntry> family_entry(const std::string& name, const FamilyOptions& options);

}  // namespace cairn::table
