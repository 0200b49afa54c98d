// How much memory there is for this process.
#pragma once
#include <cstdint>
#include <string>

namespace cairn::storage {

/// Bytes of the machine's memory or, if that is less, what the control groups of this process let it have, page cache included.
/// The paths are where Linux says which groups those are and where they are mounted.
std::uint64_t memory_bytes(const std::string& groups = "/proc/self/cgroup", const std::string& mounted = "/sys/fs/cgroup");

}  // namespace cairn::storage
