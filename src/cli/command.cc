// The only source that includes CLI11. Its exceptions end here: a person reads sentences of this file, not those of the library.
#include "cli/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>

#include "cli/cli.h"
#include "text/suggestion.h"

namespace cairn::cli {
namespace {

/// `name`: of the option, such as "--dir,DIR"; the message begins with the last of them.
template <typename T>
std::function<void(const T&)> checked(const std::string& name, const std::function<void(const T&)>& take) {
  return [name = name.substr(name.rfind(',') + 1), take](const T& value) {
    try {
      take(value);
    } catch (const BadArgument& bad) {
      throw CLI::ValidationError(name + ": " + bad.what());
    }
  };
}

/// The subcommand that was named last.
const CLI::App& deepest(const CLI::App& app) {
  const auto named = app.get_subcommands();
  return named.empty() ? app : deepest(*named.front());
}

/// "cairn table put"; at the prompt "table put".
std::string path_of(const CLI::App& app) {
  if (app.get_parent() == nullptr) return app.get_name();
  const std::string above = path_of(*app.get_parent());
  return (above.empty() ? "" : above + " ") + app.get_name();
}

/// The same for a sentence. The prompt has no name.
std::string quoted_path_of(const CLI::App& app) {
  const std::string path = path_of(app);
  return path.empty() ? "the prompt" : "'" + path + "'";
}

int depth_of(const CLI::App& app) { return app.get_parent() == nullptr ? 0 : depth_of(*app.get_parent()) + 1; }

/// "a, b or c".
std::string one_of(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) list += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return list;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* const each : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(each->get_name());
  return names;
}

void add_examples(CLI::App& app, const std::string& path, const std::vector<Example>& examples) {
  const auto found = std::ranges::find(examples, path, &Example::path);
  if (found != examples.end()) app.footer("Example:\n  $ " + found->command_line);
  for (const std::string& name : commands_of(app)) {
    std::string below = path.empty() ? "" : path + " ";
    add_examples(*app.get_subcommand(name), below += name, examples);
  }
}

/// Prints what was asked for about the command itself. Returns the exit code.
int print_text(const std::string& text) {
  Result<void> printed = print(text);
  if (printed) printed = flush_output();
  if (printed) return 0;
  if (is_output_closed()) return kClosedPipeCode;
  say("cairn: " + printed.error().message + "\n");
  return exit_code(printed.error().code);
}

/// `cairn help WORD…`. Returns the exit code.
int print_help(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    const std::vector<std::string> names = commands_of(*command);
    if (std::ranges::find(names, word) == names.end()) {
      const std::string guess = names.empty() ? "" : suggestion(word, names);
      say(fmt::format("cairn: {} has no command '{}'{}\n", quoted_path_of(*command), word, guess));
      return 2;
    }
    command = command->get_subcommand(word);
  }
  return print_text(command->help(command == &app ? "" : path_of(*command->get_parent())));
}

/// Explains to a person why a command line is refused. `words`: the arguments of the program.
std::string sentence(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& words) {
  const CLI::App& command = deepest(app);
  const std::vector<std::string> commands = commands_of(command);
  std::vector<std::string> options{"-h"};
  for (const CLI::Option* const each : command.get_options()) {
    for (const std::string& name : each->get_lnames()) options.push_back("--" + name);
  }
  const auto code = static_cast<CLI::ExitCodes>(error.get_exit_code());
  std::string what = error.what();
  if (code == CLI::ExitCodes::ExtrasError || (code == CLI::ExitCodes::RequiredError && !commands.empty())) {
    for (const std::string& word : words) {
      const std::string name = word.substr(0, word.find('='));
      const bool known = name.size() < 2 || std::ranges::find(options, name) != options.end();
      if (name.starts_with('-') && !known) {
        const std::string guess = name.starts_with("--") ? suggestion(name, options) : "";
        return "unknown option '" + name + "'" + (guess.empty() ? "; write -- before values that begin with -" : guess);
      }
    }
    const auto depth = static_cast<std::size_t>(depth_of(command));
    if (commands.empty()) return "too many arguments, the last is '" + words.back() + "'";
    if (words.size() <= depth) return "a subcommand is missing: " + one_of(commands);
    return "unknown command '" + words[depth] + "'" + suggestion(words[depth], commands);
  }
  if (code == CLI::ExitCodes::ArgumentMismatch) {
    const std::string name = what.substr(0, what.find(':'));
    return name + (what.find("At Most") != std::string::npos ? " is given twice" : " needs a value");
  }
  // The library puts a colon between the name of an option and the answer of its check.
  const std::size_t must = what.find(": must be ");
  if (must != std::string::npos) what.erase(must, 1);
  return what;
}

