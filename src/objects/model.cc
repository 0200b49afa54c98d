// A Model: its classes, the way of a change, and what looks at all objects.
#include "cairn/model.h"

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "objects/model_core.h"

namespace cairn {
namespace objects {
namespace {

constexpr int kRepeatsMax = 100;

/// What this thread is in the middle of: functions of the program that at_one_moment() and transact() of Models run.
class Inside {
 public:
  enum class What : std::uint8_t { kMoment, kTransaction };
  Inside(What what, const ModelCore& core) : what_(what), core_(core), outer_(std::exchange(innermost, this)) {}
  ~Inside() { innermost = outer_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  /// `core`: nullptr: of any Model.
  static bool is_inside(What what, const ModelCore* core) {
    for (const Inside* each = innermost; each != nullptr; each = each->outer_) {
      if (each->what_ == what && (core == nullptr || &each->core_ == core)) return true;
    }
    return false;
  }

 private:
  static thread_local Inside* innermost;
  const What what_;
  const ModelCore& core_;
  Inside* const outer_;
};
thread_local Inside* Inside::innermost = nullptr;

const IdKey kIdKey;

}  // namespace

ModelCore::CommitLock::CommitLock(ModelCore& core) : core_(core), locks_(!Inside::is_inside(Inside::What::kMoment, &core)) {
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
    of->tag = info->tag;
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
      CAIRN_ASSERT(classes_[reference.target] != nullptr && classes_[reference.target]->info == &reference.target_info());
      referrers_[reference.target].push_back({info->id.number, &reference});
    }
  }
}

ModelCore::~ModelCore() {
  for (const Event& event : queue_) release(event);  // An exception kept them from being told.
  for (const auto& of : classes_) {
    if (of == nullptr) continue;
    of->main->for_each([&](const PersistentObject& object) { of->info->release(const_cast<PersistentObject*>(&object)); });
  }
}

bool ModelCore::is_inside_function() const {
  return Inside::is_inside(Inside::What::kMoment, this) || Inside::is_inside(Inside::What::kTransaction, this);
}

Result<Change> ModelCore::transact(const std::function<Result<void>(Transaction&)>& work) {
  if (Inside::is_inside(Inside::What::kMoment, nullptr)) {
    return fail(ErrorCode::kInvalidArgument, "a change cannot be made inside at_one_moment()");
  }
  if (Inside::is_inside(Inside::What::kTransaction, this)) {
    return fail(ErrorCode::kInvalidArgument, "a change inside transact() is made through the Transaction");
  }
  for (int i = 0; i < kRepeatsMax; ++i) {
    Change change;
    Result<Committed> done = Committed::kAgain;
    {
      Transaction transaction(*this);
      done = attempt(transaction, work, change);
    }
    // Behind the transaction, whose pin would hold back what it replaced.
    free_unreachable();
    if (journal_ != nullptr) journal_->wake_if_wanted();
    CAIRN_TRY_VOID(done);
    if (*done == Committed::kYes) {
      tell_events(change);
      return change;
    }
    retries_.fetch_add(1, std::memory_order_relaxed);
  }
  return fail(ErrorCode::kConflict, "other changes were first " + std::to_string(kRepeatsMax) + " times");
}

/// An error, or an exception, of a function that has seen another commit half done is no answer: it runs again.
Result<ModelCore::Committed> ModelCore::attempt(Transaction& transaction, const std::function<Result<void>(Transaction&)>& work,
                                                Change& change) {
  Result<void> worked;
  try {
    const Inside inside(Inside::What::kTransaction, *this);
    worked = work(transaction);
    for (const Pending& pending : transaction.state_->pendings) {
      if (worked && !pending.deletes()) worked = state(pending.number).info->check(*pending.after);
    }
    for (Pending& pending : transaction.state_->pendings) {
      if (worked && journal_ != nullptr) count_bytes(pending);  // Here, without the lock.
    }
  } catch (...) {
    const CommitLock lock(*this);
    if (!is_still_so(transaction)) return Committed::kAgain;
    throw;
  }
  if (worked) return commit(transaction, change);
  const CommitLock lock(*this);
  if (!is_still_so(transaction)) return Committed::kAgain;
  return std::unexpected(worked.error());
}

void ModelCore::free_unreachable() {
  if (!collection_is_due_.load(std::memory_order_relaxed)) return;  // As a rule: not the lock again for each commit.
  std::vector<RetireList::Retired> taken;
  {
    const CommitLock lock(*this);
    if (collection_is_due_.exchange(false)) taken = retired_.take_unreachable();
  }
  RetireList::free_all(taken);
}

Result<void> ModelCore::at_one_moment(const std::function<void(const Reading&)>& look) {
  if (Inside::is_inside(Inside::What::kMoment, nullptr) && !Inside::is_inside(Inside::What::kMoment, this)) {
    return fail(ErrorCode::kInvalidArgument, "at_one_moment() cannot be called inside that of another Model");
  }
  const CommitLock lock(*this);
  const Inside inside(Inside::What::kMoment, *this);
  const Reading now(classes_);
  look(now);
  return {};
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
    to.main->copy_from(*from.main);
    from.main->for_each([&to](const PersistentObject& object) {
      ObjectAccess::use(object);
      if (object.is_deleted()) to.deleted.push_back(&object);
    });
    for (std::size_t i = 0; i < from.indexes.size(); ++i) {
      if (from.indexes[i].hash != nullptr) {
        to.indexes[i].hash->copy_from(*from.indexes[i].hash);
      } else {
        to.indexes[i].tree->copy_from(*from.indexes[i].tree);
      }
    }
    to.live.store(from.live);
    to.last_id.store(from.last_id);
    to.deleted_count = from.deleted_count;
  }
  copied->last_change_.store(last_change_);
  take_deleted_of_new(*copied);
  return copied;
}

