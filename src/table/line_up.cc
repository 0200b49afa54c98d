#include "table/line_up.h"

#include "base/error.h"

namespace cairn::table {

std::vector<std::string> Layer::files() const {
  if (run) return run->entry().files;
  std::vector<std::string> names;
  for (const Memtable::Source& source : memtable->sources()) names.push_back(source.file->map()->name());
  return names;
}

std::uint64_t Layer::newest_range_tombstone(std::uint16_t family, ByteView key, std::uint64_t version_max) const {
  if (memtable) return memtable->range_tombstones(family).newest_over(key, version_max);
  if (!run->has_range_tombstones()) return 0;
  const RunFile* const file = run->file_of(key);
  return file == nullptr ? 0 : file->range_tombstones.newest_over(key, version_max);
}

bool Layer::may_contain(std::uint16_t family, ByteView key, std::uint64_t hash) const {
  if (memtable) return memtable->get(family, key, ~std::uint64_t{0}).has_value();
  const RunFile* const file = run->file_of(key);
  return file != nullptr && file->reader->may_contain(hash);
}

std::vector<std::shared_ptr<const Memtable>> LineUp::frozen() const {
  std::vector<std::shared_ptr<const Memtable>> memtables;
  for (const Layer& layer : families.front().layers) {
    if (layer.memtable) memtables.push_back(layer.memtable);
  }
  return memtables;
}

std::vector<std::shared_ptr<const Family>> LineUp::family_list() const {
  std::vector<std::shared_ptr<const Family>> list;
  list.reserve(families.size());
  for (const OfFamily& each : families) list.push_back(each.family);
  return list;
}

Result<std::shared_ptr<const LargeValue>> LineUp::large_value(const sealed::Entry& reference) const {
  CAIRN_TRY(at, LargeReference::of(reference));
  const auto found = large->find(at.file);
  if (found == large->end()) return corruption("the large value " + std::to_string(at.file) + " is not in the manifest", "");
  return found->second;
}

}  // namespace cairn::table