/// An option whose value is a whole number, in decimal digits.
template <typename T>
CLI::Option& add_number(CLI::App& app, const std::string& name, std::function<void(T)> store, const std::string& help) {
  const auto take = [name, store](const std::string& text) {
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
      throw CLI::ValidationError(name + " must be a whole number from 0 to " + std::to_string(std::numeric_limits<T>::max()) +
                                 ", not '" + text + "'");
    }
    store(value);
  };
  return *app.add_option_function<std::string>(name, take, help)->type_name("NUMBER");
}

}  // namespace

const Option& Option::required() const {
  option_->required();
  return *this;
}
const Option& Option::choices(const std::vector<std::string>& values) const {
  option_->check([values](const std::string& value) {
    if (std::ranges::find(values, value) != values.end()) return std::string();
    return "must be " + one_of(values) + ", not '" + value + "'";
  });
  return completed_by([values](const std::vector<std::string>&, const std::string&) { return values; });
}
const Option& Option::one_value() const {
  option_->allow_extra_args(false);
  return *this;
}
const Option& Option::value_name(const std::string& name) const {
  option_->type_name(name);
  return *this;
}
const Option& Option::show_default() const {
  option_->capture_default_str();
  return *this;
}
const Option& Option::completed_by(Completer completer) const {
  run_->completers[option_] = std::move(completer);
  return *this;
}

Command Command::add_command(const std::string& name, const std::string& help) const {
  return Command(*app_->add_subcommand(name, help), *run_);
}
Option Command::add_option(const std::string& name, std::string& into, const std::string& help) const {
  return Option(*app_->add_option(name, into, help), *run_);
}
Option Command::add_option(const std::string& name, std::optional<std::string>& into, const std::string& help) const {
  return Option(*app_->add_option(name, into, help), *run_);
}
Option Command::add_option(const std::string& name, std::vector<std::string>& into, const std::string& help) const {
  return Option(*app_->add_option(name, into, help), *run_);
}
Option Command::add_option(const std::string& name, std::uint64_t& into, const std::string& help) const {
  return Option(add_number<std::uint64_t>(*app_, name, [&into](std::uint64_t value) { into = value; }, help), *run_);
}
Option Command::add_option(const std::string& name, std::uint32_t& into, const std::string& help) const {
  return Option(add_number<std::uint32_t>(*app_, name, [&into](std::uint32_t value) { into = value; }, help), *run_);
}
Option Command::add_option(const std::string& name, std::optional<std::uint64_t>& into, const std::string& help) const {
  return Option(add_number<std::uint64_t>(*app_, name, [&into](std::uint64_t value) { into = value; }, help), *run_);
}
Option Command::add_option(const std::string& name, const std::function<void(const std::string&)>& take,
                           const std::string& help) const {
  return Option(*app_->add_option_function<std::string>(name, checked(name, take), help), *run_);
}
Option Command::add_list(const std::string& name, const std::function<void(const std::vector<std::string>&)>& take,
                         const std::string& help) const {
  return Option(
      *app_->add_option_function<std::vector<std::string>>(name, checked(name, take), help)->take_all()->allow_extra_args(false),
      *run_);
}
Option Command::add_flag(const std::string& name, bool& into, const std::string& help) const {
  return Option(*app_->add_flag(name, into, help), *run_);
}
void Command::require_command() const { app_->require_subcommand(1); }
void Command::set_action(const std::function<int()>& action) const {
  app_->callback([run = run_, action] { run->exit_code = action(); });
}

