// Each line is a command line of its own, read by what reads the arguments of `cairn`. Invariant: while the prompt runs, the
// database is open and answers other processes, or another process owns the directory.
#include "cli/prompt.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/line_editor.h"
#include "cli/meter.h"
#include "database/owner_socket.h"
#include "text/json.h"

namespace cairn::cli {
namespace {

/// Commands on directories that no process has open.
constexpr std::array kOutside = {"restore", "repair", "serve", "forks restore"};

/// Where the state of programs of the user is (XDG Base Directory Specification); "": nowhere.
std::string history_file() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state == '/') {
    folder = state;
  } else if (home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".local/state";
  } else {
    return "";
  }
  std::error_code failed;
  if (!std::filesystem::is_directory(state != nullptr && *state == '/' ? state : home, failed))
    return "";  // It is not ours to make.
  folder /= "cairn";
  std::filesystem::create_directories(folder, failed);
  if (failed) return "";
  chmod(folder.c_str(), S_IRWXU);  // Values are typed at a prompt.
  const std::filesystem::path file = folder / "history";
  const bool is_usable = !std::filesystem::exists(file, failed) || std::filesystem::is_regular_file(file, failed);
  return is_usable ? file.string() : "";
}

/// What the prompt calls the directory: text that a terminal can show.
std::string name_of(const std::string& dir) {
  std::error_code failed;
  std::string name = std::filesystem::weakly_canonical(dir, failed).filename().string();
  const bool is_text = is_utf8(name);
  std::ranges::replace_if(
      name,
      [&](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || (!is_text && static_cast<unsigned char>(c) > 0x7f);
      },
      '?');
  return name;
}

/// "cairn table put data ann 1" as it is at the prompt: "table put ann 1". nullopt: it needs a shell.
std::optional<std::string> example_at_prompt(const std::string& command_line) {
  std::string line = command_line;
  const std::string begin = "cairn ";
  if (!line.starts_with(begin) || line.find_first_of(">|$") != std::string::npos) return std::nullopt;
  line.erase(0, begin.size());
  const std::string directory = " data";
  const std::size_t at = line.find(directory);
  const bool whole = at != std::string::npos && (at + directory.size() == line.size() || line[at + directory.size()] == ' ');
  if (whole) line.erase(at, directory.size());
  return line;
}

/// The commands of `cairn` as they are at the prompt, and exit.
CommandLine line_at_prompt(const CommandLine& cairn, const std::string& dir, bool& leaves) {
  CommandLine line{.name = "",
                   .description = "Commands on " + dir + ". Words are quoted as in a shell; Ctrl-D leaves",
                   .version = "",
                   .add_commands =
                       [&cairn, &leaves](const Command& app) {
                         cairn.add_commands(app);
                         app.add_command("exit", "Close the database and leave").set_action([&leaves] {
                           leaves = true;
                           return 0;
                         });
                       },
                   .examples = {}};
  for (const Example& example : cairn.examples) {
    if (const auto text = example_at_prompt(example.command_line)) line.examples.push_back({example.path, *text});
  }
  return line;
}

class Prompt {
 public:
  Prompt(const CommandLine& cairn, const std::string& dir)
      : line_(line_at_prompt(cairn, dir, leaves_)),
        editor_(name_of(dir) + "> ", history_file(), [this](const std::vector<std::string>& words, const std::string& begun) {
          return completions(line_, words, begun);
        }) {}

  void run() {
    // For all of it: a Ctrl-C between two commands, too, ends neither.
    const InterruptHandler handler(InterruptHandler::Second::kIsIgnored);
    while (!leaves_) {
      const std::optional<std::string> text = editor_.next();
      if (!text) return say("\n");
      run_line(*text);
      if (!flush_output()) return;  // The terminal is gone.
    }
  }

 private:
  void run_line(const std::string& text) {
    const Result<std::vector<std::string>> words = split_words(text);
    if (!words) return say("cairn: " + words.error().message + "\n");
    if (words->empty()) return;
    std::string command = words->front();
    if (command == "forks" && words->size() > 1) command += " " + (*words)[1];
    if (std::ranges::find(kOutside, command) != kOutside.end()) {
      return say(fmt::format("cairn: {0} works on directories that no process has open: leave the prompt, then run `cairn {0}`\n",
                             command));
    }
    forget_interrupt();
    run_command_line(line_, *words);
  }

  bool leaves_ = false;
  const CommandLine line_;
  LineEditor editor_;
};

/// What the directory holds, for the first line.
std::string holds(const Database& database) {
  return fmt::format("{}, {} and {}", counted(database.tables().size(), "table"),
                     counted(database.timelines().size(), "timeline"), counted(database.fork_stores().size(), "fork store"));
}

Result<void> run_on(const CommandLine& cairn, PromptTarget& target) {
  Result<Database> database =
      Database::open(target.dir, {.create_if_missing = false, .owner = "the cairn prompt", .answer_commands = true});
  set_prompt_target(&target);
  if (database) {
    target.database = &*database;
    for (const std::string& report : database->open_reports()) say(fmt::format("cairn: {}\n", report));
    open_views(*database, [](const std::string& failed) { say("cairn: " + failed + "\n"); });
    say(fmt::format("{}: {}. `help` lists the commands; they work on this directory: `table get KEY`.\n", target.dir,
                    holds(*database)));
  } else {
    if (database.error().code != ErrorCode::kBusy) return std::unexpected(database.error());
    CAIRN_TRY(owner, database::OwnerClient::connect(target.dir));
    if (owner == nullptr) return std::unexpected(database.error());
    say(fmt::format("{}; beside it work {}.\n", database.error().message, database::kCallsInWords));
  }
  Prompt(cairn, target.dir).run();
  return database ? database->close() : Result<void>{};
}

}  // namespace

std::optional<std::string> directory_of_prompt(const CommandLine& cairn, const std::vector<std::string>& words) {
  if (words.size() != 1 || words.front().starts_with('-')) return std::nullopt;
  const std::vector<std::string> commands = command_names(cairn);
  std::error_code failed;
  const bool is_command = std::ranges::find(commands, words.front()) != commands.end();
  if (is_command || !std::filesystem::is_directory(words.front(), failed)) return std::nullopt;
  return words.front();
}

int run_prompt(const CommandLine& cairn, const std::string& dir) {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
    say(fmt::format("cairn: '{}' is a directory, not a command; `cairn {}` opens a prompt, at a terminal only\n", dir, dir));
    return 2;
  }
  PromptTarget target{.dir = dir, .database = nullptr};
  const Result<void> done = run_on(cairn, target);
  set_prompt_target(nullptr);
  if (done) return 0;
  say(fmt::format("cairn: {}\n", describe(done.error())));
  return exit_code(done.error().code);
}

}  // namespace cairn::cli
