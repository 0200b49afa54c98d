// CSV in and out: RFC 4180, the columns of key and value, and what is refused.
#include <gtest/gtest.h>

#include "support/command.h"

namespace cairn::test {
namespace {

struct Csv : Command {
  /// What the table holds after a load of `text`, and the exit code.
  std::string loaded(const std::string& text, std::vector<std::string> more = {}) {
    std::vector<std::string> all{"table", "load", db_, "-", "--csv"};
    all.insert(all.end(), more.begin(), more.end());
    const int code = run(all, text).code;
    const std::string said = errors();
    if (code != 0) return std::to_string(code) + " " + said;
    return run({"table", "dump", db_}).out;
  }
};

TEST_F(Csv, FieldsAreReadAsTheStandardHasThem) {
  EXPECT_EQ(
      loaded("key,value\r\na,1\r\n\"b,\"\"c\"\"\",\"two\r\nlines\"\r\n\r\nd,\ne,\"\"\n\"f\ng\",x"),
      "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b,\\\"c\\\"\",\"value\":\"two\\r\\nlines\"}\n{\"key\":\"d\",\"value\":\"\"}\n"
      "{\"key\":\"e\",\"value\":\"\"}\n{\"key\":\"f\\ng\",\"value\":\"x\"}\n");
}

TEST_F(Csv, ColumnsAreNamed) {
  const std::string text = "\xef\xbb\xbf\"id\",name,town\n1,Ann,Bern\n2,\"B, C\",\n";
  EXPECT_EQ(loaded(text, {"--key", "id", "--value", "town"}),
            "{\"key\":\"1\",\"value\":\"Bern\"}\n{\"key\":\"2\",\"value\":\"\"}\n");
  EXPECT_EQ(loaded(text, {"--key", "id"}),
            "{\"key\":\"1\",\"value\":\"{\\\"id\\\":\\\"1\\\",\\\"name\\\":\\\"Ann\\\",\\\"town\\\":\\\"Bern\\\"}\"}\n"
            "{\"key\":\"2\",\"value\":\"{\\\"id\\\":\\\"2\\\",\\\"name\\\":\\\"B, C\\\",\\\"town\\\":\\\"\\\"}\"}\n");
  EXPECT_EQ(loaded(text), "2 cairn: -:1: the header has no column 'key'; it has id, name, town; --key names another\n");
  EXPECT_EQ(loaded(text, {"--key", "id", "--value", "x"}),
            "2 cairn: -:1: the header has no column 'x'; it has id, name, town; --value names another\n");
}

TEST_F(Csv, BadRecordsAreNamedAndMayBeSkipped) {
  const std::string text = "key,value\na,1\n\"b\nc\" d,2\ne\nf,6\n";
  EXPECT_EQ(loaded(text),
            "2 cairn: -:3: a quote stands within a field: quote the whole field, and double the quotes in it; 1 line before "
            "it stored, none after it\n");
  EXPECT_EQ(loaded(text, {"--skip-bad"}), "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"f\",\"value\":\"6\"}\n");
  EXPECT_EQ(loaded("key,value\na,\"1\nb,2\n"),
            "2 cairn: -:2: a quote is open at the end of the input; 0 lines before it stored, none after it\n");
  EXPECT_EQ(loaded("ke\"y\na,1\n", {"--skip-bad"}).substr(0, 16), "2 cairn: -:1: a ");
  EXPECT_EQ(loaded("key,key\n"), "2 cairn: -:1: column 'key' is twice in the header\n");
  EXPECT_EQ(loaded("key,value\n,1\n"),
            "2 cairn: -:2: a key has 1 to 65535 bytes; this one has 0; 0 lines before it stored, none after it\n");
  EXPECT_EQ(loaded("key,value\na,1,2\n"),
            "2 cairn: -:2: the record has 3 fields, the header 2; 0 lines before it stored, none after it\n");
  EXPECT_EQ(run({"table", "load", db_, "-", "--key", "id"}, "a\t1\n").code, 2);
}

TEST_F(Csv, WhatIsPrintedIsReadAgain) {
  const std::string text =
      "{\"key\":\"a,b\",\"value\":\"\\\"q\\\"\"}\n{\"key\":\"c\\r\\nd\",\"value\":\" \"}\n{\"key\":\"e\",\"value\":\"\"}\n";
  EXPECT_EQ(run({"table", "load", db_, "-"}, text).code, 0);
  const std::string csv = run({"table", "dump", db_, "--csv"}).out;
  EXPECT_EQ(csv, "key,value\r\n\"a,b\",\"\"\"q\"\"\"\r\n\"c\r\nd\", \r\ne,\r\n");
  EXPECT_EQ(run({"table", "scan", db_, "--csv", "--prefix", "e"}).out, "key,value\r\ne,\r\n");
  const std::string other = directory_.file("other");
  EXPECT_EQ(run({"table", "load", other, "-", "--csv"}, csv).code, 0);
  EXPECT_EQ(run({"table", "dump", other}).out, text);
  EXPECT_EQ(run({"table", "put", db_, "f", "\xff"}).code, 0);
  EXPECT_EQ(run({"table", "dump", db_, "--csv"}).code, 2);
  EXPECT_EQ(errors(), "cairn: the value of \"f\" is not UTF-8: print all in base64 with --base64\n");
  EXPECT_EQ(run({"table", "dump", db_, "--base64"}).code, 2);
  const std::string coded = run({"table", "dump", db_, "--csv", "--base64"}).out;
  EXPECT_EQ(run({"table", "load", other, "-", "--csv"}, coded).code, 0);
  EXPECT_EQ(run({"table", "dump", other}).out, run({"table", "dump", db_}).out);
}

TEST_F(Csv, ATimelineHasTimesAndErases) {
  const std::string text =
      "time,key,value,erased\r\n2026-11-22T12:00:00.000Z,a,\"1,5\",\r\n2026-11-22T12:00:01.000Z,b,2,\r\n"
      "2026-11-22T12:00:02.000Z,a,,true\r\n";
  ASSERT_EQ(run({"timeline", "load", db_, "-", "--csv"}, text).code, 0) << errors();
  EXPECT_EQ(run({"timeline", "history", db_, "a", "--csv"}).out,
            "time,key,value,erased\r\n2026-11-22T12:00:00.000Z,a,\"1,5\",\r\n2026-11-22T12:00:02.000Z,a,,true\r\n");
  EXPECT_EQ(run({"timeline", "history", db_, "b", "--csv", "--base64"}).out,
            "time,key64,value64,erased\r\n2026-11-22T12:00:01.000Z,Yg==,Mg==,\r\n");
  EXPECT_EQ(run({"timeline", "history", db_, "b", "--base64"}).code, 2);
  EXPECT_EQ(run({"timeline", "get", db_, "a"}).code, 1);
}

TEST_F(Csv, ATimelineNamesItsColumns) {
  const std::string text = "at,symbol,price\n1795802203465,x,7\n,y,8\n";
  const std::vector<std::string> load{"timeline", "load", db_, "-", "--csv", "--key", "symbol"};
  auto with_time = load;
  with_time.insert(with_time.end(), {"--time", "at"});
  ASSERT_EQ(run(with_time, text).code, 0) << errors();
  EXPECT_EQ(run({"timeline", "get", db_, "x", "--at", "1795802203465"}).out,
            "{\"at\":\"1795802203465\",\"symbol\":\"x\",\"price\":\"7\"}\n");
  EXPECT_EQ(run(with_time, text).code, 2) << "times go into an empty timeline";
  EXPECT_EQ(run(load, text).code, 0) << "without times";
  const auto mistake = [&](const std::string& records, const std::vector<std::string>& options) {
    std::vector<std::string> all{"timeline", "load", db_, "-", "--timeline", "other"};
    all.insert(all.end(), options.begin(), options.end());
    EXPECT_EQ(run(all, records).code, 2);
    return errors();
  };
  EXPECT_EQ(mistake(text, {"--csv", "--key", "symbol", "--time", "when"}),
            "cairn: -:1: the header has no column 'when'; it has at, symbol, price; --time names another; 0 lines before it "
            "saved, none after it\n");
  EXPECT_EQ(mistake("key,time\na,yesterday\n", {"--csv"}).substr(0, 38), "cairn: -:2: column of the time: 'yeste");
  EXPECT_EQ(
      mistake("key,time\na,1960-01-01T00:00:00Z\n", {"--csv"}),
      "cairn: -:2: column of the time: '1960-01-01T00:00:00Z' is before 1970: no save can have this time; 0 lines before it "
      "saved, none after it\n");
  EXPECT_EQ(mistake("key,value,erased\na,1,maybe\n", {"--csv"}),
            "cairn: -:2: column 'erased': 'maybe' is neither true nor false; 0 lines before it saved, none after it\n");
  EXPECT_EQ(mistake("", {"--time", "at"}),
            "cairn: --key, --value, --time and --base64 are for CSV: give --csv, or a file that ends in .csv\n");
}

}  // namespace
}  // namespace cairn::test
