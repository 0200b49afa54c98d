// Model: two maps of plain values. Property: after any mix of transactions, deletions that follow references, removals and
// copies, a Model answers every lookup as a scan of the maps does; a transaction that breaks a rule changes nothing, in either.
// Names and sizes are few on purpose: unique keys collide and are swapped, and references are often to what is deleted.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/random.h"
#include "objects/classes.h"
#include "support/world.h"

namespace cairn::test {

struct PlainItem {
  std::string name;
  std::optional<std::int64_t> code;
  std::int64_t size = 0;
  double score = 0;
  Color color = Color::kRed;
  DbId parent = 0;
  bool operator==(const PlainItem&) const = default;
};
struct PlainChild {
  DbId strict = 0;
  DbId soft = 0;
  DbId owned = 0;
  std::int64_t number = 0;
  bool operator==(const PlainChild&) const = default;
};
struct Plain {
  std::map<DbId, PlainItem> items;
  std::map<DbId, PlainChild> children;
  bool operator==(const Plain&) const = default;
};

inline PlainItem plain(const Item& of) { return {of.name, of.code, of.size, of.score, of.color, of.parent.value}; }
inline PlainChild plain(const Link& of) { return {of.strict.value, of.soft.value, of.owned.value, of.number}; }
inline void fill(Item& to, const PlainItem& from) {
  to.name = from.name;
  to.code = from.code;
  to.size = from.size;
  to.score = from.score;
  to.color = from.color;
  to.parent = {from.parent};
}
inline void fill(Link& to, const PlainChild& from) {
  to.strict = {from.strict};
  to.soft = {from.soft};
  to.owned = {from.owned};
  to.number = from.number;
}

/// What follows from the deletions in `after`, which began as `before`. False: a rule is broken.
inline bool settle(const Plain& before, Plain& after) {
  const auto was_and_is = [](DbId was, DbId is) { return was == is && is != 0; };
  bool again = true;
  while (again) {
    again = false;
    const auto gone = [&](DbId id) { return before.items.contains(id) && !after.items.contains(id); };
    for (auto item = after.items.begin(); item != after.items.end();) {
      const auto old = before.items.find(item->first);
      const bool follows =
          old != before.items.end() && was_and_is(old->second.parent, item->second.parent) && gone(item->second.parent);
      again = again || follows;
      item = follows ? after.items.erase(item) : std::next(item);
    }
    for (auto child = after.children.begin(); child != after.children.end();) {
      const auto old = before.children.find(child->first);
      const bool follows =
          old != before.children.end() && was_and_is(old->second.owned, child->second.owned) && gone(child->second.owned);
      again = again || follows;
      if (!follows && old != before.children.end() && was_and_is(old->second.soft, child->second.soft) &&
          gone(child->second.soft)) {
        child->second.soft = 0;
      }
      child = follows ? after.children.erase(child) : std::next(child);
    }
  }
  const auto is_there = [&](DbId id) { return id == 0 || after.items.contains(id); };
  std::set<std::string> names;
  std::set<std::int64_t> codes;
  for (const auto& [id, item] : after.items) {
    if (!is_there(item.parent) || item.size < 0 || !names.insert(item.name).second) return false;
    if (item.code && !codes.insert(*item.code).second) return false;
  }
  return std::ranges::all_of(after.children, [&](const auto& child) {
    return is_there(child.second.strict) && is_there(child.second.soft) && is_there(child.second.owned);
  });
}

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {}
  virtual ~History() = default;
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  void run(std::uint64_t steps) {
    for (std::uint64_t step = 0; step < steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const std::uint64_t dice = random_.below(30);
      if (dice == 0) {
        model().remove_deleted();
      } else if (dice == 1) {
        copy();
      } else if (dice < 6) {
        store();
      } else {
        transact();
      }
      if (step % 10 == 0 || dice < 6) check(model(), plain_);
      if (testing::Test::HasFatalFailure()) return;
    }
    check(model(), plain_);
    if (copied_) check(*copied_, copied_plain_);
  }
  [[nodiscard]] int refused() const { return refused_; }

 protected:
  [[nodiscard]] virtual cairn::Model& model() = 0;
  /// A step of a Model that has a store.
  virtual void store() { transact(); }
  /// The Model committed `change`, and is now as `plain_`.
  virtual void committed(Change /*change*/) {}

