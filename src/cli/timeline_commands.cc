// cairn timeline create, put, get, erase, keys, history, watch, housekeep, rollback, undo and confirm.
#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/json_lines.h"
#include "cli/source.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

using database::Request;

struct Arguments {
  TimelineCommon common;
  TimelineOptions options;
  std::string key;  // Or prefix.
  std::optional<std::string> one_key;
  std::string data;
  bool has_data = false;
  bool keep_empty = false;
  std::chrono::milliseconds expires_after{0};
  Moment at = kEndOfTime;
  bool has_at = false;
  Moment from = kBeginning;
  Moment to = kEndOfTime;
  std::uint64_t limit = 0;
  bool until_done = false;
  bool discard = false;
  bool force = false;
  bool raw = false;
  bool csv = false;
  bool base64 = false;
};

constexpr const char* kMomentHelp = "RFC 3339, milliseconds since 1970, or a stamp as it is printed (MS-SEQ)";

Result<int> finish(CommandDatabase& database, bool json, const Json& answer = {{"ok", true}}) {
  CAIRN_TRY_VOID(database.close());
  if (json) CAIRN_TRY_VOID(print(to_line(answer)));
  return 0;
}

Result<int> create(const Arguments& arguments) {
  CAIRN_TRY(database, open_database(arguments.common.dir, IfMissing::kCreate));
  for (const std::string& name : database->timelines()) {
    if (name == arguments.common.timeline) return fail(ErrorCode::kConflict, "there is a timeline '" + name + "' already");
  }
  CAIRN_TRY_VOID(database->timeline(arguments.common.timeline, arguments.options));
  return finish(database, arguments.common.json);
}

Result<int> save(const Arguments& arguments, bool erases) {
  CAIRN_TRY(opened, open_timeline(arguments.common, IfMissing::kFail));
  SaveOptions options;
  options.keep_empty = arguments.keep_empty;
  options.expires_after = arguments.expires_after;
  std::string data = arguments.data;
  if (!erases && !arguments.has_data) {
    CAIRN_TRY(text, read_all());
    data = text;
  }
  CAIRN_TRY(stamp, erases ? opened.timeline.erase(arguments.key, options) : opened.timeline.put(arguments.key, data, options));
  Json answer{{"ok", true}};
  put_stamp(answer, stamp);
  return finish(opened.database, arguments.common.json, answer);
}

Request request_of(const Arguments& arguments, Request::Call call) {
  Request request{.call = call, .view = arguments.common.timeline};
  request.key = arguments.key;
  request.limit = arguments.limit;
  request.from = arguments.from;
  request.to = arguments.to;
  if (arguments.has_at) request.at = arguments.at;
  return request;
}

Result<int> get(const Arguments& arguments) {
  CAIRN_TRY_VOID(check_raw(arguments.raw, arguments.common.json, arguments.one_key.has_value()));
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  Request request = request_of(arguments, Request::Call::kTimelineGet);
  bool all_found = true;
  CAIRN_TRY_VOID(for_each_key(arguments.one_key, [&](const std::string& key) -> Result<void> {
    request.key = key;
    bool found = false;
    CAIRN_TRY_VOID(source.call(request, [&](std::span<const ByteView> row) {
      found = true;
      return print_value(row[0], arguments.common.json, arguments.raw);
    }));
    if (!found) CAIRN_TRY_VOID(print_value(std::nullopt, arguments.common.json, arguments.raw));
    all_found = all_found && found;
    return {};
  }));
  CAIRN_TRY_VOID(source.close());
  return all_found ? 0 : 1;
}

Result<int> keys(const Arguments& arguments) {
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  bool any = false;
  const auto print_key = [&](std::span<const ByteView> row) -> Result<void> {
    any = true;
    CAIRN_TRY(stamp, decode_part<Stamp>(row, 1));
    if (!arguments.common.json) return print(format_time(stamp.time()) + "\t" + Bytes(row[0]) + "\n");
    Json object;
    put_stamp(object, stamp);
    put_bytes(object, "key", row[0]);
    return print(to_line(object));
  };
  CAIRN_TRY_VOID(source.call(request_of(arguments, Request::Call::kTimelineKeys), print_key));
  CAIRN_TRY_VOID(source.close());
  return any ? 0 : 1;
}

