// What the subcommands share: arguments, opening, output, exit codes.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "cairn/cairn.h"
#include "cli/command.h"

namespace cairn::cli {

/// 0 ok, 1 not found, 2 usage or bad input, 3 busy, 4 I/O, space or lease, 5 damaged.
int exit_code(ErrorCode code);

/// What most subcommands take.
struct Common {
  std::string dir;
  std::string table = "main";
  std::string family = "main";
  bool json = false;
};

/// The directory and database of the prompt. Commands at the prompt take no argument DIR and use these.
struct PromptTarget {
  std::string dir;
  Database* database = nullptr;  ///< nullptr: another process owns the directory.
};
/// nullptr: the command was not entered at a prompt.
const PromptTarget* prompt_target();
/// `target` lives until it is replaced.
void set_prompt_target(const PromptTarget* target);

/// Adds DIR to `command`. At the prompt `dir` becomes the directory of the prompt instead.
void add_directory(const Command& command, std::string& dir);
/// Adds DIR, --table, --family and --json to `command`.
void add_common(const Command& command, Common& common);
/// Adds --raw, for a value's bytes alone.
void add_raw(const Command& command, bool& raw);
void add_compression(const Command& command, std::optional<Compression>& compression);

/// What the subcommands of timelines take.
struct TimelineCommon : Common {
  std::string timeline = "main";
};
/// Adds DIR, --timeline and --json.
void add_common(const Command& command, TimelineCommon& common);

/// What the subcommands of fork stores take.
struct ForksCommon : Common {
  std::string forks = "main";
  std::vector<std::string> drives;
};
/// Adds DIR, --forks, --drive and --json.
void add_common(const Command& command, ForksCommon& common);

/// The database that a command works on: opened for it, or the prompt's.
class CommandDatabase {
 public:
  /// Opened for the command, and closed with it.
  explicit CommandDatabase(Database opened) : database_(std::make_shared<Database>(std::move(opened))), closes_(true) {}
  /// Stays open. `shared` outlives this.
  explicit CommandDatabase(Database* shared) : database_(std::shared_ptr<void>(), shared), closes_(false) {}

  Database& operator*() const { return *database_; }
  Database* operator->() const { return database_.get(); }
  /// Closes it, if it was opened for the command.
  Result<void> close() { return closes_ ? database_->close() : Result<void>{}; }

 private:
  std::shared_ptr<Database> database_;
  bool closes_;
};

/// A database with one family of a table of it. Trimmed tails are reported on stderr when it is opened.
struct Opened {
  CommandDatabase database;
  Table table;
};
enum class IfMissing : std::uint8_t { kFail, kCreate };
Result<Opened> open_table(const Common& common, IfMissing if_missing, const TableOptions& options = {});
/// The same with a timeline.
struct OpenedTimeline {
  CommandDatabase database;
  Timeline timeline;
};
Result<OpenedTimeline> open_timeline(const TimelineCommon& common, IfMissing if_missing, const TimelineOptions& options = {});
struct OpenedForks {
  CommandDatabase database;
  ForkStore store;
};
Result<OpenedForks> open_forks(const ForksCommon& common, IfMissing if_missing);
/// Its message of kBusy says what works beside the process that owns `dir`.
Result<CommandDatabase> open_database(const std::string& dir, IfMissing if_missing, const std::vector<std::string>& drives = {});
/// The same, but kBusy is not explained.
Result<CommandDatabase> try_open_database(const std::string& dir, IfMissing if_missing, const std::vector<std::string>& drives);

/// Opens every view, so that other processes see all of them beside this one. `report` gets a sentence for each that cannot be
/// opened.
void open_views(Database& database, const std::function<void(const std::string&)>& report);

/// Shows the progress of `take`, which makes a checkpoint at `target`, and explains its error.
Result<void> take_checkpoint(const std::string& target, const std::function<Result<void>(const Progress&)>& take);
/// Makes `dir` a database with the content of `checkpoint`; `verify`: after every byte of it was checked.
Result<void> restore_checkpoint(const std::string& checkpoint, const std::string& base, const std::string& dir, bool verify);

/// Registers `run` as what `command` does; its error is printed, with --json as an object, and becomes the exit code.
void set_action(const Command& command, const Common& common, std::function<Result<int>()> run);
/// For a person: message, file and offset.
std::string describe(const Error& error);
/// "never" for 0, else as words_for_ms().
std::string time_to_live_text(std::chrono::milliseconds time);
/// "1 file", "2 files"; the plural is formed with s, unless `plural` is given.
std::string counted(std::uint64_t count, const std::string& noun, const std::string& plural = "");
/// Writes to standard error. A failure of that write is ignored: there is no other place to report it.
void say(const std::string& text);
/// To standard output, where everything that a command prints goes through.
Result<void> print(const std::string& text);
/// Writes what print() has buffered. Likewise.
Result<void> flush_output();
/// The reader of standard output is gone (EPIPE): the command ends quietly with kClosedPipeCode.
bool is_output_closed();
inline constexpr int kClosedPipeCode = 141;  ///< As of a program that SIGPIPE ended, in a shell.
/// All of standard input. kUnavailable: Ctrl-C was pressed.
Result<std::string> read_all();
/// See parse_duration(); for what CLI11 parses.
std::chrono::milliseconds duration_option(const std::string& text);
/// See parse_moment(); likewise.
Moment moment_option(const std::string& text);

const std::vector<Example>& examples();
// One a file.
void add_table_commands(const Command& app);
void add_load(const Command& table);
void add_ingest(const Command& table);
void add_apply(const Command& table);
void add_stats(const Command& table);
void add_timeline_commands(const Command& app);
void add_timeline_load(const Command& timeline);
void add_timeline_stats(const Command& timeline);
void add_forks_commands(const Command& app);
void add_forks_replay(const Command& forks);
void add_care(const Command& app);
void add_list(const Command& app);
void add_serve(const Command& app);  // Where the server is built.

}  // namespace cairn::cli
