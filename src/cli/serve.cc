// cairn serve.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "cli/cli.h"
#include "server/server.h"
#include "server/users.h"

namespace cairn::cli {
namespace {

struct Arguments {
  Common common;
  std::string config_file;
  server::Config config;
  std::string durability;
  bool check = false;
  bool hash_password = false;
};
Arguments arguments;
CLI::App* command = nullptr;

/// The file, and over it what the flags say.
Result<server::Config> configuration() {
  server::Config config;
  if (!arguments.config_file.empty()) {
    CAIRN_TRY(text, server::read_text_file(arguments.config_file));
    CAIRN_TRY_VOID(server::read_config(text, arguments.config_file, config));
  }
  const auto given = [](const char* name) { return command->count(name) != 0; };
  if (given("DIR")) config.dir = arguments.config.dir;
  if (given("--port")) config.port = arguments.config.port;
  if (given("--http-port")) config.http_port = arguments.config.http_port;
  if (given("--bind")) config.bind = arguments.config.bind;
  if (given("--read-threads")) config.read_threads = arguments.config.read_threads;
  if (given("--maxclients")) config.clients_max = arguments.config.clients_max;
  if (given("--log-level")) config.log_level = arguments.config.log_level;
  if (given("--durability")) CAIRN_TRY_VOID(server::set_durability(arguments.durability, config));
  CAIRN_TRY_VOID(server::check_config(config));
  return config;
}

Result<int> serve() {
  if (arguments.hash_password) {
    CAIRN_TRY(text, read_all());
    CAIRN_TRY(hashed, server::hash_password(text.substr(0, text.find('\n'))));
    CAIRN_TRY_VOID(print(hashed + "\n"));
    return 0;
  }
  CAIRN_TRY(config, configuration());
  if (arguments.check) {
    CAIRN_TRY_VOID(server::check_files(config));
    CAIRN_TRY_VOID(print("the configuration is fine\n"));
    return 0;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("cairn"));
  spdlog::set_level(spdlog::level::from_str(config.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  CAIRN_TRY(database,
            Database::open(config.dir, {.create_if_missing = true, .owner = "cairn serve", .file_mode = config.file_mode}));
  for (const std::string& report : database.open_reports()) spdlog::warn("{}", report);
  {
    CAIRN_TRY(server, server::Server::create(config, database));
    CAIRN_TRY_VOID(server->listen());
    spdlog::info("cairn {} serves {} on port {}, durability {}", CAIRN_VERSION, config.dir, server->port(),
                 server::durability_name(config));
    CAIRN_TRY_VOID(server->run());
  }
  CAIRN_TRY_VOID(database.close());
  spdlog::info("closed");
  return 0;
}

}  // namespace

void add_serve(CLI::App& app) {
  command = app.add_subcommand("serve", "Serve the database to Redis clients");
  command->add_option("DIR", arguments.config.dir, "Directory of the database, made if there is none");
  command->add_option("--config", arguments.config_file, "A file of TOML; flags come first");
  command->add_flag("--check-config", arguments.check, "Say whether the configuration is fine, and end");
  command->add_flag("--hash-password", arguments.hash_password,
                    "Hash the first line of standard input for a file of users, and end");
  command->add_option("--port", arguments.config.port, "0: whichever is free")->capture_default_str();
  command->add_option("--http-port", arguments.config.http_port, "For people and monitors; 0: none")->capture_default_str();
  command->add_option("--bind", arguments.config.bind, "Addresses to listen on")->capture_default_str();
  command->add_option("--read-threads", arguments.config.read_threads, "How many threads serve connections")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option(
      "--durability", arguments.durability,
      "What an answered save survives: disk, a power cut; kernel, the process; interval:MS, kernel with a sync so often");
  command->add_option("--maxclients", arguments.config.clients_max, "Connections at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--log-level", arguments.config.log_level, "trace, debug, info, warn, err or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "err", "off"}))
      ->capture_default_str();
  set_action(*command, arguments.common, serve);
}

}  // namespace cairn::cli
