// cairn timeline as outside testers see it: output, exit codes, kills.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/command.h"
#include "support/world.h"

namespace cairn::test {
namespace {

struct TimelineCommand : Command {
  Ran timeline(const std::string& what, std::vector<std::string> more, const std::string& input = "") {
    more.insert(more.begin(), {"timeline", what, db_});
    return run(more, input);
  }
};

constexpr const char* kLines =
    R"({"key":"a","value":"1","time":1600000000000}
{"key":"b","value":"2","time":1600000001000}

{"key":"a","value":"","time":1600000002000}
{"key":"b","erased":true,"time":1600000003000}
{"key64":"/w==","value64":"/v8=","time":1600000004000}
)";

TEST_F(TimelineCommand, LoadsLinesWithTheirTimesAndAnswersForAnyMoment) {
  ASSERT_EQ(timeline("load", {"-"}, kLines).code, 0) << errors();
  EXPECT_EQ(timeline("get", {"a", "--at", "2020-09-13T12:26:40Z"}).out, "1\n");
  EXPECT_EQ(timeline("get", {"a", "--at", "2020-09-13T14:26:41.999+02:00"}).out, "1\n");
  EXPECT_EQ(timeline("get", {"a", "--at", "1600000002000"}).out, "\n");
  EXPECT_EQ(timeline("get", {"b", "--at", "1600000000999"}).code, 1);
  EXPECT_EQ(timeline("get", {"b"}).code, 1);
  const Ran all = timeline("get", {"--at", "1600000001500", "--json"}, "a\nb\nnone\n");
  EXPECT_EQ(all.out, "{\"value\":\"1\"}\n{\"value\":\"2\"}\n{\"value\":null}\n");
  EXPECT_EQ(all.code, 1);
  EXPECT_EQ(timeline("keys", {"", "--to", "1600000003000"}).out, "2020-09-13T12:26:41.000Z\tb\n2020-09-13T12:26:42.000Z\ta\n");
  EXPECT_EQ(timeline("keys", {"", "--from", "1600000003000", "--to", "1600000004000"}).code, 1);
  const std::string history = timeline("history", {"b"}).out;
  EXPECT_NE(history.find("\"key\":\"b\",\"value\":\"2\""), std::string::npos) << history;
  EXPECT_NE(history.find("\"erased\":true"), std::string::npos) << history;
  EXPECT_EQ(timeline("watch", {"b", "--limit", "2"}).out, history);
  // What history prints is what load reads.
  const std::string everything = timeline("watch", {"", "--limit", "5"}).out;
  ASSERT_EQ(run({"timeline", "load", directory_.file("copy"), "-"}, everything).code, 0) << errors();
  EXPECT_EQ(run({"timeline", "keys", directory_.file("copy"), ""}).out, timeline("keys", {""}).out);
}

TEST_F(TimelineCommand, ABadLineIsNamedAndThoseBeforeItAreSaved) {
  EXPECT_EQ(
      timeline("load", {"-"}, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":7}\n{\"key\":\"c\",\"value\":\"3\"}\n")
          .code,
      2);
  EXPECT_NE(errors().find("-:2: /value"), std::string::npos) << errors();
  EXPECT_NE(errors().find("; 1 line before it saved, none after it"), std::string::npos) << errors();
  EXPECT_EQ(timeline("get", {"a"}).out, "1\n");
  EXPECT_EQ(timeline("get", {"c"}).code, 1);
  for (const char* const bad : {"7", "{}", "{\"key\":\"a\"}", "{\"key\":\"a\",\"value\":\"\",\"x\":1}",
                                "{\"key\":\"\",\"value\":\"1\"}", "{\"key\":\"a\",\"erased\":1}",
                                "{\"key\":\"a\",\"value\":\"\",\"time\":-1}", "{\"key\":\"a\",\"value\":\"1\",\"time\":1e99}"}) {
    EXPECT_EQ(timeline("load", {"-"}, bad).code, 2) << bad;
  }
  EXPECT_EQ(timeline("load", {"-"}, kLines).code, 2) << "lines with times go into an empty timeline only";
  EXPECT_NE(errors().find("empty"), std::string::npos) << errors();
}

TEST_F(TimelineCommand, ClampRaisesATimeThatDescends) {
  const std::string lines = "{\"key\":\"a\",\"value\":\"1\",\"time\":2000}\n{\"key\":\"b\",\"value\":\"2\",\"time\":1000}\n";
  EXPECT_EQ(timeline("load", {"-", "--timeline", "refused"}, lines).code, 2);
  ASSERT_EQ(timeline("load", {"-", "--clamp"}, lines).code, 0);
  EXPECT_EQ(timeline("keys", {"", "--to", "1970-01-01T00:00:02.001Z"}).out,
            "1970-01-01T00:00:02.000Z\ta\n1970-01-01T00:00:02.000Z\tb\n");
}

TEST_F(TimelineCommand, RollsBackUndoesAndConfirms) {
  ASSERT_EQ(timeline("load", {"-"}, kLines).code, 0);
  ASSERT_EQ(timeline("rollback", {"1600000001000"}).code, 0) << errors();
  EXPECT_EQ(timeline("get", {"b"}).out, "2\n");
  EXPECT_NE(timeline("stats", {}).out.find("rolled back to 2020-09-13T12:26:41"), std::string::npos);
  ASSERT_EQ(timeline("put", {"new", "x"}).code, 0);
  EXPECT_EQ(timeline("undo", {}).code, 2) << "there are saves since";
  EXPECT_NE(errors().find("discarded"), std::string::npos) << errors();
  ASSERT_EQ(timeline("undo", {"--discard"}).code, 0);
  EXPECT_EQ(timeline("get", {"b"}).code, 1);
  EXPECT_EQ(timeline("get", {"new"}).code, 1);
  EXPECT_EQ(timeline("undo", {}).code, 1);
  ASSERT_EQ(timeline("rollback", {"1600000001000"}).code, 0);
  ASSERT_EQ(timeline("confirm", {}).code, 0);
  EXPECT_EQ(timeline("undo", {}).code, 1);
}

TEST_F(TimelineCommand, RollbackSaysWhatItCutsOff) {
  ASSERT_EQ(timeline("load", {"-"}, kLines).code, 0);
  EXPECT_EQ(timeline("rollback", {"1999-01-01T00:00:00Z"}).code, 2) << "it would empty the timeline";
  EXPECT_NE(errors().find("force"), std::string::npos) << errors();
  EXPECT_EQ(timeline("get", {"a"}).out, "\n");
  const Ran cut = timeline("rollback", {"1600000002000", "--json"});
  ASSERT_EQ(cut.code, 0) << errors();
  const auto answer = nlohmann::json::parse(cut.out);
  EXPECT_EQ(answer["saves"], 2);
  EXPECT_EQ(answer["at_least"], false);
  EXPECT_EQ(answer["since"], "1600000003000-0");
  EXPECT_EQ(timeline("rollback", {"1600000001000"}).code, 0);
  EXPECT_NE(errors().find("1 save cut off, since 2020-09-13T12:26:42.000Z; `undo` brings it back until 20"), std::string::npos)
      << errors();
  ASSERT_EQ(timeline("rollback", {"1999-01-01T00:00:00Z", "--force"}).code, 0);
  EXPECT_EQ(timeline("get", {"a"}).code, 1);
  ASSERT_EQ(timeline("undo", {}).code, 0);
  EXPECT_EQ(timeline("get", {"a"}).out, "1\n");
}

TEST_F(TimelineCommand, PrintedStampsCanBeGivenBack) {
  ASSERT_EQ(timeline("load", {"-"}, kLines).code, 0);
  const auto saved = nlohmann::json::parse(timeline("put", {"key", "first", "--json"}).out);
  ASSERT_TRUE(saved["stamp"].is_string());
  const std::string stamp = saved["stamp"];
  ASSERT_EQ(timeline("put", {"key", "second"}).code, 0);
  EXPECT_EQ(timeline("get", {"key", "--at", stamp}).out, "first\n");
  EXPECT_NE(timeline("history", {"key"}).out.find("\"stamp\":\"" + stamp + "\""), std::string::npos);
  EXPECT_EQ(timeline("history", {"key", "--from", stamp}).out, timeline("history", {"key"}).out);
  ASSERT_EQ(timeline("rollback", {stamp}).code, 0) << errors();
  EXPECT_EQ(timeline("get", {"key"}).out, "first\n");
  for (const auto& [wrong, hint] : {std::pair("117689973301641216", "MS-SEQ"), std::pair("1600000000", "not seconds"),
                                    std::pair("253402300800000", "after the year 9999"), std::pair("99999999999", "not seconds"),
                                    std::pair("99999999999999999999", "after the year 9999"), std::pair("1-x", "is no time"),
                                    std::pair("2026-11", "before 1973"), std::pair("1700000000-0", "before 1973")}) {
    EXPECT_EQ(timeline("rollback", {wrong}).code, 2) << wrong;
    EXPECT_NE(errors().find(hint), std::string::npos) << errors();
    EXPECT_EQ(timeline("get", {"key", "--at", wrong}).code, 2) << wrong;
  }
  // Lines as they were printed before are still read.
  ASSERT_EQ(run({"timeline", "load", directory_.file("old"), "-"},
                "{\"time\":1600000000000,\"stamp\":104857600000000000,\"key\":\"a\",\"value\":\"1\"}\n")
                .code,
            0)
      << errors();
}

TEST_F(TimelineCommand, CreateSetsWhatStatsSay) {
  ASSERT_EQ(timeline("create", {"--timeout", "1h", "--policy", "persist", "--block-keys", "3", "--block-span", "1d"}).code, 0);
  EXPECT_EQ(timeline("create", {}).code, 2);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(timeline("put", {"key" + std::to_string(i), "x"}).code, 0);
  ASSERT_EQ(timeline("put", {"key1", "", "--keep-empty"}).code, 0);
  ASSERT_EQ(timeline("erase", {"key2"}).code, 0);
  ASSERT_EQ(timeline("put", {"key3"}, "from standard input").code, 0);
  EXPECT_EQ(timeline("get", {"key1"}).out, "\n");
  EXPECT_EQ(timeline("get", {"key2"}).code, 1);
  EXPECT_EQ(timeline("get", {"key3"}).out, "from standard input\n");
  ASSERT_EQ(timeline("housekeep", {"--until-done"}).code, 0);
  const auto stats = nlohmann::json::parse(timeline("stats", {"--json"}).out);
  EXPECT_EQ(stats["timeout_ms"], 3'600'000);
  EXPECT_EQ(stats["policy"], "persist");
  EXPECT_EQ(stats["lines"][0]["saves"], 13);
  EXPECT_EQ(timeline("create", {"--timeline", "x", "--block-bytes", "1"}).code, 2);
  EXPECT_EQ(timeline("get", {"a", "--at", "yesterday"}).code, 2);
  EXPECT_EQ(run({"timeline", "get", directory_.file("nothing"), "a"}).code, 1);
}

TEST_F(TimelineCommand, KillsWhileSavingLoseNothingThatWasAcknowledged) {
  const std::string owner_process =
      std::string(CAIRN_COMMAND).substr(0, std::string(CAIRN_COMMAND).rfind('/')) + "/cairn_owner_process";
  std::uint64_t stamp_before = 0;
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const std::string acknowledged = directory_.file("acknowledged");
    std::ofstream(acknowledged).close();
    const Child owner({owner_process, db_, "10000", "events"}, "/dev/null", acknowledged);
    while (lines_of(acknowledged) < static_cast<std::size_t>(50 + round * 60))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    owner.signal(SIGKILL);
    ASSERT_EQ(owner.wait(), -SIGKILL);
    std::stringstream in(read_file(acknowledged));
    int last = -1;
    for (std::string line; std::getline(in, line) && !in.eof();) last = std::stoi(line);
    auto database = Database::open(db_);
    ASSERT_OK(database);
    auto timeline = database->timeline("events", {.create_if_missing = false});
    ASSERT_OK(timeline);
    const auto hit = timeline->get("last");
    ASSERT_OK(hit);
    ASSERT_TRUE(hit->has_value());
    const int found = std::stoi(Bytes((*hit)->view()));
    EXPECT_GE(found, last);
    // Of each batch all or nothing, one after the other, since the process began.
    SaveList history = timeline->history("last", Stamp{stamp_before + 1});
    int next = 0;
    for (const auto entry : history) {
      const auto data = history.data();
      ASSERT_OK(data);
      ASSERT_EQ(Bytes(data->view()), std::to_string(next));
      const auto of_key = timeline->get_at("key" + std::to_string(next % 1000), entry.stamp);
      ASSERT_OK(of_key);
      ASSERT_TRUE(*of_key && (*of_key)->view() == std::to_string(next));
      stamp_before = entry.stamp.value;
      ++next;
    }
    ASSERT_OK(history.status());
    EXPECT_EQ(next, found + 1);
    const auto report = database->verify();
    ASSERT_OK(report);
    EXPECT_TRUE(report->damages.empty());
  }
}

}  // namespace
}  // namespace cairn::test
