#include "server/times.h"

#include <chrono>

#include "base/error.h"
#include "server/command.h"
#include "server/text.h"
#include "text/moment.h"

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
  Result<Moment> moment = parse_moment(text);
  if (!moment) return refuse("ERR " + moment.error().message + ", - or +");
  return moment;
}

}  // namespace cairn::server
