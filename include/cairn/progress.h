// How a long operation tells its caller how far it is.
#pragma once
#include <cstdint>
#include <functional>

namespace cairn {

/// Called by a long operation with the bytes it has done of the bytes it has to do: some times a second, at least once for each
/// few hundred milliseconds or MiB, and not at all for an operation that is done at once. The answer false cancels the operation,
/// which then ends with kUnavailable. An exception cancels it too, and passes through to the caller. May be empty. It is called
/// from the thread that called the operation, and may read and write the database, but not close it.
using Progress = std::function<bool(std::uint64_t bytes_done, std::uint64_t bytes_total)>;

}  // namespace cairn
