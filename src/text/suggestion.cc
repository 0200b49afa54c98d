// Compares names by optimal string alignment: the number of letters that are inserted, left out, replaced, or swapped with the
// next. Names are short; the first 64 bytes of a longer word are compared.
#include "text/suggestion.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

std::size_t edit_distance(ByteView a, ByteView b) {
  std::vector<std::size_t> before;  // The row before the last.
  std::vector<std::size_t> last;
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::string suggestion(ByteView word, const std::vector<std::string>& names) {
  const auto distance = [&](const std::string& name) { return edit_distance(word.substr(0, 64), name); };
  const auto nearest = std::ranges::min_element(names, {}, distance);
  if (nearest == names.end() || distance(*nearest) > std::max<std::size_t>(nearest->size() / 3, 1)) return "";
  return "; did you mean '" + *nearest + "'?";
}

}  // namespace cairn
