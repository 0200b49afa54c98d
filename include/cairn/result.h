// Errors are values: every call that can fail returns Result<T>.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <utility>

#include "cairn/export.h"

namespace cairn {

/// What kind of failure it was; callers branch on this, people read the message.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< The call itself is wrong; nothing was done.
  kNotFound,         ///< What was named is not there (a database, a table; an absent key is no error).
  kConflict,         ///< It exists already, or changed under the caller.
  kBusy,             ///< Another owner holds the directory.
  kLeaseLost,        ///< This process no longer owns the directory; reads go on, writes do not.
  kReadOnly,         ///< An earlier write of accepted bytes failed; reopen to write again.
  kNoSpace,          ///< No room; nothing was applied, try again when there is.
  kIo,               ///< The device or the operating system failed.
  kCorruption,       ///< Stored bytes are not what was written.
  kTimeout,
  kPermissionDenied,
  kUnavailable,  ///< A resource of this process is exhausted or shut down.
  kUnsupported,  ///< A format or feature this version does not have.
};

/// The name of `code` as printed, such as "kNotFound".
CAIRN_API const char* name_of(ErrorCode code);

/// A failure: its kind, a sentence that says what to do, and where it happened if it has a place.
struct CAIRN_API Error {
  static constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

  ErrorCode code;
  std::string message;
  std::string file;                  ///< Name within the directory; empty if it has none.
  std::uint64_t offset = kNoOffset;  ///< Bytes from the start of `file`; kNoOffset if none.

  /// One line: "kCorruption: record checksum (13-7-9f2c.sealed, offset 4096)".
  [[nodiscard]] std::string to_string() const;
};

template <typename T>
using Result = std::expected<T, Error>;

}  // namespace cairn

#define CAIRN_DETAIL_JOIN2(a, b) a##b
#define CAIRN_DETAIL_JOIN(a, b) CAIRN_DETAIL_JOIN2(a, b)

#define CAIRN_DETAIL_TRY(temporary, name, expr)                         \
  auto temporary = (expr);                                              \
  if (!temporary) return std::unexpected(std::move(temporary).error()); \
  auto name = *std::move(temporary)
#define CAIRN_DETAIL_TRY_VOID(temporary, expr)                            \
  do {                                                                    \
    auto&& temporary = (expr);                                            \
    if (!temporary) return std::unexpected(std::move(temporary).error()); \
  } while (false)

/// Declares `name` with the value of `expr`, or returns its error from the enclosing function.
#define CAIRN_TRY(name, expr) CAIRN_DETAIL_TRY(CAIRN_DETAIL_JOIN(cairn_try_, __COUNTER__), name, expr)
/// Returns the error of `expr` from the enclosing function, if it has one.
#define CAIRN_TRY_VOID(expr) CAIRN_DETAIL_TRY_VOID(CAIRN_DETAIL_JOIN(cairn_try_, __COUNTER__), expr)
