#include "timeline/block_index.h"

#include <algorithm>

#include "base/error.h"
#include "directory/file_name.h"

namespace cairn::timeline {

Bytes term_of_stamp(std::uint64_t stamp) {
  const std::uint64_t big_endian = __builtin_bswap64(stamp);
  return Bytes(bytes_of(big_endian));
}

Result<std::shared_ptr<const IndexFile>> IndexFile::open(directory::Directory& directory, const std::string& name,
                                                         std::uint16_t view) {
  Result<std::shared_ptr<const storage::MappedFile>> map = directory.storage().open(name);
  if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", name);
  CAIRN_TRY_VOID(map);
  (*map)->expect_random_reads();
  auto file = std::make_shared<IndexFile>();
  CAIRN_TRY(reader, sealed::SealedReader::open(*map, {.database = directory.database_id(),
                                                      .number = directory::FileName::parse(name)->number,
                                                      .view = view,
                                                      .family = kTimelineFamily}));
  CAIRN_TRY(erases, reader->range_tombstones());
  for (const sealed::Entry& erase : erases) {
    if (!erase.key.empty() || !erase.value.empty()) return corruption("erase of some keys in a block index", name);
    file->erases.push_back(erase.stamp);
  }
  std::ranges::sort(file->erases);
  file->reader = reader;
  file->live = directory.live(*map);
  return file;
}

/// Of the first block that ends at or behind `stamp`.
std::size_t BlockIndex::first_block_from(std::uint64_t stamp) const {
  const auto found = std::ranges::partition_point(blocks_, [&](const auto& block) { return block->stamp_last() < stamp; });
  return static_cast<std::size_t>(found - blocks_.begin());
}

Result<std::optional<Save>> BlockIndex::save(const sealed::Entry& entry) const {
  if (!has_place(entry)) return corruption("record of a block index without a place", file_->name());
  Save save = save_of(entry);
  const std::size_t at = first_block_from(entry.stamp);
  if (at == blocks_.size() || blocks_[at]->number() != save.place.block) return std::nullopt;
  save.block = blocks_[at].get();
  return save;
}

Result<std::optional<Save>> BlockIndex::find(ByteView key, std::uint64_t hash, std::uint64_t stamp_max) const {
  while (true) {
    CAIRN_TRY(hit, file_->reader->get(key, hash, stamp_max));
    if (!hit) return std::nullopt;
    CAIRN_TRY(found, save(hit->entry));
    if (found) {
      found->block->prefetch(found->place.offset);
      return found;
    }
    // Its block has left: the next older one that is there says where to look on.
    const std::size_t at = first_block_from(hit->entry.stamp);
    if (at == 0) return std::nullopt;
    stamp_max = blocks_[at - 1]->stamp_last();
  }
}

Result<void> BlockIndex::visit(std::uint64_t first, std::uint64_t last,
                               const std::function<Result<bool>(const sealed::Entry&)>& visit) const {
  return file_->reader->find_terms(kTimes, term_of_stamp(first), term_of_stamp(last), visit);
}

std::vector<std::uint64_t> BlockIndex::erases() const {
  std::vector<std::uint64_t> found;
  for (const std::uint64_t stamp : file_->erases) {
    const std::size_t at = first_block_from(stamp);
    if (at != blocks_.size() && blocks_[at]->stamp_first() <= stamp) found.push_back(stamp);
  }
  return found;
}

std::uint64_t BlockIndex::saves() const {
  std::uint64_t saves = 0;
  for (const auto& block : blocks_) saves += block->saves();
  return saves;
}

}  // namespace cairn::timeline
