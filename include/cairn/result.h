// Errors are values: every call that can fail returns Result<T>.
#pragma once
#include <cstdint>
#include <expected>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
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
  std::string message = {};
  std::string file = {};             ///< Name within the directory; empty if it has none.
  std::uint64_t offset = kNoOffset;  ///< Bytes from the start of `file`; kNoOffset if none.

  /// One line: "kCorruption: record checksum (13-7-9f2c.sealed, offset 4096)".
  [[nodiscard]] std::string to_string() const;
};

template <typename T>
class Result;

namespace detail {
template <typename U>
inline constexpr bool kIsResult = false;
template <typename U>
inline constexpr bool kIsResult<Result<U>> = true;
template <typename E>
inline constexpr bool kIsResult<std::unexpected<E>> = true;
[[noreturn]] CAIRN_API void throw_bad_result(const Error& error);

/// Owns the Error of a failure; holds none for a success. A success so costs one word and one comparison: the calls that succeed
/// are the ones that must be fast.
class CAIRN_API ErrorBox {
 public:
  ErrorBox() = default;
  explicit ErrorBox(Error error);
  ErrorBox(const ErrorBox& other) : error_(other.error_ == nullptr ? nullptr : copy(*other.error_)) {}
  ErrorBox(ErrorBox&& other) noexcept : error_(std::exchange(other.error_, nullptr)) {}
  ErrorBox& operator=(ErrorBox other) noexcept {
    std::swap(error_, other.error_);
    return *this;
  }
  ~ErrorBox() {
    if (error_ != nullptr) destroy(error_);
  }
  [[nodiscard]] bool empty() const noexcept { return error_ == nullptr; }
  [[nodiscard]] Error& operator*() const noexcept {
    if (error_ == nullptr) __builtin_unreachable();  // A failure has one.
    return *error_;
  }

 private:
  static Error* copy(const Error& error);
  static void destroy(Error* error) noexcept;
  Error* error_ = nullptr;
};
}  // namespace detail

/// Thrown by Result::value() of a failure; what() is Error::to_string().
class CAIRN_API BadResult : public std::runtime_error {
 public:
  explicit BadResult(Error error);
  BadResult(const BadResult&) noexcept;
  BadResult& operator=(const BadResult&) noexcept;
  ~BadResult() override;
  [[nodiscard]] const Error& error() const noexcept { return *error_; }

 private:
  std::shared_ptr<const Error> error_;  // Shared: an exception is copied, and a copy must not throw.
};

/// The answer of a call that can fail: a T, or the Error that says why there is none.
///
///     Result<Table> table = db.table("notes");
///     if (!table) return complain(table.error().to_string());
///     table->put("key", "value").value();  // Throws BadResult if the put fails.
///
/// A function of yours fails with `return std::unexpected(Error{ErrorCode::kConflict, "what to do"});`.
///
/// Every compiler warns of a Result that is discarded. A caller to whom a failure makes no difference calls ignore_error(). A
/// function that returns a Result itself passes a failure on with CAIRN_TRY or CAIRN_TRY_VOID.
///
/// A value type: copied, moved and used by one thread at a time as a T is. `*`, `->` need a value and error() needs a failure:
/// without it their behavior is undefined. The names are those of std::expected (C++23, [expected]); comparison and the monadic
/// operations are not there.
template <typename T>
class [[nodiscard]] Result {
  template <typename U>
  static constexpr bool kIsValue = !std::is_same_v<std::remove_cvref_t<U>, Result> && std::is_constructible_v<T, U> &&
                                   !detail::kIsResult<std::remove_cvref_t<U>>;

 public:
  using value_type = T;
  using error_type = Error;

