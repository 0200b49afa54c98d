// The public errors: their names and texts, and what value() of a failed Result throws; errno as an Error.
#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cairn/bytes.h"

namespace cairn {

const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "kInvalidArgument";
    case ErrorCode::kNotFound: return "kNotFound";
    case ErrorCode::kConflict: return "kConflict";
    case ErrorCode::kBusy: return "kBusy";
    case ErrorCode::kLeaseLost: return "kLeaseLost";
    case ErrorCode::kReadOnly: return "kReadOnly";
    case ErrorCode::kNoSpace: return "kNoSpace";
    case ErrorCode::kIo: return "kIo";
    case ErrorCode::kCorruption: return "kCorruption";
    case ErrorCode::kTimeout: return "kTimeout";
    case ErrorCode::kPermissionDenied: return "kPermissionDenied";
    case ErrorCode::kUnavailable: return "kUnavailable";
    case ErrorCode::kUnsupported: return "kUnsupported";
  }
  return "unknown";
}

std::string Error::to_string() const {
  std::string text = std::string(name_of(code)) + ": " + message;
  if (file.empty()) return text;
  text += " (" + file;
  if (offset != kNoOffset) text += ", offset " + std::to_string(offset);
  return text + ")";
}

BadResult::BadResult(Error error)
    : std::runtime_error(error.to_string()), error_(std::make_shared<const Error>(std::move(error))) {}
BadResult::BadResult(const BadResult&) noexcept = default;
BadResult& BadResult::operator=(const BadResult&) noexcept = default;
BadResult::~BadResult() = default;

detail::ErrorBox::ErrorBox(Error error) : error_(new Error(std::move(error))) {}
Error* detail::ErrorBox::copy(const Error& error) { return new Error(error); }
void detail::ErrorBox::destroy(Error* error) noexcept { delete error; }

void detail::throw_bad_result(const Error& error) { throw BadResult(error); }

std::unexpected<Error> system_error(int error_number, const std::string& doing, std::string file) {
  ErrorCode code = ErrorCode::kIo;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: code = ErrorCode::kNoSpace; break;
    case ENOENT: code = ErrorCode::kNotFound; break;
    case EEXIST: code = ErrorCode::kConflict; break;
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kPermissionDenied; break;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOLCK:
    case ENOBUFS:
    case ENOMEM: code = ErrorCode::kUnavailable; break;
    default: break;
  }
  return fail(code, doing + ": " + std::strerror(error_number), std::move(file));
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "cairn: assertion failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

Result<void> Pinned::status() const {
  if (bad_ != nullptr && bad_->load(std::memory_order_acquire)) {
    return fail(ErrorCode::kIo, "the device failed under bytes already handed out");
  }
  return {};
}

}  // namespace cairn
