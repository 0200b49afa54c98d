// Objects in memory that are found by several keys and changed by many threads.
//
//     struct Maintainer : cairn::PersistentObject {
//       using PersistentObject::PersistentObject;
//       std::string email;
//       static constexpr cairn::ModelClass kClass{"Maintainer", 0};
//       static constexpr cairn::UniqueHash<&Maintainer::email> by_email{"by_email"};
//       static constexpr auto kIndexes = std::tuple(by_email);
//     };
//
//     cairn::Model model = cairn::Model::of<Maintainer>();
//     auto ann = model.create<Maintainer>([](Maintainer& x) { x.email = "ann@example.org"; });  // Result<Id<Maintainer>>
//     cairn::Reading now = model.read();
//     const Maintainer* found = now.find(Maintainer::by_email, "ann@example.org");
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cairn/epoch_pin.h"
#include "cairn/export.h"
#include "cairn/objects/class_info.h"
#include "cairn/objects/class_state.h"
#include "cairn/objects/index.h"
#include "cairn/objects/object.h"
#include "cairn/result.h"

namespace cairn {

namespace objects {
class ModelCore;
}

/// The number of a commit: greater than those of all commits before it in the same Model.
struct Change {
  std::uint64_t number = 0;
  friend auto operator<=>(const Change&, const Change&) = default;
};

/// Keeps one object as it is, also after it was changed, deleted, or its Model closed. Cheap to copy; any thread.
template <typename T>
class Held {
 public:
  Held(const Held& other) : object_(other.object_) {
    if (object_ != nullptr) objects::ObjectAccess::use(*object_);
  }
  Held(Held&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Held& operator=(Held other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Held() {
    if (object_ != nullptr && objects::ObjectAccess::release(*object_)) delete object_;
  }
  const T& operator*() const { return *object_; }
  const T* operator->() const { return object_; }

 private:
  friend class Model;
  explicit Held(const T& object) : object_(&object) { objects::ObjectAccess::use(object); }

  const T* object_;
};

/// Calls of a function for each change: Model::on_change(). Its end waits for a call that runs in another thread: do not end it
/// inside at_one_moment(). Ends before its Model does.
class CAIRN_API Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
  Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    std::swap(end_, other.end_);
    return *this;
  }
  ~Subscription() {
    if (end_) end_();
  }

 private:
  std::function<void()> end_;
};

struct CAIRN_API ClassStats {
  std::string name;
  std::uint64_t objects = 0;      ///< That are not deleted.
  std::uint64_t deleted = 0;      ///< That are in the containers until the next save.
  std::uint64_t index_bytes = 0;  ///< Of the main set and all indexes.
};
struct CAIRN_API ModelStats {
  std::vector<ClassStats> classes;
  Change last_change;
  std::uint64_t retries = 0;                ///< Callbacks that ran again because another commit was first.
  std::uint64_t retired = 0;                ///< Old objects and parts of indexes that a Reading may still use,
  std::uint64_t retired_bytes = 0;          ///< and their bytes.
  std::int32_t oldest_reading_thread = 0;   ///< Thread id (gettid) of the oldest Reading in the process; 0: there is none.
  std::uint64_t oldest_reading_age_ms = 0;  ///< At least.
};

/// Objects in the order of an index, from a place on, as long as `includes` holds. An input range: walked once, by the thread of
/// the Reading it came from, while that lives.
template <typename T>
class ObjectRange {
 public:
  using Includes = std::function<bool(const T& object)>;
  ObjectRange(objects::PointerTree::Cursor cursor, Includes includes) : cursor_(cursor), includes_(std::move(includes)) {}

  class Iterator {
   public:
    explicit Iterator(ObjectRange& range) : range_(&range) { ++*this; }
    const T& operator*() const { return *object_; }
    const T* operator->() const { return object_; }
    Iterator& operator++() {
      object_ = static_cast<const T*>(range_->cursor_.next());
      if (object_ != nullptr && range_->includes_ && !range_->includes_(*object_)) object_ = nullptr;
      return *this;
    }
    friend bool operator==(const Iterator& iterator, std::nullptr_t) { return iterator.object_ == nullptr; }

   private:
    ObjectRange* range_;
    const T* object_ = nullptr;
  };
  Iterator begin() { return Iterator(*this); }
  [[nodiscard]] std::nullptr_t end() const { return nullptr; }

