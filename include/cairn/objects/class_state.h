// The containers of a class of a Model, and lookups in them.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "cairn/objects/class_info.h"
#include "cairn/objects/pointer_hash.h"
#include "cairn/objects/pointer_tree.h"

namespace cairn {

namespace objects {

/// One index of a class: a hash table if it is unique and not sorted, else a tree.
struct IndexState {
  std::unique_ptr<PointerHash> hash;
  std::unique_ptr<PointerTree> tree;
};
struct ClassState {
  const void* tag = nullptr;  // That of `info`, beside `main`: both are read by each lookup.
  std::unique_ptr<PointerHash> main;
  const ClassInfo* info = nullptr;
  std::vector<IndexState> indexes;
  std::atomic<std::uint64_t> live{0};
  std::atomic<DbId> last_id{0};
  std::atomic<DbId> id_ceiling{std::numeric_limits<DbId>::max()};  // No greater id is given.
  std::atomic<DbId> ids_low{0};                                    // The saver is woken when so many ids are left.
  // Guarded by the lock of commits:
  std::vector<const PersistentObject*> deleted;  // Without a store: what remove_deleted() takes out of the containers.
  std::uint64_t deleted_count = 0;               // Deleted objects in the containers.
};

/// The key of the main set.
class CAIRN_API IdKey : public IndexKey {
 public:
  static std::uint64_t hash_of(DbId id) { return mix(static_cast<std::uint64_t>(id)); }
  int compare(const PersistentObject& a, const PersistentObject& b) const override {
    return (a.db_id() > b.db_id()) - (a.db_id() < b.db_id());
  }
  std::uint64_t prefix(const PersistentObject& object) const override { return static_cast<std::uint64_t>(object.db_id()); }
  std::uint64_t hash(const PersistentObject& object) const override { return hash_of(object.db_id()); }
};

/// The classes of a Model, by number.
using ClassStates = std::array<std::unique_ptr<ClassState>, kClassesMax>;

/// Ends the process: a program asks a Model for a class that the Model does not have.
[[noreturn]] CAIRN_API void end_for_wrong_class(const char* name);

template <typename T>
const ClassState& state_of_class(const ClassStates& classes) {
  const ClassState* const state = classes[T::kClass.number].get();
  if (state == nullptr || state->tag != &kClassTag<T>) [[unlikely]]
    end_for_wrong_class(T::kClass.name);
  return *state;
}

inline const PersistentObject* find_by_id(const ClassState& state, DbId id) {
  const PersistentObject* const found =
      state.main->find(IdKey::hash_of(id), [id](const PersistentObject& object) { return object.db_id() == id; });
  return found == nullptr || found->is_deleted() ? nullptr : found;
}

template <typename Key, typename... Views>
const PersistentObject* find_unique(const IndexState& index, const std::tuple<Views...>& values) {
  static_assert(sizeof...(Views) == Key::kPartCount, "a lookup needs a value for each member of the key");
  if (index.hash != nullptr) {
    return index.hash->find(Key::hash_of(values), [&](const PersistentObject& object) {
      return Key::compare_with(object, values) == 0 && !object.is_deleted();
    });
  }
  PointerTree::Cursor cursor = index.tree->seek(
      Key::prefix_of(std::get<0>(values)), [&](const PersistentObject& object) { return Key::compare_with(object, values) < 0; });
  const PersistentObject* const found = cursor.next();
  return found != nullptr && Key::compare_with(*found, values) == 0 ? found : nullptr;
}

/// A number with a fraction is no value of an integer member.
template <typename Key, typename... Values>
constexpr void check_values() {
  static_assert(sizeof...(Values) >= 1 && sizeof...(Values) <= Key::kPartCount);
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    using Parts = std::remove_const_t<decltype(Key::kParts)>;
    static_assert(
        (!(std::is_floating_point_v<Values> && std::is_integral_v<typename std::tuple_element_t<i, Parts>::Value>) && ...));
  }(std::index_sequence_for<Values...>());
}

/// Views of the first members of a key.
template <typename Key, typename... Values>
auto views_of(const Values&... values) {
  check_values<Key, Values...>();
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return std::tuple<typename std::tuple_element_t<i, std::remove_const_t<decltype(Key::kParts)>>::Member::View...>(values...);
  }(std::index_sequence_for<Values...>());
}
/// Values that own what they have.
template <typename Key, typename... Values>
auto owned(const Values&... values) {
  check_values<Key, Values...>();
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return std::tuple<typename std::tuple_element_t<i, std::remove_const_t<decltype(Key::kParts)>>::Value...>(values...);
  }(std::index_sequence_for<Values...>());
}
template <typename Key, typename... Values>
auto views_of_tuple(const std::tuple<Values...>& values) {
  return std::apply([](const auto&... each) { return views_of<Key>(each...); }, values);
}

/// The place in the order of `index` before all objects whose key is not before `values`, or, `behind`, is behind them.
template <typename Key, typename... Views>
PointerTree::Cursor seek(const IndexState& index, const std::tuple<Views...>& values, bool behind = false) {
  return index.tree->seek(Key::prefix_of(std::get<0>(values)), [&](const PersistentObject& object) {
    const int order = Key::compare_with(object, values);
    return order < 0 || (behind && order == 0);
  });
}

/// The bound of a range: a value of the first member of the key, or a tuple of values of the first members.
template <typename Key, typename... Values>
auto owned_bound(const std::tuple<Values...>& bound) {
  return std::apply([](const auto&... each) { return owned<Key>(each...); }, bound);
}
template <typename Key, typename Value>
auto owned_bound(const Value& bound) {
  return owned<Key>(bound);
}
template <typename Key, typename... Values>
auto views_of_bound(const std::tuple<Values...>& bound) {
  return views_of_tuple<Key>(bound);
}
template <typename Key, typename Value>
auto views_of_bound(const Value& bound) {
  return views_of<Key>(bound);
}

template <std::size_t kAt, typename C, typename T, typename Work>
auto with_reference_from(Id<T> C::* member, const Work& work) {
  constexpr auto references = references_of<C>();
  using R = std::tuple_element_t<kAt, std::remove_const_t<decltype(references)>>;
  constexpr std::size_t index = std::tuple_size_v<decltype(indexes_of<C>())> + kAt;
  constexpr bool kHasType = std::is_same_v<std::remove_const_t<decltype(R::kMember)>, Id<T> C::*>;
  if constexpr (kAt + 1 == std::tuple_size_v<std::remove_const_t<decltype(references)>>) {
    static_assert(kHasType, "the member is not in kReferences of its class");
    if (R::kMember != member) std::abort();  // Nor is this one.
    return work.template operator()<R::kMember>(index);
  } else {
    if constexpr (kHasType) {
      if (R::kMember == member) return work.template operator()<R::kMember>(index);
    }
    return with_reference_from<kAt + 1>(member, work);
  }
}

/// Calls `work<&C::member>(number of its index)` for the reference of a class that is `member`. There must be one.
template <typename C, typename T, typename Work>
auto with_reference(Id<T> C::* member, const Work& work) {
  return with_reference_from<0>(member, work);
}

}  // namespace objects

}  // namespace cairn
