// A commit: what is checked, in memory and under the lock, before anything is published. Invariant: a transaction that is refused
// or must run again has changed nothing that a reader sees.
#include <algorithm>
#include <bitset>

#include "base/error.h"
#include "objects/model_core.h"

namespace cairn::objects {
Result<ModelCore::Committed> ModelCore::commit(Transaction& transaction, Change& change) {
  const CommitLock lock(*this);
  if (!is_still_so(transaction)) return Committed::kAgain;
  CAIRN_TRY_VOID(follow_deletions(transaction));
  CAIRN_TRY_VOID(check_references(transaction));
  CAIRN_TRY_VOID(check_unique(transaction));
  if (journal_ != nullptr) {
    for (Pending& pending : transaction.state_->pendings) count_bytes(pending);  // Of those that cascades have added.
    CAIRN_TRY_VOID(journal_->admit(transaction.state_->pendings));
  }
  change = {last_change_.load(std::memory_order_relaxed) + 1};
  publish(transaction, change);
  return Committed::kYes;
}

/// What the transaction changes and what it has read are what they were. The pin of the transaction keeps an address from being
/// used for another object meanwhile.
bool ModelCore::is_still_so(const Transaction& transaction) {
  const bool unchanged = std::ranges::all_of(transaction.state_->pendings, [&](const Pending& pending) {
    return pending.before == nullptr || find_by_id(state(pending.number), pending.before->db_id()) == pending.before;
  });
  return unchanged && std::ranges::all_of(transaction.state_->reads, [](const auto& read) { return read(); });
}

/// Adds to the transaction what the deletions in it delete or clear, and then refuses those that leave a reference.
Result<void> ModelCore::follow_deletions(Transaction& transaction) {
  const Pendings& pendings = transaction.state_->pendings;
  std::vector<std::size_t> deletions;
  std::vector<std::size_t> cleared;
  for (std::size_t i = 0; i < pendings.size(); ++i) {
    if (pendings[i].deletes() && pendings[i].before != nullptr) deletions.push_back(i);
  }
  for (const bool refuses : {false, true}) {
    for (std::size_t i = 0; i < deletions.size(); ++i) {  // It grows.
      const std::uint8_t number = pendings[deletions[i]].number;
      const DbId id = pendings[deletions[i]].after->db_id();
      for (const Referrer& referrer : referrers_[number]) {
        if ((referrer.reference->on_delete == OnDelete::kRefuse) != refuses) continue;
        CAIRN_TRY_VOID(follow_deletion(transaction, referrer, state(number).info->id, id, deletions, cleared));
      }
    }
  }
  for (const std::size_t i : cleared) {
    if (!pendings[i].deletes()) CAIRN_TRY_VOID(state(pendings[i].number).info->check(*pendings[i].after));
  }
  return {};
}

Result<void> ModelCore::follow_deletion(Transaction& transaction, const Referrer& referrer, const ModelClass& parent, DbId id,
                                        std::vector<std::size_t>& deletions, std::vector<std::size_t>& cleared) {
  const ClassState& of = state(referrer.number);
  const ReferenceInfo& reference = *referrer.reference;
  const Pendings& pendings = transaction.state_->pendings;
  PointerTree::Cursor cursor =
      of.indexes[reference.index].tree->seek(static_cast<std::uint64_t>(id) ^ (std::uint64_t{1} << 63),
                                             [&](const PersistentObject& object) { return reference.get(object) < id; });
  for (const PersistentObject* child = cursor.next(); child != nullptr && reference.get(*child) == id; child = cursor.next()) {
    Pending* pending = transaction.state_->pending_of(referrer.number, child->db_id());
    if (pending != nullptr && (pending->deletes() || reference.get(*pending->after) != id)) continue;
    if (reference.on_delete == OnDelete::kRefuse) {
      return fail(ErrorCode::kConflict, name_of(*of.info, child->db_id()) + " refers to " + parent.name + " " +
                                            std::to_string(id) + " by '" + reference.name + "': it cannot be deleted");
    }
    if (pending == nullptr) pending = &transaction.state_->add(referrer.number, child, of.info->copy(*child));
    const auto place = static_cast<std::size_t>(pending - pendings.data());
    if (reference.on_delete == OnDelete::kCascade) {
      transaction.state_->set_deleted(*pending);
      deletions.push_back(place);
    } else {
      reference.clear(*pending->after);
      cleared.push_back(place);
    }
  }
  return {};
}

Result<void> ModelCore::check_references(const Transaction& transaction) {
  for (const Pending& pending : transaction.state_->pendings) {
    if (pending.deletes()) continue;
    const ClassInfo& info = *state(pending.number).info;
    for (const ReferenceInfo& reference : info.references) {
      const DbId id = reference.get(*pending.after);
      // follow_deletions() has seen to references that are not new.
      if (id == kUnsaved || (pending.before != nullptr && reference.get(*pending.before) == id)) continue;
      const ClassState& target = state(reference.target);
      const Pending* const changed = transaction.state_->pending_of(reference.target, id);
      if (changed != nullptr ? !changed->deletes() : find_by_id(target, id) != nullptr) continue;
      return fail(ErrorCode::kConflict, name_of(info, pending.after->db_id()) + ": '" + reference.name + "' refers to " +
                                            name_of(*target.info, id) + ", which does not exist");
    }
  }
  return {};
}

/// A live object with the key of `object` in an index, other than those that the transaction changes.
const PersistentObject* ModelCore::with_equal_key(const Transaction& transaction, std::uint8_t number, std::size_t index,
                                                  const PersistentObject& object) {
  const ClassState& of = state(number);
  return equal_to(of.indexes[index], *of.info->indexes[index].key, object, [&](const PersistentObject& other) {
    return !other.is_deleted() && transaction.state_->pending_of(number, other.db_id()) == nullptr;
  });
}

Result<void> ModelCore::check_unique(const Transaction& transaction) {
  const Pendings& pendings = transaction.state_->pendings;
  std::bitset<kClassesMax> checked;
  for (const Pending& first : pendings) {
    const std::uint8_t number = first.number;
    if (checked.test(number)) continue;
    checked.set(number);
    const ClassInfo& info = *state(number).info;
    for (std::size_t i = 0; i < info.indexes.size(); ++i) {
      const IndexInfo& index = info.indexes[i];
      if (!index.unique) continue;
      std::vector<const PersistentObject*> wanted;  // Objects with a key that is new for them.
      for (const Pending& pending : pendings) {
        if (pending.number != number || pending.deletes() || !is_in(index, *pending.after)) continue;
        const bool had = pending.before != nullptr && index.key->compare(*pending.before, *pending.after) == 0;
        const PersistentObject* const other = had ? nullptr : with_equal_key(transaction, number, i, *pending.after);
        if (other != nullptr) {
          return fail(ErrorCode::kConflict, name_of(info, pending.after->db_id()) + " has the key of " +
                                                name_of(info, other->db_id()) + " in the index '" + index.name + "'");
        }
        if (pendings.size() > 1) wanted.push_back(pending.after);
      }
      if (wanted.size() < 2) continue;
      std::ranges::sort(wanted, [&](const auto* a, const auto* b) { return index.key->compare(*a, *b) < 0; });
      const auto twice =
          std::ranges::adjacent_find(wanted, [&](const auto* a, const auto* b) { return index.key->compare(*a, *b) == 0; });
      if (twice == wanted.end()) continue;
      return fail(ErrorCode::kConflict, name_of(info, (*twice)->db_id()) + " has the key of " +
                                            name_of(info, (*std::next(twice))->db_id()) + " in the index '" + index.name + "'");
    }
  }
  return {};
}

/// A deletion has no record but its key.
void ModelCore::count_bytes(Pending& pending) {
  if (pending.bytes != 0) return;
  pending.bytes = Journal::kRecordBytes;
  if (pending.deletes()) return;
  Encoder counter;
  state(pending.number).info->encode(*pending.after, counter);
  pending.bytes += counter.size();
}

/// From here on nothing fails: without memory the process ends, since readers may have seen a part of the commit.
void ModelCore::publish(Transaction& transaction, Change change) noexcept {
  Pendings& pendings = transaction.state_->pendings;
  // An object that was made and deleted again was never there.
  std::erase_if(pendings, [&](const Pending& pending) {
    const bool never = pending.before == nullptr && pending.deletes();
    if (never) state(pending.number).info->destroy(*pending.after);
    return never;
  });
  note(pendings, change);
  for (const Pending& pending : pendings) {
    if (journal_ != nullptr) journal_->note(pending, change);
    publish(pending);
  }
  pendings.clear();
  if (retired_.is_due()) collection_is_due_.store(true, std::memory_order_relaxed);
  last_change_.store(change.number, std::memory_order_release);
}

void ModelCore::publish(const Pending& pending) {
  ClassState& of = state(pending.number);
  ObjectAccess::use(*pending.after);  // By the containers.
  if (pending.before == nullptr) {
    of.main->insert(*pending.after);
    of.live.fetch_add(1, std::memory_order_relaxed);
  } else {
    of.main->replace(*pending.before, *pending.after);
  }
  for (std::size_t i = 0; i < of.indexes.size(); ++i) put(of.info->indexes[i], of.indexes[i], pending);
  if (pending.before == nullptr) return;
  if (pending.deletes()) {
    of.live.fetch_sub(1, std::memory_order_relaxed);
    ++of.deleted_count;
    if (journal_ == nullptr) of.deleted.push_back(pending.after);
  }
  retire(of, *pending.before);
}

void ModelCore::put(const IndexInfo& info, IndexState& index, const Pending& pending) {
  const bool was = pending.before != nullptr && is_in(info, *pending.before);
  const bool is = is_in(info, *pending.after);
  if (was && is && info.key->compare(*pending.before, *pending.after) == 0) {
    if (index.hash != nullptr) {
      index.hash->replace(*pending.before, *pending.after);
    } else {
      index.tree->replace(*pending.before, *pending.after, pending.deletes());
    }
    return;
  }
  // The new place first: at no moment is the object in none.
  if (is) index.hash != nullptr ? index.hash->insert(*pending.after) : index.tree->insert(*pending.after);
  if (was) index.hash != nullptr ? index.hash->erase(*pending.before) : index.tree->erase(*pending.before);
}

void ModelCore::retire(const ClassState& of, const PersistentObject& object) {
  retired_.retire(const_cast<PersistentObject*>(&object), of.info->release, of.info->bytes(object));
}

}  // namespace cairn::objects
