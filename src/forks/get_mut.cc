// Accounts that are changed in place. The first get_mut() after a sync makes a copy in memory, which the index refers to from
// then on; sync and freeze append what there is of a fork as one batch, so that a crash leaves all of it or none.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "forks/fork_store_impl.h"

namespace cairn::forks {

Result<std::optional<MutableAccount>> ForkStoreImpl::get_mut(ForkNumber fork, ByteView key) {
  CAIRN_TRY_VOID(check_key(key));
  CAIRN_TRY(storing, begin_storing(fork));
  VersionIndex::Outcome outcome;
  std::shared_ptr<OpenAccount> account;
  {
    const MutexLock lock(open_.mutex);
    VersionIndex::Found found;
    CAIRN_TRY_VOID(find(fork, {&key, 1}, {&found, 1}));
    CAIRN_TRY(value, value_of(found));
    if (!value) return std::nullopt;
    account = open_.find(found.place);
    if (!account) {
      CAIRN_TRY(added, open_.add(fork, key, *value));
      account = std::move(added);
      const VersionIndex::Stored stored{.key = key, .place = account->place};
      const Result<void> done = index_->store(fork, tree_.get()->root(), {&stored, 1}, outcome);
      if (!done) open_.erase(*account);
      CAIRN_TRY_VOID(done);
      if (!outcome.stale.empty()) open_.set_replaced(*account, outcome.stale.front());
    }
    if (account->held.exchange(true)) return being_changed(*account);
  }
  if (!outcome.touched.empty()) {
    const MutexLock lock(state_mutex_);
    ForkState& state = storing.fork();
    state.touched.insert(state.touched.end(), outcome.touched.begin(), outcome.touched.end());
  }
  const segment::RecordView record = segment::view_record(table_.at(account->place), 0);
  return MutableAccount({const_cast<char*>(record.value.data()), record.value.size()}, account);  // NOLINT: in our own memory.
}

std::unexpected<Error> ForkStoreImpl::being_changed(const OpenAccount& account) const {
  std::string key;
  for (const char c : segment::key_at(table_.at(account.place)).substr(8))
    key += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return fail(ErrorCode::kConflict,
              fmt::format("account {} is being changed in place in fork {} of '{}': its MutableAccount has to be "
                          "destroyed first",
                          key, account.fork, name_));
}

void ForkStoreImpl::release(std::vector<Place>& stale) {
  std::vector<Place> in_segments;
  const MutexLock lock(open_.mutex);
  for (const Place place : stale) {
    if (!open_.holds(place)) {
      in_segments.push_back(place);
    } else if (const auto account = open_.find(place)) {
      if (account->replaced.word() != 0) in_segments.push_back(account->replaced);
      open_.erase(*account);
    }
  }
  stale = std::move(in_segments);
}

Result<void> ForkStoreImpl::check_not_held(const ForkStates& forks) {
  if (!open_.any()) return {};
  const MutexLock lock(open_.mutex);
  for (const auto& fork : forks) {
    for (const auto& account : open_.of(fork->number)) {
      if (account->held.load(std::memory_order_acquire)) return being_changed(*account);
    }
  }
  return {};
}

/// Appends the accounts that were changed in place in the fork to the log, and indexes them like any other batch. No thread
/// stores in the fork meanwhile.
Result<void> ForkStoreImpl::publish_open(ForkState& fork) {
  OpenPublished published;
  if (!open_.any()) return {};
  {
    const MutexLock lock(open_.mutex);
    published.accounts = open_.of(fork.number);
  }
  std::vector<AccountUpdate> batch;
  std::uint64_t bytes = segment::kBatchFrameBytes;
  for (const auto& account : published.accounts) {
    if (account->held.load(std::memory_order_acquire)) return being_changed(*account);
    const segment::RecordView record = segment::view_record(table_.at(account->place), 0);
    batch.push_back({.key = record.key.substr(8), .value = record.value});
    bytes += record.bytes;
  }
  if (batch.empty()) return {};
  CAIRN_TRY(appended, append(*first_writer_, fork.number, batch, bytes, Durability::kKernel));
  published.appended = std::move(appended);
  move_to_segments(published);
  return published.appended.acknowledged;
}

void ForkStoreImpl::move_to_segments(const OpenPublished& published) {
  if (published.accounts.empty()) return;
  {
    const auto inside = stale_at_hand_.enter();
    std::vector<Place> stale;
    for (std::size_t i = 0; i < published.accounts.size(); ++i) {
      const OpenAccount& account = *published.accounts[i];
      const VersionIndex::Stored& stored = published.appended.stored[i];
      const MutexLock lock(open_.mutex);
      CAIRN_ASSERT(index_->move(index_->hash_of(stored.key), account.place, stored.place));  // Nobody else stores in the fork.
      if (account.replaced.word() != 0) stale.push_back(account.replaced);
      open_.erase(account);
    }
    segments_.indexed(published.appended.segment, published.appended.first, stale);
  }
  release_memory();
}

/// What has no account in it any more, when no reader has a place in it.
void ForkStoreImpl::release_memory() {
  std::vector<std::uint32_t> unused;
  {
    const MutexLock lock(open_.mutex);
    unused = open_.take_unused();
  }
  if (unused.empty()) return;
  index_->wait_for_readers();
  open_.release(unused);
}

}  // namespace cairn::forks
