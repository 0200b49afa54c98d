// Where the calls that work beside an owner are run: on the database, if this process could open it, or in the process that owns
// it.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "cairn/cairn.h"
#include "cli/cli.h"
#include "database/owner_socket.h"

namespace cairn::cli {

class Source {
 public:
  /// `drives`: as open_database(). Errors as there; kBusy: another process owns the directory and answers no calls.
  static Result<Source> open(const std::string& dir, const std::vector<std::string>& drives = {});
  /// See database::run_call().
  Result<void> call(const database::Request& request, const database::Emit& emit, const Progress& progress = {});
  /// The first row's first part; kUnavailable: there is no row.
  template <typename T>
  Result<T> ask(const database::Request& request, const Progress& progress = {});
  Result<void> close();
  /// `path` as the process that runs the calls has to be given it: an owner may be in another directory. "" stays "".
  [[nodiscard]] std::string path_for(const std::string& path) const;

 private:
  explicit Source(std::string dir) : dir_(std::move(dir)) {}

  std::string dir_;
  std::optional<CommandDatabase> database_;  // One of these two.
  std::unique_ptr<database::OwnerClient> owner_;
};

/// A part of a row. kUnavailable: the owner, perhaps of another version, sent something else.
template <typename T>
Result<T> decode_part(std::span<const ByteView> row, std::size_t part) {
  auto value = part < row.size() ? database::decode_message<T>(row[part]) : std::nullopt;
  if (value) return std::move(*value);
  return std::unexpected(Error{
      ErrorCode::kUnavailable, "the process that owns the directory answered something else: is it of another version?", {}});
}

template <typename T>
Result<T> Source::ask(const database::Request& request, const Progress& progress) {
  Result<T> answer = decode_part<T>({}, 0);
  CAIRN_TRY_VOID(call(
      request,
      [&](std::span<const ByteView> row) -> Result<void> {
        answer = decode_part<T>(row, 0);
        return {};
      },
      progress));
  return answer;
}

}  // namespace cairn::cli
