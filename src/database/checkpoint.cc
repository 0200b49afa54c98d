// Checkpoint and restore: the live files of one manifest, linked into another directory, and that manifest planted there
// last. Until then the other directory is no database.
#include "base/error.h"
#include "database/database_impl.h"
#include "directory/file_name.h"

namespace cairn::database {
namespace {

/// Links every file of `manifest` and plants it; takes back what it linked if it cannot.
Result<void> link_and_plant(storage::Storage& source, std::unique_ptr<storage::Storage> target,
                            directory::Environment& environment, const directory::Manifest& manifest, const Progress& progress) {
  CAIRN_TRY(there, target->list());
  if (!there.empty()) return fail(ErrorCode::kConflict, "the directory is not empty", target->describe() + "/" + there.front());
  const std::vector<std::string> files = manifest.files();
  std::uint64_t total = 0;
  std::vector<std::uint64_t> sizes;
  for (const std::string& name : files) {
    CAIRN_TRY(map, source.open(name));
    sizes.push_back(map->size());
    total += map->size();
  }
  std::uint64_t done = 0;
  Result<void> linked;
  std::size_t count = 0;
  for (; count < files.size() && linked; ++count) {
    linked = source.link(files[count], *target);
    done += sizes[count];
    if (linked && progress && !progress(done, total)) linked = fail(ErrorCode::kUnavailable, "cancelled");
  }
  if (!linked) {
    for (std::size_t i = 0; i < count; ++i) (void)target->remove(files[i]);
    return linked;
  }
  return directory::Directory::plant(std::move(target), environment, {.owner = "checkpoint"}, manifest);
}

}  // namespace

Result<void> DatabaseImpl::checkpoint(std::unique_ptr<storage::Storage> target, const Progress& progress) {
  {
    const MutexLock lock(mutex_);
    for (const auto& [name, table] : tables_) CAIRN_TRY_VOID(table->end_log());
    for (const auto& [name, timeline] : timelines_) CAIRN_TRY_VOID(timeline->end_log());
    for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->seal_index());
  }
  const directory::LiveHold hold(*directory_);
  CAIRN_TRY(manifest, directory_->mark_linked());
  return link_and_plant(directory_->storage(), std::move(target), directory_->environment(), manifest, progress);
}

Result<void> DatabaseImpl::restore(storage::Storage& checkpoint, std::unique_ptr<storage::Storage> target,
                                   directory::Environment& environment, const Progress& progress) {
  CAIRN_TRY(manifest, directory::Directory::read_manifest(checkpoint, environment.clock));
  for (std::size_t i = 0; i < manifest.views.size(); ++i) {
    for (directory::SegmentEntry& segment : manifest.views.edit(i).log) {
      if (segment.state == directory::SegmentState::kActive) {
        return fail(ErrorCode::kInvalidArgument,
                    "the database was not closed: its log has no end yet. Open and close it, or take a checkpoint", segment.file);
      }
      segment.linked = true;
    }
  }
  return link_and_plant(checkpoint, std::move(target), environment, manifest, progress);
}

}  // namespace cairn::database