/// Each line is one that load reads.
Result<int> history(const Arguments& arguments) {
  CAIRN_TRY_VOID(check_csv_output(arguments.csv, arguments.base64));
  if (arguments.csv && arguments.common.json) return fail(ErrorCode::kInvalidArgument, "--csv and --json exclude each other");
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  bool any = false;
  if (arguments.csv) CAIRN_TRY_VOID(print(csv_history_header(arguments.base64)));
  const auto print_save = [&](std::span<const ByteView> row) -> Result<void> {
    any = true;
    CAIRN_TRY(stamp, decode_part<Stamp>(row, 1));
    if (arguments.csv) {
      CAIRN_TRY(line, csv_history_line(stamp.time(), row[0], row[3], row[2] == "1", arguments.base64));
      return print(line);
    }
    Json object;
    put_stamp(object, stamp);
    put_bytes(object, "key", row[0]);
    if (row[2] == "1") {
      object["erased"] = true;
    } else {
      put_bytes(object, "value", row[3]);
    }
    return print(to_line(object));
  };
  CAIRN_TRY_VOID(source.call(request_of(arguments, Request::Call::kTimelineHistory), print_save));
  CAIRN_TRY_VOID(source.close());
  return any ? 0 : 1;
}

Result<void> print_event(std::span<const ByteView> row) {
  CAIRN_TRY(kind, decode_part<WatchEvent::Kind>(row, 0));
  CAIRN_TRY(stamp, decode_part<Stamp>(row, 2));
  Json object;
  put_stamp(object, stamp);
  switch (kind) {
    case WatchEvent::Kind::kSaved:
      put_bytes(object, "key", row[1]);
      put_bytes(object, "value", row[3]);
      break;
    case WatchEvent::Kind::kErased:
      put_bytes(object, "key", row[1]);
      object["erased"] = true;
      break;
    case WatchEvent::Kind::kErasedAll: object["event"] = "erased all"; break;
    case WatchEvent::Kind::kRolledBack: object["event"] = "rolled back"; break;
    case WatchEvent::Kind::kMissed: object["event"] = "missed"; break;
  }
  CAIRN_TRY_VOID(print(to_line(object)));
  return flush_output();
}

Result<int> watch(const Arguments& arguments) {
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  CAIRN_TRY_VOID(source.call(request_of(arguments, Request::Call::kTimelineWatch), print_event));
  CAIRN_TRY_VOID(source.close());
  return 0;
}

Result<int> care(const Arguments& arguments, const std::function<Result<void>(Timeline&)>& work) {
  CAIRN_TRY(opened, open_timeline(arguments.common, IfMissing::kFail));
  CAIRN_TRY_VOID(work(opened.timeline));
  return finish(opened.database, arguments.common.json);
}

Result<int> rollback(const Arguments& arguments) {
  CAIRN_TRY(opened, open_timeline(arguments.common, IfMissing::kFail));
  CAIRN_TRY(cut, opened.timeline.rollback(arguments.at, {.force = arguments.force}));
  Json answer{{"ok", true}, {"saves", cut.saves}, {"at_least", cut.at_least}};
  answer["since"] = nullptr;
  answer["undo_until"] = nullptr;
  if (cut.since) {
    answer["since"] = cut.since->to_string();
    answer["undo_until"] = format_time(cut.undo_until);
  }
  if (!arguments.common.json && !cut.since) say("no saves since then; nothing was changed\n");
  if (!arguments.common.json && cut.since) {
    say(fmt::format("{}{} {} cut off, since {}; `undo` brings {} back until {}\n", cut.at_least ? "at least " : "", cut.saves,
                    cut.saves == 1 ? "save" : "saves", format_time(cut.since->time()), cut.saves == 1 ? "it" : "them",
                    format_time(cut.undo_until)));
  }
  return finish(opened.database, arguments.common.json, answer);
}

Command add(const Command& timeline, Arguments& arguments, const char* name, const char* help, std::function<Result<int>()> run) {
  const Command command = timeline.add_command(name, help);
  add_common(command, arguments.common);
  set_action(command, arguments.common, std::move(run));
  return command;
}

void add_moment(const Command& command, const char* name, Moment& moment, const char* help) {
  command.add_option(name, [&moment](const std::string& text) { moment = moment_option(text); }, help);
}

/// A duration; 0 too.
std::chrono::milliseconds duration_or_zero(const std::string& text) {
  return text == "0" ? std::chrono::milliseconds(0) : duration_option(text);
}

void add_create(const Command& timeline, Arguments& arguments) {
  TimelineOptions& options = arguments.options;
  Command command = add(timeline, arguments, "create", "Create a timeline, and the database if there is none",
                        [&arguments] { return create(arguments); });
  const auto add_duration = [&](const char* name, std::optional<std::chrono::milliseconds>& into, const char* help) {
    command.add_option(name, [&into](const std::string& text) { into = duration_or_zero(text); }, help);
  };
  add_duration("--timeout", options.timeout, "Time after which saves expire, such as 30s, 15m, 12h or 30d; 0 (default): never");
  command
      .add_option(
          "--policy",
          [&arguments](const std::string& text) {
            arguments.options.expired = text == "drop" ? Expired::kDrop : Expired::kPersist;
          },
          "What expires: all saves (drop), or all but the last of each key (persist)")
      .choices({"drop", "persist"});
  command.add_option("--block-keys", options.block_keys_max, "Number of different keys that close a block");
  command.add_option("--block-bytes", options.block_bytes_max, "Number of bytes that close a block");
  add_duration("--block-span", options.block_span_max, "Time span that closes a block");
  add_duration("--undo-time", options.undo_time, "Time in which a rollback can be undone");
}