 private:
  objects::PointerTree::Cursor cursor_;
  Includes includes_;
};

/// Lookups in a Model. An object that a lookup gives stays as it is while the Reading lives, whatever others change. Objects that
/// are deleted are not found. A Reading takes no lock; it belongs to the thread that made it, and holds back the memory of what
/// others change: keep it short. Two lookups may see a change of several objects half done, unless they run in
/// Model::at_one_moment().
class CAIRN_API Reading {
 public:
  explicit Reading(const objects::ClassStates& classes) : classes_(classes) {}

  // What these give must not outlive the Reading, so they are not for a Reading without a name, as in model.read().find(id).

  /// nullptr: there is none.
  template <typename T>
  [[nodiscard]] const T* find(Id<T> id) const& {
    return static_cast<const T*>(objects::find_by_id(state<T>(), id.value));
  }
  /// By a unique index, with a value for each member of its key: `find(Package::by_name, "zlib1g")`. nullptr: none.
  template <IndexKind kKind, auto... Members, typename... Values>
  [[nodiscard]] const auto* find(const Index<kKind, true, Members...>& index, const Values&... values) const& {
    using Key = objects::KeyOf<Members...>;
    return static_cast<const typename Key::Class*>(objects::find_unique<Key>(state_of(index), objects::views_of<Key>(values...)));
  }
  /// All objects whose first members of the key have these values.
  template <IndexKind kKind, bool kUnique, auto... Members, typename... Values>
    requires(kKind == IndexKind::kSorted || !kUnique)
  [[nodiscard]] auto equal(const Index<kKind, kUnique, Members...>& index, const Values&... values) const& {
    using Key = objects::KeyOf<Members...>;
    return equal_in<Key>(state_of(index), values...);
  }
  /// All objects that refer to `parent` by a member of kReferences: `children(&Package::maintainer, ann)`.
  template <typename C, typename T>
  [[nodiscard]] ObjectRange<C> children(Id<T> C::* member, Id<T> parent) const& {
    return objects::with_reference(member, [&]<auto kMember>(std::size_t index) {
      return equal_in<objects::KeyOf<kMember>>(state<C>().indexes[index], parent);
    });
  }
  /// Objects from `from` on and before `to` in the order of a sorted index: of a descending member `from` is the greater value.
  /// Each is a value of the first member of the key, or a tuple of values of the first members.
  template <bool kUnique, auto... Members, typename From, typename To>
  [[nodiscard]] auto range(const Index<IndexKind::kSorted, kUnique, Members...>& index, const From& from, const To& to) const& {
    using Key = objects::KeyOf<Members...>;
    using T = typename Key::Class;
    return ObjectRange<T>(objects::seek<Key>(state_of(index), objects::views_of_bound<Key>(from)),
                          [end = objects::owned_bound<Key>(to)](const T& object) {
                            return Key::compare_with(object, objects::views_of_tuple<Key>(end)) < 0;
                          });
  }
  /// All objects in the order of a sorted index.
  template <bool kUnique, auto... Members>
  [[nodiscard]] auto all(const Index<IndexKind::kSorted, kUnique, Members...>& index) const& {
    return ObjectRange<typename objects::KeyOf<Members...>::Class>(state_of(index).tree->begin(), nullptr);
  }
  template <typename... Any>
  const void* find(const Any&...) const&& = delete;
  template <typename... Any>
  void equal(const Any&...) const&& = delete;
  template <typename... Any>
  void children(const Any&...) const&& = delete;
  template <typename... Any>
  void range(const Any&...) const&& = delete;
  template <typename... Any>
  void all(const Any&...) const&& = delete;
  template <typename... Any>
  const void* at(const Any&...) const&& = delete;

