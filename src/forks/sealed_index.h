// The index of a fork store as sealed files: what stands in some segments that have ended, so that an open need not read them.
//
//   key {0, u32}   one of these segments: SealedSegment, then the numbers of its forks (u64 each). The u32 is the number that
//   places in
//                  the index have for it.
//   key {1, u32}   of that part of the accounts those with one version, which was not above the root: {u64 hash, u64 tag and
//   place}
//                  each, by hash.
//   key {2, u32}   the places (u64) of the versions of all its other accounts.
//
// The u32 of a key is big-endian; all else is little-endian. What a place and a tag are says version_index.cc.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "directory/directory.h"
#include "forks/segments.h"
#include "forks/version_index.h"
#include "sealed/sealed_writer.h"

namespace cairn::forks {

struct SealedSegment {
  std::uint64_t file;  // The number in its name.
  std::uint64_t bytes;
  std::uint64_t first_version;
  std::uint64_t as_of;
  SizeCounts::All sizes;
};
static_assert(sizeof(SealedSegment) == 32 + 16 * SizeClass::kCount);

class SealedIndexWriter {
 public:
  /// `bytes_expected`: of all that will be added, about.
  SealedIndexWriter(directory::Directory& directory, std::uint16_t view, std::string view_name, std::uint64_t bytes_expected);
  /// Deletes what it made, unless keep() was called.
  ~SealedIndexWriter();
  SealedIndexWriter(const SealedIndexWriter&) = delete;
  SealedIndexWriter& operator=(const SealedIndexWriter&) = delete;

  // In this order.
  Result<void> add_segment(std::uint32_t number, const SegmentUse& use);
  Result<void> add_plain(std::uint32_t part, const VersionIndex::Plain& accounts);
  Result<void> add_others(std::uint32_t part, const std::vector<Place>& places);
  /// Their names, durable.
  Result<std::vector<std::string>> finish();
  void keep() { kept_ = true; }

 private:
  Result<void> add(char kind, std::uint32_t number, ByteView value);
  Result<void> finish_file();

  directory::Directory& directory_;
  const std::uint16_t view_;
  const std::string view_name_;
  std::uint64_t bytes_expected_;  // Still to come.
  std::unique_ptr<sealed::SealedWriter> writer_;
  std::uint64_t bytes_left_ = 0;    // In its file.
  std::uint64_t records_left_ = 0;  // Likewise.
  std::vector<std::string> files_;
  bool kept_ = false;
};

/// Reads all of an index, whatever in it is damaged an error, and gives it in its order. kCorruption, with file; kIo.
struct SealedIndexVisitor {
  std::function<Result<void>(std::uint32_t number, const SealedSegment& segment, std::vector<std::uint64_t> forks)> segment;
  std::function<Result<void>(std::uint32_t part, VersionIndex::Plain accounts)> plain;
  std::function<Result<void>(std::uint32_t part, std::vector<Place> places)> others;
};
Result<void> read_sealed_index(directory::Directory& directory, std::uint16_t view, const std::vector<std::string>& files,
                               const SealedIndexVisitor& visitor);

}  // namespace cairn::forks
