// Checks the shape of a time before abseil reads it: absl::ParseTime() also takes years of other lengths, spaces, and
// "infinite-future", which were never accepted.
#include "text/rfc3339.h"

#include <absl/time/time.h>

namespace cairn {
namespace {

constexpr ByteView kDigits = "0123456789";

bool is_digit(char c) { return kDigits.find(c) != ByteView::npos; }

/// Whether `text` has digits where `shape` has 0, and the same characters elsewhere.
bool has_shape(ByteView text, ByteView shape) {
  bool same = text.size() == shape.size();
  for (std::size_t i = 0; same && i < shape.size(); ++i) same = shape[i] == '0' ? is_digit(text[i]) : text[i] == shape[i];
  return same;
}

}  // namespace

std::optional<Time> parse_rfc3339(ByteView text) {
  constexpr ByteView kMoment = "0000-00-00T00:00:00";
  std::string normal(text);
  for (char& c : normal) {
    if (c == 't' || c == ' ') c = 'T';
    if (c == 'z') c = 'Z';
  }
  if (!has_shape(ByteView(normal).substr(0, kMoment.size()), kMoment)) return std::nullopt;
  ByteView zone = ByteView(normal).substr(kMoment.size());
  if (zone.starts_with('.')) {
    const std::size_t end = std::min(zone.find_first_not_of(kDigits, 1), zone.size());
    if (end == 1) return std::nullopt;
    zone.remove_prefix(end);
  }
  const bool offset = (has_shape(zone, "+00:00") || has_shape(zone, "-00:00")) && zone.substr(1, 2) < "24";
  absl::Time time;
  if ((zone != "Z" && !offset) || !absl::ParseTime(absl::RFC3339_full, normal, &time, nullptr)) return std::nullopt;
  return Time(std::chrono::milliseconds(absl::ToUnixMillis(time)));
}

}  // namespace cairn
