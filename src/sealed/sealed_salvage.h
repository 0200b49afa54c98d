// Reads what can still be read of a damaged sealed file, for repair: every record that matches its own checksum, whatever
// became of pages, indexes, one preamble, or the end of the file.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/result.h"
#include "sealed/entry.h"
#include "sealed/sealed_format.h"
#include "storage/storage.h"

namespace cairn::sealed {

class SealedSalvage {
 public:
  /// kCorruption: neither preamble is sound. kUnsupported.
  static Result<std::shared_ptr<SealedSalvage>> open(std::shared_ptr<const storage::MappedFile> file);

  [[nodiscard]] const Preamble& preamble() const { return preamble_; }
  /// All records, or range tombstones, that are sound, in order. What is not is added to `lost`. The bytes of entries
  /// stay as long as this object.
  [[nodiscard]] std::vector<Entry> records(std::vector<Error>& lost);
  [[nodiscard]] std::vector<Entry> range_tombstones(std::vector<Error>& lost);

 private:
  SealedSalvage(std::shared_ptr<const storage::MappedFile> file, const Preamble& preamble)
      : file_(std::move(file)), preamble_(preamble) {}
  [[nodiscard]] ByteView table(TableKind kind) const;
  [[nodiscard]] std::uint64_t parse(ByteView records, Entry& entry) const;
  std::uint64_t read_unit(ByteView units, std::vector<Entry>& found);

  std::shared_ptr<const storage::MappedFile> file_;
  Preamble preamble_;
  std::vector<std::unique_ptr<Bytes>> buffers_;  // Of decompressed units.
};

}  // namespace cairn::sealed
