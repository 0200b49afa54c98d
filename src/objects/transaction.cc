// A transaction until its commit: copies of what it changes, and what it has read. Invariant: an object is in `pendings` once.
#include <algorithm>

#include "base/error.h"
#include "objects/model_core.h"

namespace cairn {

using objects::ObjectAccess;
using objects::Pending;

Transaction::Transaction(objects::ModelCore& core) : state_(std::make_unique<State>(core)), classes_(core.classes()) {}

Transaction::~Transaction() = default;

Transaction::State::~State() {
  for (const Pending& pending : pendings) core.state(pending.number).info->destroy(*pending.after);
  for (const auto& [number, object] : replaced) core.state(number).info->destroy(*object);
}

Pending& Transaction::State::add(std::uint8_t number, const PersistentObject* before, PersistentObject* after) {
  try {
    return pendings.emplace_back(number, before, after);
  } catch (...) {
    core.state(number).info->destroy(*after);
    throw;
  }
}

void Transaction::State::set_deleted(Pending& pending) {
  if (pending.before != nullptr) {
    const objects::ClassInfo& info = *core.state(pending.number).info;
    replaced.emplace_back(pending.number, nullptr);
    PersistentObject* copy = nullptr;
    try {
      copy = info.copy(*pending.before);
    } catch (...) {
      replaced.pop_back();
      throw;
    }
    replaced.back().second = std::exchange(pending.after, copy);
  }
  ObjectAccess::set_deleted(*pending.after);
}

Pending* Transaction::State::pending_of(std::uint8_t number, DbId id) {
  constexpr std::size_t kWithoutPlaces = 8;
  if (pendings.size() <= kWithoutPlaces) {
    const auto found = std::ranges::find_if(
        pendings, [&](const Pending& pending) { return pending.number == number && pending.after->db_id() == id; });
    return found == pendings.end() ? nullptr : &*found;
  }
  while (places.size() < pendings.size()) {
    const Pending& next = pendings[places.size()];
    places.emplace(std::pair(next.number, next.after->db_id()), places.size());
  }
  const auto found = places.find({number, id});
  return found == places.end() ? nullptr : &pendings[found->second];
}

Result<PersistentObject*> Transaction::edit_object(std::uint8_t number, DbId id) {
  const objects::ClassState& of = state_->core.state(number);
  Pending* const pending = state_->pending_of(number, id);
  if (pending != nullptr && !pending->deletes()) return pending->after;
  const PersistentObject* const before = pending == nullptr ? objects::find_by_id(of, id) : nullptr;
  if (before == nullptr) {
    return fail(ErrorCode::kNotFound, std::string("there is no ") + of.info->id.name + " " + std::to_string(id));
  }
  PersistentObject* const after = of.info->copy(*before);
  state_->add(number, before, after);
  return after;
}

Result<PersistentObject*> Transaction::create_object(std::uint8_t number) {
  objects::ClassState& of = state_->core.state(number);
  CAIRN_TRY(id, state_->core.next_id(of));
  PersistentObject* const made = of.info->make();
  ObjectAccess::set_id(*made, id);
  state_->add(number, nullptr, made);
  return made;
}

Result<void> Transaction::delete_object(std::uint8_t number, DbId id) {
  CAIRN_TRY_VOID(edit_object(number, id));
  state_->set_deleted(*state_->pending_of(number, id));
  return {};
}

const PersistentObject* Transaction::find_object(std::uint8_t number, DbId id) {
  if (const Pending* const pending = state_->pending_of(number, id)) return pending->deletes() ? nullptr : pending->after;
  const objects::ClassState& of = state_->core.state(number);
  const PersistentObject* const found = objects::find_by_id(of, id);
  state_->reads.emplace_back([&of, id, found] { return objects::find_by_id(of, id) == found; });
  return found;
}

std::vector<const PersistentObject*> Transaction::find_objects(std::uint8_t number, std::size_t index, const Matches& matches,
                                                               const LookUp& look_up) {
  const objects::ClassState& of = state_->core.state(number);
  const objects::IndexInfo& info = of.info->indexes[index];
  std::vector<const PersistentObject*> found = look_up(of);
  state_->reads.emplace_back([&of, look_up, found] { return look_up(of) == found; });
  bool added = false;
  for (const Pending& pending : state_->pendings) {
    if (pending.number != number) continue;
    if (pending.before != nullptr) std::erase(found, pending.before);
    const bool is_in = !info.unique || !info.key->has_empty(*pending.after);
    if (pending.deletes() || !is_in || !matches(*pending.after)) continue;
    found.push_back(pending.after);
    added = true;
  }
  if (added) {
    std::ranges::sort(found, [&](const PersistentObject* a, const PersistentObject* b) {
      const int order = info.key->compare(*a, *b);
      return order != 0 ? order < 0 : a->db_id() < b->db_id();
    });
  }
  return found;
}

}  // namespace cairn
