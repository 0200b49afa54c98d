// A timeline as a list of all saves and the intervals that were rolled back, and what its readers should see.
#pragma once
#include <algorithm>
#include <set>
#include <tuple>

#include "support/world.h"

namespace cairn::test {

constexpr std::int64_t ms_of(std::uint64_t stamp) { return static_cast<std::int64_t>(stamp >> Stamp::kSequenceBits); }
constexpr std::uint64_t first_of_ms(std::int64_t ms) { return static_cast<std::uint64_t>(ms) << Stamp::kSequenceBits; }

/// A save as a listing says it: stamp, key, data; none: erased.
using SaveLine = std::tuple<std::uint64_t, std::string, std::optional<std::string>>;

struct TimelineModel {
  struct Save {
    std::uint64_t stamp = 0;
    std::string key;                  // Empty: of all keys.
    std::optional<std::string> data;  // None: erased.
    std::int64_t expiry_ms = 0;       // 0: none.
    std::uint64_t changed = 0;        // Not 0: no save, but a change of the expiry of the one with that stamp.
    [[nodiscard]] bool gives_data(std::int64_t at_ms) const { return data && (expiry_ms == 0 || expiry_ms > at_ms); }
    [[nodiscard]] SaveLine line() const { return {stamp, key, data}; }
  };
  struct Rollback {
    std::uint64_t to = 0;
    std::uint64_t until = 0;
    std::int64_t undo_until_ms = 0;  // 0: confirmed.
    bool undone = false;
  };
  std::int64_t timeout_ms = 0;
  bool persist = false;
  std::vector<Save> saves;
  std::vector<Rollback> rollbacks;
  std::uint64_t last_stamp = 0;
  std::uint64_t main_after = 0;  // What left the main line for good.

  [[nodiscard]] std::uint64_t not_rolled_back(std::uint64_t stamp) const {
    for (auto each = rollbacks.rbegin(); each != rollbacks.rend(); ++each) {
      if (!each->undone && stamp > each->to && stamp <= each->until) stamp = each->to;
    }
    return stamp;
  }
  [[nodiscard]] std::uint64_t main_first(std::int64_t wall_ms) const {
    return std::max(first_of_ms(wall_ms - timeout_ms + 1), main_after + 1);
  }
  [[nodiscard]] std::optional<Save> last_save(const std::string& key, std::uint64_t stamp_max = ~std::uint64_t{0}) const {
    const Save* change = nullptr;
    for (auto save = saves.rbegin(); save != saves.rend(); ++save) {
      if ((save->key != key && !save->key.empty()) || save->stamp > stamp_max) continue;
      if (not_rolled_back(save->stamp) != save->stamp) continue;
      if (change == nullptr && save->changed != 0) change = &*save;
      if (save->changed != 0) continue;
      Save found = *save;
      if (change != nullptr) found.expiry_ms = change->expiry_ms;
      return found;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::string> get(const std::string& key, std::int64_t wall_ms) const {
    const auto save = last_save(key);
    return is_there(save, wall_ms) ? save->data : std::nullopt;
  }
  [[nodiscard]] bool is_there(const std::optional<Save>& save, std::int64_t wall_ms) const {
    return save && save->gives_data(wall_ms) && (persist || save->stamp >= main_first(wall_ms));
  }
  [[nodiscard]] std::optional<std::string> get_at(const std::string& key, std::uint64_t at, std::int64_t wall_ms) const {
    const auto save = last_save(key, std::min(at, last_stamp));
    const bool there = save && save->stamp >= main_first(wall_ms) && save->gives_data(std::min(ms_of(at), wall_ms));
    return there ? save->data : std::nullopt;
  }
  /// Saves in [from, to) of keys that begin with `prefix` or, with whole_key, are it.
  [[nodiscard]] std::vector<SaveLine> list(const std::string& prefix, bool whole_key, std::uint64_t from, std::uint64_t to,
                                           std::int64_t wall_ms) const {
    std::vector<SaveLine> lines;
    for (const Save& save : saves) {
      const bool within = save.stamp >= std::max(from, main_first(wall_ms)) && save.stamp < to;
      const bool named = save.key.empty() || (whole_key ? save.key == prefix : save.key.starts_with(prefix));
      if (!within || !named || save.changed != 0 || not_rolled_back(save.stamp) != save.stamp) continue;
      lines.push_back(save.line());
      if (whole_key) std::get<1>(lines.back()) = prefix;
    }
    std::ranges::sort(lines);
    return lines;
  }
  [[nodiscard]] std::vector<SaveLine> keys(const std::string& prefix, std::uint64_t from, std::uint64_t to,
                                           std::int64_t wall_ms) const {
    std::set<std::string> named;
    for (const Save& save : saves) {
      if (!save.key.empty() && save.key.starts_with(prefix)) named.insert(save.key);
    }
    std::vector<SaveLine> lines;
    const std::uint64_t last = to == 0 ? 0 : to - 1;
    for (const std::string& key : named) {
      const auto save = last_save(key, last);
      const bool within = save && save->stamp >= std::max(from, main_first(wall_ms));
      if (within && save->gives_data(std::min(ms_of(last), wall_ms))) lines.push_back(save->line());
    }
    std::ranges::sort(lines);
    return lines;
  }
};

inline Result<std::vector<SaveLine>> lines_of(SaveList list) {
  std::vector<SaveLine> lines;
  for (const auto entry : list) {
    std::optional<std::string> data;
    if (!entry.erased) {
      CAIRN_TRY(bytes, list.data());
      data = Bytes(bytes.view());
    }
    lines.emplace_back(entry.stamp.value, Bytes(entry.key), data);
  }
  CAIRN_TRY_VOID(list.status());
  return lines;
}

}  // namespace cairn::test