void ModelCore::remove_deleted() {
  if (journal_ != nullptr) return;  // They stay until a save has erased them.
  {
    const CommitLock lock(*this);
    take_deleted();
    collection_is_due_.store(true, std::memory_order_relaxed);
  }
  free_unreachable();
}

void ModelCore::take_deleted() {
  for (const auto& of : classes_) {
    if (of == nullptr) continue;
    take_out(*of, of->deleted);
    of->deleted.clear();
  }
}

/// Secondary indexes first: what is in one of them is in the main set.
void ModelCore::take_out(ClassState& of, const std::vector<const PersistentObject*>& deleted) {
  for (std::size_t i = 0; i < of.indexes.size(); ++i) {
    for (const PersistentObject* const object : deleted) {
      if (!is_in(of.info->indexes[i], *object)) continue;
      of.indexes[i].hash != nullptr ? of.indexes[i].hash->erase(*object) : of.indexes[i].tree->erase(*object);
    }
  }
  for (const PersistentObject* const object : deleted) {
    of.main->erase(*object);
    retire(of, *object);
  }
  of.deleted_count -= deleted.size();
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
      each.deleted = of->deleted_count;
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
Result<void> Model::at_one_moment(const std::function<void(const Reading&)>& look) const { return core_->at_one_moment(look); }
Model Model::copy() const { return Model(core_->copy()); }
Subscription Model::subscribe(std::uint8_t number, Changed changed) { return core_->subscribe(number, std::move(changed)); }
void Model::remove_deleted() { core_->remove_deleted(); }
std::vector<std::string> Model::check() const { return core_->check(); }
std::string Model::class_names() const {
  std::string names;
  for (const auto& of : *classes_) {
    if (of != nullptr) names += (names.empty() ? "" : ",") + std::string(of->info->id.name);
  }
  return names;
}
Change Model::last_change() const { return core_->last_change(); }
ModelStats Model::stats() const { return core_->stats(); }

void objects::end_for_wrong_class(const char* name) {
  std::fprintf(stderr, "cairn: the Model does not have the class %s\n", name);
  std::abort();
}

Error Model::not_found(const ModelClass& of, DbId id) {
  return {ErrorCode::kNotFound, std::string("there is no ") + of.name + " " + std::to_string(id)};
}

}  // namespace cairn
