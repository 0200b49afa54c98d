// cairn forks replay: a trace of operations, one a line.
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <chrono>
#include <map>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/json_parse.h"
#include "cli/line_editor.h"
#include "cli/meter.h"

namespace cairn::cli {
namespace {

struct ReplayArguments {
  ForksCommon common;
  std::string file;
};

constexpr std::size_t kBatchMost = 1000;  // Stores and erases in one fork, one after the other.

/// Takes the fields of an operation, and complains about what is missing or left over.
class Operation {
 public:
  explicit Operation(const nlohmann::json& object) : object_(object) {}

  Result<std::string> string(const std::string& name) {
    taken_.push_back(name);
    const auto found = object_.find(name);
    if (found == object_.end() || !found->is_string()) {
      return fail(ErrorCode::kInvalidArgument, "/" + name + ": a string is needed");
    }
    return found->get<std::string>();
  }
  Result<ForkNumber> number(const std::string& name) {
    taken_.push_back(name);
    const auto found = object_.find(name);
    if (found == object_.end() || !found->is_number_unsigned()) {
      return fail(ErrorCode::kInvalidArgument, "/" + name + ": the number of a fork is needed");
    }
    return found->get<ForkNumber>();
  }
  Result<Bytes> key() {
    CAIRN_TRY(hex, string("key"));
    Result<Bytes> key = parse_account_key(hex);
    if (!key) return fail(ErrorCode::kInvalidArgument, "/key: " + key.error().message);
    return key;
  }
  Result<Bytes> value() {
    CAIRN_TRY(text, string("value"));
    Bytes value;
    if (!absl::Base64Unescape(text, &value)) return fail(ErrorCode::kInvalidArgument, "/value: not base64");
    return value;
  }
  [[nodiscard]] Result<void> done() const {
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(taken_, name) == taken_.end()) {
        return fail(ErrorCode::kInvalidArgument, "/" + name + ": unknown field");
      }
    }
    return {};
  }

 private:
  const nlohmann::json& object_;
  std::vector<std::string> taken_;
};

class Replay {
 public:
  Replay(std::string file, ForkStore store) : file_(std::move(file)), store_(std::move(store)) {}

  /// `bytes_total`: of the input; 0: unknown.
  Result<void> run(int fd, std::uint64_t bytes_total) {
    LineReader reader(fd);
    Meter meter("read");
    while (true) {
      CAIRN_TRY(text, reader.next());
      if (!text) break;
      if (!meter.show_lines(line_ + 1, reader.bytes_read(), bytes_total)) break;
      ++line_;
      if (text->empty()) continue;
      const Result<void> done = take(*text);
      if (!done) return std::unexpected(at_line(line_, done.error()));
    }
    CAIRN_TRY_VOID(flush());
    if (!is_interrupted()) return {};
    return std::unexpected(meter.explain({}, fmt::format("all operations up to line {} are done, none after it", line_)));
  }
  [[nodiscard]] std::uint64_t lines() const { return line_; }
  [[nodiscard]] Json summary() const {
    Json object{{"ok", true}, {"lines", line_}};
    for (const auto& [name, count] : counts_) object[name] = count;
    return object;
  }

 private:
  struct Update {
    Bytes key;
    std::optional<Bytes> value;
  };

  [[nodiscard]] Error at_line(std::uint64_t number, const Error& error) const {
    if (error.message.starts_with(file_ + ":")) return error;
    return {error.code, fmt::format("{}:{}: {}; what came before it is done, nothing after", file_, number, error.message),
            error.file, error.offset};
  }

  Result<void> take(const std::string& text) {
    CAIRN_TRY(object, parse_json(text));
    if (!object.is_object()) return fail(ErrorCode::kInvalidArgument, "not a JSON object");
    Operation operation(object);
    CAIRN_TRY(name, operation.string("op"));
    CAIRN_TRY(fork, operation.number("fork"));
    if (name == "store" || name == "erase") {
      Update update;
      CAIRN_TRY(key, operation.key());
      update.key = key;
      if (name == "store") {
        CAIRN_TRY(value, operation.value());
        update.value = std::move(value);
      }
      CAIRN_TRY_VOID(operation.done());
      if (fork != fork_ || batch_.size() == kBatchMost) CAIRN_TRY_VOID(flush());
      if (batch_.empty()) first_line_ = line_;
      fork_ = fork;
      batch_.push_back(std::move(update));
    } else {
      ForkNumber parent = 0;
      if (name == "fork") {
        CAIRN_TRY(of, operation.number("parent"));
        parent = of;
      }
      CAIRN_TRY_VOID(operation.done());
      CAIRN_TRY_VOID(flush());
      CAIRN_TRY_VOID(change(name, fork, parent));
    }
    ++counts_[name];
    return {};
  }

  Result<void> change(const std::string& name, ForkNumber fork, ForkNumber parent) {
    if (name == "fork") return store_.create_fork(fork, parent);
    if (name == "freeze") return store_.freeze(fork);
    if (name == "sync") return store_.sync(fork);
    if (name == "root") return store_.set_root(fork);
    if (name == "purge") return store_.purge(fork);
    return fail(ErrorCode::kInvalidArgument, "/op: '" + name + "' is none of fork, store, erase, freeze, sync, root and purge");
  }

  Result<void> flush() {
    if (batch_.empty()) return {};
    std::vector<AccountUpdate> updates;
    for (const Update& update : batch_) {
      updates.push_back({.key = update.key, .value = {}, .erase = !update.value});
      if (update.value) updates.back().value = *update.value;
    }
    const Result<WriteVersion> stored = store_.store(fork_, updates);
    batch_.clear();
    if (!stored) return std::unexpected(at_line(first_line_, stored.error()));
    return {};
  }

  const std::string file_;
  ForkStore store_;
  std::uint64_t line_ = 0;
  std::uint64_t first_line_ = 0;  // Of the batch.
  ForkNumber fork_ = 0;
  std::vector<Update> batch_;
  std::map<std::string, std::uint64_t> counts_;
};

Result<int> replay(const ReplayArguments& arguments) {
  CAIRN_TRY(fd, open_lines(arguments.file));
  CAIRN_TRY(opened, open_forks(arguments.common, IfMissing::kCreate));
  const auto begin = std::chrono::steady_clock::now();
  Replay trace(arguments.file, opened.store);
  const Result<void> done = trace.run(fd.get(), bytes_of_input(fd.get()));
  const Result<void> closed = opened.database.close();
  CAIRN_TRY_VOID(done);
  CAIRN_TRY_VOID(closed);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line(trace.summary())));
  if (!arguments.common.json) {
    say(fmt::format("{} replayed in {:.2f} s\n", counted(trace.lines(), "line"), seconds.count()));
  }
  return 0;
}

}  // namespace

void add_forks_replay(const Command& forks) {
  ReplayArguments& arguments = forks.make_arguments<ReplayArguments>();
  const Command command = forks.add_command("replay", "Run the operations of a trace");
  add_common(command, arguments.common);
  command
      .add_option("TRACE", arguments.file,
                  "A .jsonl file, or - for standard input: {\"op\":\"fork\",\"fork\":2,\"parent\":1}, "
                  "{\"op\":\"store\",\"fork\":2,\"key\":HEX,\"value\":BASE64}, …")
      .required()
      .completed_by(complete_file);
  set_action(command, arguments.common, [&arguments] { return replay(arguments); });
}

}  // namespace cairn::cli
