// Short ways to make an Error, and the assertion for our own mistakes.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "cairn/result.h"

namespace cairn {

inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string file = {},
                                   std::uint64_t offset = Error::kNoOffset) {
  return std::unexpected(Error{code, std::move(message), std::move(file), offset});
}

inline std::unexpected<Error> corruption(std::string message, std::string file, std::uint64_t offset = Error::kNoOffset) {
  return fail(ErrorCode::kCorruption, std::move(message), std::move(file), offset);
}

/// The Error for a failed system call: maps errno to a code and says what was being done.
std::unexpected<Error> system_error(int error_number, const std::string& doing, std::string file = {});

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace cairn

/// For mistakes in our own code, never for what a user or a disk gave us. On in every build.
#define CAIRN_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::cairn::assertion_failed(#expression, __FILE__, __LINE__))
