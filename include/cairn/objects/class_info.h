// The description of a class that a Model works with: type-erased, and made from the constants of the class.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cairn/objects/codec.h"
#include "cairn/objects/index.h"
#include "cairn/objects/object.h"
#include "cairn/result.h"

namespace cairn {

/// The name of a class and its number, which is unique in its Model and less than kClassesMax.
struct ModelClass {
  const char* name;
  std::uint8_t number;
};
inline constexpr unsigned kClassesMax = 255;

namespace objects {

struct IndexInfo {
  std::string name;
  bool sorted;
  bool unique;
  std::shared_ptr<const IndexKey> key;
};

struct ClassInfo;

struct ReferenceInfo {
  std::string name;
  std::uint8_t target;                ///< Number of the class,
  const ClassInfo& (*target_info)();  ///< and the class itself.
  OnDelete on_delete;
  std::size_t index;  ///< In ClassInfo::indexes.
  DbId (*get)(const PersistentObject& object);
  void (*clear)(PersistentObject& object);
};

/// Its address stands for a class. Comparing it costs a lookup one load, where class_info() has the guard of a static object.
template <typename T>
inline constexpr char kClassTag = 0;

struct ClassInfo {
  ModelClass id;
  const void* tag;  ///< &kClassTag<T>
  PersistentObject* (*make)();
  PersistentObject* (*copy)(const PersistentObject& object);
  void (*destroy)(const PersistentObject& object);
  /// Ends one use of an object, and destroys it if that was the last.
  void (*release)(void* object);
  /// The memory of an object: what its function `memory_bytes()` returns or, without one, the size of the class.
  std::uint64_t (*bytes)(const PersistentObject& object);
  /// kInvalidArgument: a member is not as the schema wants it.
  Result<void> (*check)(const PersistentObject& object);
  /// Appends the binary form of an object. nullptr, as `decode`: the class has no visit_members() and cannot be stored.
  void (*encode)(const PersistentObject& object, Encoder& to);
  /// Sets the members of `object` to what encode() wrote. kCorruption: the bytes are not the form of an object.
  Result<void> (*decode)(PersistentObject& object, Decoder& from);
  std::vector<IndexInfo> indexes;  ///< Those of the class, then one for each reference.
  std::vector<ReferenceInfo> references;
};

template <typename T>
const ClassInfo& class_info();

template <typename T>
struct IdOf;
template <typename T>
struct IdOf<Id<T>> {
  using Target = T;
};

template <typename T>
void destroy_object(const PersistentObject& object) {
  delete static_cast<const T*>(&object);
}

template <typename T>
void release_object(void* memory) {
  const auto& object = *static_cast<const PersistentObject*>(memory);
  if (ObjectAccess::release(object)) destroy_object<T>(object);
}

template <typename T, typename I>
void add_index(ClassInfo& info, const I& index) {
  static_assert(std::is_same_v<typename I::Key::Class, T>, "an index has members of its own class");
  info.indexes.push_back({index.name, I::kKind == IndexKind::kSorted, I::kUnique, std::make_shared<typename I::Key>()});
}

template <typename T, typename R>
void add_reference(ClassInfo& info, const R& reference) {
  using Part = decltype(part_of(R::kMember));
  using Target = typename IdOf<typename Part::Value>::Target;
  info.references.push_back(
      {.name = reference.name,
       .target = Target::kClass.number,
       .target_info = &class_info<Target>,
       .on_delete = reference.on_delete,
       .index = info.indexes.size(),
       .get = [](const PersistentObject& object) { return (static_cast<const T&>(object).*R::kMember).value; },
       .clear = [](PersistentObject& object) { (static_cast<T&>(object).*R::kMember).value = kUnsaved; }});
  info.indexes.push_back({reference.name, true, false, std::make_shared<KeyOf<R::kMember>>()});
}

template <typename T>
constexpr auto indexes_of() {
  if constexpr (requires { T::kIndexes; }) {
    return T::kIndexes;
  } else {
    return std::tuple<>();
  }
}
template <typename T>
constexpr auto references_of() {
  if constexpr (requires { T::kReferences; }) {
    return T::kReferences;
  } else {
    return std::tuple<>();
  }
}

template <typename T>
void add_codec(ClassInfo& info) {
  if constexpr (HasMembers<T>) {
    info.encode = [](const PersistentObject& object, Encoder& to) { T::visit_members(static_cast<const T&>(object), to); };
    info.decode = [](PersistentObject& object, Decoder& from) {
      T::visit_members(static_cast<T&>(object), from);
      return from.done();
    };
  }
}

template <typename T>
ClassInfo make_class_info() {
  static_assert(std::is_base_of_v<PersistentObject, T> && std::is_copy_constructible_v<T> && std::is_default_constructible_v<T>);
  ClassInfo info{.id = T::kClass,
                 .tag = &kClassTag<T>,
                 .make = []() -> PersistentObject* { return new T(); },
                 .copy = [](const PersistentObject& object) -> PersistentObject* { return new T(static_cast<const T&>(object)); },
                 .destroy = &destroy_object<T>,
                 .release = &release_object<T>,
                 .bytes = [](const PersistentObject& object) -> std::uint64_t {
                   if constexpr (requires(const T& of) { of.memory_bytes(); }) {
                     return static_cast<const T&>(object).memory_bytes();
                   } else {
                     return sizeof(T);
                   }
                 },
                 .check = [](const PersistentObject& object) -> Result<void> {
                   if constexpr (requires(const T& of) { of.check(); }) {
                     return static_cast<const T&>(object).check();
                   } else {
                     return {};
                   }
                 },
                 .encode = nullptr,
                 .decode = nullptr,
                 .indexes = {},
                 .references = {}};
  add_codec<T>(info);
  std::apply([&](const auto&... each) { (add_index<T>(info, each), ...); }, indexes_of<T>());
  std::apply([&](const auto&... each) { (add_reference<T>(info, each), ...); }, references_of<T>());
  return info;
}

template <typename T>
const ClassInfo& class_info() {
  static const ClassInfo info = make_class_info<T>();
  return info;
}

/// The place of a type in a tuple.
template <typename Wanted, typename... Types>
constexpr std::size_t place_of(const std::tuple<Types...>&) {
  std::size_t place = 0;
  static_cast<void>(((std::is_same_v<Wanted, Types> || (++place, false)) || ...));
  return place;
}

/// The number of an index in ClassInfo::indexes.
template <typename I>
constexpr std::size_t index_number() {
  using T = typename I::Key::Class;
  constexpr std::size_t place = place_of<I>(indexes_of<T>());
  static_assert(place < std::tuple_size_v<decltype(indexes_of<T>())>, "the index is in kIndexes of its class");
  return place;
}

}  // namespace objects
}  // namespace cairn
