// cairn DIR: a prompt that takes the subcommands of `cairn`, with the database open.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"

namespace cairn::cli {

/// The directory DIR if `words` are `DIR` alone: a directory whose name is none of the commands of `cairn`.
std::optional<std::string> directory_of_prompt(const CommandLine& cairn, const std::vector<std::string>& words);
/// Reads and runs lines until Ctrl-D or `exit`. Returns the exit code.
int run_prompt(const CommandLine& cairn, const std::string& dir);

}  // namespace cairn::cli
