// What a manifest says of a fork store.
#include <algorithm>
#include <array>
#include <charconv>

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

constexpr std::size_t kSectionsMost = 64;  // More forks than so many stand in one line, of which each takes some bytes.

/// Each row as its differences to the row before, those of the first to 0: "1 1 0 5,1 1 0 3".
template <std::size_t N>
void append_row(std::string& text, std::array<std::uint64_t, N>& before, const std::array<std::uint64_t, N>& row) {
  std::array<char, N * 24> buffer;
  char* at = buffer.data();
  if (!text.empty()) *at++ = ',';
  for (std::size_t i = 0; i < N; ++i) {
    if (i != 0) *at++ = ' ';
    at = std::to_chars(at, buffer.data() + buffer.size(), static_cast<std::int64_t>(row[i] - before[i])).ptr;
  }
  text.append(buffer.data(), at);
  before = row;
}

template <std::size_t N>
Result<std::vector<std::array<std::uint64_t, N>>> read_rows(Section& section, const char* key) {
  CAIRN_TRY(text, section.string(key));
  std::vector<std::array<std::uint64_t, N>> rows;
  std::array<std::uint64_t, N> row{};
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    for (std::size_t i = 0; i < N; ++i) {
      std::int64_t difference = 0;
      const auto read = std::from_chars(at, end, difference);
      row[i] += static_cast<std::uint64_t>(difference);
      const char next = i + 1 < N ? ' ' : ',';
      const bool last = i + 1 == N && read.ptr == end;
      if (read.ec != std::errc{} || row[i] > kForkMost || (!last && (read.ptr == end || *read.ptr != next))) {
        return section.wrong(key, fmt::format("has a wrong number at character {}", at - text.data()));
      }
      at = last ? end : read.ptr + 1;
    }
    rows.push_back(row);
    if (at == end) return rows;
  }
}

std::string encode_tree(const std::vector<ForkEntry>& forks) {
  std::string text;
  std::array<std::uint64_t, 4> before{};
  for (const ForkEntry& fork : forks) append_row(text, before, {fork.number, fork.parent, fork.frozen ? 1U : 0U, fork.since});
  return text;
}

Result<void> read_tree(Section& section, std::vector<ForkEntry>& forks) {
  if (!forks.empty()) return section.wrong("tree", "is there besides sections of forks");
  CAIRN_TRY(rows, read_rows<4>(section, "tree"));
  for (const auto& [number, parent, frozen, since] : rows) {
    if (frozen > 1) return section.wrong("tree", fmt::format("has fork {}, which is neither open nor frozen", number));
    forks.push_back({.number = number, .parent = parent, .frozen = frozen == 1, .since = since});
  }
  return {};
}

std::string encode_purged(const std::vector<PurgedEntry>& purged) {
  std::string text;
  std::array<std::uint64_t, 3> before{};
  for (const PurgedEntry& each : purged) append_row(text, before, {each.fork, each.since, each.until});
  return text;
}

Result<void> read_purged_line(Section& section, std::vector<PurgedEntry>& purged) {
  if (!purged.empty()) return section.wrong("purged_forks", "is there besides sections of purged forks");
  CAIRN_TRY(rows, read_rows<3>(section, "purged_forks"));
  for (const auto& [fork, since, until] : rows) {
    if (since > until) return section.wrong("purged_forks", fmt::format("has fork {} with its end below its begin", fork));
    purged.push_back({.fork = fork, .since = since, .until = until});
  }
  return {};
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

/// Numbers, and ranges of them as "FIRST-LAST".
Result<void> read_gone(const std::vector<std::string>& texts, ForksEntry& entry, const Section& section) {
  for (const std::string& text : texts) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    const char* const end = text.data() + text.size();
    auto read = std::from_chars(text.data(), end, first);
    last = first;
    if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc{} || read.ptr != end) return section.wrong("gone", "has what is no number and no range of them");
    const bool ascends = first > entry.forks.front().number && (entry.gone.empty() || first > entry.gone.back());
    if (!ascends || last < first || last > kForkMost || last - first >= kGoneMost - entry.gone.size()) {
      return section.wrong("gone", "does not ascend above the root, or has too many numbers");
    }
    for (std::uint64_t number = first; number <= last; ++number) entry.gone.push_back(number);
  }
  const auto there = std::ranges::find_if(
      entry.forks, [&](const ForkEntry& fork) { return std::ranges::binary_search(entry.gone, fork.number); });
  if (there != entry.forks.end()) return section.wrong("gone", fmt::format("has fork {}, which is there", there->number));
  return {};
}

std::string encode_gone(const std::vector<std::uint64_t>& gone) {
  std::string text;
  for (std::size_t i = 0; i < gone.size();) {
    std::size_t last = i;
    while (last + 1 < gone.size() && gone[last + 1] == gone[last] + 1) ++last;
    text += fmt::format("{}\"{}", text.empty() ? "" : ", ", gone[i]);
    text += last == i ? "\"" : fmt::format("-{}\"", gone[last]);
    i = last + 1;
  }
  return text;
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
  if (section.has("tree")) CAIRN_TRY_VOID(read_tree(section, entry.forks));
  if (section.has("purged_forks")) CAIRN_TRY_VOID(read_purged_line(section, entry.purged));
  CAIRN_TRY_VOID(check_forks(entry.forks, section));
  if (section.has("gone")) {
    CAIRN_TRY(gone, section.strings("gone"));
    CAIRN_TRY_VOID(read_gone(gone, entry, section));
  }
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

std::uint64_t format_of(const ForksEntry& forks) {
  return !forks.gone.empty() || forks.forks.size() > kSectionsMost || forks.purged.size() > kSectionsMost ? 2 : 1;
}

std::string encode_forks(const ForksEntry& forks) {
  std::string text = "\n  [[view.forks]]\n";
  if (!forks.index.empty()) text += fmt::format("  index = [\"{}\"]\n", fmt::join(forks.index, "\", \""));
  if (!forks.gone.empty()) text += fmt::format("  gone = [{}]\n", encode_gone(forks.gone));
  const bool tree_in_line = forks.forks.size() > kSectionsMost;
  const bool purged_in_line = forks.purged.size() > kSectionsMost;
  if (tree_in_line) text += fmt::format("  tree = \"{}\"\n", encode_tree(forks.forks));
  if (purged_in_line) text += fmt::format("  purged_forks = \"{}\"\n", encode_purged(forks.purged));
  for (const ForkEntry& fork : std::span(forks.forks).first(tree_in_line ? 0 : forks.forks.size())) {
    text += fmt::format("\n    [[view.forks.fork]]\n    number = {}\n    parent = {}\n    state = \"{}\"\n    since = {}\n",
                        fork.number, fork.parent, fork.frozen ? "frozen" : "open", fork.since);
  }
  for (const PurgedEntry& purged : std::span(forks.purged).first(purged_in_line ? 0 : forks.purged.size())) {
    text += fmt::format("\n    [[view.forks.purged]]\n    fork = {}\n    since = {}\n    until = {}\n", purged.fork, purged.since,
                        purged.until);
  }
  return text;
}

}  // namespace cairn::directory
