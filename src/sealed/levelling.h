// Which runs to merge: lazy levelling (Dayan, Idreos: Dostoevsky, SIGMOD 2018). The oldest run is the one
// that holds nearly all; above it runs gather, and are merged when several are alike in size, so that most records are
// copied a few times only; all become one when those above have grown to half of the oldest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace cairn::sealed {

struct Neighbours {
  std::size_t first;
  std::size_t count;
};

/// What to merge of runs of these sizes, oldest first; nullopt: leave them. `oldest`: the first of them is the oldest run
/// there is. At most `runs_max` are left alone. docs/decisions/0011 has what each record costs.
std::optional<Neighbours> pick_runs(std::span<const std::uint64_t> bytes, bool oldest, std::size_t runs_max);

}  // namespace cairn::sealed
