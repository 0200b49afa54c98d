#include "forks/fork_tree.h"

#include <algorithm>

#include "base/error.h"

namespace cairn::forks {
namespace {

std::unexpected<Error> no_fork(std::uint64_t number) {
  return fail(ErrorCode::kNotFound, "there is no fork " + std::to_string(number));
}

}  // namespace

ForkTree::ForkTree() : ForkTree(std::vector<Fork>(1), std::make_shared<const std::vector<std::uint64_t>>()) {}

/// `forks` are a tree, by their numbers.
ForkTree::ForkTree(std::vector<Fork> forks, std::shared_ptr<const std::vector<std::uint64_t>> gone) : gone_(std::move(gone)) {
  nodes_.reserve(forks.size());
  for (const Fork& fork : forks) add(fork);
}

/// One with a number above all others.
void ForkTree::add(const Fork& fork) {
  if (nodes_.empty()) {
    nodes_.push_back({.fork = fork});
    return;
  }
  const std::uint32_t above = *node_of(fork.parent);
  single_line_ = single_line_ && above + 1 == nodes_.size();  // In a single line only the last has no child.
  const Node& parent = nodes_[above];
  const Node& jump = nodes_[parent.jump];
  const bool doubles = parent.depth - jump.depth == jump.depth - nodes_[jump.jump].depth;
  nodes_.push_back({.fork = fork, .parent = above, .jump = doubles ? jump.jump : above, .depth = parent.depth + 1});
}

Result<ForkTree> ForkTree::of(std::span<const Fork> forks, std::vector<std::uint64_t> gone, const std::string& file) {
  std::vector<Fork> sorted(forks.begin(), forks.end());
  std::ranges::sort(sorted, {}, &Fork::number);
  if (sorted.empty()) return corruption("a tree of forks without a root", file);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Fork& fork = sorted[i];
    const auto say = [&](const std::string& what) {
      return corruption("fork " + std::to_string(fork.number) + " " + what, file);
    };
    if (i != 0 && sorted[i - 1].number == fork.number) return say("is there twice");
    if (i == 0 && fork.parent != fork.number) return say("is the least and not the root");
    if (i != 0 && fork.parent >= fork.number) return say("is not above its parent");
    if (i == 0) continue;
    const auto above = std::span(sorted).first(i);
    const auto parent = std::ranges::lower_bound(above, fork.parent, {}, &Fork::number);
    if (parent == above.end() || parent->number != fork.parent) return say("has a parent that is not there");
    if (!parent->frozen) return say("has a parent that is not frozen");
  }
  return ForkTree(std::move(sorted), std::make_shared<const std::vector<std::uint64_t>>(std::move(gone)));
}

std::vector<Fork> ForkTree::forks() const {
  std::vector<Fork> all;
  all.reserve(nodes_.size());
  for (const Node& node : nodes_) all.push_back(node.fork);
  return all;
}

std::optional<std::uint32_t> ForkTree::node_of(std::uint64_t number) const {
  const auto found = std::ranges::lower_bound(nodes_, number, {}, [](const Node& node) { return node.fork.number; });
  if (found == nodes_.end() || found->fork.number != number) return std::nullopt;
  return static_cast<std::uint32_t>(found - nodes_.begin());
}

const Fork* ForkTree::find(std::uint64_t number) const {
  const auto node = node_of(number);
  return node ? &nodes_[*node].fork : nullptr;
}

/// The number of the nearest node on the way from `node` to the root whose number is not above `number`, or the root's.
std::uint64_t ForkTree::at_most(std::uint32_t node, std::uint64_t number) const {
  while (nodes_[node].fork.number > number && node != 0) {
    const Node& now = nodes_[node];
    node = nodes_[now.jump].fork.number >= number ? now.jump : now.parent;
  }
  return nodes_[node].fork.number;
}

bool ForkTree::is_ancestor(std::uint64_t ancestor, std::uint64_t descendant) const {
  return at_most(*node_of(descendant), ancestor) == ancestor;
}

std::optional<ForkTree::Path> ForkTree::path(std::uint64_t number) const {
  if (number < root() || is_gone(number)) return std::nullopt;
  auto node = node_of(number);
  if (!node && single_line_) {
    const auto above = std::ranges::upper_bound(nodes_, number, {}, [](const Node& each) { return each.fork.number; });
    node = static_cast<std::uint32_t>(above - nodes_.begin() - 1);
  }
  return node ? std::optional(Path(this, *node)) : std::nullopt;
}

