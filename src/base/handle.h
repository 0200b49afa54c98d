// What every public handle asks before it uses its implementation: that it was not moved from, and that this process is
// the one that opened the database.
#pragma once
#include "base/error.h"
#include "base/home_process.h"

namespace cairn {

/// `impl`: a pointer to something with home(). Costs two loads; a call would cost more, in every call of the library.
template <typename Pointer>
[[gnu::always_inline]] inline bool is_usable(const Pointer& impl) {
  return impl != nullptr && impl->home().is_here();
}

/// The error of a call on a handle that is not usable; it converts to the Result of that call. The Error is made out of line, so
/// that a call on a usable handle does not pay for it.
class Unusable {
 public:
  /// `home`: nullptr for a handle that was moved from.
  explicit Unusable(const HomeProcess* home) : home_(home) {}
  [[nodiscard, gnu::noinline, gnu::cold]] Error error() const {
    if (home_ != nullptr) return home_->check().error();
    return fail(ErrorCode::kInvalidArgument, "this handle was moved from; use the one it was moved to").error();
  }
  template <typename T>
  [[gnu::noinline, gnu::cold]] operator Result<T>() const {  // NOLINT(google-explicit-constructor)
    return std::unexpected(error());
  }

 private:
  const HomeProcess* home_;
};

/// For a handle of which is_usable() is false.
template <typename Pointer>
Unusable why_unusable(const Pointer& impl) {
  return Unusable(impl == nullptr ? nullptr : &impl->home());
}

}  // namespace cairn
