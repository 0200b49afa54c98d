// What every public handle asks before it uses its implementation: that it was not moved from, and that this process is
// the one that opened the database.
#pragma once
#include "base/error.h"
#include "base/home_process.h"

namespace cairn {

/// `impl`: a pointer to something with home(). Costs two loads.
template <typename Pointer>
bool is_usable(const Pointer& impl) {
  return impl != nullptr && impl->home().is_here();
}

/// The error of a call on a handle that is not usable.
template <typename Pointer>
std::unexpected<Error> why_unusable(const Pointer& impl) {
  if (impl == nullptr) return fail(ErrorCode::kInvalidArgument, "this handle was moved from; use the one it was moved to");
  return std::unexpected(impl->home().check().error());
}

}  // namespace cairn
