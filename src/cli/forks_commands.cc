// cairn forks create, fork, freeze, sync, root, purge, load, store, erase, scan, diff, hash and stats.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/line_editor.h"
#include "cli/meter.h"
#include "cli/source.h"

namespace cairn::cli {
namespace {

struct Arguments {
  ForksCommon common;
  ForkNumber fork = 0;
  ForkNumber other = 0;  // Parent, or the second of a diff.
  std::string key;
  std::optional<std::string> value;
  std::string target;
  std::string base;
  bool hashes = false;
  std::string expected;
  bool raw = false;
};

using Work = std::function<Result<void>(ForkStore&)>;

/// Opens, works, closes; `answer`: what --json prints.
Result<int> run(const Arguments& arguments, const Work& work, const Json& answer = {{"ok", true}}) {
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  CAIRN_TRY_VOID(work(opened.store));
  CAIRN_TRY_VOID(opened.database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line(answer)));
  return 0;
}

Result<int> create(const Arguments& arguments) {
  CAIRN_TRY(database, open_database(arguments.common.dir, IfMissing::kCreate, arguments.common.drives));
  for (const std::string& name : database->fork_stores()) {
    if (name == arguments.common.forks) return fail(ErrorCode::kConflict, "there is a fork store '" + name + "' already");
  }
  CAIRN_TRY_VOID(database->forks(arguments.common.forks));
  CAIRN_TRY_VOID(database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Result<int> load(const Arguments& arguments) {
  CAIRN_TRY_VOID(check_raw(arguments.raw, arguments.common.json, true));
  CAIRN_TRY(key, parse_account_key(arguments.key));
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  CAIRN_TRY(hit, opened.store.load(arguments.fork, key));
  CAIRN_TRY_VOID(print_value(hit ? std::optional<ByteView>(*hit) : std::nullopt, arguments.common.json, arguments.raw));
  CAIRN_TRY_VOID(opened.database.close());
  return hit ? 0 : 1;
}

Result<int> store(const Arguments& arguments, bool erases) {
  CAIRN_TRY(key, parse_account_key(arguments.key));
  std::string value;
  if (!erases && arguments.value) value = *arguments.value;
  if (!erases && !arguments.value) {
    CAIRN_TRY(text, read_all());
    value = text;
  }
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  CAIRN_TRY(version, erases ? opened.store.erase(arguments.fork, key) : opened.store.store(arguments.fork, key, value));
  CAIRN_TRY_VOID(opened.database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}, {"version", version}})));
  return 0;
}

/// The account as `name` of an object; null: there is none.
void put_value(Json& object, const std::string& name, const std::optional<Pinned>& value) {
  if (value) {
    put_bytes(object, name, *value);
  } else {
    object[name] = nullptr;
  }
}

Result<int> scan(const Arguments& arguments) {
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  CAIRN_TRY_VOID(opened.store.scan(arguments.fork, [](ByteView key, const Pinned& value) -> Result<void> {
    CAIRN_TRY_VOID(check_interrupt());
    Json object{{"key", to_hex(key)}};
    put_bytes(object, "value", value);
    return print(to_line(object));
  }));
  CAIRN_TRY_VOID(opened.database.close());
  return 0;
}

Result<int> diff(const Arguments& arguments) {
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  const auto visit = [](ByteView key, const std::optional<Pinned>& in_a, const std::optional<Pinned>& in_b) -> Result<void> {
    CAIRN_TRY_VOID(check_interrupt());
    Json object{{"key", to_hex(key)}};
    put_value(object, "a", in_a);
    put_value(object, "b", in_b);
    return print(to_line(object));
  };
  CAIRN_TRY_VOID(opened.store.diff(arguments.fork, arguments.other, visit));
  CAIRN_TRY_VOID(opened.database.close());
  return 0;
}

Result<int> hash(const Arguments& arguments) {
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  CAIRN_TRY(sum, opened.store.state_hash(arguments.fork));
  CAIRN_TRY_VOID(opened.database.close());
  CAIRN_TRY_VOID(print(arguments.common.json ? to_line({{"hash", sum.to_string()}}) : sum.to_string() + "\n"));
  return 0;
}

ForkNumber root_of(const ForkStore& store) { return store.list().front().number; }

Result<int> snapshot(const Arguments& arguments) {
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
  Json answer{{"ok", true}, {"root", root_of(opened.store)}};
  std::string hash_text;
  if (arguments.hashes) {
    CAIRN_TRY(sum, opened.store.state_hash(root_of(opened.store)));
    hash_text = sum.to_string();
    answer["hash"] = hash_text;
  }
  const database::Request request{
      .call = database::Request::Call::kCheckpoint, .target = arguments.target, .base = arguments.base};
  CAIRN_TRY_VOID(take_checkpoint(arguments.target, [&](const Progress& progress) {
    return database::run_call(*opened.database, arguments.common.dir, request, {}, progress);
  }));
  CAIRN_TRY_VOID(opened.database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line(answer)));
  if (!arguments.common.json && arguments.hashes) CAIRN_TRY_VOID(print(hash_text + "\n"));
  return 0;
}

