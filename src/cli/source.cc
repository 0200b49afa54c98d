// Opens the database or, when another process owns it, connects to that process. Invariant: a Source has one of the two.
#include "cli/source.h"

#include <filesystem>

#include "base/error.h"
#include "cli/meter.h"

namespace cairn::cli {

Result<Source> Source::open(const std::string& dir, const std::vector<std::string>& drives) {
  Source source(dir);
  Result<CommandDatabase> database = try_open_database(dir, IfMissing::kFail, drives);
  if (database) {
    source.database_.emplace(std::move(*database));
    return source;
  }
  if (database.error().code != ErrorCode::kBusy) return std::unexpected(database.error());
  CAIRN_TRY(owner, database::OwnerClient::connect(dir));
  if (owner == nullptr) return std::unexpected(database.error());
  source.owner_ = std::move(owner);
  return source;
}

Result<void> Source::call(const database::Request& request, const database::Emit& emit, const Progress& progress) {
  const database::Emit emit_unless_interrupted = [&](std::span<const ByteView> row) -> Result<void> {
    CAIRN_TRY_VOID(check_interrupt());
    return emit(row);
  };
  const Progress going = progress ? progress : [](std::uint64_t, std::uint64_t) { return !is_interrupted(); };
  if (owner_ != nullptr) return owner_->call(request, emit_unless_interrupted, going);
  return database::run_call(**database_, dir_, request, emit_unless_interrupted, going);
}

std::string Source::path_for(const std::string& path) const {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::absolute(path, failed);
  return owner_ == nullptr || path.empty() || failed ? path : whole.string();
}

Result<void> Source::close() { return database_ ? database_->close() : Result<void>{}; }

}  // namespace cairn::cli
