// Ctrl-C during long commands: each ends in good order, says what was done, and leaves a whole database.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "support/command.h"

namespace cairn::test {
namespace {

struct Interrupt : Command {
  struct Ended {
    int code;
    std::string errors;
  };
  /// Runs a command whose input is a pipe that gives `lines` and stays open; presses Ctrl-C once `until` holds.
  Ended interrupted(const std::vector<std::string>& arguments, const std::string& lines, const std::function<bool()>& until) {
    const std::string pipe = directory_.file("pipe");
    std::filesystem::remove(pipe);
    EXPECT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    std::vector<std::string> all{CAIRN_COMMAND};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Child child(all, pipe, directory_.file("out"));
    const int writer = open(pipe.c_str(), O_WRONLY);
    EXPECT_EQ(write(writer, lines.data(), lines.size()), static_cast<ssize_t>(lines.size()));
    for (int i = 0; i < 1000 && !until(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(until());
    child.signal(SIGINT);
    const int code = child.wait();
    close(writer);
    return {code, errors()};
  }
};

/// Long enough for a command to wait for its input.
std::function<bool()> after_a_second() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  return [end] { return std::chrono::steady_clock::now() > end; };
}

TEST_F(Interrupt, LoadKeepsWhatItStored) {
  const Ended ended = interrupted({"table", "load", db_, "-", "--ack"}, "a\t1\nb\t2\nno whole li",
                                  [&] { return lines_of(directory_.file("out")) == 2; });
  EXPECT_EQ(ended.code, 130);
  EXPECT_EQ(ended.errors, "cairn: cancelled: 2 lines read; 2 lines stored, none after line 2\n");
  EXPECT_EQ(run({"table", "scan", db_}).out, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n");
}

TEST_F(Interrupt, TimelineLoadKeepsWhatItSaved) {
  const Ended ended = interrupted({"timeline", "load", db_, "-"},
                                  "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n", after_a_second());
  EXPECT_EQ(ended.code, 130);
  EXPECT_EQ(ended.errors, "cairn: cancelled: 2 lines read; 2 lines saved, none after line 2\n");
  EXPECT_EQ(run({"timeline", "get", db_, "b"}).out, "2\n");
}

TEST_F(Interrupt, SealLeavesNoFile) {
  const std::string out = directory_.file("out.sealed");
  const Ended ended = interrupted({"table", "seal", out, "-"}, "a\t1\n", after_a_second());
  EXPECT_EQ(ended.code, 130);
  EXPECT_EQ(ended.errors, "cairn: cancelled: 1 line read; " + out + " was not made\n");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace cairn::test