/// DIR is the snapshot.
Result<int> restore(Arguments& arguments) {
  CAIRN_TRY_VOID(restore_checkpoint(arguments.common.dir, arguments.base, arguments.target, !arguments.expected.empty()));
  if (!arguments.expected.empty()) {
    arguments.common.dir = arguments.target;
    CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kFail));
    CAIRN_TRY(sum, opened.store.state_hash(root_of(opened.store)));
    CAIRN_TRY_VOID(opened.database.close());
    if (sum.to_string() != arguments.expected) {
      return fail(ErrorCode::kCorruption,
                  "the accounts of the root have the hash " + sum.to_string() + ", not " + arguments.expected, arguments.target);
    }
  }
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Json to_json(const ForkStoreStats& stats) {
  Json object;
  object["forks"] = Json::array();
  for (const ForkInfo& fork : stats.forks) {
    object["forks"].push_back(
        {{"number", fork.number}, {"parent", fork.parent}, {"frozen", fork.frozen}, {"accounts_changed", fork.accounts_changed}});
  }
  object["accounts"] = stats.accounts;
  object["index_bytes"] = stats.index_bytes;
  object["open_bytes"] = stats.open_bytes;
  object["segments"] = stats.segments;
  object["segment_bytes"] = stats.segment_bytes;
  object["live_bytes"] = stats.live_bytes;
  object["drives"] = Json::array();
  for (const DriveStats& drive : stats.drives) {
    object["drives"].push_back(
        {{"path", drive.path}, {"segments", drive.segments}, {"bytes", drive.bytes}, {"error", drive.error}});
  }
  object["purged_remembered"] = stats.purged_remembered;
  object["writes"] = stats.writes;
  object["written_bytes"] = stats.written_bytes;
  object["log_bytes"] = stats.log_bytes;
  object["moved_bytes"] = stats.moved_bytes;
  object["segments_reclaimed"] = stats.segments_reclaimed;
  object["syncs"] = stats.syncs;
  object["jobs"] = jobs_to_json(stats.jobs);
  object["open_reports"] = stats.open_reports;
  object["write_state"] = stats.write_state;
  object["job_errors"] = stats.job_errors;
  return object;
}

std::string to_text(const ForkStoreStats& stats) {
  std::string text;
  for (const ForkInfo& fork : stats.forks) {
    const bool is_root = fork.number == fork.parent;
    text += fmt::format("fork {:>12}  {:<18}  {:<6}  {}\n", fork.number, is_root ? "root" : fmt::format("of {}", fork.parent),
                        fork.frozen ? "frozen" : "open", is_root ? "" : counted(fork.accounts_changed, "account") + " changed");
  }
  text += fmt::format("{}, {} of index in memory\n", counted(stats.accounts, "account"), counted(stats.index_bytes, "byte"));
  text += fmt::format("{}, {}, {} of them live\n", counted(stats.segments, "segment"), counted(stats.segment_bytes, "byte"),
                      stats.live_bytes);
  for (const DriveStats& drive : stats.drives) {
    if (stats.drives.size() > 1)
      text += fmt::format("{}: {}, {}\n", drive.path, counted(drive.segments, "segment"), counted(drive.bytes, "byte"));
    if (!drive.error.empty()) text += fmt::format("{}: new segments are on other drives: {}\n", drive.path, drive.error);
  }
  for (const JobStats& job : stats.jobs) {
    text += fmt::format("job {}: {} of {} bytes\n", job.name, job.bytes_done, job.bytes_total);
  }
  for (const std::string& report : stats.open_reports) text += report + "\n";
  if (!stats.write_state.empty()) text += stats.write_state + "\n";
  for (const std::string& error : stats.job_errors) text += error + "\n";
  return text;
}

Result<int> stats(const Arguments& arguments) {
  const ForksCommon& common = arguments.common;
  CAIRN_TRY(source, Source::open(common.dir, common.drives));
  CAIRN_TRY(now, source.ask<ForkStoreStats>({.call = database::Request::Call::kForksStats, .view = common.forks}));
  CAIRN_TRY_VOID(source.close());
  CAIRN_TRY_VOID(print(common.json ? to_line(to_json(now)) : to_text(now)));
  return 0;
}