  template <typename Map>
  DbId any_of(const Map& map) {
    if (map.empty()) return 0;
    return std::next(map.begin(), static_cast<std::ptrdiff_t>(random_.below(map.size())))->first;
  }
  /// Mostly an item that is there; sometimes none, or one that is not.
  DbId reference(const Plain& of) {
    const std::uint64_t dice = random_.below(20);
    return dice < 6 ? 0 : dice == 6 ? DbId{1} << 60 : any_of(of.items);
  }
  PlainItem item(const Plain& of) {
    PlainItem made;
    made.name = "name" + std::to_string(random_.below(150));
    if (random_.below(2) == 0) made.code = static_cast<std::int64_t>(random_.below(100)) - 50;
    made.size = static_cast<std::int64_t>(random_.below(12)) - (random_.below(40) == 0 ? 20 : 0);
    made.score = static_cast<double>(static_cast<std::int64_t>(random_.below(9)) - 4) / 2;
    made.color = static_cast<Color>(random_.below(3));
    made.parent = random_.below(2) == 0 ? reference(of) : 0;
    return made;
  }
  PlainChild child(const Plain& of) {
    return {random_.below(6) == 0 ? reference(of) : 0, reference(of), random_.below(3) == 0 ? reference(of) : 0,
            static_cast<std::int64_t>(random_.below(1000))};
  }

  void transact() {
    Plain after = plain_;
    const auto done = model().transact([&](Transaction& transaction) -> Result<void> {
      for (std::uint64_t i = 0; i <= random_.below(5); ++i) CAIRN_TRY_VOID(one_change(transaction, after));
      return {};
    });
    const bool expected = settle(plain_, after);
    ASSERT_EQ(done.has_value(), expected) << (done ? "" : done.error().message);
    if (!done) {
      ++refused_;
      return;
    }
    plain_ = std::move(after);
    committed(*done);
  }
  /// Makes one change in both.
  Result<void> one_change(Transaction& transaction, Plain& after) {
    switch (random_.below(9)) {
      case 0:
      case 1:
      case 2: {
        CAIRN_TRY(made, transaction.create<Item>());
        fill(*made, after.items[made->db_id()] = item(after));
        return {};
      }
      case 3: {
        CAIRN_TRY(made, transaction.create<Link>());
        fill(*made, after.children[made->db_id()] = child(after));
        return {};
      }
      case 4: {
        const DbId id = any_of(after.items);
        if (id == 0) return {};
        CAIRN_TRY(edited, transaction.edit(Id<Item>{id}));
        PlainItem next = item(after);
        if (random_.below(3) != 0) next.name = edited->name;
        if (random_.below(2) != 0) next.parent = edited->parent.value;
        fill(*edited, after.items[id] = next);
        return {};
      }
      case 5: {
        const DbId id = any_of(after.children);
        if (id == 0) return {};
        CAIRN_TRY(edited, transaction.edit(Id<Link>{id}));
        fill(*edited, after.children[id] = child(after));
        return {};
      }
      case 6: {
        const DbId one = any_of(after.items);
        const DbId two = any_of(after.items);
        if (one == 0 || one == two) return {};
        CAIRN_TRY(first, transaction.edit(Id<Item>{one}));
        CAIRN_TRY(second, transaction.edit(Id<Item>{two}));
        std::swap(first->name, second->name);
        std::swap(first->code, second->code);
        std::swap(after.items[one].name, after.items[two].name);
        std::swap(after.items[one].code, after.items[two].code);
        return {};
      }
      case 7: {
        const DbId id = any_of(after.items);
        if (id == 0 || random_.below(2) == 0) return {};
        CAIRN_TRY_VOID(transaction.set_deleted(Id<Item>{id}));
        after.items.erase(id);
        EXPECT_EQ(transaction.find(Id<Item>{id}), nullptr);
        return {};
      }
      default: return look(transaction, after);
    }
  }
  /// What a transaction sees before its deletions are followed.
  Result<void> look(Transaction& transaction, const Plain& after) {
    const auto from = static_cast<std::int64_t>(random_.below(12));
    std::multiset<std::string> expected;
    for (const auto& [id, each] : after.items) {
      if (each.size >= from && each.size < from + 3) expected.insert(each.name);
    }
    std::multiset<std::string> found;
    std::int64_t last = from;
    for (const Item* const each : transaction.range(Item::by_size, from, from + 3)) {
      EXPECT_GE(each->size, last);
      last = each->size;
      found.insert(each->name);
    }
    EXPECT_EQ(found, expected);
    const DbId id = any_of(after.items);
    if (id == 0) return {};
    const Item* const same = transaction.find(Id<Item>{id});
    EXPECT_TRUE(same != nullptr && plain(*same) == after.items.at(id));
    std::size_t children = 0;
    for (const auto& [number, each] : after.children) children += each.soft == id ? 1 : 0;
    EXPECT_EQ(transaction.children(&Link::soft, Id<Item>{id}).size(), children);
    return {};
  }
  void copy() {
    if (copied_) check(*copied_, copied_plain_);
    copied_ = model().copy();
    copied_plain_ = plain_;
    // Changes of the copy are its own.
    const DbId id = any_of(plain_.items);
    if (id == 0) return;
    ASSERT_TRUE(copied_->edit(Id<Item>{id}, [](Item& of) { of.size += 1000; }));
    copied_plain_.items[id].size += 1000;
  }

