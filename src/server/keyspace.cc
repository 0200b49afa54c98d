#include "server/keyspace.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace cairn::server {
namespace {

constexpr std::size_t kSearchedOneByOne = 16;

SaveOptions options_of(Durability durability) {
  SaveOptions options;
  options.durability = durability;
  options.keep_empty = true;
  return options;
}

}  // namespace

Result<void> Keyspace::check_key(ByteView key) {
  if (!key.empty() && key.size() <= kKeyBytesMax) return {};
  return fail(ErrorCode::kInvalidArgument, "a key has 1 to " + std::to_string(kKeyBytesMax) + " bytes");
}

Time Keyspace::now() { return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now()); }

const Keyspace::Staged* Keyspace::staged(ByteView key) const {
  if (staged_.size() <= kSearchedOneByOne) {
    const auto found = std::ranges::find(staged_, key, &Staged::key);
    return found == staged_.end() ? nullptr : &*found;
  }
  const auto found = places_.find(key);
  return found == places_.end() ? nullptr : &staged_[found->second];
}

Keyspace::Staged& Keyspace::stage(ByteView key) {
  if (const Staged* const found = staged(key)) return const_cast<Staged&>(*found);  // NOLINT: of this object.
  staged_.push_back({.key = key, .data = {}, .kind = Staged::Kind::kPut, .expires = {}});
  if (staged_.size() == kSearchedOneByOne + 1) {
    for (std::size_t i = 0; i < staged_.size(); ++i) places_[staged_[i].key] = i;
  } else if (staged_.size() > kSearchedOneByOne) {
    places_[key] = staged_.size() - 1;
  }
  return staged_.back();
}

Result<std::optional<Pinned>> Keyspace::get(ByteView key) const {
  if (const Staged* const over = staged(key); over != nullptr && over->kind != Staged::Kind::kSetExpiry) {
    if (over->kind == Staged::Kind::kErase || (over->expires && *over->expires <= now())) return std::nullopt;
    if (!over->shown) over->shown = std::make_shared<const Bytes>(over->data);
    return Pinned(*over->shown, over->shown, nullptr);
  } else if (over != nullptr && over->expires && *over->expires <= now()) {
    return std::nullopt;
  }
  Timeline* const timeline = erased_all_ ? nullptr : this->timeline();
  if (timeline == nullptr || key.empty()) {
    ++lookups_.misses;
    return std::nullopt;
  }
  Result<std::optional<Pinned>> value = timeline->get(key, sees_);
  if (value) ++(*value ? lookups_.hits : lookups_.misses);
  if (sees_ == Sees::kApplied && value && *value) read_.push_back(**value);
  return value;
}

Result<std::vector<std::optional<Pinned>>> Keyspace::get_all(std::span<const ByteView> keys) const {
  Timeline* const timeline = this->timeline();
  std::vector<std::optional<Pinned>> values;
  const bool at_once = timeline != nullptr && staged_.empty() && !erased_all_ && std::ranges::none_of(keys, &ByteView::empty);
  if (!at_once) {
    for (const ByteView key : keys) {
      CAIRN_TRY(value, get(key));
      values.push_back(std::move(value));
    }
    return values;
  }
  CAIRN_TRY(found, timeline->multi_get(keys, sees_));
  for (const std::optional<Pinned>& value : found) {
    ++(value ? lookups_.hits : lookups_.misses);
    if (sees_ == Sees::kApplied && value) read_.push_back(*value);
  }
  return found;
}

void Keyspace::done_reading() {
  for (const Pinned& value : read_) {
    const Result<void> status = value.status();
    if (!status && !bad_) bad_ = status.error();
  }
  read_.clear();
}

Result<bool> Keyspace::contains(ByteView key) const {
  CAIRN_TRY(found, find(key));
  return found.has_value();
}

Result<std::optional<Keyspace::Found>> Keyspace::find(ByteView key) const {
  if (const Staged* const over = staged(key)) {
    if (over->kind == Staged::Kind::kErase || (over->expires && *over->expires <= now())) return std::nullopt;
    return Found{.expires = over->expires, .saved = {}};
  }
  Timeline* const timeline = erased_all_ ? nullptr : this->timeline();
  if (timeline == nullptr || key.empty()) return std::nullopt;
  CAIRN_TRY(info, timeline->info(key, sees_));
  if (!info) return std::nullopt;
  return Found{.expires = info->expires, .saved = info->stamp.time()};
}

Result<Stamp> Keyspace::changed(ByteView key) const {
  Timeline* const timeline = this->timeline();
  if (timeline == nullptr || key.empty()) return Stamp{};
  return timeline->changed(key, sees_);
}

Result<void> Keyspace::put(ByteView key, ByteView data, Expires expires) {
  CAIRN_TRY_VOID(check_key(key));
  Staged& save = stage(key);
  save.data = data;
  save.shown.reset();
  save.kind = Staged::Kind::kPut;
  save.expires = expires;
  return {};
}