  Result()
    requires std::is_default_constructible_v<T>
  = default;
  template <typename U = T>
    requires kIsValue<U>
  explicit(!std::is_convertible_v<U, T>) Result(U&& value) : state_(std::in_place, std::forward<U>(value)) {}
  template <typename E>
    requires std::is_constructible_v<Error, const E&>
  Result(const std::unexpected<E>& failure)  // NOLINT(google-explicit-constructor)
      : state_(std::unexpect, Error(failure.error())) {}
  template <typename E>
    requires std::is_constructible_v<Error, E>
  Result(std::unexpected<E>&& failure)  // NOLINT(google-explicit-constructor)
      : state_(std::unexpect, Error(std::move(failure).error())) {}
  /// From an answer of a type that a T is made of, such as a pointer to a derived class.
  template <typename U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<U, T>)
  Result(Result<U> other)  // NOLINT(google-explicit-constructor)
      : state_(other ? State(std::in_place, *std::move(other)) : State(std::unexpect, Error(std::move(other).error()))) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.has_value(); }
  explicit operator bool() const noexcept { return state_.has_value(); }

  [[nodiscard]] T& operator*() & noexcept { return *state_; }
  [[nodiscard]] const T& operator*() const& noexcept { return *state_; }
  [[nodiscard]] T&& operator*() && noexcept { return *std::move(state_); }
  [[nodiscard]] T* operator->() noexcept { return state_.operator->(); }
  [[nodiscard]] const T* operator->() const noexcept { return state_.operator->(); }
  /// The value. Throws BadResult if there is none.
  T& value() & { return check(), *state_; }
  const T& value() const& { return check(), *state_; }
  T value() && { return check(), *std::move(state_); }  ///< By value, so that a range-for over it does not dangle.
  /// The value, or `other` if there is none.
  template <typename U>
  [[nodiscard]] T value_or(U&& other) const& {
    return state_.value_or(std::forward<U>(other));
  }
  template <typename U>
  [[nodiscard]] T value_or(U&& other) && {
    return std::move(state_).value_or(std::forward<U>(other));
  }

  [[nodiscard]] const Error& error() const& noexcept { return *state_.error(); }
  [[nodiscard]] Error& error() & noexcept { return *state_.error(); }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*state_.error()); }

  /// Drops the answer: for a caller to whom a failure makes no difference. Say why, where it is called.
  void ignore_error() const noexcept {}

 private:
  using State = std::expected<T, detail::ErrorBox>;
  void check() const {
    if (!state_) detail::throw_bad_result(*state_.error());
  }
  State state_;
};

/// The answer of a call that gives nothing but success or a failure.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  using error_type = Error;

  Result() = default;  ///< Success.
  template <typename E>
    requires std::is_constructible_v<Error, const E&>
  Result(const std::unexpected<E>& failure) : box_(Error(failure.error())) {}  // NOLINT(google-explicit-constructor)
  template <typename E>
    requires std::is_constructible_v<Error, E>
  Result(std::unexpected<E>&& failure)  // NOLINT(google-explicit-constructor)
      : box_(Error(std::move(failure).error())) {}

  [[nodiscard]] bool has_value() const noexcept { return box_.empty(); }
  explicit operator bool() const noexcept { return box_.empty(); }
  /// Throws BadResult if the call failed.
  void value() const {
    if (!box_.empty()) detail::throw_bad_result(*box_);
  }
  void operator*() const noexcept {}

  [[nodiscard]] const Error& error() const& noexcept { return *box_; }
  [[nodiscard]] Error& error() & noexcept { return *box_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*box_); }

  /// As of any Result.
  void ignore_error() const noexcept {}

 private:
  detail::ErrorBox box_;
};

}  // namespace cairn

#define CAIRN_DETAIL_JOIN2(a, b) a##b
#define CAIRN_DETAIL_JOIN(a, b) CAIRN_DETAIL_JOIN2(a, b)

#define CAIRN_DETAIL_TRY(temporary, name, expr)                         \
  auto temporary = (expr);                                              \
  if (!temporary) return std::unexpected(std::move(temporary).error()); \
  auto name = *std::move(temporary)
#define CAIRN_DETAIL_TRY_VOID(temporary, expr)                                                    \
  do {                                                                                            \
    auto&& temporary = (expr);                                                                    \
    if (!temporary) return std::unexpected(std::forward<decltype(temporary)>(temporary).error()); \
  } while (false)

/// Declares `name` with the value of `expr`, or returns its error from the enclosing function.
#define CAIRN_TRY(name, expr) CAIRN_DETAIL_TRY(CAIRN_DETAIL_JOIN(cairn_try_, __COUNTER__), name, expr)
/// Returns the error of `expr`, a Result of any type, from the enclosing function, if it has one; a value is dropped.
#define CAIRN_TRY_VOID(expr) CAIRN_DETAIL_TRY_VOID(CAIRN_DETAIL_JOIN(cairn_try_, __COUNTER__), expr)
