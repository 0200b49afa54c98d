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
  std::string extractor;  // The name of `extract`.
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
  // Mutable: TableImpl::alter() changes these two, which writers and jobs load at the moment they need them. Nothing else of a
  // family ever changes.
  mutable std::atomic<sealed::Compression> compression = sealed::Compression::kNone;
  mutable std::atomic<std::int64_t> ttl_ms = 0;  // 0: for ever.
  std::vector<Index> indexes;

  /// kInvalidArgument: an index names an extractor that this program does not know.
  static Result<std::shared_ptr<const Family>> from(const directory::FamilyEntry& entry);
  [[nodiscard]] const Index* index(const std::string& name) const;
  [[nodiscard]] FamilyStats stats() const;

  /// The terms of `value`, one for each index. kInvalidArgument: an extractor threw.
  [[nodiscard]] Result<Terms> terms_of(ByteView value) const;
  /// The same of a record that is stored already: where an extractor throws, it has no term, and `failures` counts one more.
  [[nodiscard]] Terms terms_or_none(ByteView value, std::atomic<std::uint64_t>& failures) const;
};

/// Whether `options` says more than create_if_missing.
inline bool gives_anything(const FamilyOptions& options) {
  return options.ttl || options.compression || !options.indexes.empty();
}

/// The extractor called `text`: json:POINTER, bytes:OFFSET,LENGTH, or one the program registered.
Result<Extractor> find_extractor(const std::string& text);

/// The manifest's entry for a new family called `name` with `options`, checked.
Result<directory::FamilyEntry> family_entry(const std::string& name, const FamilyOptions& options);
/// kInvalidArgument, which names both: an option is given and differs from `entry`, a family of `table`.
Result<void> check_same(const std::string& table, const directory::FamilyEntry& entry, const FamilyOptions& options);
/// `entry` with the options that are given. kInvalidArgument: one is out of range or cannot be changed.
Result<directory::FamilyEntry> altered(const std::string& table, const directory::FamilyEntry& entry,
                                       const FamilyOptions& options);

}  // namespace cairn::table
