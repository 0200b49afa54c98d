// cairn table apply: one operation a line, one JSON answer a line.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <map>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/meter.h"

namespace cairn::cli {
namespace {

struct ApplyArguments {
  Common common;
  std::string input;
};

/// Takes the parts of a line off its front.
class LineParser {
 public:
  explicit LineParser(ByteView line) : rest_(line) { skip_spaces(); }

  std::string word() {
    const std::size_t end = std::min(rest_.find_first_of(" \t\r"), rest_.size());
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    skip_spaces();
    return text;
  }
  /// A JSON string, or {"key64":…} or {"value64":…}, as `name` says.
  Result<Bytes> bytes(const std::string& name) {
    if (rest_.empty()) return fail(ErrorCode::kInvalidArgument, "the " + name + " is missing");
    Result<Bytes> bytes = parse_json_bytes(json_text(), name);
    skip_spaces();
    return bytes;
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  void skip_spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r"), rest_.size())); }
  /// The text up to the end of the JSON value at the front; whether it is one is for the parser to say.
  ByteView json_text() {
    bool quoted = false;
    int depth = 0;
    std::size_t end = 0;
    while (end < rest_.size()) {
      const char c = rest_[end++];
      if (quoted && c == '\\' && end < rest_.size()) {
        ++end;
      } else if (c == '"') {
        quoted = !quoted;
      } else if (!quoted) {
        depth += c == '{' ? 1 : 0;
        depth -= c == '}' ? 1 : 0;
        if (depth <= 0 && (c == ' ' || c == '\t')) {
          --end;
          break;
        }
      }
      if (!quoted && depth <= 0 && (c == '"' || c == '}')) break;
    }
    const ByteView text = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return text;
  }

  ByteView rest_;
};

class Applier {
 public:
  explicit Applier(Table table) : table_(std::move(table)) {}

  Json answer(const std::string& line) {
    Result<Json> done = run(line);
    if (done) return *std::move(done);
    return {{"error", name_of(done.error().code)}, {"message", done.error().to_string()}};
  }

 private:
  Result<Json> run(const std::string& line) {
    LineParser parser(line);
    const std::string operation = parser.word();
    Json ok{{"ok", true}};
    if (operation == "put") {
      CAIRN_TRY(key, parser.bytes("key"));
      CAIRN_TRY(value, parser.bytes("value"));
      CAIRN_TRY_VOID(end_of(parser));
      CAIRN_TRY_VOID(table_.put(key, value));
      return ok;
    }
    if (operation == "erase") {
      CAIRN_TRY(key, parser.bytes("key"));
      CAIRN_TRY_VOID(end_of(parser));
      CAIRN_TRY_VOID(table_.erase(key));
      return ok;
    }
    if (operation == "get") return get(parser);
    if (operation == "scan") return scan(parser);
    if (operation == "snapshot") {
      const std::string name = parser.word();
      CAIRN_TRY_VOID(end_of(parser));
      if (name.empty()) return fail(ErrorCode::kInvalidArgument, "a snapshot needs a name");
      snapshots_[name] = table_.snapshot(name);
      return ok;
    }
    if (operation == "flush" || operation == "compact") {
      CAIRN_TRY_VOID(end_of(parser));
      CAIRN_TRY_VOID(operation == "flush" ? table_.flush() : table_.compact());
      return ok;
    }
    return fail(ErrorCode::kInvalidArgument,
                "unknown operation '" + operation + "': put, erase, get, scan, snapshot, flush or compact");
  }
  Result<Json> get(LineParser& parser) {
    CAIRN_TRY(key, parser.bytes("key"));
    CAIRN_TRY(snapshot, snapshot_of(parser));
    CAIRN_TRY(hit, table_.get(key, snapshot));
    Json object;
    if (hit) {
      put_bytes(object, "value", *hit);
    } else {
      object["value"] = nullptr;
    }
    return object;
  }
  Result<Json> scan(LineParser& parser) {
    CAIRN_TRY(from, parser.bytes("key"));
    CAIRN_TRY(to, parser.bytes("key"));
    CAIRN_TRY(snapshot, snapshot_of(parser));
    Json entries = Json::array();
    Scan scan = table_.scan({from, to}, Direction::kForward, 0, snapshot);
    for (const auto entry : scan) {
      Json object;
      put_bytes(object, "key", entry.key);
      put_bytes(object, "value", entry.value);
      entries.push_back(std::move(object));
    }
    CAIRN_TRY_VOID(scan.status());
    return Json{{"entries", std::move(entries)}};
  }
  Result<Snapshot> snapshot_of(LineParser& parser) {
    if (parser.empty()) return kNow;
    const std::string name = parser.word();
    CAIRN_TRY_VOID(end_of(parser));
    if (!name.starts_with('@')) return fail(ErrorCode::kInvalidArgument, "'" + name + "' is not @SNAPSHOT");
    const auto found = snapshots_.find(name.substr(1));
    if (found == snapshots_.end()) return fail(ErrorCode::kNotFound, "there is no snapshot '" + name.substr(1) + "'");
    return found->second;
  }
  static Result<void> end_of(const LineParser& parser) {
    if (parser.empty()) return {};
    return fail(ErrorCode::kInvalidArgument, "there is more on the line than the operation takes");
  }

  Table table_;
  std::map<std::string, Snapshot> snapshots_;
};

Result<int> apply(const ApplyArguments& arguments) {
  if (arguments.input != "-") return fail(ErrorCode::kInvalidArgument, "apply reads standard input: give - for it");
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  {
    Applier applier(opened.table);
    LineReader reader(STDIN_FILENO);
    while (true) {
      CAIRN_TRY(line, reader.next());
      if (!line) break;
      if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
      CAIRN_TRY_VOID(print(to_line(applier.answer(*line))));
      CAIRN_TRY_VOID(flush_output());
    }
  }
  CAIRN_TRY_VOID(check_interrupt());
  CAIRN_TRY_VOID(opened.database.close());
  return 0;
}

}  // namespace

void add_apply(const Command& table) {
  ApplyArguments& arguments = table.make_arguments<ApplyArguments>();
  const Command command = table.add_command("apply", "Run operations from standard input and print one JSON answer a line");
  add_common(command, arguments.common);
  command.add_option("INPUT", arguments.input, "-: standard input").required();
  set_action(command, arguments.common, [&arguments] { return apply(arguments); });
}

}  // namespace cairn::cli
