// What a Model is made of.
#pragma once
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/epochs.h"
#include "base/mutex.h"
#include "cairn/model.h"
#include "objects/journal.h"

namespace cairn::objects {

/// An object that a transaction changes.
struct Pending {
  std::uint8_t number;                       // Of its class.
  const PersistentObject* before = nullptr;  // nullptr: it is new.
  PersistentObject* after = nullptr;         // Owned until the commit. A deleted one is a copy of `before`.
  std::uint64_t bytes = 0;                   // Of its record in the store, about; 0: not known yet, or there is no store.
  [[nodiscard]] bool deletes() const { return after->is_deleted(); }
};

/// "Package 7", for messages.
inline std::string name_of(const ClassInfo& info, DbId id) { return std::string(info.id.name) + " " + std::to_string(id); }

/// An object in `index` that has the key of `object` and for which `matches` holds; nullptr: there is none.
template <typename Matches>
const PersistentObject* equal_to(const IndexState& index, const IndexKey& key, const PersistentObject& object,
                                 const Matches& matches) {
  if (index.hash != nullptr) {
    return index.hash->find(key.hash(object),
                            [&](const PersistentObject& other) { return key.compare(other, object) == 0 && matches(other); });
  }
  PointerTree::Cursor cursor =
      index.tree->seek(key.prefix(object), [&](const PersistentObject& other) { return key.compare(other, object) < 0; });
  const PersistentObject* other = cursor.next();
  while (other != nullptr && key.compare(*other, object) == 0 && !matches(*other)) other = cursor.next();
  return other != nullptr && key.compare(*other, object) == 0 ? other : nullptr;
}

/// Locks, outermost first:
///   commits_   Orders commits: the containers, their counts, the dirty list and the change number. Only at_one_moment() holds it
///              while functions of the program run.
///   events_    The queue of on_change(). Taken under commits_, so that events are in the order of commits. Never held while a
///              function of the program runs.
/// Readers take neither.
class ModelCore {
 public:
  explicit ModelCore(const std::vector<const ClassInfo*>& classes);
  ~ModelCore();
  ModelCore(const ModelCore&) = delete;
  ModelCore& operator=(const ModelCore&) = delete;

  Result<Change> transact(const std::function<Result<void>(Transaction&)>& work);
  Result<void> at_one_moment(const std::function<void(const Reading&)>& look);
  std::unique_ptr<ModelCore> copy();
  using Changed = std::function<void(const PersistentObject* before, const PersistentObject* after, Change change)>;
  Subscription subscribe(std::uint8_t number, Changed changed);
  void remove_deleted();
  [[nodiscard]] std::vector<std::string> check();

  // For the Saver. keep_journal() and load() come before any other thread knows the Model.
  void keep_journal(std::unique_ptr<Journal> journal) { journal_ = std::move(journal); }
  [[nodiscard]] Journal& journal() { return *journal_; }
  /// Takes a stored object into the containers, without the checks of a commit.
  void load(std::uint8_t number, PersistentObject* object) CAIRN_EXCLUDES(commits_);
  void begin_at(Change change) { last_change_.store(change.number); }
  /// The whole dirty list at one instant.
  [[nodiscard]] DirtyList take_dirty() CAIRN_EXCLUDES(commits_);
  /// `taken` is in the store: deleted objects leave the containers.
  void confirm(const DirtyList& taken) CAIRN_EXCLUDES(commits_);
  /// The save of `taken` has failed: what was not changed since is dirty as before.
  void put_back(const DirtyList& taken) CAIRN_EXCLUDES(commits_);
  /// Ends the use of an entry by the dirty list.
  void drop(const Dirty& dirty);
  /// Whether this thread is inside at_one_moment() or transact() of this Model.
  [[nodiscard]] bool is_inside_function() const;
  /// Each class, by number; nullptr: there is none.
  [[nodiscard]] ClassState* class_state(std::uint8_t number) { return classes_[number].get(); }

  [[nodiscard]] Change last_change() const { return {last_change_.load(std::memory_order_acquire)}; }
  [[nodiscard]] ModelStats stats();
  [[nodiscard]] const ClassStates& classes() const { return classes_; }

 private:
  friend class cairn::Transaction;
  struct Referrer {  // A class that refers to another.
    std::uint8_t number;
    const ReferenceInfo* reference;
  };
  struct Event {
    std::uint8_t number;
    const PersistentObject* before;  // Used until the event was told.
    const PersistentObject* after;
    Change change;
  };
  struct Subscriber {
    std::uint8_t number;
    Changed changed;
    bool ended = false;
    bool waited_for = false;  // By the thread that ended it, which removes it.
  };

  /// Holds commits_, unless the thread holds it already because at_one_moment() runs.
  class CAIRN_SCOPED_CAPABILITY CommitLock {
   public:
    explicit CommitLock(ModelCore& core) CAIRN_ACQUIRE(core.commits_) CAIRN_NO_THREAD_SAFETY_ANALYSIS;
    ~CommitLock() CAIRN_RELEASE() CAIRN_NO_THREAD_SAFETY_ANALYSIS;
    CommitLock(const CommitLock&) = delete;
    CommitLock& operator=(const CommitLock&) = delete;

   private:
    ModelCore& core_;
    const bool locks_;
  };

