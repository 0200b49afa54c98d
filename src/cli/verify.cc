// cairn verify: reads and checks every live byte.
#include <fmt/format.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/json_lines.h"

namespace cairn::cli {
namespace {

Result<int> verify(const Common& common) {
  CAIRN_TRY(database, open_database(common.dir, IfMissing::kFail));
  const bool terminal = isatty(STDERR_FILENO) == 1;
  CAIRN_TRY(report, database.verify([&](std::uint64_t bytes) {
    if (terminal) fmt::print(stderr, "\r{} MiB verified", bytes / kMiB);
  }));
  if (terminal) fmt::print(stderr, "\r{:40}\r", "");
  if (common.json) {
    nlohmann::ordered_json damages = nlohmann::ordered_json::array();
    for (const Error& damage : report.damages) {
      nlohmann::ordered_json one{{"error", name_of(damage.code)}, {"message", damage.message}, {"file", damage.file}};
      if (damage.offset != Error::kNoOffset) one["offset"] = damage.offset;
      damages.push_back(std::move(one));
    }
    fmt::print("{}", to_line({{"files", report.files}, {"bytes", report.bytes}, {"damages", std::move(damages)}}));
  } else {
    for (const Error& damage : report.damages) fmt::print("{}\n", damage.to_string());
    fmt::print("{} files, {} bytes verified, {} damaged\n", report.files, report.bytes, report.damages.size());
  }
  CAIRN_TRY_VOID(database.close());
  return report.damages.empty() ? 0 : exit_code(ErrorCode::kCorruption);
}

}  // namespace

void add_verify(CLI::App& app) {
  static Common common;
  CLI::App& command = *app.add_subcommand("verify", "Read and check every live byte");
  command.add_option("DIR", common.dir, "Directory of the database")->required();
  command.add_flag("--json", common.json, "Answer in JSON");
  set_action(command, common, [] { return verify(common); });
}

}  // namespace cairn::cli
