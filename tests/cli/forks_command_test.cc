// cairn forks as outside testers see it: output, exit codes, kills.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/command.h"
#include "support/world.h"

namespace cairn::test {
namespace {

struct ForksCommand : Command {
  Ran forks(const std::string& what, std::vector<std::string> more, const std::string& input = "") {
    more.insert(more.begin(), {"forks", what, db_});
    return run(more, input);
  }
};

std::string hex_key(int i) { return std::string(62, '0') + std::to_string(10 + i); }

TEST_F(ForksCommand, StoresAndLoadsInForksThatComeAndGo) {
  ASSERT_EQ(forks("create", {}).code, 0) << errors();
  EXPECT_EQ(forks("create", {}).code, 2) << "there is one";
  ASSERT_EQ(forks("store", {"0", hex_key(1), "one"}).code, 0) << errors();
  ASSERT_EQ(forks("fork", {"2", "0"}).code, 0);
  ASSERT_EQ(forks("fork", {"3", "0"}).code, 0);
  ASSERT_EQ(forks("store", {"2", hex_key(1)}, "two").code, 0);
  ASSERT_EQ(forks("erase", {"3", hex_key(1)}).code, 0);
  EXPECT_EQ(forks("load", {"0", hex_key(1)}).out, "one\n");
  EXPECT_EQ(forks("load", {"2", hex_key(1), "--json"}).out, "{\"value\":\"two\"}\n");
  EXPECT_EQ(forks("load", {"3", hex_key(1)}).code, 1);
  EXPECT_EQ(forks("load", {"9", hex_key(1)}).code, 1);
  EXPECT_EQ(forks("load", {"2", "abc"}).code, 2);
  EXPECT_EQ(forks("store", {"0", hex_key(1), "late"}).code, 2);
  EXPECT_EQ(forks("diff", {"2", "3"}).out, "{\"key\":\"" + hex_key(1) + "\",\"a\":\"two\",\"b\":null}\n");
  EXPECT_EQ(forks("scan", {"2"}).out, "{\"key\":\"" + hex_key(1) + "\",\"value\":\"two\"}\n");
  EXPECT_EQ(forks("hash", {"3"}).out, std::string(64, '0') + "\n") << "of no account";
  ASSERT_EQ(forks("sync", {"2"}).code, 0);
  ASSERT_EQ(forks("freeze", {"2"}).code, 0);
  ASSERT_EQ(forks("purge", {"3"}).code, 0);
  EXPECT_EQ(forks("purge", {"3"}).code, 1);
  ASSERT_EQ(forks("root", {"2"}).code, 0);
  EXPECT_EQ(forks("purge", {"2"}).code, 2) << "it is the root";
  EXPECT_NE(forks("stats", {}).out.find("fork            2  root                frozen"), std::string::npos);
  const auto stats = nlohmann::json::parse(forks("stats", {"--json"}).out);
  EXPECT_EQ(stats["accounts"], 1);
  EXPECT_EQ(stats["forks"].size(), 1U);
  EXPECT_EQ(run({"verify", db_}).code, 0);
  EXPECT_EQ(run({"forks", "stats", db_, "--forks", "other"}).code, 1);
}

TEST_F(ForksCommand, HasFurtherDrives) {
  const std::string a = db_ + ".a";
  const std::string b = db_ + ".b";
  ASSERT_EQ(forks("create", {"--drive", a, "--drive", b}).code, 0) << errors();
  ASSERT_EQ(forks("store", {"0", hex_key(1), "one"}).code, 0);
  const auto stats = nlohmann::json::parse(forks("stats", {"--json"}).out);
  ASSERT_EQ(stats["drives"].size(), 3U);
  EXPECT_EQ(stats["drives"][1]["path"], a);
  EXPECT_EQ(forks("stats", {"--drive", db_}).code, 2) << "a drive of its own is not empty";
  std::filesystem::rename(b, b + ".moved");
  EXPECT_EQ(forks("load", {"0", hex_key(1)}).code, 4);
  EXPECT_NE(errors().find(b), std::string::npos) << errors();
  EXPECT_EQ(forks("load", {"0", hex_key(1), "--drive", b + ".moved"}).out, "one\n");
  EXPECT_EQ(forks("load", {"0", hex_key(1)}).out, "one\n");
}

TEST_F(ForksCommand, ReplaysATraceUpToTheFirstBadLine) {
  const std::string trace = R"({"op":"store","fork":0,"key":")" + hex_key(1) + R"(","value":"b25l"}
{"op":"store","fork":0,"key":")" +
                            hex_key(2) + R"(","value":"dHdv"}

{"op":"fork","fork":1,"parent":0}
{"op":"erase","fork":1,"key":")" +
                            hex_key(1) + R"("}
{"op":"root","fork":1}
)";
  const Ran done = forks("replay", {"-", "--json"}, trace);
  ASSERT_EQ(done.code, 0) << errors();
  EXPECT_EQ(done.out, "{\"ok\":true,\"lines\":6,\"erase\":1,\"fork\":1,\"root\":1,\"store\":2}\n");
  EXPECT_EQ(forks("load", {"1", hex_key(1)}).code, 1);
  EXPECT_EQ(forks("load", {"1", hex_key(2)}).out, "two\n");
  const auto fails = [&](const std::string& line) {
    EXPECT_EQ(forks("replay", {"-"}, "\n" + line + "\n").code, 2) << line;
    return errors();
  };
  EXPECT_NE(fails("{\"op\":\"bump\",\"fork\":1}").find("-:2: /op: 'bump' is none of"), std::string::npos) << errors();
  EXPECT_NE(fails("{\"op\":\"purge\",\"fork\":-1}").find("-:2: /fork: the number of a fork is needed"), std::string::npos);
  EXPECT_NE(fails("{\"op\":\"store\",\"fork\":1,\"key\":\"00\",\"value\":\"\"}").find("-:2: /key: an account key has 64"),
            std::string::npos);
  EXPECT_NE(fails("{\"op\":\"store\",\"fork\":1,\"key\":\"" + hex_key(1) + "\",\"value\":\"?\"}").find("-:2: /value: not base64"),
            std::string::npos);
  EXPECT_NE(fails("{\"op\":\"sync\",\"fork\":1,\"why\":1}").find("-:2: /why: unknown field"), std::string::npos);
  EXPECT_EQ(forks("replay", {"-"}, "\n{\"op\":\"freeze\",\"fork\":0}\n").code, 1);
  EXPECT_NE(errors().find("-:2: there is no fork 0"), std::string::npos) << errors();
}

TEST_F(ForksCommand, SnapshotsAreFullOrIncrementalAndVerifiedByTheirHash) {
  ASSERT_EQ(forks("create", {}).code, 0);
  ASSERT_EQ(forks("store", {"0", hex_key(1), "one"}).code, 0);
  const std::string full = directory_.file("full");
  const Ran first = forks("snapshot", {full, "--verify"});
  ASSERT_EQ(first.code, 0) << errors();
  ASSERT_EQ(forks("store", {"0", hex_key(1), "two"}).code, 0);
  const std::string more = directory_.file("more");
  const Ran second = forks("snapshot", {more, "--base", full, "--verify", "--json"});
  ASSERT_EQ(second.code, 0) << errors();
  const std::string hash = nlohmann::json::parse(second.out)["hash"];
  EXPECT_NE(first.out, hash + "\n");
  EXPECT_EQ(run({"forks", "restore", more, directory_.file("no")}).code, 2) << "without its base";
  ASSERT_EQ(run({"forks", "restore", more, directory_.file("r2"), "--base", full, "--verify", hash}).code, 0) << errors();
  EXPECT_EQ(run({"forks", "load", directory_.file("r2"), "0", hex_key(1)}).out, "two\n");
  EXPECT_EQ(run({"forks", "restore", full, directory_.file("r1"), "--verify", hash}).code, 5);
  EXPECT_EQ(run({"forks", "load", directory_.file("r1"), "0", hex_key(1)}).out, "one\n");
  EXPECT_EQ(run({"restore", more, directory_.file("r3"), "--base", full}).code, 0) << errors();
  EXPECT_EQ(run({"checkpoint", db_, directory_.file("m2"), "--base", more}).code, 2) << "an incremental base";
}

/// The forks of the tree, the last batch and what was purged are as they were acknowledged, after every kill.
TEST_F(ForksCommand, KillsWhileStoringLoseNothingThatWasAcknowledged) {
  const std::string owner_process =
      std::string(CAIRN_COMMAND).substr(0, std::string(CAIRN_COMMAND).rfind('/')) + "/cairn_owner_process";
  const std::string last_key(kAccountKeyBytes, 'L');
  for (int round = 0; round < 15; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const std::string acknowledged = directory_.file("acknowledged");
    std::ofstream(acknowledged).close();
    const Child owner({owner_process, db_, "10000", "bank", "forks"}, "/dev/null", acknowledged);
    while (lines_of(acknowledged) < static_cast<std::size_t>(30 + round * 40))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    owner.signal(SIGKILL);
    ASSERT_EQ(owner.wait(), -SIGKILL);
    std::stringstream in(read_file(acknowledged));
    int last = -1;
    for (std::string line; std::getline(in, line) && !in.eof();) last = std::stoi(line);
    auto database = Database::open(db_);
    ASSERT_OK(database);
    auto store = database->forks("bank", {.create_if_missing = false});
    ASSERT_OK(store);
    // The newest fork may be one that has nothing of its own yet, or is about to be purged.
    const auto hit = store->load(store->list().back().number, last_key);
    ASSERT_OK(hit);
    ASSERT_TRUE(hit->has_value());
    if ((*hit)->view() == "purged") {
      ASSERT_OK(store->purge(store->list().back().number));
      continue;
    }
    const int found = std::stoi(Bytes((*hit)->view()));
    EXPECT_GE(found, last);
    std::string key = std::to_string(found % 100);
    key.resize(kAccountKeyBytes, '.');
    const auto other = store->load(store->list().back().number, key);
    ASSERT_OK(other);
    EXPECT_EQ((*other)->view(), std::to_string(found)) << "half a batch";
    ASSERT_OK(database->close());
  }
}

}  // namespace
}  // namespace cairn::test
