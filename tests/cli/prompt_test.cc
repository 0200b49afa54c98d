// The prompt of `cairn DIR`, typed at through a pseudo terminal.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "support/command.h"

namespace cairn::test {
namespace {

/// A command at a terminal of its own. What it prints is kept; the terminal echoes what is typed, too.
class Terminal {
 public:
  Terminal(const std::vector<std::string>& arguments, const std::string& home) {
    pid_ = forkpty(&master_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      for (const int number : {SIGINT, SIGPIPE, SIGTERM, SIGHUP, SIGALRM}) ::signal(number, SIG_DFL);
      alarm(60);
      setenv("TERM", "vt100", 1);
      setenv("HOME", home.c_str(), 1);
      unsetenv("XDG_STATE_HOME");
      setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // libedit never frees the names of functions that a program adds.
      if (chdir(home.c_str()) != 0) _exit(126);
      std::vector<char*> argv;
      for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Terminal() {
    close(master_);  // SIGHUP.
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& text) { EXPECT_EQ(write(master_, text.data(), text.size()), static_cast<ssize_t>(text.size())); }
  /// Waits until `text` was printed behind what the call before waited for.
  testing::AssertionResult shows(const std::string& text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (true) {
      const std::size_t found = printed_.find(text, seen_);
      if (found != std::string::npos) {
        seen_ = found + text.size();
        // A prompt is drawn a moment before its line can be edited.
        if (text.ends_with("> ")) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        return testing::AssertionSuccess();
      }
      pollfd one{.fd = master_, .events = POLLIN, .revents = 0};
      if (std::chrono::steady_clock::now() > end || (poll(&one, 1, 1000) > 0 && !take())) {
        return testing::AssertionFailure() << "'" << text << "' is not in: " << printed_.substr(seen_);
      }
    }
  }
  /// Types a line, and waits for `text` behind its echo, and for the next prompt.
  testing::AssertionResult answers(const std::string& line, const std::string& text = "") {
    type(line + "\r");
    const testing::AssertionResult shown = shows("\n" + text);
    return shown ? shows("db> ") : shown;
  }
  /// Types a line, and gives its command time to wait for input.
  void begin(const std::string& line) {
    type(line + "\r");
    EXPECT_TRUE(shows("\n"));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  int wait() {
    while (take()) {
    }
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  /// False: the command has ended.
  bool take() {
    char some[4096];
    const ssize_t count = read(master_, some, sizeof some);
    if (count > 0) printed_.append(some, static_cast<std::size_t>(count));
    return count > 0;
  }

  int master_ = -1;
  pid_t pid_ = -1;
  std::string printed_;
  std::size_t seen_ = 0;
};

struct Prompt : Command {
  void SetUp() override {
    std::filesystem::create_directory(home_);
    ASSERT_EQ(run({"table", "create", db_}).code, 0);
  }
  std::unique_ptr<Terminal> prompt() {
    auto opened = std::make_unique<Terminal>(std::vector<std::string>{CAIRN_COMMAND, db_}, home_);
    EXPECT_TRUE(opened->shows("db> "));
    return opened;
  }

  const std::string home_ = directory_.file("home");
};

TEST_F(Prompt, RunsCommandsOnTheDatabase) {
  const auto at = prompt();
  EXPECT_TRUE(at->answers("table put 'a b' \"1 \xC3\xBC\""));
  EXPECT_TRUE(at->answers("table get a\\ b", "1 \xC3\xBC"));
  EXPECT_TRUE(at->answers("table scan", "{\"key\":\"a b\",\"value\":\"1 \xC3\xBC\"}"));
  EXPECT_TRUE(at->answers("timeline create"));
  EXPECT_TRUE(at->answers("timeline put price 101"));
  EXPECT_TRUE(at->answers("timeline get price", "101"));
  EXPECT_TRUE(at->answers("forks create"));
  EXPECT_TRUE(at->answers("forks hash 0", "00000000"));
  at->type("list\r");
  EXPECT_TRUE(at->shows("\ntable main"));
  EXPECT_TRUE(at->shows("\ntimeline main"));
  EXPECT_TRUE(at->shows("db> "));
  at->type("verify\r");
  EXPECT_TRUE(at->shows(" verified, 0 damaged"));
  EXPECT_TRUE(at->shows("db> "));
  EXPECT_TRUE(at->answers("checkpoint copy"));
  at->type("exit\r");
  EXPECT_EQ(at->wait(), 0);
  EXPECT_EQ(run({"table", "get", home_ + "/copy", "a b"}).out, "1 \xC3\xBC\n");
  EXPECT_EQ(run({"timeline", "get", db_, "price"}).out, "101\n");
}

TEST_F(Prompt, ExplainsMistakes) {
  const auto at = prompt();
  EXPECT_TRUE(at->answers("tabel", "cairn: unknown command 'tabel'; did you mean 'table'?\r\n`help` describes"));
  EXPECT_TRUE(at->answers("table gte k", "cairn: unknown command 'gte'; did you mean 'get'?\r\n`help table` describes"));
  EXPECT_TRUE(at->answers("table get 'k", "cairn: a ' is not closed"));
  EXPECT_TRUE(at->answers("table get \"k", "cairn: a \" is not closed"));
  EXPECT_TRUE(at->answers("table put k\\", "cairn: nothing follows the last \\"));
  EXPECT_TRUE(at->answers("help tabel", "cairn: the prompt has no command 'tabel'"));
  at->type("help table put\r");
  EXPECT_TRUE(at->shows("Usage: table put [OPTIONS] [KEY] [VALUE]"));
  EXPECT_TRUE(at->shows("$ table put ann "));
  EXPECT_TRUE(at->shows("db> "));
  for (const char* const outside : {"serve", "restore", "repair", "forks restore"}) {
    EXPECT_TRUE(at->answers(outside, std::string("cairn: ") + outside + " works on directories that no process has open"));
  }
  EXPECT_TRUE(at->answers("timeline get k", "cairn: there is no timeline 'main'"));
  EXPECT_TRUE(at->answers("   "));
  at->type("\x04");
  EXPECT_EQ(at->wait(), 0);
}

TEST_F(Prompt, Completes) {
  std::ofstream(home_ + "/people of town.tsv") << "ann\t1\n";
  std::filesystem::create_directory(home_ + "/folder");
  ASSERT_EQ(run({"table", "put", db_, "k", "v"}).code, 0);
  ASSERT_EQ(run({"table", "create", db_, "--table", "mail", "--family", "brief"}).code, 0);
  const auto at = prompt();
  EXPECT_TRUE(at->answers("tab\tge\tk", "v"));
  at->type("table load pe\t\r");
  EXPECT_TRUE(at->shows("1 line stored"));
  EXPECT_TRUE(at->shows("db> "));
  at->type("table \t");
  EXPECT_TRUE(at->shows("alter  apply  compact  create"));
  EXPECT_TRUE(at->shows("db> table "));
  at->type("stats --ta\tma\t\t");  // "mail" and "main" have "mai" in common.
  EXPECT_TRUE(at->shows("\nmail  main"));
  EXPECT_TRUE(at->shows("db> "));
  at->type("l --family \t");
  EXPECT_TRUE(at->shows("\nbrief  main"));
  EXPECT_TRUE(at->shows("db> "));
  EXPECT_TRUE(at->answers("br\t--js\t", "{\"families\":[{\"name\":\"main\""));
  EXPECT_TRUE(at->answers("timeline create --policy pe\t"));
  EXPECT_TRUE(at->answers("timeline stats --js\t", "{\"timeout_ms\":0,\"policy\":\"persist\""));
  EXPECT_TRUE(at->answers("help ti\twa\t", "Print saves as they are made"));
  EXPECT_TRUE(at->answers("table load fol\t", "cairn: reading input"));
}

TEST_F(Prompt, KeepsAHistory) {
  {
    const auto at = prompt();
    EXPECT_TRUE(at->answers("table put k first"));
    EXPECT_TRUE(at->answers(" table put k secret"));
    at->type("\x04");
    EXPECT_EQ(at->wait(), 0);
  }
  const auto at = prompt();
  EXPECT_TRUE(at->answers("table get k", "secret"));
  EXPECT_TRUE(at->answers("\x10\x10"));  // Ctrl-P twice: the line before the last.
  EXPECT_TRUE(at->answers("table get k", "first"));
  const std::string file = home_ + "/.local/state/cairn/history";
  struct stat info{};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_EQ(read_file(file).find("secret"), std::string::npos);
}

TEST_F(Prompt, CtrlCEndsTheCommandAlone) {
  ASSERT_EQ(run({"timeline", "create", db_}).code, 0);
  const auto at = prompt();
  for (const char* const begun : {"table put k never\x03", "\x03", "\x03"}) {
    at->type(begun);
    EXPECT_TRUE(at->shows("^C"));
    EXPECT_TRUE(at->shows("db> "));
  }
  at->type("\x1a");  // Ctrl-Z does nothing while a line is edited.
  at->begin("timeline watch ''");
  ASSERT_EQ(run({"timeline", "get", db_, "k"}).code, 1) << "answered by the prompt";
  at->type("\x03\x03");
  EXPECT_TRUE(at->shows("cairn: cancelled"));
  EXPECT_TRUE(at->shows("db> "));
  at->begin("table put k");
  at->begin("half a value");
  at->type("\x03");
  EXPECT_TRUE(at->shows("cairn: cancelled"));
  EXPECT_TRUE(at->shows("db> "));
  EXPECT_TRUE(at->answers("table get k"));
  EXPECT_TRUE(at->answers("table put k v"));
  at->begin("table get");
  at->type("k\r");
  EXPECT_TRUE(at->shows("\nv"));
  at->type("\x04");
  EXPECT_TRUE(at->shows("db> "));
  at->type("\x04");
  EXPECT_EQ(at->wait(), 0);
}

// A thousand loads leave no descriptor open; a name that is no text, and ~/.editrc with the keys of vi, do no harm.
TEST_F(Prompt, StaysUsable) {
  std::ofstream(home_ + "/.editrc") << "bind -v\n";
  std::ofstream(home_ + "/one.tsv") << "k\tv\n";
  const std::string odd = directory_.file("od\xe9\x01");
  ASSERT_EQ(run({"table", "create", odd}).code, 0);
  Terminal at({CAIRN_COMMAND, odd}, home_);
  EXPECT_TRUE(at.shows("od?\?> "));
  for (int i = 0; i < 30; ++i) {
    at.type("table load one.tsv\r");
    EXPECT_TRUE(at.shows("1 line stored"));
    EXPECT_TRUE(at.shows("od?\?> "));
  }
  EXPECT_LT(std::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(at.pid()) + "/fd"),
                          std::filesystem::directory_iterator()),
            25);
  at.type("table ge\tk\r");
  EXPECT_TRUE(at.shows("\nv"));
  EXPECT_TRUE(at.shows("od?\?> "));
  at.type("table\x03");
  EXPECT_TRUE(at.shows("^C"));
  EXPECT_TRUE(at.shows("od?\?> "));
  at.type("exit\r");
  EXPECT_EQ(at.wait(), 0);
}

TEST_F(Prompt, AnswersOtherProcesses) {
  const auto at = prompt();
  EXPECT_TRUE(at->answers("table put k v"));
  EXPECT_EQ(run({"table", "get", db_, "k"}).out, "v\n");
  EXPECT_EQ(run({"table", "put", db_, "k", "w"}).code, 3);
  EXPECT_NE(errors().find("the cairn prompt"), std::string::npos) << errors();
  Terminal beside({CAIRN_COMMAND, db_}, home_);
  EXPECT_TRUE(beside.shows("beside it work list, verify"));
  EXPECT_TRUE(beside.shows("db> "));
  EXPECT_TRUE(beside.answers("table get k", "v"));
  EXPECT_TRUE(beside.answers("table put k w", "cairn: "));
}

TEST_F(Prompt, NeedsATerminalAndADatabase) {
  EXPECT_EQ(run({db_}).code, 2);
  EXPECT_NE(errors().find("opens a prompt, at a terminal only"), std::string::npos) << errors();
  Terminal none({CAIRN_COMMAND, home_}, home_);
  EXPECT_TRUE(none.shows("cairn: "));
  EXPECT_EQ(none.wait(), 1);
  Terminal absent({CAIRN_COMMAND, "absent"}, home_);
  EXPECT_TRUE(absent.shows("unknown command 'absent'"));
  EXPECT_EQ(absent.wait(), 2);
}

}  // namespace
}  // namespace cairn::test