Result<void> ForkTree::check_new(std::uint64_t number, std::uint64_t parent) const {
  if (find(parent) == nullptr) return no_fork(parent);
  if (find(number) != nullptr) return fail(ErrorCode::kConflict, "there is a fork " + std::to_string(number) + " already");
  if (number <= parent) {
    return fail(ErrorCode::kInvalidArgument,
                "fork " + std::to_string(number) + " has to be above its parent " + std::to_string(parent));
  }
  return {};
}

Result<ForkTree> ForkTree::with(std::uint64_t number, std::uint64_t parent, std::uint64_t since) const {
  CAIRN_TRY_VOID(check_new(number, parent));
  CAIRN_TRY(tree, frozen(parent));
  const Fork fork{.number = number, .parent = parent, .frozen = false, .since = since};
  if (number > nodes_.back().fork.number && !is_gone(number)) {  // As a rule: there may be many.
    tree.add(fork);
    return tree;
  }
  std::vector<Fork> all = tree.forks();
  all.insert(std::ranges::lower_bound(all, number, {}, &Fork::number), fork);
  if (!is_gone(number)) return ForkTree(std::move(all), gone_);
  std::vector<std::uint64_t> gone = *gone_;
  std::erase(gone, number);
  return ForkTree(std::move(all), std::make_shared<const std::vector<std::uint64_t>>(std::move(gone)));
}

Result<ForkTree> ForkTree::frozen(std::uint64_t number) const {
  const auto node = node_of(number);
  if (!node) return no_fork(number);
  ForkTree tree = *this;
  tree.nodes_[*node].fork.frozen = true;
  return tree;
}

Result<void> ForkTree::check_gone(std::span<const Fork> forks) const {
  if (gone_->size() + forks.size() <= directory::kGoneMost) return {};
  return fail(ErrorCode::kUnavailable, "the fork store remembers at most " + std::to_string(directory::kGoneMost) +
                                           " numbers above the root that are purged; make a later fork the root first");
}

/// The numbers that are gone together with `forks`, above `root`: what is below it is not there anyway.
std::shared_ptr<const std::vector<std::uint64_t>> ForkTree::with_gone(std::span<const Fork> forks, std::uint64_t root) const {
  std::vector<std::uint64_t> all = *gone_;
  for (const Fork& fork : forks) all.push_back(fork.number);
  std::ranges::sort(all);
  std::erase_if(all, [&](std::uint64_t number) { return number <= root; });
  return std::make_shared<const std::vector<std::uint64_t>>(std::move(all));
}

Result<ForkTree::Pruned> ForkTree::rooted(std::uint64_t number) const {
  if (find(number) == nullptr) return no_fork(number);
  std::vector<Fork> stay;
  std::vector<Fork> gone;
  std::vector<Fork> merged;
  for (const Node& node : nodes_) {
    if (node.fork.number >= number && is_ancestor(number, node.fork.number)) {
      stay.push_back(node.fork);
    } else {
      (is_ancestor(node.fork.number, number) ? merged : gone).push_back(node.fork);
    }
  }
  stay.front().parent = number;
  CAIRN_TRY_VOID(check_gone(gone));
  return Pruned{.tree = ForkTree(std::move(stay), with_gone(gone, number)), .gone = std::move(gone), .merged = std::move(merged)};
}

Result<ForkTree::Pruned> ForkTree::purged(std::uint64_t number) const {
  if (find(number) == nullptr) return no_fork(number);
  if (number == root()) {
    return fail(ErrorCode::kInvalidArgument, "fork " + std::to_string(number) + " is the root, which cannot be purged");
  }
  std::vector<Fork> stay;
  std::vector<Fork> gone;
  for (const Node& node : nodes_) (is_ancestor(number, node.fork.number) ? gone : stay).push_back(node.fork);
  CAIRN_TRY_VOID(check_gone(gone));
  return Pruned{.tree = ForkTree(std::move(stay), with_gone(gone, root())), .gone = std::move(gone), .merged = {}};
}

}  // namespace cairn::forks
