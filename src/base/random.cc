#include "base/random.h"

#include <sys/random.h>

#include "base/error.h"

namespace cairn {

std::uint64_t system_random() {
  std::uint64_t value = 0;
  CAIRN_ASSERT(getrandom(&value, sizeof value, 0) == sizeof value);
  return value;
}

}  // namespace cairn
