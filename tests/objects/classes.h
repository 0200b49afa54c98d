// Two classes, written by hand, with one of everything: for the tests of a Model.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "cairn/model.h"

namespace cairn::test {

enum class Color : std::uint8_t { kRed, kGreen, kBlue };
inline constexpr const char* kColorNames[] = {"red", "green", "blue"};

struct Item : PersistentObject {
  using PersistentObject::PersistentObject;
  std::string name;
  std::optional<std::int64_t> code;
  std::int64_t size = 0;
  double score = 0;
  Color color = Color::kRed;
  Id<Item> parent;

  static constexpr ModelClass kClass{"Item", 0};
  static constexpr UniqueHash<&Item::name> by_name{"by_name"};
  static constexpr UniqueSorted<&Item::code> by_code{"by_code"};
  static constexpr Sorted<&Item::size> by_size{"by_size"};
  static constexpr Sorted<Descending(&Item::score), &Item::name> by_best{"by_best"};
  static constexpr Hash<&Item::color> by_color{"by_color"};
  static constexpr UniqueHash<&Item::color, &Item::size, &Item::name> by_all{"by_all"};
  static constexpr auto kIndexes = std::tuple(by_name, by_code, by_size, by_best, by_color, by_all);
  static constexpr auto kReferences = std::tuple(Reference<&Item::parent>{"parent", OnDelete::kCascade});

  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("name", self.name);
    visit("code", self.code);
    visit("size", self.size);
    visit("score", self.score);
    visit("color", self.color, kColorNames);
    visit("parent", self.parent);
  }
  [[nodiscard]] Result<void> check() const {
    if (size >= 0) return {};
    return std::unexpected(Error{ErrorCode::kInvalidArgument, "/size: must be at least 0"});
  }
};

struct Link : PersistentObject {
  using PersistentObject::PersistentObject;
  Id<Item> strict;
  Id<Item> soft;
  Id<Item> owned;
  std::int64_t number = 0;

  static constexpr ModelClass kClass{"Link", 3};
  static constexpr auto kReferences =
      std::tuple(Reference<&Link::strict>{"strict"}, Reference<&Link::soft>{"soft", OnDelete::kClear},
                 Reference<&Link::owned>{"owned", OnDelete::kCascade});

  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("strict", self.strict);
    visit("soft", self.soft);
    visit("owned", self.owned);
    visit("number", self.number);
  }
};

}  // namespace cairn::test