  /// Calls `visit(object)` for each object of a class, in no order. One that is made meanwhile may be left out.
  template <typename T, typename Visit>
  void for_each(const Visit& visit) const {
    state<T>().main->for_each([&](const PersistentObject& object) {
      if (!object.is_deleted()) visit(static_cast<const T&>(object));
    });
  }
  /// Objects whose key is before these values, by a sorted index: the place of the object that has them, counted from 0.
  template <bool kUnique, auto... Members, typename... Values>
  [[nodiscard]] std::uint64_t rank(const Index<IndexKind::kSorted, kUnique, Members...>& index, const Values&... values) const {
    using Key = objects::KeyOf<Members...>;
    const auto views = objects::views_of<Key>(values...);
    return state_of(index).tree->rank(Key::prefix_of(std::get<0>(views)),
                                      [&](const PersistentObject& object) { return Key::compare_with(object, views) < 0; });
  }
  /// The object with `rank` objects before it; nullptr: there are not so many.
  template <bool kUnique, auto... Members>
  [[nodiscard]] const auto* at(const Index<IndexKind::kSorted, kUnique, Members...>& index, std::uint64_t rank) const& {
    return static_cast<const typename objects::KeyOf<Members...>::Class*>(state_of(index).tree->at_rank(rank).next());
  }
  /// Objects of the class that are not deleted.
  template <typename T>
  [[nodiscard]] std::uint64_t count() const {
    return state<T>().live.load(std::memory_order_relaxed);
  }

 private:
  template <typename T>
  [[nodiscard]] const objects::ClassState& state() const {
    return objects::state_of_class<T>(classes_);
  }
  template <IndexKind kKind, bool kUnique, auto... Members>
  [[nodiscard]] const objects::IndexState& state_of(const Index<kKind, kUnique, Members...>&) const {
    using I = Index<kKind, kUnique, Members...>;
    return state<typename objects::KeyOf<Members...>::Class>().indexes[objects::index_number<I>()];
  }
  template <typename Key, typename... Values>
  [[nodiscard]] auto equal_in(const objects::IndexState& index, const Values&... values) const {
    using T = typename Key::Class;
    return ObjectRange<T>(objects::seek<Key>(index, objects::views_of<Key>(values...)),
                          [wanted = objects::owned<Key>(values...)](const T& object) {
                            return Key::compare_with(object, objects::views_of_tuple<Key>(wanted)) == 0;
                          });
  }

  const EpochPin pin_;
  const objects::ClassStates& classes_;
};

/// Changes of several objects, committed together when the function that Model::transact() was given returns. Lookups see these
/// changes; what they gave must still be so at the commit, or the function runs again. What they and edit() gave stays until the
/// function returns. One thread, while the function runs.
class CAIRN_API Transaction {
 public:
  /// A copy of an object, to be changed until the function returns. kNotFound.
  template <typename T>
  Result<T*> edit(Id<T> id) {
    CAIRN_TRY(copy, edit_object(number<T>(), id.value));
    return static_cast<T*>(copy);
  }
  /// A new object, to be filled until the function returns. kUnavailable: no id is left.
  template <typename T>
  Result<T*> create() {
    CAIRN_TRY(made, create_object(number<T>()));
    return static_cast<T*>(made);
  }
  /// kNotFound.
  template <typename T>
  Result<void> set_deleted(Id<T> id) {
    return delete_object(number<T>(), id.value);
  }
  /// As Reading::find().
  template <typename T>
  const T* find(Id<T> id) {
    return static_cast<const T*>(find_object(number<T>(), id.value));
  }
  template <IndexKind kKind, auto... Members, typename... Values>
  const auto* find(const Index<kKind, true, Members...>&, const Values&... values) {
    using I = Index<kKind, true, Members...>;
    using Key = objects::KeyOf<Members...>;
    const auto matches = [wanted = objects::owned<Key>(values...)](const PersistentObject& object) {
      return Key::compare_with(object, objects::views_of_tuple<Key>(wanted)) == 0;
    };
    const auto look_up = [wanted = objects::owned<Key>(values...)](const objects::ClassState& state) {
      std::vector<const PersistentObject*> found{
          objects::find_unique<Key>(state.indexes[objects::index_number<I>()], objects::views_of_tuple<Key>(wanted))};
      if (found.front() == nullptr) found.clear();
      return found;
    };
    const std::vector<const PersistentObject*> found =
        find_objects(number<typename Key::Class>(), objects::index_number<I>(), matches, look_up);
    return found.empty() ? nullptr : static_cast<const typename Key::Class*>(found.front());
  }
  /// As Reading::range(), as a list in the order of the index.
  template <bool kUnique, auto... Members, typename From, typename To>
  auto range(const Index<IndexKind::kSorted, kUnique, Members...>&, const From& from, const To& to) {
    using I = Index<IndexKind::kSorted, kUnique, Members...>;
    return list<objects::KeyOf<Members...>>(objects::index_number<I>(), objects::owned_bound<objects::KeyOf<Members...>>(from),
                                            objects::owned_bound<objects::KeyOf<Members...>>(to), false);
  }
  /// As Reading::children(), as a list.
  template <typename C, typename T>
  std::vector<const C*> children(Id<T> C::* member, Id<T> parent) {
    return objects::with_reference(member, [&]<auto kMember>(std::size_t index) {
      return list<objects::KeyOf<kMember>>(index, std::tuple(parent), std::tuple(parent), true);
    });
  }

  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

