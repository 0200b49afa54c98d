// Writes a block index (block_index.h): a sealed file over the saves of one block or of several.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "sealed/sealed_writer.h"
#include "timeline/open_block.h"

namespace cairn::timeline {

inline constexpr std::uint64_t kTermBytesPerSave = sizeof(std::uint64_t) + sizeof(std::uint32_t);

/// Told the bytes read since the last time; an error stops.
using IndexProgress = std::function<Result<void>(std::uint64_t)>;
inline IndexProgress progress_of(directory::Job& job) {
  return [&job](std::uint64_t bytes) { return job.progress(bytes); };
}

struct IndexInput {
  sealed::Cursor& cursor;  // Entries as in a block index.
  sealed::SealedBounds bounds;
  std::uint64_t stamp_first;
  std::uint64_t stamp_last;
  std::vector<std::uint64_t> replaces;
  std::vector<std::uint64_t> erases;                        // Of all keys: their stamps.
  std::function<Result<bool>(const sealed::Entry&)> stays;  // Whether an entry does.
  IndexProgress progress;
};

/// Returns the name of a file that is durable, and in no manifest yet.
Result<std::string> write_block_index(directory::Directory& directory, const std::string& view_name, std::uint16_t view,
                                      const IndexInput& input);
/// Of blocks that follow each other.
Result<std::string> write_block_index(directory::Directory& directory, const std::string& view_name, std::uint16_t view,
                                      std::span<const OpenBlock* const> blocks, const IndexProgress& progress);

}  // namespace cairn::timeline
