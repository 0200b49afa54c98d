#include "forks/version_index.h"

#include <algorithm>
#include <bit>
#include <new>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/reached.h"
#include "segment/record.h"
#include "storage/bus_error.h"

namespace cairn::forks {

std::uint64_t fork_of(const char* at) { return fork_in(segment::key_at(at)); }
ByteView account_of(const char* at) {
  const ByteView key = segment::key_at(at);
  return key.size() == kRecordKeyBytes ? key.substr(8) : ByteView();
}

Result<void> verify(VersionIndex::Found& found) {
  if (found.seed == 0) return {};
  const storage::MappedFile& map = *found.file->map();
  const std::uint64_t offset = found.place.offset();
  const char* why = "no record begins here";
  const bool sound = offset < map.size() && segment::check_record(map.data() + offset, offset, map.size() - offset,
                                                                  segment::record_seed(found.seed, offset), why);
  CAIRN_TRY_VOID(map.status());
  if (!sound) return corruption(why, map.name(), offset);
  found.seed = 0;
  return {};
}

namespace {

constexpr std::size_t kRetiredMost = 4096;
constexpr std::size_t kAskedAhead = 64;
constexpr std::uint64_t kPageBytes = 4096;

// A word: list or not, tag, number of the fork, place; of a list its address instead of the last two.
constexpr std::uint64_t kIsList = std::uint64_t{1} << 63;
constexpr unsigned kNumberBits = 9;
constexpr unsigned kNumberShift = Place::kBits;
constexpr unsigned kTagShift = kNumberShift + kNumberBits;
constexpr unsigned kTagBits = 63 - kTagShift;
constexpr std::uint64_t kTagMask = ((std::uint64_t{1} << kTagBits) - 1) << kTagShift;
static_assert(kTagBits == 5);
constexpr std::uint64_t kPlaceMask = (std::uint64_t{1} << Place::kBits) - 1;

bool is_list(std::uint64_t word) { return (word & kIsList) != 0; }
std::uint64_t number_in(std::uint64_t word) { return (word & ~kIsList & ~kTagMask) >> kNumberShift; }
Place place_in(std::uint64_t word) { return Place::of(word & kPlaceMask); }
std::uint64_t word_with(std::uint64_t tag, std::uint64_t number, Place place) {
  return tag | number << kNumberShift | place.word();
}

}  // namespace

struct VersionIndex::List {
  std::uint64_t count;
  Placed versions[1];  // And more: count.

