// Checkpoint and restore: the live files of one manifest, linked into another directory, and that manifest planted there
// last. Until then the other directory is no database. Names are never used twice and files that a checkpoint has never change,
// so an incremental one leaves out by name what its base has.
#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "database/database_impl.h"
#include "directory/file_name.h"
#include "directory/further_drives.h"

namespace cairn::database {

/// A file, and the storage it is linked from.
struct Part {
  std::string name;
  storage::Storage* from;
};

namespace {

/// Links them and plants `manifest`; takes back what it linked if it cannot.
Result<void> link_and_plant(const std::vector<Part>& parts, std::unique_ptr<storage::Storage> target,
                            directory::Environment& environment, const directory::Manifest& manifest, const Progress& progress) {
  CAIRN_TRY_VOID(target->check_empty());
  std::uint64_t total = 0;
  std::vector<std::uint64_t> sizes;
  for (const Part& part : parts) {
    CAIRN_TRY(map, part.from->open(part.name));
    sizes.push_back(map->size());
    total += map->size();
  }
  std::uint64_t done = 0;
  Result<void> linked;
  std::vector<std::string> made;  // Not what was there: another process may be filling the same target.
  const auto take_back = [&] {
    // A file that stays is without a manifest, so `target` is no database; the caller gets the error that led here.
    for (const std::string& name : made) target->remove(name).ignore_error();
  };
  try {
    for (std::size_t i = 0; i < parts.size() && linked; ++i) {
      linked = parts[i].from->link(parts[i].name, *target);
      if (!linked) break;
      made.push_back(parts[i].name);
      done += sizes[i];
      if (progress && !progress(done, total)) linked = fail(ErrorCode::kUnavailable, "cancelled");
    }
  } catch (...) {
    take_back();  // `progress` threw: its exception goes on to the caller, with nothing half-done.
    throw;
  }
  if (!linked) {
    take_back();
    return linked;
  }
  return directory::Directory::plant(std::move(target), environment, {.owner = "checkpoint"}, manifest);
}

/// Checks the files of a checkpoint: sizes and headers or, with `verify`, every byte.
Result<void> check_parts(const std::vector<Part>& parts, const directory::Manifest& manifest, bool verify,
                         const Progress& progress = {}) {
  std::map<std::string, storage::Storage*> from;
  for (const Part& part : parts) from[part.name] = part.from;
  const std::vector<LiveEntry> entries = live_entries(manifest);
  std::uint64_t total = 0;
  for (const LiveEntry& entry : entries) {
    CAIRN_TRY(map, from.at(entry.name)->open(entry.name));
    total += entry.end != 0 ? entry.end : map->size();
  }
  std::uint64_t done = 0;
  const auto report = [&](std::uint64_t bytes) -> Result<void> {
    done += bytes;
    if (progress && !progress(done, total)) return fail(ErrorCode::kUnavailable, "cancelled");
    return {};
  };
  for (const LiveEntry& entry : entries) {
    storage::Storage& storage = *from.at(entry.name);
    CAIRN_TRY(map, storage.open(entry.name));
    Result<void> checked = check_file(map, manifest.database, entry);
    if (checked && verify) {
      const auto bytes = verify_file(map, manifest.database, entry, report);
      if (!bytes) checked = std::unexpected(bytes.error());
    }
    if (checked) continue;
    if (checked.error().code != ErrorCode::kUnavailable) checked.error().file = storage.describe() + "/" + entry.name;
    return checked;
  }
  return {};
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

/// A manifest in which everything stands that was acknowledged before the call. Between the end of a log and the mark no fork
/// store may go on to a tree, or to segments, that stand on what a log got since.
Result<directory::Manifest> DatabaseImpl::end_logs_and_mark() {
  const MutexLock lock(mutex_);
  std::vector<std::unique_ptr<forks::ForkStoreImpl::SwitchesStopped>> stopped;
  stopped.reserve(forks_.size());
  for (const auto& [name, store] : forks_) stopped.push_back(std::make_unique<forks::ForkStoreImpl::SwitchesStopped>(store));
  for (const auto& [name, table] : tables_) CAIRN_TRY_VOID(table->end_log());
  for (const auto& [name, timeline] : timelines_) CAIRN_TRY_VOID(timeline->end_log());
  for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->end_logs());
  return directory_->mark_linked();
}

Result<void> DatabaseImpl::checkpoint(std::unique_ptr<storage::Storage> target, const Progress& progress,
                                      storage::Storage* base) {
  CAIRN_TRY(in_base, names_in(base, directory_->database_id(), directory_->environment().clock));
  {
    const MutexLock lock(mutex_);
    CAIRN_TRY_VOID(check_open());
    for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->seal_index_if_idle());  // An open can do without.
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

/// The manifest of a checkpoint, and where each of its files is.
struct DatabaseImpl::Checkpoint {
  explicit Checkpoint(storage::Storage& at) : drives(at) {}
  directory::Manifest manifest;
  storage::Drives drives;
  std::vector<Part> parts;
};

Result<std::unique_ptr<DatabaseImpl::Checkpoint>> DatabaseImpl::open_checkpoint(storage::Storage& checkpoint,
                                                                                storage::Storage* base, Clock& clock) {
  auto opened = std::make_unique<Checkpoint>(checkpoint);
  CAIRN_TRY(read, directory::Directory::read_manifest(checkpoint, clock));
  directory::Manifest& manifest = opened->manifest;
  manifest = read;
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
  CAIRN_TRY(in_base, names_in(base, manifest.database, clock));
  CAIRN_TRY_VOID(directory::connect_drives(opened->drives, manifest));
  gather(manifest);
  CAIRN_TRY(listed, opened->drives.list());
  const std::set<std::string> here(listed.begin(), listed.end());
  for (const std::string& name : manifest.files()) {
    if (!here.contains(name) && !in_base.contains(name)) {
      return corruption(base != nullptr ? "a file is neither in the checkpoint nor in its base" : "a live file is missing", name);
    }
    opened->parts.push_back({name, here.contains(name) ? &opened->drives : base});
  }
  return opened;
}

Result<void> DatabaseImpl::restore(storage::Storage& checkpoint, std::unique_ptr<storage::Storage> target,
                                   directory::Environment& environment, const Progress& progress, storage::Storage* base,
                                   bool verify) {
  CAIRN_TRY(opened, open_checkpoint(checkpoint, base, environment.clock));
  CAIRN_TRY_VOID(check_parts(opened->parts, opened->manifest, verify));
  opened->manifest.incremental = false;
  return link_and_plant(opened->parts, std::move(target), environment, opened->manifest, progress);
}

Result<void> DatabaseImpl::verify_checkpoint(storage::Storage& checkpoint, storage::Storage* base, Clock& clock,
                                             const Progress& progress) {
  CAIRN_TRY(opened, open_checkpoint(checkpoint, base, clock));
  return check_parts(opened->parts, opened->manifest, true, progress);
}

}  // namespace cairn::database