Command add(const Command& forks, Arguments& arguments, const char* name, const char* help, std::function<Result<int>()> run) {
  const Command command = forks.add_command(name, help);
  add_common(command, arguments.common);
  set_action(command, arguments.common, std::move(run));
  return command;
}

Command add_of_fork(const Command& forks, Arguments& arguments, const char* name, const char* help,
                    std::function<Result<int>()> run) {
  Command command = add(forks, arguments, name, help, std::move(run));
  command.add_option("FORK", arguments.fork, "Number of the fork").required();
  return command;
}

void add_base(const Command& command, Arguments& arguments) {
  command.add_option("--base", arguments.base, "The full snapshot that an incremental one builds on").completed_by(complete_file);
}

}  // namespace

void add_forks_commands(const Command& app) {
  const Command forks =
      app.add_command("forks",
                      "Account states over forks. As long as the tree is one line, a read of a number that was never "
                      "created stands for the fork below it");
  forks.require_command();
  Arguments& arguments = forks.make_arguments<Arguments>();  // One subcommand runs.
  add(forks, arguments, "create", "Create a fork store, and the database if there is none",
      [&arguments] { return create(arguments); });
  Command fork_command = add_of_fork(forks, arguments, "fork", "Create fork FORK below PARENT, which is frozen", [&arguments] {
    return run(arguments, [&arguments](ForkStore& store) { return store.create_fork(arguments.fork, arguments.other); });
  });
  fork_command.add_option("PARENT", arguments.other, "Number of an existing fork").required();
  add_of_fork(forks, arguments, "freeze", "Refuse further changes of FORK",
              [&arguments] { return run(arguments, [&arguments](ForkStore& store) { return store.freeze(arguments.fork); }); });
  add_of_fork(forks, arguments, "sync", "Wait until all of FORK is on disk",
              [&arguments] { return run(arguments, [&arguments](ForkStore& store) { return store.sync(arguments.fork); }); });
  add_of_fork(forks, arguments, "root", "Make FORK the root and purge every fork that does not descend from it",
              [&arguments] { return run(arguments, [&arguments](ForkStore& store) { return store.set_root(arguments.fork); }); });
  add_of_fork(forks, arguments, "purge", "Remove FORK and its descendants as if they had never been",
              [&arguments] { return run(arguments, [&arguments](ForkStore& store) { return store.purge(arguments.fork); }); });
  Command load_command =
      add_of_fork(forks, arguments, "load", "Print the value of account KEY in FORK; exit code 1 if there is none",
                  [&arguments] { return load(arguments); });
  Command store_command = add_of_fork(forks, arguments, "store", "Store VALUE as account KEY in FORK",
                                      [&arguments] { return store(arguments, false); });
  Command erase_command =
      add_of_fork(forks, arguments, "erase", "Erase account KEY in FORK", [&arguments] { return store(arguments, true); });
  for (const Command& command : {load_command, store_command, erase_command}) {
    command.add_option("KEY", arguments.key, "64 hexadecimal digits").required();
  }
  add_raw(load_command, arguments.raw);
  store_command.add_option(
      "VALUE", [&arguments](const std::string& value) { arguments.value = value; }, "The value; default: all of standard input");
  add_of_fork(forks, arguments, "scan", "Print all accounts of FORK, one JSON object a line, in no order",
              [&arguments] { return scan(arguments); });
  Command diff_command =
      add_of_fork(forks, arguments, "diff", "Print accounts that differ between FORK and OTHER, one JSON object a line",
                  [&arguments] { return diff(arguments); });
  diff_command.add_option("OTHER", arguments.other, "Number of the other fork").required();
  add_of_fork(forks, arguments, "hash", "Print the hash of all accounts of FORK", [&arguments] { return hash(arguments); });
  add(forks, arguments, "stats", "Print the tree of forks, segments and drives", [&arguments] { return stats(arguments); });
  Command snapshot_command = add(forks, arguments, "snapshot", "Copy the database DIR, as it is now, to TARGET",
                                 [&arguments] { return snapshot(arguments); });
  snapshot_command.add_option("TARGET", arguments.target, "Absent or empty").required().completed_by(complete_file);
  snapshot_command.add_flag("--verify", arguments.hashes, "Print the hash of the root's accounts, for restore");
  add_base(snapshot_command, arguments);
  add_forks_replay(forks);
  if (prompt_target() != nullptr) return;  // A snapshot is restored into a directory that nobody has open.
  Command restore_command = add(forks, arguments, "restore", "Make TARGET a database with the content of the snapshot DIR",
                                [&arguments] { return restore(arguments); });
  restore_command.add_option("TARGET", arguments.target, "Absent or empty").required();
  restore_command.add_option("--verify", arguments.expected, "The hash that the root's accounts must have");
  add_base(restore_command, arguments);
}

}  // namespace cairn::cli
