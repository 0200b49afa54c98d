// Writes the changes of a Model behind: when to save, one save at a time, and what follows when a store fails.
//
// Invariant: each dirty object is in exactly one place: in the list of the Journal, in `in_doubt_`, in `set_aside_`, or in the
// save that runs. It leaves them when the store has confirmed that version, or when a later version is in the list.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/home_process.h"
#include "base/mutex.h"
#include "cairn/persistence.h"
#include "objects/model_core.h"

namespace cairn::objects {

/// Thread-safe. Locks, outermost first:
///   saves_   One save at a time. Held across the I/O of the store. The lock of commits is taken under it.
///   state_   What waits and stats look at. Held for a few stores.
class Saver {
 public:
  Saver(ModelCore& core, std::unique_ptr<Store> store, const WriteBehindOptions& options, Clock& clock);
  /// Without close() before it, what is dirty is lost.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  /// Loads the Model, reserves ids, and starts the thread if the options want one. Once, first.
  Result<void> open(const std::string& schema);

  // See cairn/persistence.h.
  Result<void> save_as_needed() CAIRN_EXCLUDES(saves_, state_);
  Result<void> flush() CAIRN_EXCLUDES(saves_, state_);
  Result<void> wait_until_saved(Change change) CAIRN_EXCLUDES(saves_, state_);
  Result<void> wait_for_room() CAIRN_EXCLUDES(saves_, state_);
  Result<void> close() CAIRN_EXCLUDES(saves_, state_);
  [[nodiscard]] WriteBehindStats stats() const CAIRN_EXCLUDES(state_);
  [[nodiscard]] const std::vector<std::string>& reports() const { return reports_; }
  [[nodiscard]] const HomeProcess& home() const { return home_; }

 private:
  using ObjectKey = std::pair<std::uint8_t, DbId>;
  struct SetAside {
    Dirty dirty;
    std::string why;
  };
  Result<void> load(const std::vector<const ClassInfo*>& infos, const std::string& schema) CAIRN_REQUIRES(saves_);
  void run_thread() CAIRN_EXCLUDES(saves_, state_);
  void wake() CAIRN_EXCLUDES(state_);
  /// Milliseconds until a save is due, by the times of the list; 0 or less: now; nullopt: nothing is dirty.
  [[nodiscard]] std::optional<std::int64_t> due_in_ms() const;
  /// Milliseconds until save_as_needed() has something to do; nullopt: nothing.
  [[nodiscard]] std::optional<std::int64_t> work_in_ms() const CAIRN_REQUIRES(state_);
  [[nodiscard]] bool ids_are_low() const;

  Result<void> work(bool all) CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  Result<void> reserve_ids() CAIRN_REQUIRES(saves_);
  Result<void> settle_doubt() CAIRN_REQUIRES(saves_);
  Result<void> save() CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  Result<void> commit(DirtyList& taken) CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  [[nodiscard]] bool is_stored(std::uint64_t change) const CAIRN_EXCLUDES(state_);
  [[nodiscard]] Save save_of(const DirtyList& taken) const;
  void confirm(const DirtyList& taken) CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  void drop_replaced(const DirtyList& taken) CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  void set_aside(DirtyList& taken, const SavedObject& refused, const Error& why) CAIRN_REQUIRES(saves_) CAIRN_EXCLUDES(state_);
  [[nodiscard]] Result<void> refusals(std::uint64_t up_to) const CAIRN_REQUIRES(state_);
  /// Whether this thread may wait for a save, in this process.
  Result<void> check_caller() const;
  Result<void> note_result(const Result<void>& done) CAIRN_EXCLUDES(state_);

  const HomeProcess home_;
  ModelCore& core_;
  const WriteBehindOptions options_;
  Clock& clock_;
  std::vector<std::uint32_t> erase_ranks_;  // By the number of the class.
  std::vector<DbId> first_ids_;             // The last id when the Model was opened, by the number of the class.
  std::vector<std::string> reports_;        // Written by open() alone.

  Mutex saves_{Rank::kSaves};
  std::unique_ptr<Store> store_ CAIRN_GUARDED_BY(saves_);       // Until close().
  std::optional<DirtyList> in_doubt_ CAIRN_GUARDED_BY(saves_);  // A save whose answer was an error: the store may have it.
  bool closed_ CAIRN_GUARDED_BY(saves_) = false;

  mutable Mutex state_{Rank::kLeaf};
  CondVar changed_;
  std::map<ObjectKey, SetAside> set_aside_ CAIRN_GUARDED_BY(state_);  // Changed under saves_ too.
  WriteBehindStats stats_ CAIRN_GUARDED_BY(state_);
  Error error_ CAIRN_GUARDED_BY(state_);  // Of the last save that failed.
  std::int64_t backoff_ms_ CAIRN_GUARDED_BY(state_) = 0;
  std::int64_t retry_at_ms_ CAIRN_GUARDED_BY(state_) = 0;
  bool woken_ CAIRN_GUARDED_BY(state_) = false;
  bool stopping_ CAIRN_GUARDED_BY(state_) = false;

  std::thread thread_;
};

/// For each class, by number, its place among the classes when objects are erased: see Save::erased. Classes that refer to each
/// other have the same.
std::vector<std::uint32_t> erase_ranks(const std::vector<const ClassInfo*>& infos);

}  // namespace cairn::objects