Result<void> Keyspace::put_computed(ByteView key, Bytes data, Expires expires) {
  CAIRN_TRY_VOID(check_key(key));
  // Of a key that is staged again the bytes before are not needed any more.
  const Staged* const before = staged(key);
  Bytes* into = before == nullptr ? nullptr : before->computed;
  if (into == nullptr) into = computed_.emplace_back(std::make_unique<Bytes>()).get();
  computed_bytes_ += data.size();
  computed_bytes_ -= into->size();
  if (computed_bytes_ > kValueBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "what a transaction computes takes more than 1 GiB");
  }
  *into = std::move(data);
  CAIRN_TRY_VOID(put(key, *into, expires));
  stage(key).computed = into;
  return {};
}

Result<void> Keyspace::erase(ByteView key) {
  CAIRN_TRY_VOID(check_key(key));
  Staged& save = stage(key);
  save.data = {};
  save.kind = Staged::Kind::kErase;
  save.expires.reset();
  return {};
}

Result<void> Keyspace::set_expiry(ByteView key, Expires expires) {
  CAIRN_TRY_VOID(check_key(key));
  const bool is_staged = staged(key) != nullptr;
  Staged& save = stage(key);
  if (!is_staged) save.kind = Staged::Kind::kSetExpiry;
  save.expires = expires;
  return {};
}

void Keyspace::erase_all() {
  discard();
  erased_all_ = true;
}

std::vector<ByteView> Keyspace::staged_keys(ByteView prefix, ByteView from) const {
  std::vector<ByteView> keys;
  for (const Staged& save : staged_) {
    const bool there = save.kind == Staged::Kind::kPut && !(save.expires && *save.expires <= now());
    if (there && save.key.starts_with(prefix) && save.key >= from) keys.push_back(save.key);
  }
  std::ranges::sort(keys);
  return keys;
}

Result<std::optional<Bytes>> Keyspace::random_key(std::uint64_t random) const {
  if (!staged_.empty() || erased_all_) {
    // Within a transaction that has changed something; rarely asked for.
    std::optional<Bytes> found;
    CAIRN_TRY_VOID(for_each({}, {}, [&](ByteView key) {
      found = Bytes(key);
      return false;
    }));
    return found;
  }
  Timeline* const timeline = this->timeline();
  if (timeline == nullptr) return std::nullopt;
  return timeline->random_key(random, sees_);
}

Result<std::uint64_t> Keyspace::count() const {
  Timeline* const timeline = this->timeline();
  std::uint64_t count = 0;
  if (timeline != nullptr && !erased_all_) {
    CAIRN_TRY(counts, timeline->key_counts());
    count = counts.keys;
  }
  for (const Staged& save : staged_) {
    if (timeline != nullptr && !erased_all_) {
      CAIRN_TRY(before, timeline->info(save.key, sees_));
      count -= before && count != 0 ? 1 : 0;
    }
    CAIRN_TRY(there, contains(save.key));
    count += there ? 1 : 0;
  }
  return count;
}

Result<std::optional<Applied>> Keyspace::commit(Durability durability) {
  if (staged_.empty() && !erased_all_) return std::nullopt;
  done_reading();
  if (bad_) return std::unexpected(*bad_);
  CAIRN_TRY(timeline, databases_.get(timeline_));
  const SaveOptions options = options_of(durability);
  Result<Applied> applied = Applied{};
  if (staged_.size() == 1 && staged_[0].kind == Staged::Kind::kPut && !erased_all_) {
    applied = timeline->apply_put(staged_[0].key, staged_[0].data, staged_[0].expires, options);
  } else {
    Saves saves;
    if (erased_all_) saves.erase_all();
    for (const Staged& save : staged_) {
      switch (save.kind) {
        case Staged::Kind::kPut: saves.put(save.key, save.data, save.expires); break;
        case Staged::Kind::kErase: saves.erase(save.key); break;
        case Staged::Kind::kSetExpiry: saves.set_expiry(save.key, save.expires); break;
      }
    }
    applied = timeline->apply(saves, options);
  }
  discard();
  // What should get another expiry has expired in between.
  if (!applied && applied.error().code == ErrorCode::kNotFound) return std::nullopt;
  CAIRN_TRY_VOID(applied);
  return *applied;
}

Result<Applied> Keyspace::put_each(std::span<const Timeline::Put> puts, Durability durability) {
  CAIRN_TRY(timeline, databases_.get(timeline_));
  return timeline->apply_each(puts, options_of(durability));
}

void Keyspace::discard() {
  staged_.clear();
  places_.clear();
  computed_.clear();
  computed_bytes_ = 0;
  erased_all_ = false;
}

}  // namespace cairn::server
