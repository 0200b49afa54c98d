// A command with its options and subcommands. CLI11 reads the command line. Only command.cc includes CLI11, because a source
// that includes it takes 8 s to compile.
#pragma once
#include <cstdint>
#include <functional>
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

/// A handle of one option or argument, to describe it further. Valid while run_command_line() runs.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}
  const Option& required() const;
  const Option& choices(const std::vector<std::string>& values) const;
  /// The option takes one value each time it is given, so that an argument may follow it.
  const Option& one_value() const;
  /// The help calls the value `name`, such as NUMBER.
  const Option& value_name(const std::string& name) const;
  /// The help shows the value that it has now.
  const Option& show_default() const;

 private:
  CLI::Option* option_;
};

/// A handle, valid while run_command_line() runs. A value is stored into `into` when the command line is read; `into` must live
/// until then.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(&app) {}
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
  /// `run` is called when the command line was read and named this command.
  void set_action(const std::function<void()>& run) const;

 private:
  CLI::App* app_;
};

/// The help of the command `path`, such as "table put", ends with `command_line`. An empty path: `cairn` itself.
struct Example {
  std::string path;
  std::string command_line;
};

/// Reads a command line. Returns the exit code of a bad command line, or of one that asks for help or the version, whose text has
/// been printed; nullopt: the action of a command ran. `cairn` alone and `cairn help COMMAND` ask for help too.
std::optional<int> run_command_line(const std::string& description, const std::string& version, int argc, char** argv,
                                    const std::function<void(Command)>& add_commands, const std::vector<Example>& examples);

}  // namespace cairn::cli
