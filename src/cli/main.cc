// The cairn command.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "cli/cli.h"
#include "cli/prompt.h"

namespace cairn::cli {
namespace {

void add_commands(const Command& app) {
  add_table_commands(app);
  add_timeline_commands(app);
  add_forks_commands(app);
  add_care(app);
  add_list(app);
#ifdef CAIRN_SERVER
  add_serve(app);
#endif
}

int run(const std::vector<std::string>& words) {
  const CommandLine cairn{.name = "cairn",
                          .description =
                              "Cairn: an embedded storage engine with time travel, and a Redis-compatible server. "
                              "`cairn DIR` opens a prompt on a database",
                          .version = CAIRN_VERSION,
                          .add_commands = add_commands,
                          .examples = examples()};
  if (const auto dir = directory_of_prompt(cairn, words)) return run_prompt(cairn, *dir);
  const int code = run_command_line(cairn, words);
  const Result<void> flushed = flush_output();
  if (is_output_closed()) return kClosedPipeCode;
  if (flushed) return code;
  say("cairn: " + flushed.error().message + "\n");
  return exit_code(flushed.error().code);
}

}  // namespace
}  // namespace cairn::cli

int main(int argc, char** argv) {
  // A descriptor of 0 to 2 that is closed would be given to a file of the database.
  for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd <= STDERR_FILENO; fd = open("/dev/null", O_RDWR)) {
  }
  std::signal(SIGPIPE, SIG_IGN);  // A reader that went away is a failed write, not the end of an open database.
  return cairn::cli::run({argv + 1, argv + argc});
}
