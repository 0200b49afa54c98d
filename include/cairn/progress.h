// How a long operation tells its caller how far it is.
#pragma once
#include <cstdint>
#include <functional>

namespace cairn {

/// Called by a long operation, several times a second at most, with the bytes it has done of the bytes it has to do. The answer
/// false cancels the operation, which then ends with kUnavailable. May be empty. It is called from the thread that called the
/// operation.
using Progress = std::function<bool(std::uint64_t bytes_done, std::uint64_t bytes_total)>;

}  // namespace cairn
