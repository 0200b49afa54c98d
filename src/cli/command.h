// A command with its options and subcommands. CLI11 reads the command line. Only command.cc includes CLI11, because a source
// that includes it takes 8 s to compile.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cairn::cli {

/// Thrown while an argument is taken: the message says what is wrong with it. The command line is refused with exit code 2.
struct BadArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The values that an option or argument may have. `words`: what stands before it; `begun`: what the value begins with.
using Completer = std::function<std::vector<std::string>(const std::vector<std::string>& words, const std::string& begun)>;

/// What lives as long as one reading of a command line.
struct CommandRun {
  std::vector<std::shared_ptr<void>> arguments;
  std::map<const CLI::Option*, Completer> completers;
  int exit_code = 0;  ///< Of the action that ran.
};

/// A handle of one option or argument, to describe it further. Valid as long as the CommandRun.
class Option {
 public:
  Option(CLI::Option& option, CommandRun& run) : option_(&option), run_(&run) {}
  const Option& required() const;
  const Option& choices(const std::vector<std::string>& values) const;
  /// The option takes one value each time it is given, so that an argument may follow it.
  const Option& one_value() const;
  /// The help calls the value `name`, such as NUMBER.
  const Option& value_name(const std::string& name) const;
  /// The help shows the value that it has now.
  const Option& show_default() const;
  const Option& completed_by(Completer completer) const;

 private:
  CLI::Option* option_;
  CommandRun* run_;
};

/// A handle, valid as long as the CommandRun. A value is stored into `into` when the command line is read; `into` must live until
/// then: it is part of what make_arguments() made.
class Command {
 public:
  Command(CLI::App& app, CommandRun& run) : app_(&app), run_(&run) {}
  /// Lives as long as the CommandRun.
  template <typename Arguments>
  Arguments& make_arguments() const {
    const auto made = std::make_shared<Arguments>();
    run_->arguments.push_back(made);
    return *made;
  }
  Command add_command(const std::string& name, const std::string& help) const;
  Option add_option(const std::string& name, std::string& into, const std::string& help) const;
  Option add_option(const std::string& name, std::optional<std::string>& into, const std::string& help) const;
  Option add_option(const std::string& name, std::vector<std::string>& into, const std::string& help) const;
  Option add_option(const std::string& name, std::uint64_t& into, const std::string& help) const;
  Option add_option(const std::string& name, std::uint32_t& into, const std::string& help) const;
  Option add_option(const std::string& name, std::optional<std::uint64_t>& into, const std::string& help) const;
  /// `take` is called with the value; it throws BadArgument to refuse it.
  Option add_option(const std::string& name, const std::function<void(const std::string&)>& take, const std::string& help) const;
  /// An option that is given once for each value. `take` is called once, with all values.
  Option add_list(const std::string& name, const std::function<void(const std::vector<std::string>&)>& take,
                  const std::string& help) const;
  Option add_flag(const std::string& name, bool& into, const std::string& help) const;
  /// One of the subcommands must be named.
  void require_command() const;
  /// `action` is called when the command line was read and named this command. It returns the exit code.
  void set_action(const std::function<int()>& action) const;

 private:
  CLI::App* app_;
  CommandRun* run_;
};

/// The help of the command `path`, such as "table put", ends with `command_line`. An empty path: `cairn` itself.
struct Example {
  std::string path;
  std::string command_line;
};

/// What reads command lines: the command `cairn`, or its prompt.
struct CommandLine {
  std::string name;  ///< "cairn"; "" at the prompt, where a line begins with a subcommand.
  std::string description;
  std::string version;  ///< What --version prints; "": there is no such option.
  std::function<void(const Command&)> add_commands;
  std::vector<Example> examples;
};

/// Reads `words` and runs the action of the command that they name. Returns its exit code; that of a bad command line; or that of
/// one that asks for help or the version, whose text has been printed. No words and `help COMMAND` ask for help too.
int run_command_line(const CommandLine& line, const std::vector<std::string>& words);
/// The names of the subcommands of `line`.
std::vector<std::string> command_names(const CommandLine& line);
/// What may follow `words` and begins with `begun`: commands, options or values.
std::vector<std::string> completions(const CommandLine& line, const std::vector<std::string>& words, const std::string& begun);

}  // namespace cairn::cli
