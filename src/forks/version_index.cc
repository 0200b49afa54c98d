#include "forks/version_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/error.h"
#include "base/reached.h"
#include "segment/record.h"

namespace cairn::forks {

std::uint64_t fork_of(const char* at) { return std::byteswap(load<std::uint64_t>(segment::key_at(at).data())); }
ByteView account_of(const char* at) {
  const ByteView key = segment::key_at(at);
  return key.size() == kRecordKeyBytes ? key.substr(8) : ByteView();  // It may lie where the device has failed.
}

namespace {

constexpr std::size_t kRetiredMost = 4096;

/// Whether a record that lies at `at` is one of the account.
bool is_of(const char* at, ByteView key) {
  const ByteView account = account_of(at);
  return account.size() == kAccountKeyBytes && std::memcmp(account.data(), key.data(), kAccountKeyBytes) == 0;
}

std::uint64_t write_version_of(const char* at) {
  return load<std::uint64_t>(at + offsetof(segment::RecordHeader, write_version));
}

}  // namespace

struct VersionIndex::List {
  std::uint64_t count;
  Placed versions[1];  // And more: count.

  static std::uint64_t bytes(std::uint64_t count) { return offsetof(List, versions) + count * sizeof(Placed); }
};

Result<std::unique_ptr<VersionIndex>> VersionIndex::create(const SegmentTable& segments, std::uint64_t hash_seed,
                                                           unsigned hash_bits) {
  CAIRN_TRY(index, AccountIndex::create());
  return std::unique_ptr<VersionIndex>(new VersionIndex(segments, hash_seed, hash_bits, std::move(index)));
}

VersionIndex::VersionIndex(const SegmentTable& segments, std::uint64_t hash_seed, unsigned hash_bits,
                           std::unique_ptr<AccountIndex> index)
    : segments_(segments), hash_seed_(hash_seed), hash_mask_(~std::uint64_t{0} << (64 - hash_bits)), index_(std::move(index)) {}

VersionIndex::~VersionIndex() {
  std::vector<AccountIndex::Entry> entries;
  for (std::size_t number = 0; number < kParts; ++number) {
    index_->copy_region(number, entries);
    for (const AccountIndex::Entry& entry : entries) {
      if ((entry.word & kIsList) != 0) ::operator delete(std::bit_cast<void*>(entry.word & ~kIsList));
    }
  }
  for (const List* const list : retired_) ::operator delete(const_cast<List*>(list));  // NOLINT: nobody reads it.
}

/// `alone` has room for the one there is where there is no list.
std::span<const VersionIndex::Placed> VersionIndex::versions_of(std::uint64_t word, Placed& alone) const {
  if ((word & kIsList) != 0) {
    const List& list = *std::bit_cast<const List*>(word & ~kIsList);
    return {list.versions, list.count};
  }
  const Place place = Place::of(word);
  alone = {.fork = fork_of(segments_.at(place)), .place = place};
  return {&alone, 1};
}

std::uint64_t VersionIndex::word_of(std::span<const Placed> versions) {
  if (versions.size() == 1) return versions[0].place.word();
  const std::uint64_t bytes = List::bytes(versions.size());
  auto* const list = static_cast<List*>(::operator new(bytes));
  list->count = versions.size();
  std::ranges::copy(versions, list->versions);
  list_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return std::bit_cast<std::uint64_t>(list) | kIsList;
}

/// What was a word of the index is none any more.
void VersionIndex::retire(std::uint64_t word) {
  if ((word & kIsList) == 0) return;
  const List* const list = std::bit_cast<const List*>(word & ~kIsList);
  list_bytes_.fetch_sub(List::bytes(list->count), std::memory_order_relaxed);
  std::vector<const List*> old;
  {
    const MutexLock lock(retired_mutex_);
    retired_.push_back(list);
    if (retired_.size() < kRetiredMost) return;
    old.swap(retired_);
  }
  readers_.wait_until_left();
  for (const List* const each : old) ::operator delete(const_cast<List*>(each));  // NOLINT: nobody reads it.
}

void VersionIndex::wait_for_readers() { readers_.wait_until_left(); }

void VersionIndex::prefetch_key(std::uint64_t word) const {
  if (word == 0) return;
  const char* const at = (word & kIsList) != 0 ? std::bit_cast<const char*>(word & ~kIsList) : segments_.at(Place::of(word));
  __builtin_prefetch(at);
  __builtin_prefetch(at + segment::kRecordHeaderBytes + kRecordKeyBytes - 1);
}

Result<bool> VersionIndex::is_at(Place place, ByteView key) const {
  if (is_of(segments_.at(place), key)) return true;
  CAIRN_TRY_VOID(segments_.hold(place)->map()->status());  // What cannot be read is not another account.
  return false;
}

Result<std::optional<unsigned>> VersionIndex::slot_of(const AccountIndex::Locked& locked, ByteView key) const {
  for (unsigned nth = 0;; ++nth) {
    const std::uint64_t word = locked.get(nth);
    if (word == 0) return std::nullopt;
    if (nth != 0) CAIRN_REACHED("two accounts with one hash");
    Placed alone{};
    CAIRN_TRY(same, is_at(versions_of(word, alone).front().place, key));
    if (same) return nth;
  }
}

Result<void> VersionIndex::store(std::uint64_t fork, std::span<Stored> versions) {
  for (std::size_t i = 0; i < versions.size(); i += kBatch) {
    CAIRN_TRY_VOID(store_some(fork, versions.subspan(i, std::min(kBatch, versions.size() - i))));
  }
  return {};
}

Result<void> VersionIndex::store_some(std::uint64_t fork, std::span<Stored> versions) {
  std::array<std::uint64_t, kBatch> hashes{};
  std::array<std::uint64_t, kBatch> replaced{};
  for (std::size_t i = 0; i < versions.size(); ++i) {
    hashes[i] = hash_of(versions[i].key);
    index_->prefetch(hashes[i]);
  }
  {
    const auto inside = readers_.enter();
    for (std::size_t i = 0; i < versions.size(); ++i) prefetch_key(index_->find(hashes[i]));
  }
  const auto store_one = [&](Stored& stored, std::uint64_t hash, std::uint64_t& old) -> Result<void> {
    AccountIndex::Locked locked(*index_, hash);
    CAIRN_TRY(slot, slot_of(locked, stored.key));
    if (!slot) {
      stored.first = true;
      if (locked.insert(stored.place.word())) return {};
      return fail(ErrorCode::kNoSpace, "an index of accounts has no room for more; " + std::to_string(accounts()) + " are there");
    }
    const std::uint64_t word = locked.get(*slot);
    Placed alone{};
    const std::span<const Placed> before = versions_of(word, alone);
    const auto at = std::ranges::lower_bound(before, fork, std::greater<>(), &Placed::fork);
    if (at != before.end() && at->fork == fork) {
      const bool newer = write_version_of(segments_.at(stored.place)) > write_version_of(segments_.at(at->place));
      stored.stale = newer ? at->place : stored.place;
      if (!newer) return {};
      if (before.size() == 1) return locked.set(*slot, stored.place.word()), Result<void>{};
    }
    stored.first = stored.stale == Place();
    std::vector<Placed> after(before.begin(), at);
    after.push_back({.fork = fork, .place = stored.place});
    after.insert(after.end(), stored.first ? at : at + 1, before.end());
    locked.set(*slot, word_of(after));
    old = word;
    return {};
  };
  Result<void> done;
  for (std::size_t i = 0; i < versions.size() && done; ++i) done = store_one(versions[i], hashes[i], replaced[i]);
  for (std::size_t i = 0; i < versions.size(); ++i) retire(replaced[i]);
  return done;
}

Result<void> VersionIndex::find(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const {
  for (std::size_t i = 0; i < keys.size(); i += kBatch) {
    const std::size_t count = std::min(kBatch, keys.size() - i);
    CAIRN_TRY_VOID(find_some(path, keys.subspan(i, count), found.subspan(i, count)));
  }
  return {};
}

Result<void> VersionIndex::find_some(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const {
  std::array<std::uint64_t, kBatch> hashes{};
  std::array<std::uint64_t, kBatch> words{};
  std::array<std::uint8_t, kBatch> left{};  // Of those that have to be looked at again: which.
  std::size_t left_count = keys.size();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = hash_of(keys[i]);
    if (keys.size() > 1) index_->prefetch(hashes[i]);
    left[i] = static_cast<std::uint8_t>(i);
    found[i] = {};
  }
  for (unsigned nth = 0; left_count != 0; ++nth) {
    std::array<bool, kBatch> seen{};
    {
      // Nothing that is mapped is looked at in here: whoever replaces something waits for those inside.
      const auto inside = readers_.enter();
      for (std::size_t k = 0; k < left_count; ++k) {
        const std::size_t i = left[k];
        words[i] = index_->find(hashes[i], nth);
        if (words[i] != 0 && keys.size() > 1) prefetch_key(words[i]);
      }
      for (std::size_t k = 0; k < left_count; ++k) {
        const std::size_t i = left[k];
        if (words[i] == 0) continue;
        found[i].place = Place::of(words[i]);
        if ((words[i] & kIsList) != 0) {
          Placed alone{};
          const std::span<const Placed> versions = versions_of(words[i], alone);
          const auto at = std::ranges::find_if(versions, [&](const Placed& version) { return path.sees(version.fork); });
          seen[i] = at != versions.end();
          found[i].place = (seen[i] ? *at : versions.front()).place;
        }
        found[i].file = segments_.hold(found[i].place);
      }
    }
    std::size_t others = 0;
    for (std::size_t k = 0; k < left_count; ++k) {
      const std::size_t i = left[k];
      if (words[i] == 0) continue;
      const char* const at = found[i].file->map()->data() + found[i].place.offset();
      const bool same = is_of(at, keys[i]);
      if ((words[i] & kIsList) == 0) seen[i] = path.sees(fork_of(at));
      CAIRN_TRY_VOID(found[i].file->map()->status());
      if (!same) left[others++] = static_cast<std::uint8_t>(i);
      if (!same || !seen[i]) found[i] = {};
    }
    left_count = others;
  }
  return {};
}

Result<void> VersionIndex::prune(ByteView key, std::span<const std::uint64_t> gone, std::uint64_t root,
                                 std::vector<Place>& stale) {
  std::uint64_t old = 0;
  {
    AccountIndex::Locked locked(*index_, hash_of(key));
    CAIRN_TRY(slot, slot_of(locked, key));
    if (!slot) return {};
    const std::uint64_t word = locked.get(*slot);
    Placed alone{};
    const std::span<const Placed> before = versions_of(word, alone);
    std::vector<Placed> after;
    bool of_root = false;  // One that all see.
    for (const Placed& version : before) {
      const bool stays = !std::ranges::binary_search(gone, version.fork) && !of_root;
      of_root = of_root || (stays && version.fork <= root);
      if (stays) {
        after.push_back(version);
      } else {
        stale.push_back(version.place);
      }
    }
    if (after.size() == before.size()) return {};
    if (after.empty()) {
      locked.erase(*slot);
    } else {
      locked.set(*slot, word_of(after));
    }
    old = word;
  }
  retire(old);
  return {};
}

Result<bool> VersionIndex::move(ByteView key, std::uint64_t fork, Place from, Place to) {
  std::uint64_t old = 0;
  {
    AccountIndex::Locked locked(*index_, hash_of(key));
    CAIRN_TRY(slot, slot_of(locked, key));
    if (!slot) return false;
    const std::uint64_t word = locked.get(*slot);
    Placed alone{};
    const std::span<const Placed> before = versions_of(word, alone);
    std::vector<Placed> after(before.begin(), before.end());
    const auto at = std::ranges::find(after, fork, &Placed::fork);
    if (at == after.end() || at->place != from) return false;
    at->place = to;
    locked.set(*slot, word_of(after));
    old = word;
  }
  retire(old);
  return true;
}

Result<void> VersionIndex::visit(std::size_t number, const std::function<Result<void>(std::span<const Version>)>& visit) const {
  std::vector<AccountIndex::Entry> entries;
  std::vector<Version> versions;
  std::vector<std::size_t> ends;
  {
    const auto inside = readers_.enter();
    index_->copy_region(number, entries);
    for (const AccountIndex::Entry& entry : entries) {
      const auto add = [&](std::uint64_t fork, Place place) {
        versions.push_back({.fork = fork, .at = {.place = place, .file = segments_.hold(place)}});
      };
      Placed alone{};
      if ((entry.word & kIsList) == 0) {
        add(0, Place::of(entry.word));  // Its fork stands in its record.
      } else {
        for (const Placed& each : versions_of(entry.word, alone)) add(each.fork, each.place);
      }
      ends.push_back(versions.size());
    }
  }
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const std::span<Version> these = std::span(versions).subspan(begin, end - begin);
    const storage::MappedFile& map = *these.front().at.file->map();
    if (these.size() == 1) these.front().fork = fork_of(map.data() + these.front().at.place.offset());
    CAIRN_TRY_VOID(map.status());
    CAIRN_TRY_VOID(visit(these));
    begin = end;
  }
  return {};
}

}  // namespace cairn::forks
