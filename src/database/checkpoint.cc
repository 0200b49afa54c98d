// Checkpoint and restore: the live files of one manifest, linked into another directory, and that manifest planted there
// last. Until then the other directory is no database. Names are never used twice and files that a checkpoint has never change,
// so an incremental one leaves out by name what its base has.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "database/database_impl.h"
#include "directory/file_name.h"
#include "directory/further_drives.h"

namespace cairn::database {
namespace {

/// A file, and the storage it is linked from.
struct Part {
  std::string name;
  storage::Storage* from;
};

/// Links them and plants `manifest`; takes back what it linked if it cannot.
Result<void> link_and_plant(const std::vector<Part>& parts, std::unique_ptr<storage::Storage> target,
                            directory::Environment& environment, const directory::Manifest& manifest, const Progress& progress) {
  CAIRN_TRY(there, target->list());
  if (!there.empty()) return fail(ErrorCode::kConflict, "the directory is not empty", target->describe() + "/" + there.front());
  std::uint64_t total = 0;
  std::vector<std::uint64_t> sizes;
  for (const Part& part : parts) {
    CAIRN_TRY(map, part.from->open(part.name));
    sizes.push_back(map->size());
    total += map->size();
  }
  std::uint64_t done = 0;
  Result<void> linked;
  std::size_t count = 0;
  for (; count < parts.size() && linked; ++count) {
    linked = parts[count].from->link(parts[count].name, *target);
    done += sizes[count];
    if (linked && progress && !progress(done, total)) linked = fail(ErrorCode::kUnavailable, "cancelled");
  }
  if (!linked) {
    for (std::size_t i = 0; i < count; ++i) (void)target->remove(parts[i].name);
    return linked;
  }
  return directory::Directory::plant(std::move(target), environment, {.owner = "checkpoint"}, manifest);
}

/// All files in the directory itself.
void gather(directory::Manifest& manifest) {
  if (manifest.roots.empty()) return;
  manifest.roots.clear();
  for (std::size_t i = 0; i < manifest.views.size(); ++i) {
    for (directory::SegmentEntry& segment : manifest.views.edit(i).log) segment.root = 0;
  }
}

/// The names in `base`, a whole checkpoint of the database `id`: no name is ever given to other bytes. None without a base.
Result<std::set<std::string>> names_in(storage::Storage* base, const segment::DatabaseId& id, Clock& clock) {
  if (base == nullptr) return std::set<std::string>();
  CAIRN_TRY(manifest, directory::Directory::read_manifest(*base, clock));
  if (manifest.incremental) {
    return fail(ErrorCode::kInvalidArgument, "the base is an incremental checkpoint itself; give the full one", base->describe());
  }
  if (manifest.database != id) return fail(ErrorCode::kInvalidArgument, "the base is of another database", base->describe());
  CAIRN_TRY(names, base->list());
  return std::set<std::string>(names.begin(), names.end());
}

}  // namespace

/// A manifest in which everything stands that was acknowledged before the call. What a fork store's tree or collector took from a
/// log after it was ended would be missing in it: then again.
Result<directory::Manifest> DatabaseImpl::end_logs_and_mark() {
  constexpr int kTriesMost = 1000;
  const MutexLock lock(mutex_);
  for (int tries = 0; tries < kTriesMost; ++tries) {
    std::vector<std::uint64_t> before;
    before.reserve(forks_.size());
    for (const auto& [name, store] : forks_) before.push_back(store->switches());
    for (const auto& [name, table] : tables_) CAIRN_TRY_VOID(table->end_log());
    for (const auto& [name, timeline] : timelines_) CAIRN_TRY_VOID(timeline->end_log());
    for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->end_logs());
    CAIRN_TRY(manifest, directory_->mark_linked());
    const bool same = std::ranges::equal(before, forks_, {}, {}, [](const auto& each) { return each.second->switches(); });
    if (same) return manifest;
  }
  return fail(ErrorCode::kTimeout, "the forks change too often for a checkpoint; try again");
}

Result<void> DatabaseImpl::checkpoint(std::unique_ptr<storage::Storage> target, const Progress& progress,
                                      storage::Storage* base) {
  CAIRN_TRY(in_base, names_in(base, directory_->database_id(), directory_->environment().clock));
  {
    const MutexLock lock(mutex_);
    for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->seal_index());
  }
  const directory::LiveHold hold(*directory_);
  CAIRN_TRY(manifest, end_logs_and_mark());
  manifest.incremental = base != nullptr;
  gather(manifest);
  std::vector<Part> parts;
  for (const std::string& name : manifest.files()) {
    if (!in_base.contains(name)) parts.push_back({name, &directory_->storage()});
  }
  return link_and_plant(parts, std::move(target), directory_->environment(), manifest, progress);
}

Result<void> DatabaseImpl::restore(storage::Storage& checkpoint, std::unique_ptr<storage::Storage> target,
                                   directory::Environment& environment, const Progress& progress, storage::Storage* base) {
  CAIRN_TRY(manifest, directory::Directory::read_manifest(checkpoint, environment.clock));
  if (manifest.incremental != (base != nullptr)) {
    return fail(ErrorCode::kInvalidArgument,
                manifest.incremental ? "an incremental checkpoint needs the full one it was taken over, as the base"
                                     : "this is a full checkpoint, which has no base",
                checkpoint.describe());
  }
  for (std::size_t i = 0; i < manifest.views.size(); ++i) {
    for (directory::SegmentEntry& segment : manifest.views.edit(i).log) {
      if (segment.state == directory::SegmentState::kActive) {
        return fail(ErrorCode::kInvalidArgument,
                    "the database was not closed: its log has no end yet. Open and close it, or take a checkpoint", segment.file);
      }
      segment.linked = true;
    }
  }
  CAIRN_TRY(in_base, names_in(base, manifest.database, environment.clock));
  storage::Drives source(checkpoint);
  CAIRN_TRY_VOID(directory::connect_drives(source, manifest));
  gather(manifest);
  CAIRN_TRY(listed, source.list());
  const std::set<std::string> here(listed.begin(), listed.end());
  std::vector<Part> parts;
  for (const std::string& name : manifest.files()) {
    if (!here.contains(name) && !in_base.contains(name)) {
      return corruption(base != nullptr ? "a file is neither in the checkpoint nor in its base" : "a live file is missing", name);
    }
    parts.push_back({name, here.contains(name) ? &source : base});
  }
  manifest.incremental = false;
  return link_and_plant(parts, std::move(target), environment, manifest, progress);
}

}  // namespace cairn::database