  using Pendings = std::vector<Pending>;
  [[nodiscard]] ClassState& state(std::uint8_t number) { return *classes_[number]; }
  static bool is_in(const IndexInfo& index, const PersistentObject& object) {
    return !index.unique || !index.key->has_empty(object);
  }

  // The steps of a commit, in this order. The ones that check change nothing but `transaction`.
  enum class Committed : std::uint8_t { kYes, kAgain };
  Result<Committed> attempt(Transaction& transaction, const std::function<Result<void>(Transaction&)>& work, Change& change)
      CAIRN_EXCLUDES(commits_);
  Result<Committed> commit(Transaction& transaction, Change& change) CAIRN_EXCLUDES(commits_);
  bool is_still_so(const Transaction& transaction) CAIRN_REQUIRES(commits_);
  Result<void> follow_deletions(Transaction& transaction) CAIRN_REQUIRES(commits_);
  /// `deletions` and `cleared`: pendings that became deletions, and those in which a reference was cleared.
  Result<void> follow_deletion(Transaction& transaction, const Referrer& referrer, const ModelClass& parent, DbId id,
                               std::vector<std::size_t>& deletions, std::vector<std::size_t>& cleared) CAIRN_REQUIRES(commits_);
  Result<void> check_references(const Transaction& transaction) CAIRN_REQUIRES(commits_);
  Result<void> check_unique(const Transaction& transaction) CAIRN_REQUIRES(commits_);
  const PersistentObject* with_equal_key(const Transaction& transaction, std::uint8_t number, std::size_t index,
                                         const PersistentObject& object) CAIRN_REQUIRES(commits_);
  void publish(Transaction& transaction, Change change) noexcept CAIRN_REQUIRES(commits_);
  void publish(const Pending& pending) CAIRN_REQUIRES(commits_);
  static void put(const IndexInfo& info, IndexState& index, const Pending& pending);
  void note(const Pendings& pendings, Change change) CAIRN_REQUIRES(commits_) CAIRN_EXCLUDES(events_);
  void take_deleted() CAIRN_REQUIRES(commits_);
  /// Takes deleted objects of one class out of its containers.
  void take_out(ClassState& of, const std::vector<const PersistentObject*>& deleted) CAIRN_REQUIRES(commits_);
  Result<DbId> next_id(ClassState& of);
  void count_bytes(Pending& pending);
  /// Of a Model that no other thread knows. Its lock has the rank of the one that is held.
  static void take_deleted_of_new(ModelCore& made) CAIRN_NO_THREAD_SAFETY_ANALYSIS { made.take_deleted(); }
  void retire(const ClassState& of, const PersistentObject& object) CAIRN_REQUIRES(commits_);
  void tell_events(Change change) CAIRN_EXCLUDES(events_);
  void tell(const Event& event, std::exception_ptr& thrown) CAIRN_REQUIRES(events_);
  void release(const Event& event);
  void unsubscribe(std::list<Subscriber>::iterator subscriber) CAIRN_EXCLUDES(events_);
  void free_unreachable() CAIRN_EXCLUDES(commits_);

  ClassStates classes_;
  std::vector<Referrer> referrers_[kClassesMax];  // By the number of the class that is referred to.
  Mutex commits_{Rank::kModel};
  std::unique_ptr<Journal> journal_;  // nullptr: the Model has no store.
  RetireList retired_;                // By writers of the containers, which hold commits_.
  std::atomic<std::uint64_t> last_change_{0};
  std::atomic<bool> collection_is_due_{false};
  std::atomic<std::uint64_t> retries_{0};

  Mutex events_{Rank::kLeaf};
  CondVar told_;
  std::list<Event> queue_ CAIRN_GUARDED_BY(events_);
  std::list<Subscriber> subscribers_ CAIRN_GUARDED_BY(events_);
  std::atomic<std::size_t> subscriber_count_{0};
  bool telling_ CAIRN_GUARDED_BY(events_) = false;    // A function runs,
  Change told_now_ CAIRN_GUARDED_BY(events_);         // for this change,
  Change asked_ CAIRN_GUARDED_BY(events_);            // Changes up to this one are to be told by whoever tells,
  std::thread::id teller_ CAIRN_GUARDED_BY(events_);  // in this thread.
};

}  // namespace cairn::objects

/// What a transaction has read and changed.
struct cairn::Transaction::State {
  explicit State(objects::ModelCore& its_core) : core(its_core) {}
  ~State();
  objects::Pending* pending_of(std::uint8_t number, DbId id);
  /// Takes `after`, also if there is no memory for its place.
  objects::Pending& add(std::uint8_t number, const PersistentObject* before, PersistentObject* after);
  /// Makes an object of the containers a deleted one, with the keys that it has there.
  void set_deleted(objects::Pending& pending);

  objects::ModelCore& core;
  EpochPin pin;  // What was read stays, so that its address says whether it is still the same.
  objects::ModelCore::Pendings pendings;
  std::map<std::pair<std::uint8_t, DbId>, std::size_t> places;             // In `pendings`, once there are many.
  std::vector<std::pair<std::uint8_t, const PersistentObject*>> replaced;  // Copies that a program may still look at.
  std::vector<std::function<bool()>> reads;  // Each says whether a lookup would still find the same.
};