  static std::uint64_t bytes(std::uint64_t count) { return offsetof(List, versions) + count * sizeof(Placed); }
  static const List& in(std::uint64_t word) { return *std::bit_cast<const List*>(word & kPlaceMask); }
};

/// Of the versions of an account.
struct VersionIndex::Change {
  std::span<const Placed> before;
  std::vector<Placed> after;
  std::vector<Place>& stale;
  bool first = false;
};

Result<std::unique_ptr<VersionIndex>> VersionIndex::create(const SegmentTable& segments, Hash128 hash_key, unsigned hash_bits) {
  CAIRN_TRY(index, AccountIndex::create());
  return std::unique_ptr<VersionIndex>(new VersionIndex(segments, hash_key, hash_bits, std::move(index)));
}

VersionIndex::VersionIndex(const SegmentTable& segments, Hash128 hash_key, unsigned hash_bits,
                           std::unique_ptr<AccountIndex> index)
    : segments_(segments), hash_key_(hash_key), hash_mask_(~std::uint64_t{0} << (64 - hash_bits)), index_(std::move(index)) {
  static_assert(kForks == std::size_t{1} << kNumberBits);
  for (std::uint64_t number = kForks - 1; number != 0; --number) free_numbers_.push_back(number);
}

VersionIndex::~VersionIndex() {
  std::vector<AccountIndex::Entry> entries;
  for (std::size_t number = 0; number < kParts; ++number) {
    index_->copy_region(number, entries);
    for (const AccountIndex::Entry& entry : entries) retire(entry.word);
  }
  for (const List* const list : retired_) ::operator delete(const_cast<List*>(list));  // NOLINT: nobody reads it.
}

VersionIndex::Key VersionIndex::key_of(Hash128 hash) const {
  const std::uint64_t tag = hash.high >> (64 - kTagBits) << kTagShift;
  if (hash_mask_ != ~std::uint64_t{0}) hash = {.low = hash.low & hash_mask_, .high = 0};
  return {.hash = AccountIndex::Hash::of(hash), .tag = tag};
}

/// Which of the accounts of a hash has the tag; -1: none.
int VersionIndex::slot_of(const AccountIndex::Locked& locked, std::uint64_t tag) {
  for (int nth = 0;; ++nth) {
    const std::uint64_t word = locked.get(static_cast<unsigned>(nth));
    if (word == 0) return -1;
    if ((word & kTagMask) == tag) return nth;
    CAIRN_REACHED("accounts told apart by their tags");
  }
}

/// The number that words have for a fork; kForks: it gets none.
std::uint64_t VersionIndex::number_of(std::uint64_t fork, std::uint64_t root) {
  if (fork <= root) return 0;
  const MutexLock lock(forks_mutex_);
  const auto found = numbers_.find(fork);
  if (found != numbers_.end()) return found->second;
  if (free_numbers_.empty()) return kForks;
  const std::uint64_t number = free_numbers_.back();
  free_numbers_.pop_back();
  numbers_.emplace(fork, number);
  forks_[number].store(fork, std::memory_order_release);
  return number;
}

void VersionIndex::forget(std::uint64_t fork) {
  wait_for_readers();
  const MutexLock lock(forks_mutex_);
  const auto found = numbers_.find(fork);
  if (found == numbers_.end()) return;
  free_numbers_.push_back(found->second);
  numbers_.erase(found);
}

/// `alone` has room for the one there is where there is no list. What is not above the root has fork 0 there.
std::span<const VersionIndex::Placed> VersionIndex::versions_of(std::uint64_t word, Placed& alone) const {
  if (is_list(word)) return {List::in(word).versions, List::in(word).count};
  alone = {.fork = forks_[number_in(word)].load(std::memory_order_acquire), .place = place_in(word)};
  return {&alone, 1};
}

std::uint64_t VersionIndex::word_of(std::span<const Placed> versions, std::uint64_t root, std::uint64_t tag) {
  if (versions.size() == 1) {
    const std::uint64_t number = number_of(versions[0].fork, root);
    if (number != kForks) return word_with(tag, number, versions[0].place);
    CAIRN_REACHED("version of a fork without a number");
  }
  const std::uint64_t bytes = List::bytes(versions.size());
  auto* const list = static_cast<List*>(::operator new(bytes));
  list->count = versions.size();
  std::ranges::copy(versions, list->versions);
  list_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return kIsList | tag | std::bit_cast<std::uint64_t>(list);
}

/// What was a word of the index is none any more.
void VersionIndex::retire(std::uint64_t word) {
  if (!is_list(word)) return;
  list_bytes_.fetch_sub(List::bytes(List::in(word).count), std::memory_order_relaxed);
  std::vector<const List*> old;
  {
    const MutexLock lock(retired_mutex_);
    retired_.push_back(&List::in(word));
    if (retired_.size() < kRetiredMost) return;
    old.swap(retired_);
  }
  readers_.wait_until_left();
  for (const List* const each : old) ::operator delete(const_cast<List*>(each));  // NOLINT: nobody reads it.
}

Result<void> VersionIndex::store(std::uint64_t fork, std::uint64_t root, std::span<const Stored> versions, Outcome& outcome,
                                 Order order) {
  for (std::size_t i = 0; i < versions.size(); i += kBatch) {
    CAIRN_TRY_VOID(store_some(fork, root, versions.subspan(i, std::min(kBatch, versions.size() - i)), outcome, order));
  }
  return {};
}

Result<void> VersionIndex::store_some(std::uint64_t fork, std::uint64_t root, std::span<const Stored> versions, Outcome& outcome,
                                      Order order) {
  std::array<Hash128, kBatch> hashes;
  std::array<Key, kBatch> keys;
  std::array<std::uint64_t, kBatch> replaced{};
  for (std::size_t i = 0; i < versions.size(); ++i) {
    hashes[i] = hash_of(versions[i].key);
    keys[i] = key_of(hashes[i]);
    index_->prefetch(keys[i].hash);
  }
  const std::uint64_t number = number_of(fork, root);
  const auto store_one = [&](const Stored& stored, const Hash128& hash, const Key& key, std::uint64_t& old) -> Result<void> {
    const Placed placed{.fork = fork, .place = stored.place};
    AccountIndex::Locked locked(*index_, key.hash);
    const int slot = slot_of(locked, key.tag);
    if (slot < 0) {
      if (fork > root) outcome.touched.push_back(hash);
      const std::uint64_t fresh =
          number != kForks ? word_with(key.tag, number, stored.place) : word_of({&placed, 1}, root, key.tag);
      if (locked.insert(fresh)) return {};
      old = fresh;
      return fail(ErrorCode::kNoSpace, "an index of accounts has no room for more; " + std::to_string(accounts()) + " are there");
    }
    const auto nth = static_cast<unsigned>(slot);
    const std::uint64_t word = locked.get(nth);
    if (!is_list(word) && number_in(word) == number && order == Order::kAscending) {
      outcome.stale.push_back(place_in(word));
      locked.set(nth, word_with(key.tag, number, stored.place));
      return {};
    }
    Placed alone{};
    Change change{.before = versions_of(word, alone), .after = {}, .stale = outcome.stale};
    if (order == Order::kAscending) {
      put_in(placed, root, change);
    } else {
      CAIRN_TRY_VOID(put_in_any_order(placed, root, change));
    }
    if (change.first) outcome.touched.push_back(hash);
    if (change.after.empty()) return {};
    locked.set(nth, word_of(change.after, root, key.tag));
    old = word;
    return {};
  };
  Result<void> done;
  for (std::size_t i = 0; i < versions.size() && done; ++i) done = store_one(versions[i], hashes[i], keys[i], replaced[i]);
  for (std::size_t i = 0; i < versions.size(); ++i) retire(replaced[i]);
  return done;
}

/// A version that is newer than those of its fork and, if that is not above the root, than all that are not.
void VersionIndex::put_in(const Placed& placed, std::uint64_t root, Change& change) const {
  const bool of_root = placed.fork <= root;
  change.first = !of_root;
  bool put = false;
  for (const Placed& each : change.before) {
    if (!put && each.fork <= placed.fork) change.after.push_back(placed);
    put = put || each.fork <= placed.fork;
    if (each.fork == placed.fork || (of_root && each.fork <= root)) {
      change.stale.push_back(each.place);
      change.first = false;
    } else {
      change.after.push_back(each);
    }
  }
  if (!put) change.after.push_back(placed);
}

/// The same of one that may be older. None are left in `after` if nothing changes.
Result<void> VersionIndex::put_in_any_order(const Placed& placed, std::uint64_t root, Change& change) const {
  const auto version_of = [](const char* at) { return load<std::uint64_t>(at + offsetof(segment::RecordHeader, write_version)); };
  const char* const at = segments_.at(placed.place);
  for (const Placed& each : change.before) {
    if (each.fork != placed.fork && !(each.fork <= root && placed.fork <= root)) continue;
    const char* const other = segments_.at(each.place);
    Found stored{.place = each.place, .file = segments_.hold(each.place), .seed = segments_.seed(each.place)};
    CAIRN_TRY_VOID(verify(stored));
    const bool older = version_of(at) < version_of(other);
    CAIRN_TRY_VOID(segments_.hold(each.place)->map()->status());
    if (!older) continue;
    change.stale.push_back(placed.place);
    return {};
  }
  put_in(placed, root, change);
  return {};
}

Result<void> VersionIndex::find(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const {
  for (std::size_t i = 0; i < keys.size(); i += kBatch) {
    const std::size_t count = std::min(kBatch, keys.size() - i);
    CAIRN_TRY_VOID(find_some(path, keys.subspan(i, count), found.subspan(i, count)));
  }
  return {};
}

/// Pages that have to come from the device are asked for all at once: those where records begin, then those that they go on to.
void VersionIndex::ask_for(std::span<const Found> found) {
  for (const Found& each : found) {
    if (each.file && found.size() > 1) each.file->map()->will_read(each.place.offset(), each.place.offset() + 1);
  }
  for (const Found& each : found) {
    if (!each.file) continue;
    const storage::MappedFile& map = *each.file->map();
    const std::uint64_t offset = each.place.offset();
    if (offset + segment::kRecordHeaderBytes > map.size()) continue;  // Nothing of it is verified yet.
    const auto header = load<segment::RecordHeader>(map.data() + offset);
    const std::uint64_t end = offset + segment::record_bytes(header.key_size, header.value_size, header.flags);
    if (offset / kPageBytes != (end - 1) / kPageBytes) map.will_read(offset, end);
  }
}

Result<void> VersionIndex::find_some(const ForkTree::Path& path, std::span<const ByteView> keys, std::span<Found> found) const {
  std::array<Key, kBatch> hashes;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    hashes[i] = key_of(keys[i]);
    if (keys.size() > 1) index_->prefetch(hashes[i].hash);
  }
  {
    // Nothing that is mapped is looked at in here: whoever replaces something waits for those inside.
    const auto inside = readers_.enter();
    for (std::size_t i = 0; i < keys.size(); ++i) {
      found[i] = {};
      const std::uint64_t word = word_of(hashes[i]);
      if (word == 0) continue;
      Placed alone{};
      const std::span<const Placed> versions = versions_of(word, alone);
      const auto at = std::ranges::find_if(versions, [&](const Placed& version) { return path.sees(version.fork); });
      if (at == versions.end()) continue;
      found[i] = {.place = at->place, .file = segments_.hold(at->place), .seed = segments_.seed(at->place)};
      const char* const record = found[i].file->map()->data() + at->place.offset();
      __builtin_prefetch(record);
      __builtin_prefetch(record + segment::kRecordHeaderBytes + kRecordKeyBytes);
    }
  }
  if (storage::memory_is_short()) ask_for(found);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!found[i].file) continue;
    const storage::MappedFile& map = *found[i].file->map();
    CAIRN_TRY_VOID(verify(found[i]));
    if (account_of(map.data() + found[i].place.offset()) == keys[i]) continue;
    CAIRN_TRY_VOID(map.status());
    return corruption("the record of another account, whose hash is the same, or the index is damaged", map.name(),
                      found[i].place.offset());
  }
  return {};
}

