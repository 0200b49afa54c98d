#include "directory/write_rules.h"

#include "base/error.h"
#include "cairn/write.h"

namespace cairn::directory {

std::uint64_t account_of(ByteView key) {
  if (!key.starts_with('{')) return 0;
  std::uint64_t account = 0;
  for (std::size_t i = 1; i < key.size(); ++i) {
    if (key[i] == '}') return i == 1 ? 0 : account;
    const auto digit = static_cast<std::uint64_t>(key[i] - '0');
    if (digit > 9 || account > (~std::uint64_t{0} - digit) / 10) return 0;
    account = account * 10 + digit;
  }
  return 0;
}

Result<void> check_record(ByteView key, ByteView value) {
  if (key.empty() || key.size() > kKeyBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "a key has 1 to " + std::to_string(kKeyBytesMax) + " bytes; this one has " + std::to_string(key.size()));
  }
  if (value.size() > kValueBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "a value has at most " + std::to_string(kValueBytesMax) + " bytes; this one has " + std::to_string(value.size()));
  }
  return {};
}

}  // namespace cairn::directory
