// cairn serve. Each setting has a flag, made from the table of settings. The command line is read before the file, so the texts
// of flags are kept, and override the file once it was read.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <map>

#include "base/error.h"
#include "cli/cli.h"
#include "server/server.h"
#include "server/users.h"

namespace cairn::cli {
namespace {

struct Arguments {
  Common common;
  std::optional<std::string> config_file;
  std::map<const server::Setting*, std::vector<std::string>> given;
  bool check = false;
  bool hash_password = false;
  bool print_settings = false;
};

/// The file, and over it the flags.
Result<server::Config> configuration(const Arguments& arguments) {
  server::Config config;
  if (arguments.config_file) {
    CAIRN_TRY(text, server::read_text_file("--config", *arguments.config_file));
    CAIRN_TRY_VOID(server::read_config(text, *arguments.config_file, config));
  }
  for (const auto& [setting, texts] : arguments.given) {
    const Result<void> set = setting->set(texts, config);
    if (set) continue;
    const std::string flag = setting->flag();
    return fail(ErrorCode::kInvalidArgument, flag.substr(0, flag.find(',')) + " " + set.error().message);
  }
  CAIRN_TRY_VOID(server::check_config(config));
  return config;
}

Result<void> hash_password() {
  CAIRN_TRY(text, read_all());
  CAIRN_TRY(hashed, server::hash_password(text.substr(0, text.find('\n'))));
  return print(hashed + "\n");
}

void start_log(const server::Config& config) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("cairn"));
  spdlog::set_level(spdlog::level::from_str(config.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
}

Result<void> serve(const server::Config& config) {
  start_log(config);
  CAIRN_TRY(database,
            Database::open(
                config.dir,
                {.create_if_missing = true, .owner = "cairn serve", .file_mode = config.file_mode, .answer_commands = true}));
  for (const std::string& report : database.open_reports()) spdlog::warn("{}", report);
  {
    CAIRN_TRY(server, server::Server::create(config, database));
    open_views(database, [](const std::string& failed) { spdlog::error("{}", failed); });
    CAIRN_TRY_VOID(server->listen());
    spdlog::info("cairn {} serves {} on port {}, durability {}", CAIRN_VERSION, config.dir, server->port(),
                 server::durability_name(config));
    // Services that are ordered after this one start when it answers. Without systemd sd_notify() does nothing.
    sd_notify(0, "READY=1");
    CAIRN_TRY_VOID(server->run());
  }
  CAIRN_TRY_VOID(database.close());
  spdlog::info("closed");
  return {};
}

Result<int> run(const Arguments& arguments) {
  if (arguments.hash_password) {
    CAIRN_TRY_VOID(hash_password());
    return 0;
  }
  if (arguments.print_settings) {
    CAIRN_TRY_VOID(print(server::settings_markdown()));
    return 0;
  }
  CAIRN_TRY(config, configuration(arguments));
  if (arguments.check) {
    CAIRN_TRY_VOID(server::check_files(config));
    CAIRN_TRY_VOID(print(server::print_config(config) + "# The configuration can be used.\n"));
    return 0;
  }
  CAIRN_TRY_VOID(serve(config));
  return 0;
}

}  // namespace

void add_serve(const Command& app) {
  if (prompt_target() != nullptr) return;
  Arguments& arguments = app.make_arguments<Arguments>();
  const Command command = app.add_command("serve", "Serve a database to Redis clients and over HTTP");
  command.add_option("--config", arguments.config_file, "TOML file of settings; flags override it");
  command.add_flag("--check-config", arguments.check,
                   "Print all settings if they, the users and the certificates can be used, and exit");
  command.add_flag("--hash-password", arguments.hash_password,
                   "Print the hash of the first line of standard input, for a file of users, and exit");
  command.add_flag("--print-settings", arguments.print_settings, "Print the table of settings in Markdown, and exit");
  for (const server::Setting& setting : server::settings()) {
    const std::string name = std::string(setting.name) == "dir" ? "--dir,DIR" : setting.flag();
    const std::string help = std::string(setting.help) + " (" + setting.expected() + "; default " + setting.default_text() + ")";
    if (std::holds_alternative<server::ListForm>(setting.form)) {
      command.add_list(
          name, [&setting, &arguments](const std::vector<std::string>& texts) { arguments.given[&setting] = texts; }, help);
      continue;
    }
    const Option option =
        command.add_option(name, [&setting, &arguments](const std::string& text) { arguments.given[&setting] = {text}; }, help);
    if (std::holds_alternative<server::NumberForm>(setting.form)) option.value_name("NUMBER");
  }
  set_action(command, arguments.common, [&arguments] { return run(arguments); });
}

}  // namespace cairn::cli
