#include "server/times.h"

#include <chrono>
#include <limits>

#include "base/error.h"
#include "server/command.h"
#include "server/text.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kExpiryMsMost = (std::int64_t{1} << 47) - 1;  // The year 6429.

std::unexpected<Error> bad_time(const char* command) {
  return refuse("ERR invalid expire time in '" + std::string(command) + "' command");
}

/// In milliseconds since 1970; refused if it is not to be counted.
Result<std::int64_t> milliseconds(const ExpiryArgument& argument, const char* command) {
  CAIRN_TRY(value, integer_argument(argument.text));
  const bool seconds = argument.unit == ExpiryUnit::kSeconds || argument.unit == ExpiryUnit::kAtSecond;
  if (seconds && __builtin_mul_overflow(value, 1000, &value)) return bad_time(command);
  const bool relative = argument.unit == ExpiryUnit::kSeconds || argument.unit == ExpiryUnit::kMilliseconds;
  const std::int64_t now = Keyspace::now().time_since_epoch().count();
  if (relative && __builtin_add_overflow(value, now, &value)) return bad_time(command);
  if (value > kExpiryMsMost) return bad_time(command);
  return value;
}

/// Two digits at least of a number at the front of `text`, in [low, high]; -1: there are none.
int digits(ByteView& text, std::size_t count, int low, int high) {
  if (text.size() < count) return -1;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value >= low && value <= high ? value : -1;
}

bool take(ByteView& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

/// RFC 3339, with a zone.
std::optional<Time> parse_rfc3339(ByteView text) {
  const int year = digits(text, 4, 1970, 9999);
  const int month = take(text, '-') ? digits(text, 2, 1, 12) : -1;
  const int day = take(text, '-') ? digits(text, 2, 1, 31) : -1;
  if (!take(text, 'T') && !take(text, 't')) return std::nullopt;
  const int hour = digits(text, 2, 0, 23);
  const int minute = take(text, ':') ? digits(text, 2, 0, 59) : -1;
  const int second = take(text, ':') ? digits(text, 2, 0, 60) : -1;
  if (year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  int ms = 0;
  if (take(text, '.')) {
    int place = 100;
    bool any = false;
    for (int digit = digits(text, 1, 0, 9); digit >= 0; digit = digits(text, 1, 0, 9)) {
      ms += digit * place;
      place /= 10;
      any = true;
    }
    if (!any) return std::nullopt;
  }
  std::chrono::minutes zone{0};
  if (!take(text, 'Z') && !take(text, 'z')) {
    const bool behind = text.starts_with('-');
    if (!take(text, '+') && !take(text, '-')) return std::nullopt;
    const int hours = digits(text, 2, 0, 23);
    const int minutes = take(text, ':') ? digits(text, 2, 0, 59) : -1;
    if (hours < 0 || minutes < 0) return std::nullopt;
    zone = std::chrono::hours(hours) + std::chrono::minutes(minutes);
    if (behind) zone = -zone;
  }
  if (!text.empty()) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) + std::chrono::milliseconds(ms) - zone;
}

}  // namespace

std::optional<ExpiryUnit> expiry_unit(ByteView word) {
  if (same_word(word, "EX")) return ExpiryUnit::kSeconds;
  if (same_word(word, "PX")) return ExpiryUnit::kMilliseconds;
  if (same_word(word, "EXAT")) return ExpiryUnit::kAtSecond;
  if (same_word(word, "PXAT")) return ExpiryUnit::kAtMillisecond;
  return std::nullopt;
}

Result<Time> future_time(const ExpiryArgument& argument, const char* command) {
  CAIRN_TRY(given, integer_argument(argument.text));
  if (given <= 0) return bad_time(command);
  CAIRN_TRY(ms, milliseconds(argument, command));
  return Time(std::chrono::milliseconds(ms));
}

Result<Time> any_time(const ExpiryArgument& argument, const char* command) {
  CAIRN_TRY(ms, milliseconds(argument, command));
  return Time(std::chrono::milliseconds(std::max<std::int64_t>(ms, 0)));
}

Result<Moment> moment_argument(ByteView text) {
  if (text == "-") return kBeginning;
  if (text == "+") return kEndOfTime;
  constexpr std::int64_t kMsMost = (std::int64_t{1} << 46) - 1;
  std::int64_t ms = 0;
  if (const std::size_t dash = text.find('-'); dash != ByteView::npos && dash != 0) {
    std::int64_t sequence = 0;
    if (parse_integer(text.substr(0, dash), ms) && parse_integer(text.substr(dash + 1), sequence) && ms >= 0 && ms <= kMsMost &&
        sequence >= 0 && sequence < (std::int64_t{1} << Stamp::kSequenceBits)) {
      return Moment(Stamp{(static_cast<std::uint64_t>(ms) << Stamp::kSequenceBits) | static_cast<std::uint64_t>(sequence)});
    }
  }
  if (parse_integer(text, ms) && ms >= 0) return Moment(Time(std::chrono::milliseconds(ms)));
  if (const auto time = parse_rfc3339(text)) return Moment(*time);
  return refuse("ERR '" + std::string(text.substr(0, 64)) +
                "' is no time: give a stamp such as 1700000000000-0, milliseconds since 1970, RFC 3339, - or +");
}

std::string format_stamp(Stamp stamp) {
  return std::to_string(stamp.value >> Stamp::kSequenceBits) + "-" +
         std::to_string(stamp.value & ((std::uint64_t{1} << Stamp::kSequenceBits) - 1));
}

}  // namespace cairn::server
