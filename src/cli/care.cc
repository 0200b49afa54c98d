// cairn verify, checkpoint, restore and repair.
#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/line_editor.h"
#include "cli/meter.h"
#include "cli/source.h"

namespace cairn::cli {
namespace {

using database::Request;

Json to_json(const std::vector<Error>& damages) {
  Json list = Json::array();
  for (const Error& damage : damages) {
    Json one{{"error", name_of(damage.code)}, {"message", damage.message}, {"file", damage.file}};
    if (damage.offset != Error::kNoOffset) one["offset"] = damage.offset;
    list.push_back(std::move(one));
  }
  return list;
}

Result<int> verify(const Common& common) {
  CAIRN_TRY(source, Source::open(common.dir));
  Meter meter("verified");
  const Result<VerifyReport> verified = source.ask<VerifyReport>({.call = Request::Call::kVerify}, meter.progress());
  if (!verified) return std::unexpected(meter.explain(verified.error(), "the rest was not read"));
  meter.clear();
  const VerifyReport& report = *verified;
  if (common.json) {
    CAIRN_TRY_VOID(print(to_line({{"files", report.files}, {"bytes", report.bytes}, {"damages", to_json(report.damages)}})));
  } else {
    for (const Error& damage : report.damages) CAIRN_TRY_VOID(print(describe(damage) + "\n"));
    CAIRN_TRY_VOID(print(fmt::format("{}, {} verified, {} damaged\n", counted(report.files, "file"),
                                     counted(report.bytes, "byte"), report.damages.size())));
  }
  CAIRN_TRY_VOID(source.close());
  return report.damages.empty() ? 0 : exit_code(ErrorCode::kCorruption);
}

struct Arguments {
  Common common;
  std::string target;
  std::string base;
  bool verify = false;
};

Result<int> checkpoint(const Arguments& arguments) {
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  const Request request{
      .call = Request::Call::kCheckpoint, .target = source.path_for(arguments.target), .base = source.path_for(arguments.base)};
  CAIRN_TRY_VOID(take_checkpoint(arguments.target, [&](const Progress& progress) { return source.call(request, {}, progress); }));
  CAIRN_TRY_VOID(source.close());
  std::error_code failed;
  if (!std::filesystem::is_directory(arguments.target, failed)) {
    return fail(ErrorCode::kUnavailable,
                "the process that owns " + arguments.common.dir + " made the checkpoint, but not where " + arguments.target +
                    " is for this one: a service or a container may have a /tmp or a file system of its own");
  }
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Result<int> restore(const Arguments& arguments) {
  CAIRN_TRY_VOID(restore_checkpoint(arguments.common.dir, arguments.base, arguments.target, arguments.verify));
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Result<int> repair(const Arguments& arguments) {
  Meter meter("read");
  const Result<RepairReport> repaired = Database::repair(arguments.common.dir, arguments.target, meter.progress());
  if (!repaired) return std::unexpected(meter.explain(repaired.error(), arguments.target + " is no database"));
  meter.clear();
  const RepairReport& report = *repaired;
  if (arguments.common.json) {
    CAIRN_TRY_VOID(print(to_line({{"files", report.files},
                                  {"tables", report.tables},
                                  {"timelines", report.timelines},
                                  {"fork_stores", report.fork_stores},
                                  {"records", report.records},
                                  {"lost", to_json(report.lost)}})));
  } else {
    for (const Error& lost : report.lost) CAIRN_TRY_VOID(print(describe(lost) + "\n"));
    CAIRN_TRY_VOID(print(fmt::format("{} in {}, {} and {}, from {}; {}\n", counted(report.records, "record"),
                                     counted(report.tables, "table"), counted(report.timelines, "timeline"),
                                     counted(report.fork_stores, "fork store"), counted(report.files, "file"),
                                     counted(report.lost.size(), "finding"))));
  }
  return report.lost.empty() ? 0 : exit_code(ErrorCode::kCorruption);
}

}  // namespace

Result<void> take_checkpoint(const std::string& target, const std::function<Result<void>(const Progress&)>& take) {
  Meter meter("linked or copied");
  const Result<void> taken = take(meter.progress());
  if (!taken) return std::unexpected(meter.explain(taken.error(), target + " is no database"));
  return {};
}

Result<void> restore_checkpoint(const std::string& checkpoint, const std::string& base, const std::string& dir, bool verify) {
  Meter meter("linked or copied");
  const Progress progress = meter.progress();
  const Result<void> restored = base.empty() ? Database::restore(checkpoint, dir, progress, verify)
                                             : Database::restore_incremental(base, checkpoint, dir, progress, verify);
  if (!restored) return std::unexpected(meter.explain(restored.error(), dir + " is no database"));
  return {};
}

void add_care(const Command& app) {
  Common& common = app.make_arguments<Common>();
  const Command command = app.add_command("verify", "Read every live byte and check every checksum");
  add_directory(command, common.dir);
  command.add_flag("--json", common.json, "Print JSON");
  set_action(command, common, [&common] { return verify(common); });

  Arguments& arguments = app.make_arguments<Arguments>();
  const Command checkpoint_command = app.add_command("checkpoint", "Copy the database DIR, as it is now, to TARGET");
  add_directory(checkpoint_command, arguments.common.dir);
  checkpoint_command.add_option("TARGET", arguments.target, "A directory that is absent or empty")
      .required()
      .completed_by(complete_file);
  checkpoint_command.add_option("--base", arguments.base, "A full checkpoint; TARGET gets what changed since it was taken")
      .completed_by(complete_file);
  checkpoint_command.add_flag("--json", arguments.common.json, "Print JSON");
  set_action(checkpoint_command, arguments.common, [&arguments] { return checkpoint(arguments); });
  if (prompt_target() != nullptr) return;  // Restore and repair need a directory that no process has open.

  const Command restore_command = app.add_command("restore", "Make DIR a database with the content of CHECKPOINT");
  restore_command.add_option("CHECKPOINT", arguments.common.dir, "A checkpoint, or a database that was closed").required();
  restore_command.add_option("DIR", arguments.target, "A directory that is absent or empty")
      .required()
      .completed_by(complete_file);
  restore_command.add_option("--base", arguments.base, "The full checkpoint that an incremental one builds on");
  restore_command.add_flag("--verify", arguments.verify, "Check every byte first, not only sizes and headers");
  restore_command.add_flag("--json", arguments.common.json, "Print JSON");
  set_action(restore_command, arguments.common, [&arguments] { return restore(arguments); });

  const Command repair_command = app.add_command("repair", "Make TARGET a database of every record that is readable in DIR");
  repair_command.add_option("DIR", arguments.common.dir, "The damaged database").required();
  repair_command.add_option("TARGET", arguments.target, "A directory that is absent or empty")
      .required()
      .completed_by(complete_file);
  repair_command.add_flag("--json", arguments.common.json, "Print JSON");
  set_action(repair_command, arguments.common, [&arguments] { return repair(arguments); });
}

}  // namespace cairn::cli