/// Calls edit(before, after) with the versions of an account, if it is there; those that it leaves in `after` are its versions
/// then. Whether it says that anything changes.
template <typename Edit>
bool VersionIndex::edit(const Key& key, std::uint64_t root, Edit edit) {
  std::uint64_t word = 0;
  {
    AccountIndex::Locked locked(*index_, key.hash);
    const int slot = slot_of(locked, key.tag);
    if (slot < 0) return false;
    const auto nth = static_cast<unsigned>(slot);
    word = locked.get(nth);
    Placed alone{};
    std::vector<Placed> after;
    if (!edit(versions_of(word, alone), after)) return false;
    if (after.empty()) {
      locked.erase(nth);
    } else {
      locked.set(nth, word_of(after, root, key.tag));
    }
  }
  retire(word);
  return true;
}

void VersionIndex::prune(std::span<const Hash128> accounts, std::span<const std::uint64_t> gone, std::uint64_t root,
                         std::vector<Place>& stale) {
  const auto sort_out = [&](std::span<const Placed> before, std::vector<Placed>& after) {
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
    return after.size() <= 1 || after.size() != before.size();
  };
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    if (i % kBatch == 0) {
      const std::size_t end = std::min(i + kBatch, accounts.size());
      for (std::size_t ahead = i; ahead < end; ++ahead) index_->prefetch(key_of(accounts[ahead]).hash);
    }
    edit(key_of(accounts[i]), root, sort_out);
  }
}

