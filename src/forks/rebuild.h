// A fork store made anew of what repair found.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "directory/directory.h"
#include "segment/record.h"

namespace cairn::forks {

/// Whether a record is a version of an account.
bool is_version(const segment::RecordView& record);

/// `as`: what is known of its forks; nullptr: nothing, and the newest version of each account is taken for the root's. Returns
/// the entry for the manifest of view `number`, without its name and kind, whose segments are there. `versions`: how many were
/// kept.
Result<directory::ViewEntry> rebuild(directory::Directory& directory, std::uint16_t number, const std::string& name,
                                     const directory::ForksEntry* as, const std::vector<segment::RecordView>& records,
                                     std::uint64_t& versions);

}  // namespace cairn::forks
