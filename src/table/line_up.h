// What a reader of a table reads: for each family memtables and runs, oldest first. Immutable; a change makes a new one.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/striped.h"
#include "table/dead_ranges.h"
#include "table/family.h"
#include "table/large_value.h"
#include "table/memtable.h"
#include "table/run.h"

namespace cairn::table {

/// A layer of a family: a run or a memtable.
struct Layer {
  std::shared_ptr<const Run> run;
  std::shared_ptr<const Memtable> memtable;
  std::shared_ptr<const Striped<void>> hold;  // Of whichever it is, for the values that readers are given.

  Layer() = default;
  explicit Layer(std::shared_ptr<const Run> of) : run(std::move(of)), hold(std::make_shared<Striped<void>>(run)) {}
  explicit Layer(std::shared_ptr<const Memtable> of) : memtable(std::move(of)), hold(std::make_shared<Striped<void>>(memtable)) {}

  [[nodiscard]] const void* identity() const { return run ? static_cast<const void*>(run.get()) : memtable.get(); }
  [[nodiscard]] std::uint64_t version_first() const { return run ? run->version_first() : memtable->version_first(); }
  [[nodiscard]] std::uint64_t version_last() const { return run ? run->version_last() : memtable->version_last(); }
  [[nodiscard]] std::uint64_t bytes() const { return run ? run->bytes() : memtable->log_bytes(); }
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor(std::uint16_t family) const {
    return run ? run->cursor() : memtable->cursor(family);
  }
  /// Its files, logs or sealed.
  [[nodiscard]] std::vector<std::string> files() const;
  /// The version of its newest range tombstone over `key` that is not above `version_max`; 0: none.
  [[nodiscard]] std::uint64_t newest_range_tombstone(std::uint16_t family, ByteView key, std::uint64_t version_max) const;
  /// Whether it may hold a version of `key`: false is certain. A damaged file may hold anything.
  [[nodiscard]] bool may_contain(std::uint16_t family, ByteView key, std::uint64_t hash) const;
};

struct LineUp {
  struct OfFamily {
    std::shared_ptr<const Family> family;
    std::vector<Layer> layers;  // Oldest first. All families list all frozen memtables.
    std::shared_ptr<DeadRanges> dead;
  };
  std::vector<OfFamily> families;  // By number.
  Layer active;                    // The memtable that is written to.
  std::shared_ptr<const LargeValues> large = std::make_shared<LargeValues>();

  [[nodiscard]] std::vector<std::shared_ptr<const Memtable>> frozen() const;
  [[nodiscard]] std::vector<std::shared_ptr<const Family>> family_list() const;
  /// The one that a reference record names. kCorruption: there is none.
  [[nodiscard]] Result<std::shared_ptr<const LargeValue>> large_value(const sealed::Entry& reference) const;
};

}  // namespace cairn::table
