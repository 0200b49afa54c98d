#include "cli/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/clock.h"
#include "base/error.h"
#include "cli/meter.h"
#include "database/owner_socket.h"
#include "text/json.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {
bool output_closed = false;
const PromptTarget* target_of_prompt = nullptr;

std::unexpected<Error> output_error() {
  output_closed = errno == EPIPE;
  return system_error(errno, "writing standard output");
}
}  // namespace

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound: return 1;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kConflict:
    case ErrorCode::kUnsupported: return 2;
    case ErrorCode::kBusy: return 3;
    case ErrorCode::kCorruption: return 5;
    default: return 4;
  }
}

const PromptTarget* prompt_target() { return target_of_prompt; }

void set_prompt_target(const PromptTarget* target) { target_of_prompt = target; }

void add_directory(const Command& command, std::string& dir) {
  if (target_of_prompt != nullptr) {
    dir = target_of_prompt->dir;
  } else {
    command.add_option("DIR", dir, "Directory of the database").required();
  }
}

namespace {

/// Completes the names of the views of a kind, as `names` gives them.
Completer names_of_views(std::vector<std::string> (Database::*names)() const) {
  return [names](const std::vector<std::string>&, const std::string&) {
    const bool open = target_of_prompt != nullptr && target_of_prompt->database != nullptr;
    return open ? (target_of_prompt->database->*names)() : std::vector<std::string>{};
  };
}

/// The families of the table that `words` name.
std::vector<std::string> complete_family(const std::vector<std::string>& words, const std::string&) {
  if (target_of_prompt == nullptr || target_of_prompt->database == nullptr) return {};
  const auto option = std::ranges::find(words, "--table");
  const std::string name = option != words.end() && option + 1 != words.end() ? *(option + 1) : Common().table;
  const Result<Table> table = target_of_prompt->database->table(name, {.create_if_missing = false});
  return table ? table->families() : std::vector<std::string>{};
}

}  // namespace

void add_common(const Command& command, Common& common) {
  add_directory(command, common.dir);
  command.add_option("--table", common.table, "Name of the table").show_default().completed_by(names_of_views(&Database::tables));
  command.add_option("--family", common.family, "Name of the family").show_default().completed_by(complete_family);
  command.add_flag("--json", common.json, "Print JSON");
}

void add_common(const Command& command, TimelineCommon& common) {
  add_directory(command, common.dir);
  command.add_option("--timeline", common.timeline, "Name of the timeline")
      .show_default()
      .completed_by(names_of_views(&Database::timelines));
  command.add_flag("--json", common.json, "Print JSON");
}

void add_common(const Command& command, ForksCommon& common) {
  add_directory(command, common.dir);
  command.add_option("--forks", common.forks, "Name of the fork store")
      .show_default()
      .completed_by(names_of_views(&Database::fork_stores));
  if (target_of_prompt == nullptr) {  // The prompt's database is open already.
    command
        .add_option("--drive", common.drives,
                    "Directory on a further drive, to be used from now on; or the new place of a drive that has moved")
        .one_value();
  }
  command.add_flag("--json", common.json, "Print JSON");
}

void add_raw(const Command& command, bool& raw) {
  command.add_flag("--raw", raw, "Print the bytes of the value alone, without a newline");
}

void add_compression(const Command& command, std::optional<Compression>& compression) {
  const auto take = [&compression](const std::string& name) {
    compression = name == "none" ? Compression::kNone : name == "lz4" ? Compression::kLz4 : Compression::kZstd;
  };
  command.add_option("--compression", take, "Compression of sealed files").choices({"none", "lz4", "zstd"});
}

namespace {

/// Says what works beside the process that owns `dir`.
Error explain_busy(Error busy, const std::string& dir) {
  const auto owner = database::OwnerClient::connect(dir);
  if (owner && *owner != nullptr) {
    busy.message += fmt::format("; beside it work cairn {}", database::kCallsInWords);
  } else {
    busy.message += "; it answers no commands: ask it to, or wait until it has ended";
  }
  return busy;
}

}  // namespace

Result<CommandDatabase> try_open_database(const std::string& dir, IfMissing if_missing, const std::vector<std::string>& drives) {
  if (target_of_prompt != nullptr && target_of_prompt->database != nullptr) return CommandDatabase(target_of_prompt->database);
  Result<Database> database = Database::open(
      dir, {.create_if_missing = if_missing == IfMissing::kCreate, .owner = "the cairn command", .drives = drives});
  if (!database && database.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kNotFound, "there is no database in " + dir + ": " + database.error().message);
  }
  if (!database) return std::unexpected(database.error());
  for (const std::string& report : database->open_reports()) say(fmt::format("cairn: {}\n", report));
  return CommandDatabase(std::move(*database));
}

