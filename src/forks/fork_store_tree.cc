// Changes of the tree. Whoever stores in a fork that is frozen, made the root or purged has ended before; the manifest has the
// change before the tree; and what only the old tree sees is taken out of the index last.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "forks/fork_store_impl.h"

namespace cairn::forks {
namespace {

constexpr std::size_t kPrunedTogether = 4096;  // Who gives a segment back waits for so many.

Result<void> check_number(ForkNumber fork) {
  if (fork <= directory::kForkMost) return {};
  return fail(ErrorCode::kInvalidArgument, "fork " + std::to_string(fork) + " is above " + std::to_string(directory::kForkMost));
}

}  // namespace

ForkStoreImpl::Stopped::Stopped(ForkStoreImpl& store, std::span<const Fork> forks) : store_(store) {
  const MutexLock lock(store_.state_mutex_);
  for (const Fork& fork : forks) forks_.push_back(store_.forks_.at(fork.number));
  for (const auto& fork : forks_) fork->stopped = true;
  for (const auto& fork : forks_) {
    while (fork->storing != 0) store_.state_changed_.wait(store_.state_mutex_);
  }
}

ForkStoreImpl::Stopped::~Stopped() {
  const MutexLock lock(store_.state_mutex_);
  for (const auto& fork : forks_) fork->stopped = false;
  store_.state_changed_.notify_all();
}

/// Adds and removes states of forks, so that there is one for each of `now`. Compares the trees: there may be many forks, and
/// their states lie all over the memory.
void ForkStoreImpl::note_forks(std::span<const Fork> now) {
  const std::vector<Fork> all_before = tree_.get()->forks();
  auto before = all_before.begin();
  const MutexLock lock(state_mutex_);
  for (const Fork& fork : now) {
    for (; before != all_before.end() && before->number < fork.number; ++before) forks_.erase(before->number);
    if (before == all_before.end() || before->number != fork.number) {
      forks_.emplace(fork.number, std::make_shared<ForkState>(fork));
      continue;
    }
    if (before->frozen != fork.frozen) forks_.at(fork.number)->frozen = fork.frozen;
    ++before;
  }
  for (; before != all_before.end(); ++before) forks_.erase(before->number);
}

/// Makes `tree` the one that counts, durably. `edit`: what else the manifest says.
Result<void> ForkStoreImpl::change(const ForkTree& tree, const Edit& edit) {
  const std::vector<Fork> now = tree.forks();
  CAIRN_TRY_VOID(switch_manifest([&](directory::Manifest& manifest) -> Result<void> {
    directory::ForksEntry& entry = *manifest.edit_view(view_).forks;
    entry.forks = now;
    entry.gone = tree.gone();
    if (edit) edit(entry);
    return {};
  }));
  note_forks(now);
  tree_.set(std::make_shared<const ForkTree>(tree));
  return {};
}

ForkStoreImpl::SwitchesStopped::SwitchesStopped(std::shared_ptr<ForkStoreImpl> store) : store_(std::move(store)) {
  const MutexLock lock(store_->state_mutex_);
  ++store_->switches_stopped_;
  while (store_->switching_ != 0) store_->state_changed_.wait(store_->state_mutex_);
}

ForkStoreImpl::SwitchesStopped::~SwitchesStopped() {
  const MutexLock lock(store_->state_mutex_);
  --store_->switches_stopped_;
  store_->state_changed_.notify_all();
}

/// A switch of the manifest that may stand on what the logs hold; waits while SwitchesStopped lives.
Result<void> ForkStoreImpl::switch_manifest(const std::function<Result<void>(directory::Manifest&)>& edit) {
  {
    const MutexLock lock(state_mutex_);
    while (switches_stopped_ != 0) state_changed_.wait(state_mutex_);
    ++switching_;
  }
  Result<void> done = directory_->commit(edit);
  const MutexLock lock(state_mutex_);
  --switching_;
  state_changed_.notify_all();
  return done;
}

Result<void> ForkStoreImpl::still_open() const {
  const MutexLock lock(state_mutex_);
  return check_open();
}

Result<void> ForkStoreImpl::create_fork(ForkNumber fork, ForkNumber parent) {
  CAIRN_TRY_VOID(check_number(fork));
  return with_room([&]() -> Result<void> {
    const MutexLock lock(tree_mutex_);
    CAIRN_TRY_VOID(still_open());
    const std::shared_ptr<const ForkTree> now = tree_.get();
    CAIRN_TRY_VOID(now->check_new(fork, parent));
    const Stopped stopped(*this, {now->find(parent), 1});
    CAIRN_TRY_VOID(publish_and_sync(*stopped.forks().back()));
    CAIRN_TRY(tree, now->with(fork, parent, directory_->versions_used()));
    return change(tree);
  });
}

Result<void> ForkStoreImpl::freeze(ForkNumber fork) {
  return with_room([&]() -> Result<void> {
    const MutexLock lock(tree_mutex_);
    CAIRN_TRY_VOID(still_open());
    CAIRN_TRY(tree, tree_.get()->frozen(fork));
    const Stopped stopped(*this, {tree.find(fork), 1});
    CAIRN_TRY_VOID(publish_and_sync(*stopped.forks().back()));
    return tree_.get()->find(fork)->frozen ? Result<void>() : change(tree);
  });
}

Result<void> ForkStoreImpl::sync(ForkNumber fork) {
  return with_room([&]() -> Result<void> {
    const MutexLock lock(tree_mutex_);
    CAIRN_TRY_VOID(still_open());
    const std::shared_ptr<const ForkTree> tree = tree_.get();
    if (tree->find(fork) == nullptr) return fail(ErrorCode::kNotFound, "there is no fork " + std::to_string(fork));
    const Stopped stopped(*this, {tree->find(fork), 1});
    return publish_and_sync(*stopped.forks().back());
  });
}

Result<void> ForkStoreImpl::set_root(ForkNumber fork) {
  return with_room([&]() -> Result<void> {
    const MutexLock lock(tree_mutex_);
    CAIRN_TRY_VOID(still_open());
    const std::shared_ptr<const ForkTree> now = tree_.get();
    CAIRN_TRY(pruned, now->rooted(fork));
    if (fork == now->root()) return {};
    std::vector<Fork> ends = pruned.gone;
    ends.push_back(*now->find(fork));
    const Stopped stopped(*this, ends);
    CAIRN_TRY_VOID(check_not_held(stopped.forks()));
    // What its ancestors hold can be undone no more, so it has to be there.
    CAIRN_TRY_VOID(publish_and_sync(*stopped.forks().back()));
    ForkStates touched = stopped.forks();
    {
      const MutexLock state_lock(state_mutex_);
      for (const Fork& merged : pruned.merged) touched.push_back(forks_.at(merged.number));
    }
    return prune(pruned, touched);
  });
}

Result<void> ForkStoreImpl::purge(ForkNumber fork) {
  return with_room([&]() -> Result<void> {
    const MutexLock lock(tree_mutex_);
    CAIRN_TRY_VOID(still_open());
    CAIRN_TRY(pruned, tree_.get()->purged(fork));
    const Stopped stopped(*this, pruned.gone);
    CAIRN_TRY_VOID(check_not_held(stopped.forks()));
    return prune(pruned, stopped.forks());
  });
}

/// `forks`: those whose versions change their meaning, in which nobody stores.
Result<void> ForkStoreImpl::prune(const ForkTree::Pruned& pruned, const ForkStates& forks) {
  const std::uint64_t until = directory_->versions_used();
  std::vector<directory::PurgedEntry> purged;
  {
    const MutexLock lock(state_mutex_);
    for (const Fork& fork : pruned.gone) {
      if (forks_.at(fork.number)->touched.empty()) continue;  // Nothing was ever stored in it.
      purged.push_back({.fork = fork.number, .since = fork.since, .until = until});
    }
  }
  CAIRN_TRY_VOID(change(
      pruned.tree, [&](directory::ForksEntry& entry) { entry.purged.insert(entry.purged.end(), purged.begin(), purged.end()); }));
  prunings_.fetch_add(1, std::memory_order_release);  // After the tree: who reads the new count has the new tree too.
  std::vector<ForkNumber> gone;
  gone.reserve(pruned.gone.size());
  for (const Fork& fork : pruned.gone) gone.push_back(fork.number);
  for (const auto& fork : forks) {
    std::vector<Hash128> touched;
    {
      const MutexLock lock(state_mutex_);
      touched.swap(fork->touched);
    }
    for (std::size_t i = 0; i < touched.size(); i += kPrunedTogether) {
      std::vector<Place> stale;
      const auto inside = stale_at_hand_.enter();
      index_->prune(std::span(touched).subspan(i, std::min(kPrunedTogether, touched.size() - i)), gone, pruned.tree.root(),
                    stale);
      if (open_.any()) release(stale);
      segments_.add_stale(stale);
    }
  }
  for (const auto& fork : forks) index_->forget(fork->number);
  release_memory();
  if (tuning_.collect_by_itself) schedule_collect();
  return {};
}

/// Everything that was stored, also what was changed in place in the fork, is on disk when it returns. Nobody stores in it.
Result<void> ForkStoreImpl::publish_and_sync(ForkState& fork) {
  CAIRN_TRY_VOID(publish_open(fork));
  return sync_logs();
}

Result<void> ForkStoreImpl::sync_logs() {
  for (const auto& writer : writers()) {
    const MutexLock lock(writer->log.mutex);
    CAIRN_TRY_VOID(writer->log.sync_all());
  }
  return {};
}

std::vector<ForkInfo> ForkStoreImpl::list() const {
  std::vector<ForkInfo> all;
  const std::shared_ptr<const ForkTree> tree = tree_.get();
  const MutexLock lock(state_mutex_);
  for (const Fork& fork : tree->forks()) {
    const auto found = forks_.find(fork.number);
    all.push_back({.number = fork.number,
                   .parent = fork.parent,
                   .frozen = fork.frozen,
                   .accounts_changed = found == forks_.end() ? 0 : found->second->touched.size()});
  }
  return all;
}

}  // namespace cairn::forks
