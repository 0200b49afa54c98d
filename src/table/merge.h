// What a merge job holds.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "table/line_up.h"

namespace cairn::table {

inline constexpr std::uint64_t kProgressBytes = 256 * kKiB;  // A copying job counts in such steps, and can be stopped between.

/// Neighbouring layers of one family that become one run.
struct Group {
  std::uint16_t family = 0;
  std::vector<Layer> layers;         // Oldest first.
  std::vector<Layer> older;          // The family's layers below them.
  std::shared_ptr<const Run> begun;  // The run an earlier merge of these layers began and did not finish.
};

/// What one job merges. Memtables are merged in all families at once.
struct Merge {
  std::vector<Group> groups;
  std::vector<const void*> claimed;  // Identities of layers that no other job takes.
  bool by_itself = false;            // Nobody asked for it: it may be put off, and need not copy what can be joined.
  bool put_off = false;              // Ended half-way for something more urgent, to be taken up again.
  [[nodiscard]] bool empty() const { return groups.empty(); }
};

/// A change of the line-up: neighbouring layers of a family and what takes their place.
struct Replacement {
  std::uint16_t family = 0;
  std::vector<Layer> before;
  std::vector<Layer> after;
  std::vector<LargeFate> large;  // Large values whose references the merge has met.
};

}  // namespace cairn::table