bool VersionIndex::move(const Hash128& account, Place from, Place to) {
  const Key hash = key_of(account);
  {
    AccountIndex::Locked locked(*index_, hash.hash);
    const int slot = slot_of(locked, hash.tag);
    if (slot < 0) return false;
    const auto nth = static_cast<unsigned>(slot);
    const std::uint64_t word = locked.get(nth);
    if (!is_list(word)) {
      if (place_in(word) != from) return false;
      locked.set(nth, word_with(hash.tag, number_in(word), to));
      return true;
    }
  }
  return edit(hash, 0, [&](std::span<const Placed> before, std::vector<Placed>& after) {
    after.assign(before.begin(), before.end());
    const auto at = std::ranges::find(after, from, &Placed::place);
    if (at == after.end()) return false;
    at->place = to;
    return true;
  });
}

void VersionIndex::drop(const Hash128& account, Place place) {
  edit(key_of(account), 0, [&](std::span<const Placed> before, std::vector<Placed>& after) {
    for (const Placed& version : before) {
      if (version.place != place) after.push_back(version);
    }
    return after.size() != before.size();
  });
}

/// Of the account, or 0.
std::uint64_t VersionIndex::word_of(const Key& key) const {
  std::uint64_t word = index_->find(key.hash);
  for (unsigned nth = 1; word != 0 && (word & kTagMask) != key.tag; ++nth) word = index_->find(key.hash, nth);
  return word;
}

