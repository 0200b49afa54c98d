// The cairn command as outside testers see it: output, exit codes, kills.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "support/command.h"
#include "support/world.h"

namespace cairn::test {
namespace {

TEST_F(Command, SealsLinesAndIngestsThem) {
  const std::string file = directory_.file("out.sealed");
  ASSERT_EQ(run({"table", "ingest", db_, file}).code, 1) << "no database";
  ASSERT_EQ(run({"table", "create", db_, "--index", "first:1:bytes:0,1"}).code, 0);
  ASSERT_EQ(run({"table", "put", db_, "b", "old"}).code, 0);
  ASSERT_EQ(run({"table", "ingest", db_, file}).code, 1) << "no file";
  EXPECT_EQ(run({"table", "seal", file, "-"}, "b\tx\na\ty\n").code, 2);
  EXPECT_NE(errors().find("-:2: key 2 does not come after"), std::string::npos) << errors();
  EXPECT_EQ(run({"table", "seal", file, "-"}, "b\tx\nno tab\n").code, 2);
  EXPECT_NE(errors().find("-:2: no TAB"), std::string::npos) << errors();
  EXPECT_EQ(run({"table", "seal", file, "-", "--json", "--compression", "zstd"}, "{\"key\":\"b\",\"value\":\"new\"}\n").out,
            "{\"ok\":true,\"sealed\":1}\n");
  EXPECT_EQ(run({"table", "seal", file, "-"}, "").code, 2) << "it exists";
  ASSERT_EQ(run({"table", "seal", file + "2", "-"}, "c\tnext\n").code, 0);
  EXPECT_EQ(run({"table", "ingest", db_, file + "2", file}).code, 2) << "not in order";
  EXPECT_EQ(run({"table", "ingest", db_, "--json", file, file + "2"}).code, 0);
  EXPECT_EQ(run({"table", "get", db_, "b"}).out, "new\n");
  EXPECT_EQ(run({"table", "find", db_, "first", "n"}).out,
            "{\"key\":\"b\",\"value\":\"new\"}\n{\"key\":\"c\",\"value\":\"next\"}\n");
  {
    std::fstream damaged(file, std::ios::binary | std::ios::in | std::ios::out);
    damaged.seekp(5000);
    damaged << "damage";
  }
  EXPECT_EQ(run({"table", "ingest", db_, file}).code, 5);
  EXPECT_EQ(run({"verify", db_}).code, 0);
}

TEST_F(Command, PutsGetsErasesAndScans) {
  EXPECT_EQ(run({"table", "create", db_}).code, 0);
  EXPECT_EQ(run({"table", "put", db_, "b", "2"}).code, 0);
  EXPECT_EQ(run({"table", "put", db_, "a"}, "1").code, 0);
  EXPECT_EQ(run({"table", "put", db_}, "c\t3\nd\t\n").code, 0);
  EXPECT_EQ(run({"table", "get", db_, "a"}).out, "1\n");
  EXPECT_EQ(run({"table", "get", db_, "d"}).out, "\n");
  EXPECT_EQ(run({"table", "get", db_, "nope"}).code, 1);
  EXPECT_EQ(run({"table", "get", db_, "nope", "--json"}).out, "{\"value\":null}\n");
  EXPECT_EQ(run({"table", "get", db_}, "a\nb\n").out, "1\n2\n");
  EXPECT_EQ(run({"table", "erase", db_, "c"}).code, 0);
  EXPECT_EQ(run({"table", "scan", db_, "--from", "a", "--to", "c", "--reverse"}).out,
            "{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"a\",\"value\":\"1\"}\n");
  EXPECT_EQ(run({"table", "scan", db_, "--prefix", "d", "--limit", "5"}).out, "{\"key\":\"d\",\"value\":\"\"}\n");
  EXPECT_EQ(run({"verify", db_}).code, 0);
}

TEST_F(Command, ExitCodesSayWhatWasWrong) {
  EXPECT_EQ(run({"table", "get", db_, "a"}).code, 1) << "no database";
  EXPECT_EQ(run({"verify", db_}).code, 1);
  EXPECT_EQ(run({"table", "dump", db_}).code, 1);
  EXPECT_EQ(run({"table", "create", db_}).code, 0);
  EXPECT_EQ(run({"table", "create", db_}).code, 2) << "there already";
  EXPECT_EQ(run({"table", "get", db_, "a", "--table", "other"}).code, 1) << "no such table";
  EXPECT_EQ(run({"table", "put", db_, std::string(65'536, 'k'), "v"}).code, 2);
  EXPECT_EQ(run({"table", "frobnicate", db_}).code, 2);
  EXPECT_EQ(run({"table", "get"}).code, 2);
  EXPECT_EQ(run({"table", "get", db_, "a", "--family", "other"}).code, 1);
  EXPECT_EQ(run({"--help"}).code, 0);
}

TEST_F(Command, LoadStoresEveryLineBeforeABadOneAndNoneAfter) {
  const Ran ran =
      run({"table", "load", db_, "-"}, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":7}\n{\"key\":\"b\",\"value\":\"2\"}\n");
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(errors().find("-:2: "), std::string::npos) << errors();
  EXPECT_EQ(run({"table", "dump", db_}).out, "{\"key\":\"a\",\"value\":\"1\"}\n");
  const Ran skipping = run({"table", "load", db_, "-", "--skip-bad", "--json"},
                           "{\"key\":\"c\",\"value\":\"1\"}\nbad\n{\"key\":\"d\",\"value\":\"2\"}\n");
  EXPECT_EQ(skipping.code, 0);
  EXPECT_EQ(skipping.out, "{\"ok\":true,\"stored\":2,\"skipped\":1}\n");
}

TEST_F(Command, DumpAndLoadCarryAnyBytes) {
  const std::string lines = "{\"key64\":\"/wA=\",\"value64\":\"gIE=\"}\n";
  EXPECT_EQ(run({"table", "load", db_, "-"}, lines).code, 0);
  EXPECT_EQ(run({"table", "dump", db_}).out, lines);
}

TEST_F(Command, AckPrintsEachKeyOnceItIsDurable) {
  EXPECT_EQ(
      run({"table", "load", db_, "-", "--ack"}, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"q\\\"\",\"value\":\"\"}\n").out,
      "\"a\"\n\"q\\\"\"\n");
}

TEST_F(Command, AckIsNotHeldBackForMoreInput) {
  int input[2];
  int output[2];
  ASSERT_EQ(pipe(input), 0);
  ASSERT_EQ(pipe(output), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(input[0], STDIN_FILENO);
    dup2(output[1], STDOUT_FILENO);
    close(input[1]);
    execl(CAIRN_COMMAND, CAIRN_COMMAND, "table", "load", db_.c_str(), "-", "--ack", nullptr);
    _exit(127);
  }
  const std::string line = "{\"key\":\"a\",\"value\":\"1\"}\n";
  ASSERT_EQ(write(input[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
  char answer[16] = {};
  EXPECT_EQ(read(output[0], answer, sizeof answer), 4) << "input is still open";
  EXPECT_STREQ(answer, "\"a\"\n");
  close(input[1]);
  close(input[0]);
  close(output[0]);
  close(output[1]);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Command, ApplyAnswersEachLineAndGoesOn) {
  EXPECT_EQ(run({"table", "create", db_}).code, 0);
  const Ran ran =
      run({"table", "apply", db_, "-"},
          "put \"a b\" \"1\"\nsnapshot s\nput \"a b\" \"2\"\nget \"a b\" @s\nget {\"key64\":\"YSBi\"}\nerase \"a b\"\n"
          "get \"a b\"\nput \"x\"\nwhat\nget \"x\" @none\nput {\"key64\":\"/w==\"} {\"value64\":\"/w==\"}\nflush\ncompact\n"
          "scan \"\" \"\"\nscan \"\" \"\" @s\nput \"\" \"v\"\n");
  EXPECT_EQ(ran.code, 0);
  std::stringstream in(ran.out);
  std::vector<std::string> answers;
  for (std::string line; std::getline(in, line);) answers.push_back(line);
  ASSERT_EQ(answers.size(), 16U) << ran.out;
  EXPECT_EQ(answers[3], "{\"value\":\"1\"}");
  EXPECT_EQ(answers[4], "{\"value\":\"2\"}");
  EXPECT_EQ(answers[6], "{\"value\":null}");
  EXPECT_EQ(nlohmann::json::parse(answers[7])["error"], "kInvalidArgument");
  EXPECT_EQ(nlohmann::json::parse(answers[8])["error"], "kInvalidArgument");
  EXPECT_EQ(nlohmann::json::parse(answers[9])["error"], "kNotFound");
  EXPECT_EQ(answers[10], "{\"ok\":true}");
  EXPECT_EQ(answers[13], "{\"entries\":[{\"key64\":\"/w==\",\"value64\":\"/w==\"}]}");
  EXPECT_EQ(answers[14], "{\"entries\":[{\"key\":\"a b\",\"value\":\"1\"}]}");
  EXPECT_EQ(nlohmann::json::parse(answers[15])["error"], "kInvalidArgument");
}

TEST_F(Command, ASecondOpenerExitsWith3AndNamesTheOwner) {
  auto database = Database::open(db_, {.create_if_missing = true, .owner = "the first owner"});
  ASSERT_OK(database);
  ASSERT_OK(database->table("main"));
  EXPECT_EQ(run({"table", "get", db_, "a"}).code, 3);
  EXPECT_NE(errors().find("the first owner"), std::string::npos) << errors();
}

TEST_F(Command, DamageExitsWith5AndNamesFileAndOffset) {
  EXPECT_EQ(run({"table", "load", db_, "-"}, "{\"key\":\"a\",\"value\":\"1\"}\n").code, 0);
  EXPECT_EQ(run({"table", "compact", db_}).code, 0);
  std::string sealed;
  for (const auto& entry : std::filesystem::directory_iterator(db_)) {
    if (entry.path().extension() == ".sealed") sealed = entry.path();
  }
  std::fstream(sealed, std::ios::in | std::ios::out | std::ios::binary).seekp(4100).put('!');
  const Ran ran = run({"verify", db_});
  EXPECT_EQ(ran.code, 5);
  EXPECT_NE(ran.out.find("offset 4096"), std::string::npos) << ran.out;
  EXPECT_EQ(run({"table", "get", db_, "a"}).code, 5);
}

TEST_F(Command, CheckpointsRestoresFindsAndRepairs) {
  ASSERT_EQ(run({"table", "create", db_, "--index", "first:1:bytes:0,1", "--ttl", "30d"}).code, 0);
  EXPECT_EQ(run({"table", "create", db_, "--family", "side", "--compression", "zstd"}).code, 0);
  EXPECT_EQ(run({"table", "create", db_, "--family", "side"}).code, 2) << "there already";
  EXPECT_EQ(run({"table", "create", db_, "--family", "other", "--ttl", "soon"}).code, 2);
  EXPECT_EQ(run({"table", "create", db_, "--family", "other", "--index", "first:bytes:0,1"}).code, 2);
  ASSERT_EQ(run({"table", "put", db_, "key", "value"}).code, 0);
  ASSERT_EQ(run({"table", "put", db_, "key", "of side", "--family", "side"}).code, 0);
  EXPECT_EQ(run({"table", "get", db_, "key", "--family", "side"}).out, "of side\n");
  EXPECT_EQ(run({"table", "find", db_, "first", "v"}).out, "{\"key\":\"key\",\"value\":\"value\"}\n");
  EXPECT_EQ(run({"table", "find", db_, "first", "x"}).code, 1);
  EXPECT_EQ(run({"table", "find", db_, "none", "x"}).code, 2);
  EXPECT_EQ(run({"table", "flush", db_}).code, 0);
  const std::string copy = db_ + "-copy";
  const std::string again = db_ + "-again";
  const std::string repaired = db_ + "-repaired";
  EXPECT_EQ(run({"checkpoint", db_, copy}).code, 0);
  EXPECT_EQ(run({"checkpoint", db_, copy}).code, 2) << "not empty";
  EXPECT_EQ(run({"restore", copy, again}).code, 0);
  EXPECT_EQ(run({"table", "get", again, "key"}).out, "value\n");
  for (const auto& entry : std::filesystem::directory_iterator(again)) {
    if (entry.path().filename().string().starts_with("manifest-")) std::filesystem::remove(entry.path());
  }
  EXPECT_EQ(run({"table", "get", again, "key"}).code, 5);
  EXPECT_EQ(run({"repair", again, repaired}).code, 5);
  EXPECT_EQ(run({"table", "get", repaired, "key", "--family", "side"}).out, "of side\n");
  EXPECT_EQ(run({"repair", copy, db_ + "-sound"}).code, 0);
}

TEST_F(Command, FiftyKillsDuringLoadLoseNoAcknowledgedKey) {
  std::string lines;
  for (int i = 0; i < 60'000; ++i)
    lines += "{\"key\":\"key" + std::to_string(i) + "\",\"value\":\"" + std::string(60, 'v') + "\"}\n";
  std::ofstream(directory_.file("lines")) << lines;
  const int kills = 50;
  for (int i = 0; i < kills; ++i) {
    SCOPED_TRACE("kill " + std::to_string(i));
    const std::string acknowledged = directory_.file("acknowledged");
    std::ofstream(acknowledged).close();
    const Child loader({CAIRN_COMMAND, "table", "load", db_, "-", "--ack", "--table", "t" + std::to_string(i)},
                       directory_.file("lines"), acknowledged);
    const std::size_t enough = 1 + static_cast<std::size_t>(i) * 40;
    while (lines_of(acknowledged) < enough) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    loader.signal(SIGKILL);
    ASSERT_EQ(loader.wait(), -SIGKILL);
    auto database = Database::open(db_);
    ASSERT_OK(database);
    auto table = database->table("t" + std::to_string(i), {.create_if_missing = false});
    ASSERT_OK(table);
    std::stringstream in(read_file(acknowledged));
    for (std::string line; std::getline(in, line) && !in.eof();) {
      const auto hit = table->get(nlohmann::json::parse(line).get<std::string>());
      ASSERT_OK(hit);
      ASSERT_TRUE(hit->has_value()) << line;
    }
  }
}

TEST_F(Command, AStoppedOwnerIsTakenOverAndAcknowledgesNothingAfterwards) {
  const std::string owner_process =
      std::string(CAIRN_COMMAND).substr(0, std::string(CAIRN_COMMAND).rfind('/')) + "/cairn_owner_process";
  const int rounds = 10;
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const std::string db = directory_.file("stopped" + std::to_string(round));
    const std::string acknowledged = directory_.file("acknowledged");
    std::ofstream(acknowledged).close();
    const Child owner({owner_process, db, "300"}, "/dev/null", acknowledged);
    while (lines_of(acknowledged) < 100) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    owner.signal(SIGSTOP);
    auto database = Database::open(db);
    while (!database) {
      ASSERT_EQ(database.error().code, ErrorCode::kBusy) << "until its term is over";
      EXPECT_NE(database.error().message.find("the stopped owner"), std::string::npos) << database.error().message;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      database = Database::open(db);
    }
    auto table = database->table("main");
    ASSERT_OK(table);
    const Result<Model> inherited = scan_all(*table);
    ASSERT_OK(inherited);
    owner.signal(SIGCONT);
    EXPECT_EQ(owner.wait(), 0) << "told that the lease is lost";
    std::stringstream in(read_file(acknowledged));
    for (std::string line; std::getline(in, line);) ASSERT_TRUE(inherited->contains("key" + line)) << line;
    EXPECT_EQ(*scan_all(*table), *inherited);
    ASSERT_OK(table->put("the new owner", "writes"));
    ASSERT_OK(database->close());
  }
}

}  // namespace
}  // namespace cairn::test
