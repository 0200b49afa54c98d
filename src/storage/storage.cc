#include "storage/storage.h"

#include <fmt/format.h>

#include "base/error.h"

namespace cairn::storage {

Result<void> MappedFile::status() const {
  if (bad()) return fail(ErrorCode::kIo, "the device failed under mapped bytes", name_);
  return {};
}

std::string temporary_name(std::uint64_t random) { return fmt::format("tmp-{:016x}", random); }

bool is_temporary_name(std::string_view name) {
  constexpr std::string_view kPrefix = "tmp-";
  constexpr std::size_t kDigits = 16;
  return name.size() == kPrefix.size() + kDigits && name.starts_with(kPrefix) &&
         name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

Result<void> Storage::check_empty() {
  CAIRN_TRY(names, list());
  for (const std::string& name : names) {
    if (name != kLostAndFound) return fail(ErrorCode::kConflict, "the directory is not empty", describe() + "/" + name);
  }
  return {};
}

Result<void> Storage::sync_published_name() {
  Result<void> synced = sync_names();
  if (!synced) synced.error().code = ErrorCode::kIo;
  return synced;
}

}  // namespace cairn::storage