bool VersionIndex::refers(const Hash128& account, Place place) const {
  const auto inside = readers_.enter();
  const std::uint64_t word = word_of(key_of(account));
  if (word == 0) return false;
  Placed alone{};
  const std::span<const Placed> versions = versions_of(word, alone);
  return std::ranges::find(versions, place, &Placed::place) != versions.end();
}

void VersionIndex::add_versions(std::uint64_t word, std::vector<Version>& versions) const {
  Placed alone{};
  for (const Placed& each : versions_of(word, alone)) {
    versions.push_back(
        {.fork = each.fork, .at = {.place = each.place, .file = segments_.hold(each.place), .seed = segments_.seed(each.place)}});
  }
}

/// Those of one account end at each of `ends`.
Result<void> VersionIndex::visit_each(std::span<Version> versions, std::span<const std::size_t> ends, const Visitor& visit) {
  std::size_t begin = 0;
  std::size_t asked = 0;
  for (const std::size_t end : ends) {
    for (; storage::memory_is_short() && asked < std::min(begin + kAskedAhead, versions.size()); ++asked) {
      const Found& next = versions[asked].at;
      next.file->map()->will_read(next.place.offset(), next.place.offset() + 1);
    }
    const std::span<Version> these = versions.subspan(begin, end - begin);
    for (Version& version : these) {
      const storage::MappedFile& map = *version.at.file->map();
      CAIRN_TRY_VOID(verify(version.at));
      if (version.fork == 0) version.fork = fork_of(map.data() + version.at.place.offset());
      CAIRN_TRY_VOID(map.status());
    }
    CAIRN_TRY_VOID(visit(these));
    begin = end;
  }
  return {};
}

Place VersionIndex::place_of(const AccountIndex::Entry& entry) { return place_in(entry.word); }

AccountIndex::Entry VersionIndex::with_place(const AccountIndex::Entry& entry, Place place) {
  return {.hash = entry.hash, .word = word_with(entry.word & kTagMask, 0, place)};
}

void VersionIndex::copy_part(std::size_t number, Plain& plain, std::vector<Place>& others) const {
  const auto inside = readers_.enter();
  index_->copy_region(number, plain);
  std::erase_if(plain, [&](const AccountIndex::Entry& entry) {
    if (!is_list(entry.word) && number_in(entry.word) == 0) return false;
    Placed alone{};
    for (const Placed& version : versions_of(entry.word, alone)) others.push_back(version.place);
    return true;
  });
}

Result<void> VersionIndex::visit(std::size_t number, const Visitor& visit) const {
  std::vector<AccountIndex::Entry> entries;
  std::vector<Version> versions;
  std::vector<std::size_t> ends;
  {
    const auto inside = readers_.enter();
    index_->copy_region(number, entries);
    for (const AccountIndex::Entry& entry : entries) {
      add_versions(entry.word, versions);
      ends.push_back(versions.size());
    }
  }
  return visit_each(versions, ends, visit);
}

Result<void> VersionIndex::visit(std::span<const Hash128> accounts, const Visitor& visit) const {
  for (std::size_t i = 0; i < accounts.size(); i += kBatch) {
    const std::span<const Hash128> some = accounts.subspan(i, std::min(kBatch, accounts.size() - i));
    for (const Hash128& hash : some) index_->prefetch(key_of(hash).hash);
    std::vector<Version> versions;
    std::vector<std::size_t> ends;
    {
      const auto inside = readers_.enter();
      for (const Hash128& hash : some) {
        const std::uint64_t word = word_of(key_of(hash));
        if (word == 0) continue;
        add_versions(word, versions);
        ends.push_back(versions.size());
      }
    }
    CAIRN_TRY_VOID(visit_each(versions, ends, visit));
  }
  return {};
}

}  // namespace cairn::forks
