#include "storage/memory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace cairn::storage {
namespace {

/// The least of what the files `name` say in the group `group`, and in those it is in. In a container the groups above its own
/// are not to be seen, and its own may be where the first of all would be.
std::uint64_t least_limit(const std::string& mounted, std::string group, const std::string& name) {
  std::uint64_t least = ~std::uint64_t{0};
  while (true) {
    while (!group.empty() && group.back() == '/') group.pop_back();
    std::uint64_t limit = 0;
    if (std::ifstream(std::filesystem::path(mounted + group) / name) >> limit) least = std::min(least, limit);  // Not "max".
    if (group.empty()) return least;
    group.erase(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

}  // namespace

std::uint64_t memory_bytes(const std::string& groups, const std::string& mounted) {
  std::uint64_t least = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // number:controllers:group, without controllers in version 2.
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      least = std::min({least, least_limit(mounted, group, "memory.max"), least_limit(mounted, group, "memory.high")});
    }
    if (controllers.find(",memory,") != std::string::npos) {
      least = std::min(least, least_limit(mounted + "/memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace cairn::storage
