#include "directory/environment.h"

namespace cairn::directory {

Environment& Environment::process() {
  // Never destroyed: handles may outlive main().
  static auto* const environment = new Environment(system_clock(), true);
  return *environment;
}

}  // namespace cairn::directory
