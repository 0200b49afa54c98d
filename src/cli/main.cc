// The cairn command.
#include <csignal>
#include <cstdio>

#include "cli/cli.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // A reader that went away is a failed write, not the end of an open database.
  CLI::App app{"Cairn: a persistence engine for programs whose state belongs to accounts"};
  app.set_version_flag("--version", CAIRN_VERSION);
  app.require_subcommand(1);
  cairn::cli::add_table_commands(app);
  cairn::cli::add_timeline_commands(app);
  cairn::cli::add_forks_commands(app);
  cairn::cli::add_care(app);
  cairn::cli::add_serve(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (std::fflush(stdout) != 0) {
    std::fputs("cairn: standard output could not be written\n", stderr);
    return 4;
  }
  return cairn::cli::chosen_exit_code();
}