Result<CommandDatabase> open_database(const std::string& dir, IfMissing if_missing, const std::vector<std::string>& drives) {
  Result<CommandDatabase> database = try_open_database(dir, if_missing, drives);
  if (!database && database.error().code == ErrorCode::kBusy) return std::unexpected(explain_busy(database.error(), dir));
  return database;
}

Result<Opened> open_table(const Common& common, IfMissing if_missing, const TableOptions& options) {
  CAIRN_TRY(database, open_database(common.dir, if_missing));
  TableOptions table_options = options;
  table_options.create_if_missing = if_missing == IfMissing::kCreate;
  const Result<Table> table = database->table(common.table, table_options);
  if (!table) return database::naming_others(table.error(), "tables in " + common.dir, database->tables());
  const Result<Table> family = table->family(common.family, {.create_if_missing = if_missing == IfMissing::kCreate});
  if (!family) return database::naming_others(family.error(), "its families", table->families());
  return Opened{std::move(database), *family};
}

Result<OpenedTimeline> open_timeline(const TimelineCommon& common, IfMissing if_missing, const TimelineOptions& options) {
  CAIRN_TRY(database, open_database(common.dir, if_missing));
  TimelineOptions timeline_options = options;
  timeline_options.create_if_missing = if_missing == IfMissing::kCreate;
  const Result<Timeline> timeline = database->timeline(common.timeline, timeline_options);
  if (!timeline) return database::naming_others(timeline.error(), "timelines in " + common.dir, database->timelines());
  return OpenedTimeline{std::move(database), *timeline};
}

Result<OpenedForks> open_forks(const ForksCommon& common, IfMissing if_missing) {
  CAIRN_TRY(database, open_database(common.dir, if_missing, common.drives));
  const Result<ForkStore> store = database->forks(common.forks, {.create_if_missing = if_missing == IfMissing::kCreate});
  if (!store) return database::naming_others(store.error(), "fork stores in " + common.dir, database->fork_stores());
  return OpenedForks{std::move(database), *store};
}

void open_views(Database& database, const std::function<void(const std::string&)>& report) {
  const auto note = [&](const std::string& what, const std::string& name, const auto& opened) {
    if (!opened) report(fmt::format("{} '{}' cannot be opened: {}", what, name, opened.error().to_string()));
  };
  for (const std::string& name : database.tables()) note("table", name, database.table(name));
  for (const std::string& name : database.timelines()) note("timeline", name, database.timeline(name));
  for (const std::string& name : database.fork_stores()) note("fork store", name, database.forks(name));
}

void set_action(const Command& command, const Common& common, std::function<Result<int>()> run) {
  command.set_action([&common, run = std::move(run)] {
    const Result<int> done = run();
    if (done) return *done;
    if (is_output_closed()) return kClosedPipeCode;
    const Error& error = done.error();
    if (common.json) {
      Json object{{"error", name_of(error.code)}, {"message", error.message}};
      if (!error.file.empty()) object["file"] = error.file;
      if (error.offset != Error::kNoOffset) object["offset"] = error.offset;
      print(to_line(object)).ignore_error();  // Standard error gets the sentence either way.
    }
    say(fmt::format("cairn: {}\n", describe(error)));
    return is_interrupted() ? kInterruptedCode : exit_code(error.code);
  });
}

std::string describe(const Error& error) {
  if (error.file.empty()) return error.message;
  const std::string offset = error.offset == Error::kNoOffset ? "" : fmt::format(", offset {}", error.offset);
  return error.message + " (" + error.file + offset + ")";
}

std::string time_to_live_text(std::chrono::milliseconds time) { return time.count() == 0 ? "never" : words_for_ms(time.count()); }

std::string counted(std::uint64_t count, const std::string& noun, const std::string& plural) {
  return fmt::format("{} {}", count, count == 1 ? noun : plural.empty() ? noun + "s" : plural);
}

void say(const std::string& text) { std::fputs(text.c_str(), stderr); }

Result<void> print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return {};
  return output_error();
}

Result<void> flush_output() {
  if (std::fflush(stdout) == 0) return {};
  return output_error();
}

bool is_output_closed() { return output_closed; }

Result<std::string> read_all() {
  std::string text;
  char chunk[64 * 1024];
  while (true) {
    const ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) {
      CAIRN_TRY_VOID(check_interrupt());
      continue;
    }
    if (n < 0) return system_error(errno, "reading standard input");
    if (n == 0) return text;
    text.append(chunk, static_cast<std::size_t>(n));
  }
}

std::chrono::milliseconds duration_option(const std::string& text) {
  const auto duration = parse_duration(ByteView(text));
  if (!duration) throw BadArgument("'" + text + "' is not a duration such as 500ms, 30s, 15m, 12h or 30d");
  return *duration;
}

}  // namespace cairn::cli
