// Saving. Invariant: one save is one state of the Model, and the number of its change is stored with it. So after an answer that
// was lost, the number in the store tells whether the save is there.
#include "objects/saver.h"

#include <algorithm>
#include <bitset>

#include "base/error.h"

namespace cairn::objects {
namespace {

constexpr std::uint64_t kBytesMax = 256 * kMiB;  // Dirty bytes, above which changes are refused.
constexpr std::int64_t kBackoffFirstMs = 50;
constexpr std::int64_t kBackoffMaxMs = 10'000;
// Ids that are reserved ahead: as many as were given since the Model was opened, within these.
constexpr DbId kIdsAheadMin = 1 << 20;
constexpr DbId kIdsAheadMax = 1 << 24;

JournalBounds bounds_of(const Store& store, const WriteBehindOptions& options) {
  const std::uint64_t bytes_max = std::min(kBytesMax, store.save_bytes_max());
  return {.save_bytes = std::min(options.dirty_bytes_max, bytes_max / 2), .bytes_max = bytes_max};
}

std::vector<const ClassInfo*> infos_of(const ModelCore& core) {
  std::vector<const ClassInfo*> infos;
  for (const auto& of : core.classes()) {
    if (of != nullptr) infos.push_back(of->info);
  }
  return infos;
}

}  // namespace

std::vector<std::uint32_t> erase_ranks(const std::vector<const ClassInfo*>& infos) {
  // The classes that each class leads to by references, itself among them. A class leads to more than those it refers to, unless
  // they refer to each other: then to the same.
  std::vector<std::bitset<kClassesMax>> leads_to(kClassesMax);
  for (const ClassInfo* const info : infos) {
    leads_to[info->id.number].set(info->id.number);
    for (const ReferenceInfo& reference : info->references) leads_to[info->id.number].set(reference.target);
  }
  for (const ClassInfo* const middle : infos) {
    for (const ClassInfo* const info : infos) {
      auto& reached = leads_to[info->id.number];
      if (reached.test(middle->id.number)) reached |= leads_to[middle->id.number];
    }
  }
  std::vector<const ClassInfo*> order = infos;
  const auto first_of_cycle = [&](const ClassInfo* info) {
    const auto found = std::ranges::find_if(
        infos, [&](const ClassInfo* other) { return leads_to[other->id.number] == leads_to[info->id.number]; });
    return (*found)->id.number;
  };
  const auto place = [&](const ClassInfo* info) { return std::pair(leads_to[info->id.number].count(), first_of_cycle(info)); };
  std::ranges::sort(order, {}, place);
  std::vector<std::uint32_t> ranks(kClassesMax, 0);
  for (std::size_t i = 1; i < order.size(); ++i) {
    const bool same = place(order[i]) == place(order[i - 1]);
    ranks[order[i]->id.number] = ranks[order[i - 1]->id.number] + (same ? 0 : 1);
  }
  return ranks;
}

Saver::Saver(ModelCore& core, std::unique_ptr<Store> store, const WriteBehindOptions& options, Clock& clock)
    : core_(core),
      options_(options),
      clock_(clock),
      erase_ranks_(erase_ranks(infos_of(core))),
      first_ids_(kClassesMax, 0),
      store_(std::move(store)) {
  core_.keep_journal(std::make_unique<Journal>(clock, bounds_of(*store_, options), [this] { wake(); }));
}

Saver::~Saver() {
  {
    const MutexLock lock(state_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(saves_);
  for (const Dirty& dirty : core_.take_dirty().entries) core_.drop(dirty);
  if (in_doubt_) {
    for (const Dirty& dirty : in_doubt_->entries) core_.drop(dirty);
  }
  const MutexLock state(state_);
  for (const auto& [key, aside] : set_aside_) core_.drop(aside.dirty);
}

Result<void> Saver::open(const std::string& schema) {
  const std::vector<const ClassInfo*> infos = infos_of(core_);
  for (const ClassInfo* const info : infos) {
    if (info->encode == nullptr) {
      return fail(ErrorCode::kInvalidArgument,
                  std::string("the class ") + info->id.name + " cannot be stored: it has no function visit_members()");
    }
  }
  {
    const MutexLock lock(saves_);
    CAIRN_TRY_VOID(load(infos, schema));
    CAIRN_TRY_VOID(reserve_ids());
  }
  if (options_.own_thread) thread_ = std::thread([this] { run_thread(); });
  return {};
}

Result<void> Saver::load(const std::vector<const ClassInfo*>& infos, const std::string& schema) {
  CAIRN_TRY(content, store_->own(schema, infos));
  reports_ = std::move(content.problems);
  for (const IdCeiling& each : content.ceilings) {
    ClassState& of = *core_.class_state(each.info->id.number);
    of.last_id.store(each.ceiling);
    of.id_ceiling.store(each.ceiling);
    first_ids_[each.info->id.number] = each.ceiling;
  }
  core_.begin_at({content.change});
  {
    const MutexLock lock(state_);
    stats_.saved_change = {content.change};
    stats_.dirty_bytes_max = core_.journal().bounds().bytes_max;
  }
  return store_->load([&](const ClassInfo& info, DbId id, const Store::Fill& fill) {
    PersistentObject* const object = info.make();
    ObjectAccess::set_id(*object, id);
    Result<void> filled = fill(*object);
    if (filled) filled = info.check(*object);
    if (filled) {
      core_.load(info.id.number, object);
      return;
    }
    info.destroy(*object);
    reports_.push_back(name_of(info, id) + " was left out: " + filled.error().message);
  });
}

void Saver::wake() {
  const MutexLock lock(state_);
  woken_ = true;
  changed_.notify_all();
}

void Saver::run_thread() {
  while (true) {
    {
      const MutexLock lock(state_);
      while (!stopping_) {
        // wake() comes after the change that it is about, and needs state_: either the change is seen here, or woken_ is set.
        const std::optional<std::int64_t> in_ms = work_in_ms();
        if (in_ms && *in_ms <= 0) break;
        if (woken_) {
          woken_ = false;
        } else if (in_ms) {
          changed_.wait_for(state_, std::chrono::milliseconds(*in_ms));
        } else {
          changed_.wait(state_);
        }
      }
      if (stopping_) return;
    }
    // Stats keep the error, and the save is tried again.
    save_as_needed().ignore_error();
  }
}

std::optional<std::int64_t> Saver::work_in_ms() const {
  if (retry_at_ms_ != 0) return retry_at_ms_ - clock_.boot_ms();
  if (ids_are_low()) return 0;
  return due_in_ms();
}

std::optional<std::int64_t> Saver::due_in_ms() const {
  const Journal& journal = core_.journal();
  const std::int64_t first = journal.first_change_ms();
  if (first == 0) return std::nullopt;
  if (journal.list_bytes() >= journal.bounds().save_bytes) return 0;
  const std::int64_t idle = journal.last_change_ms() + options_.idle_ms;
  return std::min(idle, first + options_.age_ms_max) - clock_.boot_ms();
}

Result<void> Saver::save_as_needed() {
  CAIRN_TRY_VOID(check_caller());
  const MutexLock lock(saves_);
  if (closed_) return {};
  {
    const MutexLock state(state_);
    const std::optional<std::int64_t> in_ms = work_in_ms();
    if (!in_ms || *in_ms > 0) return {};
  }
  const std::optional<std::int64_t> due_ms = due_in_ms();
  return note_result(work((due_ms && *due_ms <= 0) || in_doubt_));
}

Result<void> Saver::flush() {
  CAIRN_TRY_VOID(check_caller());
  const std::uint64_t change = core_.last_change().number;
  const MutexLock lock(saves_);
  if (closed_) return {};
  CAIRN_TRY_VOID(note_result(work(true)));
  const MutexLock state(state_);
  return refusals(change);
}

Result<void> Saver::work(bool all) {
  if (ids_are_low()) CAIRN_TRY_VOID(reserve_ids());
  if (!all) return {};
  CAIRN_TRY_VOID(settle_doubt());
  return save();
}

/// Of a save that was tried: when the next one is, and who waits.
Result<void> Saver::note_result(const Result<void>& done) {
  const MutexLock lock(state_);
  if (done) {
    backoff_ms_ = 0;
    retry_at_ms_ = 0;
    stats_.error.clear();
  } else {
    ++stats_.failures;
    error_ = done.error();
    stats_.error = error_.to_string();
    backoff_ms_ = std::clamp(2 * backoff_ms_, kBackoffFirstMs, kBackoffMaxMs);
    retry_at_ms_ = clock_.boot_ms() + backoff_ms_;
  }
  changed_.notify_all();
  return done;
}

bool Saver::ids_are_low() const {
  return std::ranges::any_of(core_.classes(), [](const auto& of) {
    if (of == nullptr) return false;
    const DbId ceiling = of->id_ceiling.load(std::memory_order_relaxed);
    if (ceiling == std::numeric_limits<DbId>::max()) return false;  // There are no more.
    return ceiling - of->last_id.load(std::memory_order_relaxed) <= of->ids_low.load(std::memory_order_relaxed);
  });
}

/// The store has the ceiling before an id below it is given.
Result<void> Saver::reserve_ids() {
  std::vector<IdCeiling> ceilings;
  for (const ClassInfo* const info : infos_of(core_)) {
    const DbId last = core_.class_state(info->id.number)->last_id.load();
    const DbId ahead = std::clamp(last - first_ids_[info->id.number], kIdsAheadMin, kIdsAheadMax);
    ceilings.push_back({info, last > std::numeric_limits<DbId>::max() - ahead ? std::numeric_limits<DbId>::max() : last + ahead});
  }
  CAIRN_TRY_VOID(store_->set_ceilings(ceilings));
  for (const IdCeiling& each : ceilings) {
    ClassState& of = *core_.class_state(each.info->id.number);
    of.ids_low.store((each.ceiling - of.last_id.load()) / 2);
    of.id_ceiling.store(each.ceiling);
  }
  return {};
}

/// Asks the store whether it has the save whose answer was an error.
Result<void> Saver::settle_doubt() {
  if (!in_doubt_) return {};
  CAIRN_TRY(stored, store_->stored_change());
  const DirtyList doubt = *std::exchange(in_doubt_, std::nullopt);
  stored == doubt.change ? confirm(doubt) : core_.put_back(doubt);
  return {};
}

Result<void> Saver::save() {
  DirtyList taken = core_.take_dirty();
  drop_replaced(taken);
  const Result<void> done = commit(taken);
  if (done) {
    confirm(taken);
  } else {
    in_doubt_ = std::move(taken);
  }
  return done;
}

/// Stores `taken`, less what the store refuses for itself.
Result<void> Saver::commit(DirtyList& taken) {
  while (true) {
    const Save save = save_of(taken);
    if (save.erased.empty() && save.stored.empty() && is_stored(taken.change)) return {};
    const SavedObject* refused = nullptr;
    const Result<void> done = store_->commit(save, &refused);
    if (done || refused == nullptr) {
      const MutexLock lock(state_);
      if (done) stats_.saved_objects += save.erased.size() + save.stored.size();
      return done;
    }
    set_aside(taken, *refused, done.error());
  }
}

bool Saver::is_stored(std::uint64_t change) const {
  const MutexLock lock(state_);
  return stats_.saved_change.number == change;
}

Save Saver::save_of(const DirtyList& taken) const {
  Save save{.change = taken.change, .erased = {}, .stored = {}};
  for (const Dirty& dirty : taken.entries) {
    const ClassInfo* const info = core_.class_state(dirty.number)->info;
    if (!dirty.object->is_deleted()) {
      save.stored.push_back({info, dirty.object->db_id(), dirty.object});
    } else if (!dirty.is_new) {
      save.erased.push_back({info, dirty.object->db_id(), nullptr});
    }
  }
  std::ranges::sort(save.erased, {}, [&](const SavedObject& each) {
    return std::tuple(erase_ranks_[each.info->id.number], each.id, each.info->id.number);
  });
  return save;
}

void Saver::confirm(const DirtyList& taken) {
  core_.confirm(taken);
  const MutexLock lock(state_);
  stats_.saved_change = {taken.change};
  if (!taken.entries.empty()) ++stats_.saves;
}

/// What was set aside and has changed since is tried again, as it is now.
void Saver::drop_replaced(const DirtyList& taken) {
  std::vector<Dirty> replaced;
  {
    const MutexLock lock(state_);
    if (set_aside_.empty()) return;
    for (const Dirty& dirty : taken.entries) {
      const auto found = set_aside_.find({dirty.number, dirty.object->db_id()});
      if (found == set_aside_.end()) continue;
      replaced.push_back(found->second.dirty);
      set_aside_.erase(found);
    }
  }
  for (const Dirty& dirty : replaced) core_.drop(dirty);
}

void Saver::set_aside(DirtyList& taken, const SavedObject& refused, const Error& why) {
  const auto found = std::ranges::find_if(taken.entries, [&](const Dirty& dirty) {
    return dirty.number == refused.info->id.number && dirty.object->db_id() == refused.id;
  });
  CAIRN_ASSERT(found != taken.entries.end());
  const MutexLock lock(state_);
  set_aside_.insert_or_assign(ObjectKey{found->number, refused.id}, SetAside{*found, why.message});
  taken.entries.erase(found);
}

Result<void> Saver::refusals(std::uint64_t up_to) const {
  std::string text;
  for (const auto& [key, aside] : set_aside_) {
    if (aside.dirty.change > up_to) continue;
    text += (text.empty() ? "" : "; ") + name_of(*core_.class_state(key.first)->info, key.second) + ": " + aside.why;
  }
  if (text.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "the store refuses " + text);
}

Result<void> Saver::wait_until_saved(Change change) {
  CAIRN_TRY_VOID(check_caller());
  if (!options_.own_thread) return flush();
  const MutexLock lock(state_);
  const std::uint64_t before = stats_.failures;
  while (stats_.saved_change < change) {
    if (stats_.failures != before) return std::unexpected(error_);
    if (stopping_) return fail(ErrorCode::kUnavailable, "the Model is closed");
    changed_.wait(state_);
  }
  return refusals(change.number);
}

Result<void> Saver::wait_for_room() {
  CAIRN_TRY_VOID(check_caller());
  const auto has_room = [&] { return 2 * core_.journal().bytes() <= core_.journal().bounds().bytes_max; };
  if (!options_.own_thread) return has_room() ? Result<void>{} : flush();
  const MutexLock lock(state_);
  const std::uint64_t before = stats_.failures;
  while (!has_room()) {
    if (stats_.failures != before) return std::unexpected(error_);
    if (stopping_) return fail(ErrorCode::kUnavailable, "the Model is closed");
    changed_.wait(state_);
  }
  return {};
}

Result<void> Saver::close() {
  CAIRN_TRY_VOID(check_caller());
  core_.journal().close();
  {
    const MutexLock lock(saves_);
    if (closed_) return {};
    CAIRN_TRY_VOID(note_result(work(true)));
    closed_ = true;
    std::vector<IdCeiling> ceilings;
    for (const ClassInfo* const info : infos_of(core_)) {
      ClassState& of = *core_.class_state(info->id.number);
      of.id_ceiling.store(0);
      ceilings.push_back({info, of.last_id.load()});
    }
    // Ids that were reserved and not given are given by the next owner. If that fails they are lost, and no harm is done.
    store_->set_ceilings(ceilings).ignore_error();
    store_.reset();
  }
  {
    const MutexLock lock(state_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(state_);
  return refusals(core_.last_change().number);
}

WriteBehindStats Saver::stats() const {
  const MutexLock lock(state_);
  WriteBehindStats stats = stats_;
  const Journal& journal = core_.journal();
  stats.dirty_objects = journal.count();
  stats.dirty_bytes = journal.bytes();
  if (retry_at_ms_ != 0) stats.retry_in_ms = std::max<std::int64_t>(0, retry_at_ms_ - clock_.boot_ms());
  for (const auto& [key, aside] : set_aside_) {
    stats.set_aside.push_back(name_of(*core_.class_state(key.first)->info, key.second) + ": " + aside.why);
  }
  return stats;
}

/// A save inside a function that holds up the commits of the Model would wait for itself.
Result<void> Saver::check_caller() const {
  CAIRN_TRY_VOID(home_.check());
  if (!core_.is_inside_function()) return {};
  return fail(ErrorCode::kInvalidArgument, "a save cannot be waited for inside at_one_moment() or transact()");
}

}  // namespace cairn::objects
