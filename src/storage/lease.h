// The timed right to own a directory. Each acquisition raises the epoch, which is the fencing token: what an
// older owner does afterwards is refused or ignored, however late it wakes up.
#pragma once
#include <cstdint>
#include <string>

#include "cairn/result.h"

namespace cairn::storage {

inline constexpr std::int64_t kLeaseDefaultMs = 10'000;

/// Thread-safe after acquire().
class Lease {
 public:
  virtual ~Lease() = default;
  /// Takes the lease for `lease_ms` and returns its epoch, which is greater than `epoch_above` too. `owner` is for
  /// people to read. kBusy, naming the owner and the time left: it is held.
  virtual Result<std::uint64_t> acquire(const std::string& owner, std::int64_t lease_ms, std::uint64_t epoch_above = 0) = 0;
  /// Returns once nobody holds it, without taking it; kBusy as acquire().
  virtual Result<void> wait_until_free() = 0;
  /// To be called every third of the lease time, and when the lease is found expired: an expired lease that was not taken
  /// over is renewed like any other. kLeaseLost: a greater epoch exists, and the lease cannot be taken back; kReadOnly: the lease
  /// was deleted. Any other error: try again.
  virtual Result<void> renew() = 0;
  /// Whether the lease is ours now, by the epoch and by our clock. Called before acknowledgements. kLeaseLost,
  /// kReadOnly: as renew(). Any other error: it has expired, or cannot be looked at; renew() it.
  virtual Result<void> check() = 0;
  /// kUnavailable if our own clock says that it has expired; a check without I/O.
  virtual Result<void> check_time() = 0;
  /// Gives it up early, so that the next owner need not wait.
  virtual void release() = 0;
};

}  // namespace cairn::storage