  template <typename Range>
  static std::vector<DbId> ids(Range range) {
    std::vector<DbId> all;
    for (const auto& each : range) all.push_back(each.db_id());
    return all;
  }
  /// Ids of the items for which `wanted` holds, in the order of `less` and then of the id.
  template <typename Wanted, typename Less>
  static std::vector<DbId> scan(const Plain& of, const Wanted& wanted, const Less& less) {
    std::vector<DbId> all;
    for (const auto& [id, each] : of.items) {
      if (wanted(each)) all.push_back(id);
    }
    std::ranges::stable_sort(all, [&](DbId a, DbId b) { return less(of.items.at(a), of.items.at(b)); });
    return all;
  }

  void check(const cairn::Model& model, const Plain& of) {
    const Reading now = model.read();
    Plain seen;
    now.for_each<Item>([&](const Item& each) { seen.items[each.db_id()] = plain(each); });
    now.for_each<Link>([&](const Link& each) { seen.children[each.db_id()] = plain(each); });
    ASSERT_EQ(seen.items, of.items);
    ASSERT_EQ(seen.children, of.children);
    ASSERT_EQ(now.count<Item>(), of.items.size());
    const auto by_size = [](const PlainItem& a, const PlainItem& b) { return a.size < b.size; };
    const auto all = [](const PlainItem&) { return true; };
    ASSERT_EQ(ids(now.all(Item::by_size)), scan(of, all, by_size));
    ASSERT_EQ(ids(now.all(Item::by_best)), scan(of, all, [](const PlainItem& a, const PlainItem& b) {
                return a.score != b.score ? a.score > b.score : a.name < b.name;
              }));
    const auto has_code = [](const PlainItem& each) { return each.code.has_value(); };
    ASSERT_EQ(ids(now.all(Item::by_code)),
              scan(of, has_code, [](const PlainItem& a, const PlainItem& b) { return a.code < b.code; }));
    for (const Color color : {Color::kRed, Color::kGreen, Color::kBlue}) {
      const auto has_color = [&](const PlainItem& each) { return each.color == color; };
      ASSERT_EQ(ids(now.equal(Item::by_color, color)), scan(of, has_color, [](const auto&, const auto&) { return false; }));
    }
    const auto sizes = scan(of, all, by_size);
    for (std::int64_t size = -1; size < 13; ++size) {
      const auto before =
          static_cast<std::uint64_t>(std::ranges::count_if(of.items, [&](const auto& each) { return each.second.size < size; }));
      ASSERT_EQ(now.rank(Item::by_size, size), before);
      const Item* const at = now.at(Item::by_size, before);
      ASSERT_EQ(at == nullptr ? 0 : at->db_id(), before < sizes.size() ? sizes[before] : 0);
      const auto between = [&](const PlainItem& each) { return each.size >= size && each.size < size + 4; };
      ASSERT_EQ(ids(now.range(Item::by_size, size, size + 4)), scan(of, between, by_size));
    }
    for (const auto& [id, each] : of.items) {
      ASSERT_EQ(now.find(Item::by_name, each.name)->db_id(), id);
      ASSERT_EQ(now.find(Item::by_all, each.color, each.size, each.name)->db_id(), id);
      ASSERT_TRUE(!each.code || now.find(Item::by_code, *each.code)->db_id() == id);
      std::vector<DbId> owned;
      for (const auto& [number, child] : of.children) {
        if (child.owned == id) owned.push_back(number);
      }
      ASSERT_EQ(ids(now.children(&Link::owned, Id<Item>{id})), owned);
    }
  }

  Random random_;
  Plain plain_;
  std::optional<cairn::Model> copied_;
  Plain copied_plain_;
  int refused_ = 0;
};

}  // namespace cairn::test
