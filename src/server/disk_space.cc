// Asks the file system for its free space. Only the thread of syncs calls look(): a disk may take long to answer.
#include "server/disk_space.h"

#include <spdlog/spdlog.h>

#include <filesystem>

namespace cairn::server {

void DiskSpace::look(const std::string& dir) {
  std::error_code failed;
  const std::filesystem::space_info space = std::filesystem::space(dir, failed);
  if (failed) return;
  const bool before = nearly_full();
  free_.store(space.available, std::memory_order_relaxed);
  total_.store(space.capacity, std::memory_order_relaxed);
  if (nearly_full() == before) return;
  if (before) {
    spdlog::info("event=disk_has_room dir=\"{}\" free_bytes={} total_bytes={}", dir, space.available, space.capacity);
  } else {
    spdlog::warn(
        "event=disk_nearly_full dir=\"{}\" free_bytes={} total_bytes={} note=\"writes are refused when nothing is free; "
        "give the disk room, or let histories end sooner (timeline_timeout)\"",
        dir, space.available, space.capacity);
  }
}

}  // namespace cairn::server
