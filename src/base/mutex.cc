#include "base/mutex.h"

#if defined(CAIRN_CHECK_RANKS)
#include <algorithm>
#include <vector>

#include "base/error.h"

namespace cairn {
namespace {
thread_local std::vector<Rank> held_ranks;
}

void Mutex::check_rank() const {
  for (const Rank held : held_ranks) CAIRN_ASSERT(held < rank_);
}
void Mutex::push_rank() const { held_ranks.push_back(rank_); }
void Mutex::pop_rank() const {
  const auto it = std::find(held_ranks.rbegin(), held_ranks.rend(), rank_);
  CAIRN_ASSERT(it != held_ranks.rend());
  held_ranks.erase(std::next(it).base());
}

}  // namespace cairn
#endif