void add_rollback(const Command& timeline, Arguments& arguments) {
  Command rollback_command =
      add(timeline, arguments, "rollback", "Make the timeline what it was at TIME", [&arguments] { return rollback(arguments); });
  rollback_command.add_option(
                      "TIME", [&arguments](const std::string& text) { arguments.at = moment_option(text); }, kMomentHelp)
      .required();
  rollback_command.add_flag("--force", arguments.force, "Allow a time before the first save, which empties the timeline");
  Command undo_command = add(timeline, arguments, "undo", "Undo the last rollback", [&arguments] {
    return care(arguments, [&arguments](Timeline& of) { return of.undo(arguments.discard); });
  });
  undo_command.add_flag("--discard", arguments.discard, "Give up what was saved since the rollback");
  add(timeline, arguments, "confirm", "Give up what rollbacks cut off",
      [&arguments] { return care(arguments, [](Timeline& of) { return of.confirm(); }); });
}

}  // namespace

void add_timeline_commands(const Command& app) {
  const Command timeline = app.add_command("timeline", "Values under keys in the order of time");
  timeline.require_command();
  Arguments& arguments = timeline.make_arguments<Arguments>();  // One subcommand runs.
  add_create(timeline, arguments);

  Command put_command = add(timeline, arguments, "put", "Save DATA under KEY", [&arguments] { return save(arguments, false); });
  put_command.add_option("KEY", arguments.key, "The key").required();
  put_command.add_option(
      "DATA",
      [&arguments](const std::string& data) {
        arguments.data = data;
        arguments.has_data = true;
      },
      "The value, default: all of standard input; an empty value erases the key");
  put_command.add_flag("--keep-empty", arguments.keep_empty, "Store an empty value instead of erasing the key");
  put_command.add_option(
      "--expires-after", [&arguments](const std::string& text) { arguments.expires_after = duration_option(text); },
      "Duration, such as 30s or 15m, after which the save expires");

  Command get_command = add(timeline, arguments, "get", "Print the value of KEY; exit code 1 if there is none",
                            [&arguments] { return get(arguments); });
  get_command.add_option(
      "KEY", [&arguments](const std::string& key) { arguments.one_key = key; },
      "The key; default: one key a line from standard input");
  get_command.add_option(
      "--at",
      [&arguments](const std::string& text) {
        arguments.at = moment_option(text);
        arguments.has_at = true;
      },
      kMomentHelp);
  add_raw(get_command, arguments.raw);

  Command erase_command = add(timeline, arguments, "erase", "Erase KEY", [&arguments] { return save(arguments, true); });
  erase_command.add_option("KEY", arguments.key, "The key").required();

  Command keys_command =
      add(timeline, arguments, "keys", "Print keys in the order of their last saves; exit code 1 if there are none",
          [&arguments] { return keys(arguments); });
  keys_command.add_option("PREFIX", arguments.key, "Prefix of keys; \"\": all keys").required();
  Command history_command =
      add(timeline, arguments, "history", "Print all saves of KEY, one JSON object a line; exit code 1 if there are none",
          [&arguments] { return history(arguments); });
  history_command.add_option("KEY", arguments.key, "The key").required();
  add_csv_output(history_command, arguments.csv, arguments.base64);
  for (const Command& command : {keys_command, history_command}) {
    add_moment(command, "--from", arguments.from, "Time of the first save");
    add_moment(command, "--to", arguments.to, "Time after the last save");
    command.add_option("--limit", arguments.limit, "Number of lines to print at most");
  }

  Command watch_command = add(timeline, arguments, "watch", "Print saves as they are made, one JSON object a line",
                              [&arguments] { return watch(arguments); });
  watch_command.add_option("PREFIX", arguments.key, "Prefix of keys; \"\": all keys").required();
  add_moment(watch_command, "--from", arguments.from, "Time of the first save");
  watch_command.add_option("--limit", arguments.limit, "Number of lines after which to end");

  Command housekeep_command = add(timeline, arguments, "housekeep", "Remove expired saves", [&arguments] {
    return care(arguments, [&arguments](Timeline& of) { return of.housekeep(arguments.until_done); });
  });
  housekeep_command.add_flag("--until-done", arguments.until_done, "Also run a whole cycle of the persistent line");
  add_rollback(timeline, arguments);
  add_timeline_load(timeline);
  add_timeline_stats(timeline);
}

}  // namespace cairn::cli
