// Indexes of a class: which members make the key, and how a key is compared, hashed and looked up.
#pragma once
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cairn/objects/object.h"

namespace cairn {

enum class IndexKind : std::uint8_t {
  kHash,    ///< Finds objects by their whole key.
  kSorted,  ///< Also ranges, in order of the key and then of the id, and ranks.
};

/// A member of a sorted key whose greatest value comes first: `Descending(&Run::score)`.
template <typename C, typename M>
struct Descending {
  constexpr explicit Descending(M C::* its_member) : member(its_member) {}
  M C::* member;
};

namespace objects {

constexpr std::uint64_t mix(std::uint64_t value) {  // The finalizer of MurmurHash3.
  value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCD;
  value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53;
  return value ^ (value >> 33);
}

/// Compares and hashes members of type M in keys. `View` is the type in which a lookup passes a value.
template <typename M, typename = void>
struct KeyMember;

/// Numbers, enums, booleans, times and references: all that an int64 stands for.
template <typename M>
struct IntegerMember {
  using View = M;
  static std::int64_t number(const M& value) {
    static_assert(!(std::is_unsigned_v<M> && sizeof(M) == sizeof(std::int64_t)), "a key is ordered as an int64");
    if constexpr (requires { value.time_since_epoch(); }) {
      static_assert(std::is_integral_v<typename M::rep>, "a key is ordered as an int64");
      return static_cast<std::int64_t>(value.time_since_epoch().count());
    } else if constexpr (requires { value.value; }) {
      return value.value;
    } else {
      return static_cast<std::int64_t>(value);
    }
  }
  static M view(M value) { return value; }
  static bool is_empty(const M&) { return false; }
  static int compare(const M& a, const M& b) { return (number(a) > number(b)) - (number(a) < number(b)); }
  static std::uint64_t prefix(const M& value) { return static_cast<std::uint64_t>(number(value)) ^ (std::uint64_t{1} << 63); }
  static std::uint64_t hash(const M& value) { return mix(static_cast<std::uint64_t>(number(value))); }
};
template <typename M>
struct KeyMember<M, std::enable_if_t<std::is_integral_v<M> || std::is_enum_v<M>>> : IntegerMember<M> {};
template <typename T>
struct KeyMember<Id<T>> : IntegerMember<Id<T>> {};
template <typename Clock, typename Duration>
struct KeyMember<std::chrono::time_point<Clock, Duration>> : IntegerMember<std::chrono::time_point<Clock, Duration>> {};

/// In the order of numbers; -0 is 0, and what is no number comes before or behind all others.
template <>
struct KeyMember<double> {
  using View = double;
  static double view(double value) { return value; }
  static bool is_empty(double) { return false; }
  static int compare(double a, double b) { return (prefix(a) > prefix(b)) - (prefix(a) < prefix(b)); }
  static std::uint64_t prefix(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value == 0 ? 0.0 : value);
    return (bits >> 63) != 0 ? ~bits : bits | (std::uint64_t{1} << 63);
  }
  static std::uint64_t hash(double value) { return mix(prefix(value)); }
};

/// Text and bytes, in the order of unsigned bytes.
template <>
struct KeyMember<std::string> {
  using View = std::string_view;
  static View view(View value) { return value; }
  static bool is_empty(View) { return false; }
  static int compare(View a, View b) { return a.compare(b); }
  static std::uint64_t prefix(View value) {
    std::uint64_t begin = 0;
    std::memcpy(&begin, value.data(), std::min(value.size(), sizeof begin));
    return std::endian::native == std::endian::little ? __builtin_bswap64(begin) : begin;
  }
  static std::uint64_t hash(View value) { return mix(std::hash<View>()(value)); }
};

/// Empty comes before all values.
template <typename M>
struct KeyMember<std::optional<M>> {
  using Of = KeyMember<M>;
  using View = std::optional<typename Of::View>;
  static View view(const std::optional<M>& value) { return value ? View(Of::view(*value)) : View(); }
  static bool is_empty(const View& value) { return !value; }
  static int compare(const View& a, const View& b) {
    return a && b ? Of::compare(*a, *b) : static_cast<int>(a.has_value()) - static_cast<int>(b.has_value());
  }
  static std::uint64_t prefix(const View& value) { return value ? Of::prefix(*value) >> 1 | std::uint64_t{1} << 63 : 0; }
  static std::uint64_t hash(const View& value) { return value ? Of::hash(*value) : 0; }
};

/// A member as an Index names it.
template <typename C, typename M>
struct KeyPart {
  using Class = C;
  using Member = KeyMember<M>;
  using Value = M;
  M C::* member;
  bool descends;

