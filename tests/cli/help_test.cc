// The help of the command, its examples (each is run), and its error messages (each is compared with tests/cli/mistakes.txt).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "support/command.h"

namespace cairn::test {
namespace {

// The order in which the examples run: each finds what those before it made.
constexpr const char* kOrder =
    "help,table create,table put,table get,table scan,table find,table explain,table dump,table flush,"
    "table compact,table load,table apply,table alter,table erase,table seal,table ingest,table stats,"
    "timeline create,timeline load,timeline put,timeline get,timeline keys,timeline history,timeline watch,"
    "timeline rollback,timeline undo,timeline confirm,timeline erase,timeline housekeep,timeline stats,"
    "forks create,forks fork,forks store,forks load,forks scan,forks diff,forks hash,forks sync,forks erase,"
    "forks freeze,forks stats,forks snapshot,forks restore,forks root,forks purge,list,verify,checkpoint,restore,"
    "repair,forks replay,serve";

struct Help : Command {
  /// Runs `line` in a shell in the directory of the test, where `cairn` is the command. Standard output and error together.
  Ran shell(const std::string& line) {
    const std::string bin = directory_.file("bin");
    std::filesystem::create_directory(bin);
    if (!std::filesystem::exists(bin + "/cairn")) std::filesystem::create_symlink(CAIRN_COMMAND, bin + "/cairn");
    const std::string script = "PATH=" + bin + ":$PATH; mkdir -p " + directory_.file("work") + "; cd " + directory_.file("work") +
                               "; { " + line + "; } >" + directory_.file("out") + " 2>&1 </dev/null";
    const int status = std::system(script.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(directory_.file("out"))};
  }
  void write(const std::string& name, const std::string& content) {
    std::filesystem::create_directory(directory_.file("work"));
    std::ofstream(directory_.file("work/" + name)) << content;
  }
  /// Every command, as "table put".
  std::vector<std::string> commands(const std::string& path = "") {
    std::vector<std::string> all;
    const std::string help = shell("cairn help " + path).out;
    const std::size_t begin = help.find("Subcommands:\n");
    if (begin == std::string::npos) return {path};
    const std::string section = help.substr(begin);
    const std::regex line("\n  ([a-z][a-z-]*) ");
    for (auto match = std::sregex_iterator(section.begin(), section.end(), line); match != std::sregex_iterator(); ++match) {
      for (const std::string& below : commands((path.empty() ? "" : path + " ") + (*match)[1].str())) all.push_back(below);
    }
    return all;
  }
  std::string example(const std::string& path) {
    const std::string help = shell("cairn help " + path).out;
    const std::size_t at = help.find("Example:\n  $ ");
    if (at == std::string::npos) return "";
    return help.substr(at + 13, help.find('\n', at + 13) - at - 13);
  }
};

TEST_F(Help, ListsTheCommandsWithoutArguments) {
  const Ran alone = shell("cairn");
  EXPECT_EQ(alone.code, 0);
  for (const char* const name : {"table", "timeline", "forks", "list", "serve", "help"}) {
    EXPECT_NE(alone.out.find("\n  " + std::string(name) + " "), std::string::npos) << name;
  }
  EXPECT_EQ(shell("cairn --help").out, alone.out);
  EXPECT_EQ(shell("cairn help").out, alone.out);
  EXPECT_EQ(shell("cairn help table put").out, shell("cairn table put --help").out);
  EXPECT_TRUE(std::regex_match(shell("cairn --version").out, std::regex("[0-9]+\\.[0-9]+\\.[0-9]+\n")));
}

TEST_F(Help, ExamplesRun) {
  write("people.tsv", "bob\t{\"City\":\"Rome\"}\n");
  write("prices.jsonl", "{\"key\":\"gold\",\"value\":\"7\",\"time\":\"2026-01-02T03:04:05Z\"}\n");
  write("trace.jsonl", "{\"op\":\"fork\",\"fork\":1,\"parent\":0}\n");
  std::vector<std::string> order;
  std::istringstream names(kOrder);
  for (std::string name; std::getline(names, name, ',');) order.push_back(name);
  std::vector<std::string> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::string> there = commands();
  std::sort(there.begin(), there.end());
  EXPECT_EQ(there, sorted) << "a command without a place in `order`";
  for (const std::string& path : order) {
    const std::string line = example(path);
    ASSERT_NE(line, "") << "no example in the help of " << path;
    EXPECT_NE(line.find("cairn " + path), std::string::npos) << path << ": " << line;
    if (path == "serve") continue;  // Does not end.
    if (path == "forks purge") shell("cairn forks fork data 2 1");
    if (path == "forks replay") shell("mv data old");
    const Ran ran = shell(line);
    // What an example names may have been saved after the time in it.
    const bool by_time =
        path == "timeline get" || path == "timeline keys" || path == "timeline rollback" || path == "timeline undo";
    EXPECT_TRUE(ran.code == 0 || (by_time && ran.code <= 2)) << line << ": " << ran.code << ' ' << ran.out;
  }
}

TEST_F(Help, AClosedPipeEndsQuietly) {
  ASSERT_EQ(shell("cairn table create data").code, 0);
  ASSERT_EQ(shell("seq -f '%0.f\t value' 100000 | cairn table load data -").code, 0);
  for (const std::string command : {"cairn table scan data", "cairn table dump data --json", "cairn table stats data"}) {
    const Ran ran = shell("{ sleep 0.1; " + command + "; echo code $? >&2; } | true");
    EXPECT_EQ(ran.out, "code 141\n") << command;
  }
  EXPECT_EQ(shell("cairn table scan data | head -1").out, "{\"key\":\"1\",\"value\":\" value\"}\n");
  const Ran full = shell("cairn table scan data > /dev/full");
  EXPECT_EQ(full.code, 4);
  EXPECT_EQ(full.out, "cairn: writing standard output: No space left on device\n");
}

TEST_F(Help, StandardErrorThatIsFullOrClosedChangesNothing) {
  for (const std::string to : {"2>/dev/full", "2>&-", "2>&- <&- >&-"}) {
    EXPECT_EQ(shell("cairn table get none key " + to).code, 1) << to;
    EXPECT_EQ(shell("rm -rf d; printf 'a\\t1\\n' | cairn table load d - " + (to.size() > 12 ? std::string("2>&- >&-") : to)).code,
              0)
        << to;
  }
  const Ran closed = shell("cairn help >/dev/full");
  EXPECT_EQ(closed.code, 4);
  EXPECT_EQ(shell("cairn --version 2>&1 >/dev/full").code, 4);
  EXPECT_EQ(shell("cairn help --help").out, shell("cairn").out);
  EXPECT_EQ(shell("rm -rf d; cairn table load d - --json <&-").code, 0) << "nothing to read";
}

TEST_F(Help, RawPrintsTheBytesAlone) {
  const std::string key(64, '7');
  ASSERT_EQ(shell("cairn table create data && cairn timeline create data && cairn forks create data").code, 0);
  ASSERT_EQ(shell("printf 'a\\0b' | cairn table put data key").code, 0);
  ASSERT_EQ(shell("printf 'a\\0b' | cairn timeline put data key").code, 0);
  ASSERT_EQ(shell("printf 'a\\0b' | cairn forks store data 0 " + key).code, 0);
  for (const std::string& command :
       std::vector<std::string>{"table get data key", "timeline get data key", "forks load data 0 " + key}) {
    EXPECT_EQ(shell("cairn " + command + " --raw").out, std::string("a\0b", 3)) << command;
    EXPECT_EQ(shell("cairn " + command + " --raw --json").code, 2) << command;
  }
  const Ran none = shell("cairn table get data none --raw");
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.out, "");
  EXPECT_EQ(shell("cairn table get data --raw").code, 2);
}

TEST_F(Help, ListShowsPartsOptionsAndSizes) {
  ASSERT_EQ(shell("cairn table create data --table mail --index a:9:json:/A --compression lz4").code, 0);
  ASSERT_EQ(shell("cairn table create data --table mail --family brief --ttl 90m").code, 0);
  ASSERT_EQ(shell("cairn timeline create data --timeout 30d --policy persist && cairn timeline put data k v").code, 0);
  ASSERT_EQ(shell("cairn forks create data --forks bank").code, 0);
  const std::string text = shell("cairn list data").out;
  EXPECT_TRUE(std::regex_match(
      text, std::regex("table mail, [0-9]+ bytes\n"
                       "  family main, compression lz4, time to live never, 1 term index\n"
                       "  family brief, compression none, time to live 90 min, 0 term indexes\n"
                       "timeline main, [0-9]+ bytes, 1 save, timeout 30 d, policy persist, last save 20[0-9T:.-]+Z\n"
                       "fork store bank, [0-9]+ bytes?, 0 accounts, 1 fork\n")))
      << text;
  const std::string json = shell("cairn list data --json").out;
  EXPECT_NE(json.find(R"("families":[{"name":"main","compression":"lz4","ttl_ms":0,"indexes":[{"name":"a","term_bytes":9,)"
                      R"("extractor":"json:/A"}]})"),
            std::string::npos)
      << json;
  EXPECT_EQ(shell("cairn list none").code, 1);
}

// Each command line of tests/cli/mistakes.txt is refused with the message that follows it. CAIRN_WRITE_GOLDEN=1 writes the file
// anew: read the difference as a person would who made the mistake.
TEST_F(Help, MistakesGetMessages) {
  const std::string golden = std::string(CAIRN_SOURCE_DIR) + "/tests/cli/mistakes.txt";
  ASSERT_EQ(shell("cairn table create data && cairn timeline create data && cairn forks create data").code, 0);
  ASSERT_EQ(shell("cairn timeline put data old x && cairn table create data --family mail --ttl 1h").code, 0);
  write("bad.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\"}\n");
  write("late.jsonl", "{\"key\":\"a\",\"value\":\"1\",\"time\":\"yesterday\"}\n");
  write("trace.jsonl", "{\"op\":\"jump\"}\n");
  write("falling.tsv", "b\t1\na\t2\n");
  std::istringstream lines(read_file(golden));
  std::string written;
  std::string line;
  std::size_t count = 0;
  std::string expected;
  while (std::getline(lines, line)) {
    expected += line + "\n";
    if (!line.starts_with("$ ")) continue;
    ++count;
    const Ran ran = shell(line.substr(2));
    EXPECT_TRUE(ran.code >= 1 && ran.code <= 5) << line << ": " << ran.code;
    const std::string out = std::regex_replace(std::regex_replace(ran.out, std::regex("of [0-9]{13}-[0-9]+"), "of STAMP"),
                                               std::regex("[(]data/[^)]*[)]"), "(data/FILE)");
    if (!line.ends_with("--json")) {
      EXPECT_FALSE(std::regex_search(out, std::regex("\\bk[A-Z][a-z]"))) << "the name of an enumerator: " << out;
    }
    written += line + "\n" + out + "-> " + std::to_string(ran.code) + "\n";
  }
  EXPECT_GE(count, 40U);
  if (std::getenv("CAIRN_WRITE_GOLDEN") != nullptr) {
    std::ofstream(golden) << written;
  } else {
    EXPECT_EQ(written, expected);
  }
}

}  // namespace
}  // namespace cairn::test
