// The forks that there are, and which versions of an account each of them sees. Immutable: a change makes another tree, so that
// readers need no lock.
//
// A version belongs to the fork it was stored in. A fork sees its own versions, those of its ancestors, and all of forks below
// the root: what was not purged when an ancestor became the root is part of every fork's past. Numbers ascend along every path,
// so of those it sees the one of the greatest fork is the newest.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cairn/result.h"
#include "directory/manifest.h"

namespace cairn::forks {

using Fork = directory::ForkEntry;

class ForkTree {
 public:
  /// One fork, 0, which is the root.
  ForkTree();
  /// Forks in any order; one of them is its own parent, the root. `gone`: numbers above the root that are there no more,
  /// ascending. kCorruption: they are no tree. `file`: that says so.
  static Result<ForkTree> of(std::span<const Fork> forks, std::vector<std::uint64_t> gone, const std::string& file);

  [[nodiscard]] std::uint64_t root() const { return nodes_.front().fork.number; }
  /// By their numbers.
  [[nodiscard]] std::vector<Fork> forks() const;
  /// Numbers above the root of forks that were purged, or pruned by a root, and not created again; ascending.
  [[nodiscard]] const std::vector<std::uint64_t>& gone() const { return *gone_; }
  [[nodiscard]] bool is_gone(std::uint64_t number) const { return std::ranges::binary_search(*gone_, number); }
  [[nodiscard]] const Fork* find(std::uint64_t number) const;
  /// `descendant` itself is one of its ancestors. Both are there.
  [[nodiscard]] bool is_ancestor(std::uint64_t ancestor, std::uint64_t descendant) const;

  /// A fork that is asked for, as readers meet it.
  class Path {
   public:
    /// Whether it sees versions of `fork`, which were not purged.
    [[nodiscard]] bool sees(std::uint64_t fork) const { return fork <= tree_->root() || tree_->at_most(node_, fork) == fork; }
    [[nodiscard]] std::uint64_t fork() const { return tree_->nodes_[node_].fork.number; }

   private:
    friend class ForkTree;
    Path(const ForkTree* tree, std::uint32_t node) : tree_(tree), node_(node) {}
    const ForkTree* tree_;
    std::uint32_t node_;
  };
  /// For a reader as of `number`. As long as the forks are a single line, a number that was never created stands for the greatest
  /// fork below it. nullopt: there is none, or the number is gone: it must not answer with another fork's accounts.
  [[nodiscard]] std::optional<Path> path(std::uint64_t number) const;

  /// Whether there may be another fork. kConflict: there is one of this number; kNotFound: there is no such parent;
  /// kInvalidArgument: the number is not above its parent's.
  [[nodiscard]] Result<void> check_new(std::uint64_t number, std::uint64_t parent) const;
  /// With another fork, whose parent is frozen. Errors as of check_new().
  [[nodiscard]] Result<ForkTree> with(std::uint64_t number, std::uint64_t parent, std::uint64_t since) const;
  /// kNotFound.
  [[nodiscard]] Result<ForkTree> frozen(std::uint64_t number) const;
  struct Pruned;
  /// Only `number` and its descendants are left. kNotFound.
  [[nodiscard]] Result<Pruned> rooted(std::uint64_t number) const;
  /// Without it and its descendants. kNotFound; kInvalidArgument: it is the root.
  [[nodiscard]] Result<Pruned> purged(std::uint64_t number) const;

 private:
  struct Node {
    Fork fork;
    std::uint32_t parent = 0;  // In nodes_.
    std::uint32_t jump = 0;    // An ancestor farther up (Myers, "An applicative random access stack", 1983).
    std::uint32_t depth = 0;
  };
  ForkTree(std::vector<Fork> forks, std::shared_ptr<const std::vector<std::uint64_t>> gone);
  void add(const Fork& fork);
  [[nodiscard]] Result<void> check_gone(std::span<const Fork> forks) const;
  [[nodiscard]] std::shared_ptr<const std::vector<std::uint64_t>> with_gone(std::span<const Fork> forks,
                                                                            std::uint64_t root) const;
  [[nodiscard]] std::optional<std::uint32_t> node_of(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t at_most(std::uint32_t node, std::uint64_t number) const;

  std::vector<Node> nodes_;  // By number, so that parents come before their children; the root is the first.
  std::shared_ptr<const std::vector<std::uint64_t>> gone_ = std::make_shared<const std::vector<std::uint64_t>>();
  bool single_line_ = true;
};

struct ForkTree::Pruned {
  ForkTree tree;
  std::vector<Fork> gone;    // What was stored in them was never.
  std::vector<Fork> merged;  // Ancestors of the new root: what was stored in them is part of it.
};

}  // namespace cairn::forks
