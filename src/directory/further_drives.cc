#include "directory/further_drives.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/reached.h"

namespace cairn::directory {
namespace {

constexpr std::string_view kMarkPrefix = "drive-";

std::string mark_name(std::size_t number) { return fmt::format("{}{}", kMarkPrefix, number); }

std::string mark_text(const segment::DatabaseId& database, std::size_t number) {
  return fmt::format("# This directory holds files of a Cairn database.\ndatabase = \"{:016x}{:016x}\"\ndrive = {}\n",
                     database[0], database[1], number);
}

/// kNotFound: the directory has none. kCorruption: it says something else.
Result<void> check_mark(storage::Storage& drive, const segment::DatabaseId& database, std::size_t number) {
  CAIRN_TRY(text, drive.read(mark_name(number)));
  if (text == mark_text(database, number)) return {};
  return corruption("it says that this is a drive of another database, or is damaged", drive.describe() + "/" + mark_name(number),
                    0);
}

/// What the directory is marked as; 0: it is empty.
Result<std::size_t> marked_as(storage::Storage& drive, const segment::DatabaseId& database) {
  CAIRN_TRY(names, drive.list());
  for (const std::string& name : names) {
    if (!name.starts_with(kMarkPrefix)) continue;
    std::size_t number = 0;
    std::from_chars(name.data() + kMarkPrefix.size(), name.data() + name.size(), number);
    if (number == 0 || number > kDrivesMax || mark_name(number) != name) continue;
    CAIRN_TRY_VOID(check_mark(drive, database, number));
    return number;
  }
  // A temporary file is what an interrupted addition leaves behind.
  std::erase_if(names,
                [](const std::string& name) { return storage::is_temporary_name(name) || name == storage::kLostAndFound; });
  if (names.empty()) return 0;
  return fail(ErrorCode::kConflict, "a directory to be used as a further drive is not empty",
              drive.describe() + "/" + names.front());
}

Result<void> add_root(storage::Storage& drive, std::size_t marked, const std::string& path, Manifest& manifest) {
  const std::size_t number = manifest.roots.size() + 1;
  if (number > kDrivesMax) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("a database has at most {} further drives", kDrivesMax));
  }
  if (marked != number) CAIRN_TRY_VOID(drive.publish(mark_name(number), mark_text(manifest.database, number)));
  // From an open that ended before its manifest was there.
  if (marked != number && marked != 0) CAIRN_TRY_VOID(drive.remove(mark_name(marked)));
  manifest.roots.push_back(path);
  return {};
}

/// Drive `number` is at `path` now.
Result<void> move_root(storage::Storage& first, std::size_t number, const std::string& path, Manifest& manifest) {
  std::string& listed = manifest.roots[number - 1];
  if (listed == path) return {};
  if (open_drive(first, manifest, number)) {
    return fail(ErrorCode::kConflict, fmt::format("drive {} of the database is at {} already", number, listed), path);
  }
  CAIRN_REACHED("a drive has moved");
  listed = path;
  return {};
}

Result<void> take_given(storage::Drives& storage, Manifest& manifest, const std::string& path) {
  if (!valid_text(path) || path.contains(',')) {
    return fail(ErrorCode::kInvalidArgument, "the path of a drive is printable ASCII without quotes, backslashes and commas",
                path);
  }
  CAIRN_TRY_VOID(storage.check_epoch());
  CAIRN_TRY(drive, storage.open_beside(path, true));
  CAIRN_TRY(marked, marked_as(*drive, manifest.database));
  if (marked == 0 || marked > manifest.roots.size()) return add_root(*drive, marked, path, manifest);
  return move_root(storage, marked, path, manifest);
}

}  // namespace

Result<std::unique_ptr<storage::Storage>> open_drive(storage::Storage& first, const Manifest& manifest, std::size_t number) {
  const std::string& path = manifest.roots[number - 1];
  Result<std::unique_ptr<storage::Storage>> drive = first.open_beside(path, false);
  const Result<void> checked = drive ? check_mark(**drive, manifest.database, number) : std::unexpected(drive.error());
  if (checked) return drive;
  if (checked.error().code != ErrorCode::kNotFound) return std::unexpected(checked.error());
  return fail(ErrorCode::kUnavailable,
              fmt::format("drive {} of the database is not there; mount it, or give the place where it is", number), path);
}

Result<void> connect_drives(storage::Drives& storage, Manifest& manifest, const std::vector<std::string>& given) {
  const std::size_t known = manifest.roots.size();
  for (const std::string& path : given) {
    const Result<void> taken = take_given(storage, manifest, path);
    if (taken) continue;
    // Those before it are not the database's either: their marks would keep them from being another's.
    for (std::size_t number = known + 1; number <= manifest.roots.size(); ++number) {
      const auto drive = storage.open_beside(manifest.roots[number - 1], false);
      if (drive) (*drive)->remove(mark_name(number)).ignore_error();  // `taken` is what the caller must learn of.
    }
    return taken;
  }
  for (std::size_t number = 1; number <= manifest.roots.size(); ++number) {
    CAIRN_TRY(drive, open_drive(storage, manifest, number));
    storage.add(std::move(drive));
  }
  for (const std::string& file : manifest.files()) storage.place(file, 0);
  for (const ViewEntry& view : manifest.views) {
    for (const SegmentEntry& segment : view.log) storage.place(segment.file, segment.root);
  }
  return {};
}

}  // namespace cairn::directory