  [[nodiscard]] decltype(auto) view(const C& object) const { return Member::view(object.*member); }
  template <typename View>
  [[nodiscard]] int compare(const View& a, const View& b) const {
    const int order = Member::compare(a, b);
    return descends ? -order : order;
  }
  template <typename View>
  [[nodiscard]] std::uint64_t prefix(const View& value) const {
    return descends ? ~Member::prefix(value) : Member::prefix(value);
  }
};
template <typename C, typename M>
constexpr KeyPart<C, M> part_of(M C::* member) {
  return {member, false};
}
template <typename C, typename M>
constexpr KeyPart<C, M> part_of(Descending<C, M> member) {
  return {member.member, true};
}

/// The key made of the given members. A lookup passes values for all of them or for the first ones.
template <auto First, auto... Others>
class KeyOf : public IndexKey {
 public:
  static constexpr auto kParts = std::tuple(part_of(First), part_of(Others)...);
  static constexpr std::size_t kPartCount = 1 + sizeof...(Others);
  using Class = typename std::tuple_element_t<0, std::remove_const_t<decltype(kParts)>>::Class;

  static const Class& cast(const PersistentObject& object) { return static_cast<const Class&>(object); }

  /// Compares the key of `object` with `values`, which may be only the first members of a key.
  template <typename... Views>
  static int compare_with(const PersistentObject& object, const std::tuple<Views...>& values) {
    int order = 0;
    each_until(std::make_index_sequence<sizeof...(Views)>(), [&]<std::size_t i>() {
      order = std::get<i>(kParts).compare(std::get<i>(kParts).view(cast(object)), std::get<i>(values));
      return order != 0;
    });
    return order;
  }
  template <typename... Views>
  static std::uint64_t hash_of(const std::tuple<Views...>& values) {
    std::uint64_t hash = 0;
    each_until(std::make_index_sequence<sizeof...(Views)>(), [&]<std::size_t i>() {
      using Member = typename std::tuple_element_t<i, std::remove_const_t<decltype(kParts)>>::Member;
      hash = i == 0 ? Member::hash(std::get<i>(values)) : mix(hash ^ std::rotl(Member::hash(std::get<i>(values)), 31));
      return false;
    });
    return hash;
  }
  template <typename View>
  static std::uint64_t prefix_of(const View& first) {
    return std::get<0>(kParts).prefix(first);
  }
  static auto values_of(const PersistentObject& object) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return std::tuple(std::get<i>(kParts).view(cast(object))...);
    }(std::make_index_sequence<kPartCount>());
  }

  int compare(const PersistentObject& a, const PersistentObject& b) const override {
    int order = 0;
    each_until(std::make_index_sequence<kPartCount>(), [&]<std::size_t i>() {
      constexpr auto part = std::get<i>(kParts);
      order = part.compare(part.view(cast(a)), part.view(cast(b)));
      return order != 0;
    });
    return order;
  }
  std::uint64_t prefix(const PersistentObject& object) const override {
    return prefix_of(std::get<0>(kParts).view(cast(object)));
  }
  std::uint64_t hash(const PersistentObject& object) const override { return hash_of(values_of(object)); }
  bool has_empty(const PersistentObject& object) const override {
    bool empty = false;
    each_until(std::make_index_sequence<kPartCount>(), [&]<std::size_t i>() {
      using Member = typename std::tuple_element_t<i, std::remove_const_t<decltype(kParts)>>::Member;
      empty = Member::is_empty(std::get<i>(kParts).view(cast(object)));
      return empty;
    });
    return empty;
  }

 private:
  template <std::size_t... i, typename Each>
  static void each_until(std::index_sequence<i...>, const Each& each) {
    static_cast<void>((each.template operator()<i>() || ...));
  }
};

}  // namespace objects

/// An index of a class, as a constant of the class: `static constexpr UniqueHash<&Package::name> by_name{"by_name"};`. Members
/// may be optional: an object with an empty member of the key is in no unique index.
template <IndexKind kKindGiven, bool kUniqueGiven, auto... Members>
struct Index {
  using Key = objects::KeyOf<Members...>;
  static constexpr IndexKind kKind = kKindGiven;
  static constexpr bool kUnique = kUniqueGiven;
  const char* name;
};
template <auto... Members>
using Hash = Index<IndexKind::kHash, false, Members...>;
template <auto... Members>
using UniqueHash = Index<IndexKind::kHash, true, Members...>;
template <auto... Members>
using Sorted = Index<IndexKind::kSorted, false, Members...>;
template <auto... Members>
using UniqueSorted = Index<IndexKind::kSorted, true, Members...>;

/// What becomes of an object when the object that it refers to is deleted.
enum class OnDelete : std::uint8_t {
  kRefuse,   ///< The deletion is kConflict.
  kCascade,  ///< The object is deleted too.
  kClear,    ///< The reference becomes none.
};

/// A member `Id<Target>` that is kUnsaved or the id of an object of its class. It makes an index: Reading::children().
template <auto kMemberGiven>
struct Reference {
  static constexpr auto kMember = kMemberGiven;
  const char* name;
  OnDelete on_delete = OnDelete::kRefuse;
};

}  // namespace cairn
