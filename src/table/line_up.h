// What a reader of a table reads: memtables and runs, oldest first. Immutable; a change makes a new one.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "directory/directory.h"
#include "sealed/sealed_reader.h"
#include "table/memtable.h"

namespace cairn::table {

/// A sealed file in use.
struct Run {
  std::shared_ptr<directory::LiveFile> file;
  std::shared_ptr<sealed::SealedReader> reader;
  directory::RunEntry entry;
};

/// A read-only layer: one of the two.
struct Layer {
  std::shared_ptr<const Run> run;
  std::shared_ptr<const Memtable> memtable;

  [[nodiscard]] const void* identity() const { return run ? static_cast<const void*>(run.get()) : memtable.get(); }
  [[nodiscard]] std::uint64_t version_first() const { return run ? run->entry.version_first : memtable->version_first(); }
  [[nodiscard]] std::uint64_t version_last() const { return run ? run->entry.version_last : memtable->version_last(); }
  [[nodiscard]] std::unique_ptr<sealed::Cursor> cursor() const { return run ? run->reader->cursor() : memtable->cursor(); }
  /// The first of its files.
  [[nodiscard]] const std::string& file_name() const {
    return run ? run->entry.files.front() : memtable->sources().front().file->map()->name();
  }
  [[nodiscard]] std::uint64_t bytes() const { return run ? run->reader->preamble().file_bytes : memtable->log_bytes(); }
};

struct LineUp {
  std::vector<Layer> layers;  // Oldest first.
  std::shared_ptr<Memtable> active;
};

}  // namespace cairn::table
