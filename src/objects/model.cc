// A Model: its classes, the way of a change, and what looks at all objects.
#include "cairn/model.h"

#include "base/error.h"
#include "objects/model_core.h"

namespace cairn {
namespace objects {
namespace {

constexpr int kRepeatsMax = 100;

// What this thread is in the middle of.
thread_local const ModelCore* in_moment = nullptr;
thread_local const ModelCore* in_transaction = nullptr;

class Inside {
 public:
  Inside(const ModelCore*& place, const ModelCore* core) : place_(place), before_(std::exchange(place, core)) {}
  ~Inside() { place_ = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const ModelCore*& place_;
  const ModelCore* const before_;
};

const IdKey kIdKey;

}  // namespace

ModelCore::CommitLock::CommitLock(ModelCore& core) : core_(core), locks_(in_moment != &core) {
  if (locks_) core_.commits_.lock();
}

ModelCore::CommitLock::~CommitLock() {
  if (locks_) core_.commits_.unlock();
}

ModelCore::ModelCore(const std::vector<const ClassInfo*>& classes) {
  for (const ClassInfo* const info : classes) {
    CAIRN_ASSERT(info->id.number < kClassesMax && classes_[info->id.number] == nullptr);
    auto of = std::make_unique<ClassState>();
    of->info = info;
    of->main = std::make_unique<PointerHash>(kIdKey, retired_);
    for (const IndexInfo& index : info->indexes) {
      IndexState state;
      if (index.unique && !index.sorted) {
        state.hash = std::make_unique<PointerHash>(*index.key, retired_);
      } else {
        state.tree = std::make_unique<PointerTree>(*index.key, retired_);
      }
      of->indexes.push_back(std::move(state));
    }
    classes_[info->id.number] = std::move(of);
  }
  for (const ClassInfo* const info : classes) {
    for (const ReferenceInfo& reference : info->references) {
      CAIRN_ASSERT(classes_[reference.target] != nullptr);
      referrers_[reference.target].push_back({info->id.number, &reference});
    }
  }
}

ModelCore::~ModelCore() {
  for (const auto& of : classes_) {
    if (of == nullptr) continue;
    of->main->for_each([&](const PersistentObject& object) { of->info->release(const_cast<PersistentObject*>(&object)); });
  }
}

Result<Change> ModelCore::transact(const std::function<Result<void>(Transaction&)>& work) {
  if (in_moment == this) return fail(ErrorCode::kInvalidArgument, "a change cannot be made inside at_one_moment()");
  if (in_transaction == this) {
    return fail(ErrorCode::kInvalidArgument, "a change inside transact() is made through the Transaction");
  }
  for (int i = 0; i < kRepeatsMax; ++i) {
    Change change;
    bool committed = false;
    {
      Transaction transaction(*this);
      {
        const Inside inside(in_transaction, this);
        CAIRN_TRY_VOID(work(transaction));
      }
      for (const Pending& pending : transaction.state_->pendings) {
        if (!pending.deletes()) CAIRN_TRY_VOID(state(pending.number).info->check(*pending.after));
      }
      CAIRN_TRY(done, commit(transaction, change));
      committed = done == Committed::kYes;
    }
    // Behind the transaction, whose pin would hold back what it replaced.
    free_unreachable();
    if (committed) {
      tell_events(change);
      return change;
    }
    retries_.fetch_add(1, std::memory_order_relaxed);
  }
  return fail(ErrorCode::kConflict, "other changes were first " + std::to_string(kRepeatsMax) + " times");
}

void ModelCore::free_unreachable() {
  std::vector<RetireList::Retired> taken;
  {
    const CommitLock lock(*this);
    if (retired_.is_due()) taken = retired_.take_unreachable();
  }
  RetireList::free_all(taken);
}

void ModelCore::at_one_moment(const std::function<void(const Reading&)>& look) {
  const CommitLock lock(*this);
  const Inside inside(in_moment, this);
  const Reading now(classes_);
  look(now);
}

std::unique_ptr<ModelCore> ModelCore::copy() {
  std::vector<const ClassInfo*> infos;
  for (const auto& of : classes_) {
    if (of != nullptr) infos.push_back(of->info);
  }
  auto copied = std::make_unique<ModelCore>(infos);
  const CommitLock lock(*this);
  for (const ClassInfo* const info : infos) {
    const ClassState& from = state(info->id.number);
    ClassState& to = copied->state(info->id.number);
    from.main->for_each([](const PersistentObject& object) { ObjectAccess::use(object); });
    to.main->copy_from(*from.main);
    for (std::size_t i = 0; i < from.indexes.size(); ++i) {
      if (from.indexes[i].hash != nullptr) {
        to.indexes[i].hash->copy_from(*from.indexes[i].hash);
      } else {
        to.indexes[i].tree->copy_from(*from.indexes[i].tree);
      }
    }
    to.live.store(from.live);
    to.last_id.store(from.last_id);
    to.deleted = from.deleted;
  }
  copied->last_change_.store(last_change_);
  take_deleted_of_new(*copied);
  return copied;
}

void ModelCore::remove_deleted() {
  {
    const CommitLock lock(*this);
    take_deleted();
  }
  free_unreachable();
}

/// Secondary indexes first: what is in one of them is in the main set.
void ModelCore::take_deleted() {
  for (const auto& of : classes_) {
    if (of == nullptr) continue;
    for (std::size_t i = 0; i < of->indexes.size(); ++i) {
      for (const PersistentObject* const object : of->deleted) {
        if (!is_in(of->info->indexes[i], *object)) continue;
        of->indexes[i].hash != nullptr ? of->indexes[i].hash->erase(*object) : of->indexes[i].tree->erase(*object);
      }
    }
    for (const PersistentObject* const object : of->deleted) {
      of->main->erase(*object);
      retire(*of, *object);
    }
    of->deleted.clear();
  }
}

ModelStats ModelCore::stats() {
  ModelStats stats;
  stats.last_change = last_change();
  stats.retries = retries_.load(std::memory_order_relaxed);
  {
    const CommitLock lock(*this);
    stats.retired = retired_.count();
    stats.retired_bytes = retired_.bytes();
    for (const auto& of : classes_) {
      if (of == nullptr) continue;
      ClassStats each;
      each.name = of->info->id.name;
      each.objects = of->live;
      each.deleted = of->deleted.size();
      each.index_bytes = of->main->memory_bytes();
      for (const IndexState& index : of->indexes) {
        each.index_bytes += index.hash != nullptr ? index.hash->memory_bytes() : index.tree->memory_bytes();
      }
      stats.classes.push_back(std::move(each));
    }
  }
  if (const auto oldest = oldest_epoch_pin()) {
    stats.oldest_reading_thread = oldest->thread;
    stats.oldest_reading_age_ms = oldest->age_ms;
  }
  return stats;
}

}  // namespace objects

Model::Model(const std::vector<const objects::ClassInfo*>& classes) : Model(std::make_unique<objects::ModelCore>(classes)) {}
Model::Model(std::unique_ptr<objects::ModelCore> core) : core_(std::move(core)), classes_(&core_->classes()) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Change> Model::transact(const std::function<Result<void>(Transaction&)>& work) { return core_->transact(work); }
void Model::at_one_moment(const std::function<void(const Reading&)>& look) const { core_->at_one_moment(look); }
Model Model::copy() const { return Model(core_->copy()); }
Subscription Model::subscribe(std::uint8_t number, Changed changed) { return core_->subscribe(number, std::move(changed)); }
void Model::remove_deleted() { core_->remove_deleted(); }
Change Model::last_change() const { return core_->last_change(); }
ModelStats Model::stats() const { return core_->stats(); }

Error Model::not_found(const ModelClass& of, DbId id) {
  return {ErrorCode::kNotFound, std::string("there is no ") + of.name + " " + std::to_string(id)};
}

}  // namespace cairn
