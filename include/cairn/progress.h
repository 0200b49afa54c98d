// How a long operation tells its caller how far it is.
#pragma once
#include <cstdint>
#include <functional>

namespace cairn {

/// A long operation calls it with the bytes it has done and the bytes it has to do, every few hundred milliseconds or every MiB
/// or so. An operation that ends at once may not call it at all. The answer false cancels the operation, which then ends with
/// kUnavailable. An exception cancels it too, and passes through to the caller. May be empty. It is called from the thread that
/// called the operation, and may read and write the database, but not close it.
using Progress = std::function<bool(std::uint64_t bytes_done, std::uint64_t bytes_total)>;

}  // namespace cairn
