// Which of the versions in the segments of a fork store count at all: not those of forks that were purged.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "directory/manifest.h"
#include "forks/fork_tree.h"

namespace cairn::forks {

class StoredVersions {
 public:
  /// `tree` outlives it and is that of `forks`.
  StoredVersions(const ForkTree& tree, const directory::ForksEntry& forks) : tree_(tree), purged_(forks.purged) {
    std::ranges::sort(purged_, {}, &directory::PurgedEntry::fork);
  }

  /// A fork above the root is there or was purged; one below is part of the root, unless it was purged.
  [[nodiscard]] bool count(std::uint64_t fork, std::uint64_t version) const {
    if (const Fork* const found = tree_.find(fork)) return version > found->since;
    if (fork > tree_.root()) return false;
    const auto of_fork = std::ranges::equal_range(purged_, fork, {}, &directory::PurgedEntry::fork);
    return std::ranges::none_of(
        of_fork, [&](const directory::PurgedEntry& purged) { return version > purged.since && version <= purged.until; });
  }

 private:
  const ForkTree& tree_;
  std::vector<directory::PurgedEntry> purged_;
};

}  // namespace cairn::forks
