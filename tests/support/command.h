// The cairn command, run as a process.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace cairn::test {

struct Ran {
  int code = -1;
  std::string out;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A started program with its output in a file. It has the signals of a program started at a terminal, whatever the shell that
/// started the tests ignores (SIGINT, in jobs started with `&`), and is ended after kSecondsMax.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::string& input, const std::string& output) {
    pid_ = fork();
    if (pid_ == 0) {
      for (const int number : {SIGINT, SIGPIPE, SIGTERM, SIGHUP, SIGALRM}) ::signal(number, SIG_DFL);
      alarm(kSecondsMax);  // Survives execv().
      dup2(open(input.c_str(), O_RDONLY), STDIN_FILENO);
      dup2(open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
      dup2(open((output + ".err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), STDERR_FILENO);
      std::vector<char*> argv;
      for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  void signal(int number) const { ::kill(pid_, number); }
  int wait() const {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static constexpr unsigned kSecondsMax = 600;
  pid_t pid_;
};

class Command : public testing::Test {
 protected:
  Ran run(const std::vector<std::string>& arguments, const std::string& input = "") {
    std::ofstream(directory_.file("in"), std::ios::binary) << input;
    std::vector<std::string> all{CAIRN_COMMAND};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Ran ran;
    ran.code = Child(all, directory_.file("in"), directory_.file("out")).wait();
    ran.out = read_file(directory_.file("out"));
    return ran;
  }
  std::string errors() { return read_file(directory_.file("out.err")); }
  static std::size_t lines_of(const std::string& path) {
    const std::string text = read_file(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  TemporaryDirectory directory_;
  std::string db_ = directory_.file("db");
};

}  // namespace cairn::test