 private:
  friend class objects::ModelCore;
  using Matches = std::function<bool(const PersistentObject&)>;
  using LookUp = std::function<std::vector<const PersistentObject*>(const objects::ClassState&)>;
  struct State;

  explicit Transaction(objects::ModelCore& core);
  ~Transaction();
  template <typename T>
  [[nodiscard]] std::uint8_t number() const {
    return objects::state_of_class<T>(classes_).info->id.number;
  }
  Result<PersistentObject*> edit_object(std::uint8_t number, DbId id);
  Result<PersistentObject*> create_object(std::uint8_t number);
  Result<void> delete_object(std::uint8_t number, DbId id);
  const PersistentObject* find_object(std::uint8_t number, DbId id);
  /// What `look_up` finds, less what this transaction changed, and what it changed and matches; in the order of the index.
  std::vector<const PersistentObject*> find_objects(std::uint8_t number, std::size_t index, const Matches& matches,
                                                    const LookUp& look_up);
  /// Objects from `from` on, and before `to` or, `inclusive`, up to it.
  template <typename Key, typename Bound, typename End>
  auto list(std::size_t index, const Bound& from, const End& to, bool inclusive) {
    using T = typename Key::Class;
    const auto is_in_range = [to, inclusive](const PersistentObject& object) {
      const int order = Key::compare_with(object, objects::views_of_tuple<Key>(to));
      return order < 0 || (inclusive && order == 0);
    };
    const auto matches = [from, is_in_range](const PersistentObject& object) {
      return Key::compare_with(object, objects::views_of_tuple<Key>(from)) >= 0 && is_in_range(object);
    };
    const auto look_up = [index, from, is_in_range](const objects::ClassState& state) {
      std::vector<const PersistentObject*> found;
      auto cursor = objects::seek<Key>(state.indexes[index], objects::views_of_tuple<Key>(from));
      for (const PersistentObject* object = cursor.next(); object != nullptr && is_in_range(*object); object = cursor.next()) {
        found.push_back(object);
      }
      return found;
    };
    std::vector<const T*> all;
    for (const PersistentObject* const each : find_objects(number<T>(), index, matches, look_up)) {
      all.push_back(static_cast<const T*>(each));
    }
    return all;
  }

  std::unique_ptr<State> state_;
  const objects::ClassStates& classes_;
};

/// A set of classes of objects. Thread-safe: lookups wait for nobody, commits for each other. Starts no thread. An object that is
/// made, changed or deleted is so for all threads when the call returns.
class CAIRN_API Model {
 public:
  /// The classes of a Model: their numbers differ.
  template <typename... Classes>
  static Model of() {
    return Model({&objects::class_info<Classes>()...});
  }
  explicit Model(const std::vector<const objects::ClassInfo*>& classes);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  /// No Reading, Transaction or Subscription of it is left.
  ~Model();

  [[nodiscard]] Reading read() const { return Reading(*classes_); }
  /// kNotFound.
  template <typename T>
  [[nodiscard]] Result<Held<T>> hold(Id<T> id) const {
    const Reading now = read();
    const T* const found = now.find(id);
    if (found == nullptr) return std::unexpected(not_found(T::kClass, id.value));
    return Held<T>(*found);
  }

