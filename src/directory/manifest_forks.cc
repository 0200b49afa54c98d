// What a manifest says of a fork store.
#include "directory/file_name.h"
#include "directory/manifest_section.h"

namespace cairn::directory {
namespace {

Result<ForkEntry> read_fork(Section& section) {
  ForkEntry entry;
  CAIRN_TRY(number, section.integer("number", kForkMost));
  CAIRN_TRY(parent, section.integer("parent", kForkMost));
  CAIRN_TRY(state, section.string("state"));
  if (state != "open" && state != "frozen") return section.wrong("state", "is neither open nor frozen");
  CAIRN_TRY(since, section.integer("since"));
  entry.number = number;
  entry.parent = parent;
  entry.frozen = state == "frozen";
  entry.since = since;
  return entry;
}

Result<PurgedEntry> read_purged(Section& section) {
  PurgedEntry entry;
  CAIRN_TRY(fork, section.integer("fork", kForkMost));
  CAIRN_TRY(since, section.integer("since"));
  CAIRN_TRY(until, section.integer("until"));
  if (since > until) return section.wrong("until", "is below `since`");
  entry.fork = fork;
  entry.since = since;
  entry.until = until;
  return entry;
}

/// The forks are a tree, by their numbers.
Result<void> check_forks(const std::vector<ForkEntry>& forks, const Section& section) {
  if (forks.empty()) return section.wrong("fork", "is missing: there is no root");
  if (forks.front().parent != forks.front().number) return section.wrong("fork", "has a first that is not the root");
  for (std::size_t i = 1; i < forks.size(); ++i) {
    const ForkEntry& fork = forks[i];
    if (fork.number <= forks[i - 1].number) return section.wrong("fork", "does not ascend in numbers");
    const auto above = std::span(forks).first(i);
    const auto parent = std::ranges::lower_bound(above, fork.parent, {}, &ForkEntry::number);
    if (parent == above.end() || parent->number != fork.parent || !parent->frozen) {
      return section.wrong("fork", fmt::format("{} has a parent that is not above it, not there or not frozen", fork.number));
    }
  }
  return {};
}

}  // namespace

Result<ForksEntry> read_forks(Section& section) {
  ForksEntry entry;
  CAIRN_TRY_VOID(section.sections("fork", [&](Section& fork) -> Result<void> {
    CAIRN_TRY(read, read_fork(fork));
    entry.forks.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(section.sections("purged", [&](Section& purged) -> Result<void> {
    CAIRN_TRY(read, read_purged(purged));
    entry.purged.push_back(read);
    return {};
  }));
  CAIRN_TRY_VOID(check_forks(entry.forks, section));
  if (section.has("index")) {
    CAIRN_TRY(index, section.strings("index"));
    for (const std::string& file : index) {
      const auto name = FileName::parse(file);
      if (!name || name->suffix != kSealedSuffix) return section.wrong("index", "has what is not the name of a sealed file");
    }
    entry.index = index;
  }
  return entry;
}

std::string encode_forks(const ForksEntry& forks) {
  std::string text = "\n  [[view.forks]]\n";
  if (!forks.index.empty()) text += fmt::format("  index = [\"{}\"]\n", fmt::join(forks.index, "\", \""));
  for (const ForkEntry& fork : forks.forks) {
    text += fmt::format("\n    [[view.forks.fork]]\n    number = {}\n    parent = {}\n    state = \"{}\"\n    since = {}\n",
                        fork.number, fork.parent, fork.frozen ? "frozen" : "open", fork.since);
  }
  for (const PurgedEntry& purged : forks.purged) {
    text += fmt::format("\n    [[view.forks.purged]]\n    fork = {}\n    since = {}\n    until = {}\n", purged.fork, purged.since,
                        purged.until);
  }
  return text;
}

}  // namespace cairn::directory
