// Directories on further drives: the manifest lists them, and a small file in each, drive-N, says whose it is and which. So a
// drive that is not mounted, or that is another's, is never taken for one without files.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "directory/manifest.h"
#include "storage/drives.h"

namespace cairn::directory {

/// Adds the drives of `manifest` to `storage`, which has none yet, and says which of them its files are on. `given`: paths of
/// drives to be added to the manifest, or of such as are not where it says any more. kUnavailable: a drive is not there.
/// kConflict: what is given is neither empty nor a drive of this database, or one of its drives is there twice. kCorruption: the
/// file drive-N. kInvalidArgument: too many, or a path that a manifest cannot say.
Result<void> connect_drives(storage::Drives& storage, Manifest& manifest, const std::vector<std::string>& given = {});
/// One of them, counted from 1.
Result<std::unique_ptr<storage::Storage>> open_drive(storage::Storage& first, const Manifest& manifest, std::size_t number);

}  // namespace cairn::directory
