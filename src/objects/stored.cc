// What the Saver asks of a Model: loading, the dirty list, and what a stored deletion takes out of the containers.
#include "base/error.h"
#include "objects/model_core.h"

namespace cairn::objects {

void ModelCore::load(std::uint8_t number, PersistentObject* object) {
  ClassState& of = state(number);
  const CommitLock lock(*this);
  ObjectAccess::use(*object);
  of.main->insert(*object);
  of.live.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < of.indexes.size(); ++i) {
    if (!is_in(of.info->indexes[i], *object)) continue;
    of.indexes[i].hash != nullptr ? of.indexes[i].hash->insert(*object) : of.indexes[i].tree->insert(*object);
  }
  if (retired_.is_due()) collection_is_due_.store(true, std::memory_order_relaxed);
}

DirtyList ModelCore::take_dirty() {
  const CommitLock lock(*this);
  return journal_->take(last_change());
}

void ModelCore::confirm(const DirtyList& taken) {
  {
    const CommitLock lock(*this);
    std::vector<const PersistentObject*> deleted[kClassesMax];
    for (const Dirty& dirty : taken.entries) {
      if (dirty.object->is_deleted()) deleted[dirty.number].push_back(dirty.object);
    }
    for (const auto& of : classes_) {
      if (of != nullptr) take_out(*of, deleted[of->info->id.number]);
    }
    if (retired_.is_due()) collection_is_due_.store(true, std::memory_order_relaxed);
  }
  free_unreachable();
  for (const Dirty& dirty : taken.entries) drop(dirty);
}

void ModelCore::put_back(const DirtyList& taken) {
  std::vector<Dirty> replaced;
  {
    const CommitLock lock(*this);
    for (const Dirty& dirty : taken.entries) {
      const DbId id = dirty.object->db_id();
      const PersistentObject* const now =
          state(dirty.number).main->find(IdKey::hash_of(id), [id](const PersistentObject& object) {
            return object.db_id() == id;
          });
      if (now != dirty.object) {
        replaced.push_back(dirty);  // A later version is in the list.
        continue;
      }
      Dirty again = dirty;
      again.is_new = false;  // The store may have it.
      journal_->put_back(again, taken.since_ms);
    }
  }
  for (const Dirty& dirty : replaced) drop(dirty);
}

void ModelCore::drop(const Dirty& dirty) {
  journal_->forget(dirty);
  state(dirty.number).info->release(const_cast<PersistentObject*>(dirty.object));
}

/// An id is given once, also if its transaction is refused or runs again.
Result<DbId> ModelCore::next_id(ClassState& of) {
  DbId last = of.last_id.load(std::memory_order_relaxed);
  const DbId ceiling = of.id_ceiling.load(std::memory_order_relaxed);
  do {
    if (last < ceiling) continue;
    if (journal_ != nullptr) {
      journal_->want_wake();
      journal_->wake_if_wanted();
    }
    return fail(ErrorCode::kUnavailable,
                std::string("no id of ") + of.info->id.name + " is left until the store has reserved more; try again later");
  } while (!of.last_id.compare_exchange_weak(last, last + 1, std::memory_order_relaxed));
  if (journal_ != nullptr && ceiling - last == of.ids_low) journal_->want_wake();
  return last + 1;
}

std::vector<std::string> ModelCore::check() {
  std::vector<std::string> found;
  const CommitLock lock(*this);
  for (const auto& of : classes_) {
    if (of == nullptr) continue;
    of->main->for_each([&](const PersistentObject& object) {
      if (object.is_deleted()) return;
      for (std::size_t i = 0; i < of->indexes.size(); ++i) {
        const IndexInfo& info = of->info->indexes[i];
        if (!info.unique || !is_in(info, object)) continue;
        const PersistentObject* const other = equal_to(of->indexes[i], *info.key, object, [&](const PersistentObject& each) {
          return !each.is_deleted() && each.db_id() < object.db_id();
        });
        if (other == nullptr) continue;
        found.push_back(name_of(*of->info, object.db_id()) + " has the key of " + name_of(*of->info, other->db_id()) +
                        " in the index '" + info.name + "'");
      }
      for (const ReferenceInfo& reference : of->info->references) {
        const DbId id = reference.get(object);
        if (id == kUnsaved || find_by_id(state(reference.target), id) != nullptr) continue;
        found.push_back(name_of(*of->info, object.db_id()) + ": '" + reference.name + "' refers to " +
                        name_of(*state(reference.target).info, id) + ", which does not exist");
      }
    });
  }
  return found;
}

}  // namespace cairn::objects
