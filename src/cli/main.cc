// The cairn command.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "cli/cli.h"

int main(int argc, char** argv) {
  // A descriptor of 0 to 2 that is closed would be given to a file of the database.
  for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd <= STDERR_FILENO; fd = open("/dev/null", O_RDWR)) {
  }
  std::signal(SIGPIPE, SIG_IGN);  // A reader that went away is a failed write, not the end of an open database.
  const auto refused = cairn::cli::run_command_line(
      "Cairn: an embedded storage engine with time travel, and a Redis-compatible server", CAIRN_VERSION, argc, argv,
      [](const cairn::cli::Command& app) {
        cairn::cli::add_table_commands(app);
        cairn::cli::add_timeline_commands(app);
        cairn::cli::add_forks_commands(app);
        cairn::cli::add_care(app);
        cairn::cli::add_list(app);
#ifdef CAIRN_SERVER
        cairn::cli::add_serve(app);
#endif
      },
      cairn::cli::examples());
  if (refused) return *refused;
  if (const auto flushed = cairn::cli::flush_output(); !flushed && !cairn::cli::is_output_closed()) {
    std::fprintf(stderr, "cairn: %s\n", flushed.error().message.c_str());
    return cairn::cli::exit_code(flushed.error().code);
  }
  return cairn::cli::is_output_closed() ? cairn::cli::kClosedPipeCode : cairn::cli::chosen_exit_code();
}
