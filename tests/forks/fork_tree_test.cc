#include "forks/fork_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using forks::Fork;
using forks::ForkTree;

/// Parents by their children; what was purged is not in it, what became part of the root is in `past`.
struct ForkModel {
  std::map<std::uint64_t, std::uint64_t> parents;
  std::set<std::uint64_t> frozen;
  std::set<std::uint64_t> past;
  std::set<std::uint64_t> gone;  // Purged or pruned, and not created again.
  std::uint64_t root = 0;

  [[nodiscard]] bool has(std::uint64_t fork) const { return fork == root || parents.contains(fork); }
  [[nodiscard]] std::set<std::uint64_t> path(std::uint64_t fork) const {
    std::set<std::uint64_t> all = past;
    for (; fork != root; fork = parents.at(fork)) all.insert(fork);
    all.insert(root);
    return all;
  }
  [[nodiscard]] bool single_line() const {
    std::set<std::uint64_t> seen;
    return std::ranges::all_of(parents, [&](const auto& each) { return seen.insert(each.second).second; });
  }
  [[nodiscard]] std::vector<std::uint64_t> all() const {
    std::vector<std::uint64_t> forks = {root};
    for (const auto& [fork, parent] : parents) forks.push_back(fork);
    return forks;
  }
};

void expect_equal(const ForkTree& tree, const ForkModel& model, Random& random) {
  ASSERT_EQ(tree.root(), model.root);
  const std::vector<Fork> forks = tree.forks();
  ASSERT_EQ(forks.size(), 1 + model.parents.size());
  for (const Fork& fork : forks) {
    ASSERT_TRUE(model.has(fork.number));
    ASSERT_EQ(fork.parent, fork.number == model.root ? model.root : model.parents.at(fork.number));
    ASSERT_EQ(fork.frozen, model.frozen.contains(fork.number)) << fork.number;
  }
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t asked = random.below(forks.back().number + 5);
    std::optional<std::uint64_t> meant;
    if (model.has(asked)) meant = asked;
    if (!meant && model.single_line() && asked >= model.root && !model.gone.contains(asked)) {
      for (const std::uint64_t fork : model.all()) {
        if (fork <= asked) meant = std::max(meant.value_or(0), fork);
      }
    }
    const auto path = tree.path(asked);
    ASSERT_EQ(path ? std::optional(path->fork()) : std::nullopt, meant) << asked;
    if (!path) continue;
    const std::set<std::uint64_t> seen = model.path(*meant);
    for (const Fork& fork : forks) ASSERT_EQ(path->sees(fork.number), seen.contains(fork.number)) << asked << " " << fork.number;
    for (const std::uint64_t fork : model.past) ASSERT_TRUE(path->sees(fork));
  }
}

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  Random random(seed);
  const bool line = random.one_in(3);
  ForkTree tree;
  ForkModel model;
  for (int step = 0; step < 200; ++step) {
    const std::vector<std::uint64_t> all = model.all();
    const std::uint64_t one = all[random.below(all.size())];
    const std::uint64_t parent = line ? all.back() : one;
    if (random.below(10) < 7) {
      const std::uint64_t number = parent + random.below(5);
      const auto next = tree.with(number, parent, 7);
      const ErrorCode expected = model.has(number) ? ErrorCode::kConflict : ErrorCode::kInvalidArgument;
      ASSERT_EQ(next.has_value(), !model.has(number) && number > parent);
      if (!next) {
        ASSERT_EQ(next.error().code, expected);
        continue;
      }
      tree = *next;
      model.parents[number] = parent;
      model.gone.erase(number);
      model.frozen.insert(parent);
    } else if (random.one_in(2)) {
      tree = *tree.frozen(one);
      model.frozen.insert(one);
    } else if (random.one_in(2)) {
      const auto pruned = tree.purged(one);
      ASSERT_EQ(pruned.has_value(), one != model.root);
      if (!pruned) continue;
      tree = pruned->tree;
      for (const Fork& gone : pruned->gone) ASSERT_TRUE(model.path(gone.number).contains(one));
      for (const Fork& gone : pruned->gone) model.gone.insert(gone.number);
      for (const Fork& gone : pruned->gone) model.frozen.erase(gone.number);
      for (const Fork& gone : pruned->gone) model.parents.erase(gone.number);
      for (const Fork& left : tree.forks()) ASSERT_FALSE(model.path(left.number).contains(one));
    } else if (random.one_in(5)) {
      const std::set<std::uint64_t> path = model.path(one);
      ForkModel after{.root = one};
      for (const std::uint64_t fork : all) {
        if (fork != one && model.path(fork).contains(one)) after.parents[fork] = model.parents.at(fork);
        if (after.has(fork) && model.frozen.contains(fork)) after.frozen.insert(fork);
      }
      after.gone = model.gone;
      for (const std::uint64_t fork : all) {
        if (!after.has(fork) && !path.contains(fork)) after.gone.insert(fork);
      }
      after.past = path;
      after.past.erase(one);
      const auto pruned = tree.rooted(one);
      ASSERT_OK(pruned);
      ASSERT_EQ(pruned->gone.size() + pruned->merged.size() + pruned->tree.forks().size(), all.size());
      for (const Fork& merged : pruned->merged) ASSERT_TRUE(path.contains(merged.number));
      tree = pruned->tree;
      model = after;
    }
    expect_equal(tree, model, random);
    const auto again = ForkTree::of(tree.forks(), tree.gone(), "a manifest");
    ASSERT_OK(again);
    ASSERT_EQ(again->forks(), tree.forks());
  }
}

TEST(ForkTree, IsLikePathsOfParents) {
  for (const std::uint64_t seed : seeds_to_run(sample(200, 10'000))) {
    run_history(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ForkTree, ALineOfAThousandIsWalkedInFewSteps) {
  ForkTree tree;
  for (std::uint64_t fork = 1; fork <= 1000; ++fork) tree = *tree.with(2 * fork, 2 * fork - 2, 0);
  const auto path = tree.path(2001);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->fork(), 2000U) << "a number that was never given";
  for (std::uint64_t fork = 0; fork <= 2000; ++fork) EXPECT_EQ(path->sees(fork), fork % 2 == 0);
  EXPECT_FALSE(path->sees(2002));
  ASSERT_FALSE(tree.with(3, 0, 0)->path(2001).has_value()) << "not a single line any more";
}

TEST(ForkTree, WhatIsNoTreeIsDamage) {
  const auto refused = [](const std::vector<Fork>& forks) {
    const auto tree = ForkTree::of(forks, {}, "manifest-1-1");
    EXPECT_FALSE(tree.has_value());
    if (tree) return std::string();
    EXPECT_EQ(tree.error().code, ErrorCode::kCorruption);
    EXPECT_EQ(tree.error().file, "manifest-1-1");
    return tree.error().message;
  };
  const Fork root{.number = 5, .parent = 5, .frozen = true};
  EXPECT_EQ(refused({}), "a tree of forks without a root");
  EXPECT_EQ(refused({{.number = 5, .parent = 4}}), "fork 5 is the least and not the root");
  EXPECT_EQ(refused({root, root}), "fork 5 is there twice");
  EXPECT_EQ(refused({root, {.number = 7, .parent = 7}}), "fork 7 is not above its parent");
  EXPECT_EQ(refused({root, {.number = 7, .parent = 6}}), "fork 7 has a parent that is not there");
  EXPECT_EQ(refused({root, {.number = 8, .parent = 7}, {.number = 7, .parent = 5}}), "fork 8 has a parent that is not frozen");
}

}  // namespace
}  // namespace cairn::test
