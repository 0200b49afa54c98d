#include "base/rfc3339.h"

#include <chrono>

namespace cairn {
namespace {

/// Reads fixed parts of a text one after the other.
class Parts {
 public:
  explicit Parts(std::string_view text) : rest_(text) {}
  /// `digits` digits; -1: they are not there.
  int number(std::size_t digits) {
    int value = 0;
    if (rest_.size() < digits) return fail();
    for (std::size_t i = 0; i < digits; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }
  /// One of `which`; 0: it is not there.
  char one_of(std::string_view which) {
    if (rest_.empty() || which.find(rest_.front()) == std::string_view::npos) return static_cast<char>(fail() + 1);
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  [[nodiscard]] bool next_is(char c) const { return rest_.starts_with(c); }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

 private:
  int fail() {
    ok_ = false;
    return -1;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::optional<Time> parse_rfc3339(ByteView text) {
  Parts parts(text);
  const int year = parts.number(4);
  parts.one_of("-");
  const int month = parts.number(2);
  parts.one_of("-");
  const int day = parts.number(2);
  parts.one_of("Tt ");
  const int hour = parts.number(2);
  parts.one_of(":");
  const int minute = parts.number(2);
  parts.one_of(":");
  const int second = parts.number(2);
  int ms = 0;
  if (parts.ok() && parts.next_is('.')) {
    parts.one_of(".");
    int scale = 100;
    do {
      ms += parts.number(1) * scale;
      scale /= 10;
    } while (parts.ok() && !parts.next_is('Z') && !parts.next_is('z') && !parts.next_is('+') && !parts.next_is('-'));
  }
  const char zone = parts.one_of("Zz+-");
  int offset = 0;
  if (zone == '+' || zone == '-') {
    const int hours = parts.number(2);
    parts.one_of(":");
    const int minutes = parts.number(2);
    if (hours > 23 || minutes > 59) return std::nullopt;
    offset = (hours * 60 + minutes) * (zone == '+' ? 1 : -1);
  }
  if (!parts.done() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute - offset) +
         std::chrono::seconds(second) + std::chrono::milliseconds(ms);
}

}  // namespace cairn