  /// Makes an object; `fill(T&)` sets its members, and returns nothing or a Result<void> whose error ends the call. Touches no
  /// store. Errors: kInvalidArgument, a member is not as the schema wants it; kConflict, a unique index has its key or a
  /// reference leads to no object; kUnavailable, no id is left.
  template <typename T, typename Fill>
  Result<Id<T>> create(const Fill& fill) {
    Id<T> id;
    CAIRN_TRY_VOID(transact([&](Transaction& transaction) -> Result<void> {
      CAIRN_TRY(made, transaction.template create<T>());
      id = {made->db_id()};
      return call(fill, *made);
    }));
    return id;
  }
  /// Changes an object: `change(T&)` gets a copy of it, which then takes its place. It runs without locks, and again if another
  /// commit changed the object meanwhile. Errors: kNotFound; as create(); kConflict after 100 repeats. Nothing is changed then.
  template <typename T, typename Changes>
  Result<Change> edit(Id<T> id, const Changes& change) {
    return transact([&](Transaction& transaction) -> Result<void> {
      CAIRN_TRY(copy, transaction.edit(id));
      return call(change, *copy);
    });
  }
  /// Deletes an object and what refers to it by OnDelete::kCascade. Errors: kNotFound; kConflict, an object refers to it.
  template <typename T>
  Result<Change> set_deleted(Id<T> id) {
    return transact([&](Transaction& transaction) { return transaction.set_deleted(id); });
  }
  /// Changes several objects, all or none: `work(Transaction&)` returns a Result<void>, whose error ends the call; an exception
  /// goes on to the caller. It runs again if something that it read or changed was changed meanwhile. Errors: as edit();
  /// kInvalidArgument, it was called in another transact() of the same thread.
  Result<Change> transact(const std::function<Result<void>(Transaction&)>& work);

  /// Runs `look(const Reading&)`, during which nothing is published: several lookups see one moment. A change made in it, of any
  /// Model, is kInvalidArgument. Other threads that change objects wait. kInvalidArgument: it is called inside that of another
  /// Model.
  Result<void> at_one_moment(const std::function<void(const Reading&)>& look) const;
  /// A Model that shares the objects and has its own containers. Threads that change objects wait while pointers are copied.
  [[nodiscard]] Model copy() const;

  /// Calls `changed` for each change of an object of class T, after it was published: without locks, one call at a time, in the
  /// order of the changes, before the call that made the change returns, in its thread or in that of another such call. `before`
  /// is nullptr if the object is new; `after->is_deleted()` holds if it was deleted. Both pointers are valid during the call.
  /// What the function itself changes, in any Model, may be told after its call returned. An exception goes on to a call that
  /// made a change, once all functions were called; the change is committed. The function must not wait for a thread that changes
  /// this Model.
  template <typename T>
  [[nodiscard]] Subscription on_change(std::function<void(const T* before, const T* after, Change change)> changed) {
    return subscribe(
        objects::state_of_class<T>(*classes_).info->id.number,
        [changed = std::move(changed)](const PersistentObject* before, const PersistentObject* after, Change change) {
          changed(static_cast<const T*>(before), static_cast<const T*>(after), change);
        });
  }

  /// Takes deleted objects out of the containers, where they stay until then. Does nothing if the Model has a store: a save does
  /// it.
  void remove_deleted();
  /// Looks at all objects for what no commit lets in but a store may hold: a sentence for each object that has the key of another
  /// in a unique index, or that refers to an object that does not exist. Threads that change objects wait meanwhile.
  [[nodiscard]] std::vector<std::string> check() const;
  [[nodiscard]] Change last_change() const;
  [[nodiscard]] ModelStats stats() const;

 protected:
  [[nodiscard]] objects::ModelCore& core() { return *core_; }
  /// The names of the classes in the order of their numbers, separated by commas.
  [[nodiscard]] std::string class_names() const;

 private:
  using Changed = std::function<void(const PersistentObject* before, const PersistentObject* after, Change change)>;
  explicit Model(std::unique_ptr<objects::ModelCore> core);
  static Error not_found(const ModelClass& of, DbId id);
  Subscription subscribe(std::uint8_t number, Changed changed);
  template <typename Function, typename T>
  static Result<void> call(const Function& function, T& object) {
    if constexpr (std::is_void_v<decltype(function(object))>) {
      function(object);
      return {};
    } else {
      return function(object);
    }
  }

  std::unique_ptr<objects::ModelCore> core_;
  const objects::ClassStates* classes_;
};

}  // namespace cairn