namespace {

/// The commands of a line, as CLI11 has them.
struct Commands {
  explicit Commands(const CommandLine& line) : app(line.description, line.name) {
    if (!line.version.empty()) app.set_version_flag("--version", line.version);
    app.require_subcommand(1);
    line.add_commands(Command(app, run));
    app.add_subcommand("help", "Describe a command")->prefix_command();
    add_examples(app, "", line.examples);
  }

  CommandRun run;  // Outlives the app, whose callbacks use it.
  CLI::App app;
};

/// The option that takes the word behind `words`, of which those from `begin` on are arguments of `command`; nullptr: none.
const CLI::Option* option_of_next(const CLI::App& command, const std::vector<std::string>& words, std::size_t begin) {
  std::size_t positional = 0;
  const CLI::Option* taking = nullptr;  // The option before takes the word.
  for (std::size_t i = begin; i < words.size(); ++i) {
    if (taking != nullptr) {
      taking = nullptr;
    } else if (words[i].starts_with("--")) {
      const CLI::Option* const named = command.get_option_no_throw(words[i]);
      if (named != nullptr && named->get_items_expected_max() != 0) taking = named;
    } else {
      ++positional;
    }
  }
  if (taking != nullptr) return taking;
  const CLI::Option* last = nullptr;
  for (const CLI::Option* const each : command.get_options([](const CLI::Option* option) { return option->get_positional(); })) {
    last = each;
    if (positional-- == 0) return each;
  }
  return last != nullptr && last->get_items_expected_max() > 1 ? last : nullptr;
}

}  // namespace

int run_command_line(const CommandLine& line, const std::vector<std::string>& words) {
  Commands commands(line);
  CLI::App& app = commands.app;
  if (words.empty()) return print_help(app, {});
  if (words.front() == "help") {
    std::vector<std::string> path(words.begin() + 1, words.end());
    std::erase_if(path, [](const std::string& word) { return word.starts_with('-'); });  // `cairn help --help`.
    return print_help(app, path);
  }
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 takes words off the back.
  } catch (const CLI::ParseError& error) {
    if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr) return print_text(line.version + "\n");
    if (error.get_exit_code() == 0) return print_text(app.help());
    const CLI::App& command = deepest(app);
    const std::string path = path_of(command);
    const std::string asking = line.name.empty() ? (path.empty() ? "help" : "help " + path) : path + " --help";
    say("cairn: " + sentence(app, error, words) + "\n`" + asking + "` describes the command line.\n");
    return 2;
  }
  return commands.run.exit_code;
}

std::vector<std::string> command_names(const CommandLine& line) { return commands_of(Commands(line).app); }

std::vector<std::string> completions(const CommandLine& line, const std::vector<std::string>& words, const std::string& begun) {
  const Commands commands(line);
  const CLI::App* command = &commands.app;
  const bool asks_for_help = !words.empty() && words.front() == "help";
  std::size_t at = asks_for_help ? 1 : 0;
  for (; at < words.size(); ++at) {
    const std::vector<std::string> names = commands_of(*command);
    if (std::ranges::find(names, words[at]) == names.end()) break;
    command = command->get_subcommand(words[at]);
  }
  std::vector<std::string> all;
  const std::vector<std::string> below = commands_of(*command);
  if (!below.empty()) {
    if (at == words.size()) all = below;
  } else if (!asks_for_help && begun.starts_with('-')) {
    for (const CLI::Option* const each : command->get_options()) {
      for (const std::string& name : each->get_lnames()) all.push_back("--" + name);
    }
  } else if (!asks_for_help) {
    const auto found = commands.run.completers.find(option_of_next(*command, words, at));
    if (found != commands.run.completers.end()) all = found->second(words, begun);
  }
  std::erase_if(all, [&](const std::string& each) { return !each.starts_with(begun); });
  return all;
}

}  // namespace cairn::cli
