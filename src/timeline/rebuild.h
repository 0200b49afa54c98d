// Makes the files of a timeline from saves that stand somewhere else: for repair.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "segment/record.h"

namespace cairn::timeline {

/// Writes `saves`, in any order, some perhaps several times, as blocks of the view `number`, with their indexes; durable, and in
/// no manifest yet. `as`: the entry that was found, or defaults; its policy, its rollbacks, and what has left its main line hold.
/// The bytes of the saves are the caller's, and stay until it returns.
Result<directory::TimelineEntry> rebuild(directory::Directory& directory, std::uint16_t number, const std::string& name,
                                         const directory::TimelineEntry& as, std::vector<segment::RecordView> saves);

}  // namespace cairn::timeline
