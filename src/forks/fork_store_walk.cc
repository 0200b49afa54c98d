// Walks over the accounts of a fork, and over what two forks see differently. Some accounts at a time: what was found of them is
// given only if the tree was not pruned meanwhile.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "forks/fork_store_impl.h"

namespace cairn::forks {
namespace {

static_assert(ForkStore::kParts == VersionIndex::kParts);
constexpr std::size_t kHashBatch = 1024;

struct Seen {
  Bytes key;
  std::optional<Pinned> value;
  std::optional<Pinned> other;  // Of a second fork.
};

Result<std::optional<Pinned>> value_in(std::span<const VersionIndex::Version> versions, const ForkTree::Path& path) {
  const auto found = std::ranges::find_if(versions, [&](const VersionIndex::Version& each) { return path.sees(each.fork); });
  if (found == versions.end()) return std::nullopt;
  return value_of(found->at);
}

ByteView key_in(std::span<const VersionIndex::Version> versions) {
  const VersionIndex::Found& at = versions.front().at;
  return account_of(at.file->map()->data() + at.place.offset());
}

}  // namespace

/// Calls work(tree) again until no pruning began meanwhile.
template <typename Work>
Result<void> ForkStoreImpl::in_one_tree(Work work) const {
  while (true) {
    const std::uint64_t prunings = prunings_.load(std::memory_order_acquire);
    const std::shared_ptr<const ForkTree> tree = tree_.get();
    const Result<void> done = work(*tree);
    if (prunings_.load(std::memory_order_acquire) != prunings) continue;
    return done ? done : std::unexpected(directory_->with_drive(done.error()));
  }
}

Result<void> ForkStoreImpl::scan(ForkNumber fork, std::size_t part, const AccountVisitor& visit) const {
  if (part >= ForkStore::kParts) {
    return fail(ErrorCode::kInvalidArgument, "part " + std::to_string(part) + " of " + std::to_string(ForkStore::kParts));
  }
  std::vector<Seen> seen;
  CAIRN_TRY_VOID(in_one_tree([&](const ForkTree& tree) -> Result<void> {
    seen.clear();
    const auto path = tree.path(fork);
    if (!path) return no_path(fork, tree);
    return index_->visit(part, [&](std::span<const VersionIndex::Version> versions) -> Result<void> {
      CAIRN_TRY(value, value_in(versions, *path));
      if (value) seen.push_back({.key = Bytes(key_in(versions)), .value = std::move(value), .other = {}});
      return {};
    });
  }));
  for (const Seen& each : seen) CAIRN_TRY_VOID(visit(each.key, *each.value));
  return {};
}

/// Accounts with versions of forks that only one of the two sees.
ForkStoreImpl::Differences ForkStoreImpl::may_differ(const ForkTree& tree, const ForkTree::Path& a,
                                                     const ForkTree::Path& b) const {
  Differences accounts;
  {
    const MutexLock lock(state_mutex_);
    for (const Fork& fork : tree.forks()) {
      if (fork.number == tree.root() || a.sees(fork.number) == b.sees(fork.number)) continue;
      const auto found = forks_.find(fork.number);
      if (found == forks_.end()) continue;
      accounts.insert(accounts.end(), found->second->touched.begin(), found->second->touched.end());
    }
  }
  std::ranges::sort(accounts, {}, [](const Hash128& hash) { return std::pair(hash.high, hash.low); });
  const auto twice = std::ranges::unique(accounts);
  accounts.erase(twice.begin(), twice.end());
  return accounts;
}

Result<void> ForkStoreImpl::diff(ForkNumber a, ForkNumber b, const DifferenceVisitor& visit) const {
  Differences accounts;
  CAIRN_TRY_VOID(in_one_tree([&](const ForkTree& tree) -> Result<void> {
    const auto path_a = tree.path(a);
    const auto path_b = tree.path(b);
    if (!path_a) return no_path(a, tree);
    if (!path_b) return no_path(b, tree);
    accounts = may_differ(tree, *path_a, *path_b);
    return {};
  }));
  for (std::size_t i = 0; i < accounts.size(); i += kHashBatch) {
    const auto some = std::span<const Hash128>(accounts).subspan(i, std::min(kHashBatch, accounts.size() - i));
    std::vector<Seen> seen;
    CAIRN_TRY_VOID(in_one_tree([&](const ForkTree& tree) -> Result<void> {
      seen.clear();
      const auto path_a = tree.path(a);
      const auto path_b = tree.path(b);
      if (!path_a) return no_path(a, tree);
      if (!path_b) return no_path(b, tree);
      return index_->visit(some, [&](std::span<const VersionIndex::Version> versions) -> Result<void> {
        CAIRN_TRY(in_a, value_in(versions, *path_a));
        CAIRN_TRY(in_b, value_in(versions, *path_b));
        const bool same = in_a.has_value() == in_b.has_value() && (!in_a || in_a->view() == in_b->view());
        if (!same) seen.push_back({.key = Bytes(key_in(versions)), .value = std::move(in_a), .other = std::move(in_b)});
        return {};
      });
    }));
    for (const Seen& each : seen) CAIRN_TRY_VOID(visit(each.key, each.value, each.other));
  }
  return {};
}

Result<StateHash> ForkStoreImpl::state_hash(ForkNumber fork) const {
  std::array<StateHash, directory::JobRunner::kSharers> sums;
  std::array<Result<void>, directory::JobRunner::kSharers> done;
  environment_.jobs.share("hash of " + name_, ForkStore::kParts, [&](std::size_t part, std::size_t worker) {
    if (!done[worker]) return;
    done[worker] = scan(fork, part, [&](ByteView key, const Pinned& value) -> Result<void> {
      const std::uint64_t of_value = xxh3(value);
      for (std::uint64_t i = 0; i < 4; ++i) sums[worker].words[i] += mix(xxh3(key, mix(i + 1) ^ of_value));
      return value.status();
    });
  });
  StateHash sum;
  for (std::size_t worker = 0; worker < sums.size(); ++worker) {
    CAIRN_TRY_VOID(done[worker]);
    for (std::size_t i = 0; i < 4; ++i) sum.words[i] += sums[worker].words[i];
  }
  return sum;
}

}  // namespace cairn::forks

namespace cairn {

std::string StateHash::to_string() const {
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", words[0], words[1], words[2], words[3]);
}

}  // namespace cairn
