// The commands: what each is called, takes and does. A command is one function that reads its arguments, goes to the keyspace and
// writes one reply.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "server/keyspace.h"
#include "server/reply.h"
#include "server/text.h"

namespace cairn::server {

class ScriptEngine;
class Service;
struct Client;
struct ClientInfo;
struct CommandInfo;
struct User;

/// The name of the command first.
using Arguments = std::span<const ByteView>;

/// A key that WATCH named, as it was then.
struct Watched {
  int database;
  std::size_t timeline;  // Which the database was.
  Bytes key;
  Stamp changed;
  bool there;
};
using WatchSet = std::vector<Watched>;

/// What runs a command: one of the read threads, or the writer.
class Execution {
 public:
  /// Of another numbered database than the selected one.
  virtual Keyspace& keys(int number) = 0;
  /// In the writer: makes everything that was applied so far acknowledged. A command that changes a timeline otherwise than by
  /// saves calls it first.
  virtual Result<void> settle() = 0;
  /// In the writer: applies what the command has staged so far. Not within a transaction.
  virtual Result<void> commit() = 0;
  /// In the writer: what runs scripts.
  virtual ScriptEngine& scripts() = 0;
  /// Keeps `bytes` alive until the staged saves, which are views of them, are applied or discarded.
  virtual void keep(std::shared_ptr<const void> bytes) = 0;
  /// Calls Keyspace::done_reading() when a command of a transaction or script is over. Returns the number of bytes that the
  /// request has computed and staged so far.
  virtual std::uint64_t end_command() = 0;

 protected:
  ~Execution() = default;
};

struct Context {
  Service& service;
  Execution& execution;
  const CommandInfo& info;
  Arguments arguments;
  Keyspace& keys;
  Reply& reply;
  /// Of connection commands alone: they run on the thread of their connection, in the order of its requests.
  Client* client = nullptr;
  /// Of WATCH alone.
  WatchSet* watched = nullptr;
  /// The connection that sent the command; nullptr if there is none.
  const ClientInfo* who = nullptr;
  /// The user whose rights a script has. nullptr: the server has no users, or the connection has not logged in.
  const User* user = nullptr;

  [[nodiscard]] ByteView operator[](std::size_t i) const { return arguments[i]; }
  [[nodiscard]] std::size_t size() const { return arguments.size(); }
};

enum class Where : std::uint8_t {
  kReader,      ///< On a read thread, at what readers see. Behind unanswered saves of its connection: in the writer.
  kWriter,      ///< In the one writer.
  kConnection,  ///< On the thread of its connection; is about the connection itself.
};

enum CommandFlag : std::uint32_t {
  kReads = 1,  // Answers something of what is stored under a key. An answer to a write may, too: INCR, GETSET.
  kWrites = 2,
  kAdmin = 4,   // Of the server, or of all keys.
  kNoAuth = 8,  // Before a client has said who it is.
  kNotInMulti = 16,
  kAllKeys = 32,  // Reads keys that it does not name.
  kFast = 64,
  kSettles = 128,       // Calls Execution::settle().
  kMonitors = 256,      // Tells of the server: the right "monitor" is enough. With kTotals it tells sums over all keys.
  kTotals = 512,        // Refused to users with prefixes.
  kWalks = 1024,        // May look at many keys: runs on the thread for walks, so that other clients do not wait.
  kScripts = 2048,      // Runs a script, or changes which there are.
  kCountedKeys = 4096,  // The second argument says how many of those behind it are keys.
};

struct CommandInfo {
  const char* name;    // In capitals; of a subcommand "CONFIG GET".
  std::int32_t arity;  // Arguments with the name; negative: at least so many.
  Where where;
  std::uint32_t flags;
  std::int16_t first_key;  // 0: it names none.
  std::int16_t last_key;   // Negative: from the end.
  std::int16_t key_step;
  Result<void> (*run)(Context&);
  const char* group;
  const char* since;
  const char* summary;
  const char* syntax;  // Of the arguments; for COMMAND DOCS and the documentation.

  [[nodiscard]] bool takes(std::size_t arguments) const {
    return arity >= 0 ? arguments == static_cast<std::size_t>(arity) : arguments >= static_cast<std::size_t>(-arity);
  }
  /// Calls visit(key) for every key that `arguments` name.
  template <typename Visit>
  void for_each_key(Arguments arguments, Visit visit) const {
    if ((flags & kCountedKeys) != 0) {
      constexpr std::size_t kBefore = 3;
      std::int64_t keys = 0;
      if (arguments.size() <= kBefore || !parse_integer(arguments[kBefore - 1], keys) || keys < 0) return;
      const Arguments all = arguments.subspan(kBefore);
      for (const ByteView key : all.first(std::min(all.size(), static_cast<std::size_t>(keys)))) visit(key);
      return;
    }
    if (first_key == 0) return;
    const auto count = static_cast<std::int64_t>(arguments.size());
    const std::int64_t last = last_key < 0 ? count + last_key : last_key;
    for (std::int64_t i = first_key; i <= last && i < count; i += key_step) visit(arguments[static_cast<std::size_t>(i)]);
  }
};

/// All of them, by name.
std::span<const CommandInfo> string_commands();
std::span<const CommandInfo> key_commands();
std::span<const CommandInfo> connection_commands();
std::span<const CommandInfo> server_commands();
std::span<const CommandInfo> script_commands();
std::span<const CommandInfo> config_commands();
std::span<const CommandInfo> backup_commands();
std::span<const CommandInfo> command_commands();
std::span<const CommandInfo> bit_commands();
std::span<const CommandInfo> object_commands();
std::span<const CommandInfo> timeline_commands();
std::span<const CommandInfo> table_commands();
std::span<const CommandInfo* const> all_commands();

/// The command that `arguments` call, subcommands included; nullptr: there is none, or it takes other arguments, and `error` is
/// the reply.
const CommandInfo* find_command(Arguments arguments, std::string& error);
/// By name, whatever its case; nullptr: there is none. Of one with subcommands the one that stands for all of them.
const CommandInfo* command_named(ByteView name);
/// The name as Redis prints it: small, a subcommand behind '|'.
std::string full_name(const CommandInfo& info);

/// INFO.
Result<void> info(Context& context);
/// HELP of the command whose subcommand is called: made of what the table says of the others.
Result<void> subcommand_help(Context& context);

/// Whether the error is one of the command itself. As in Redis, a transaction or script goes on after it; any other error ends
/// it.
inline bool is_refusal(const Error& error) { return error.code == ErrorCode::kInvalidArgument; }
/// The error as a reply says it, its code first.
std::string error_reply(const Error& error);
/// An error whose message is the whole reply.
std::unexpected<Error> refuse(std::string reply);
inline std::unexpected<Error> refuse_syntax() { return refuse("ERR syntax error"); }
Result<std::int64_t> integer_argument(ByteView text);
/// Parses a 32-bit integer. `invalid` is the error reply if `text` is none; nullptr stands for the usual replies of Redis.
Result<int> int_argument(ByteView text, const char* invalid = nullptr);
/// Refuses a number that no database has.
Result<void> check_database(int number);
/// An answer is copied into memory up to here; values that are sent from where they are mapped do not count.
inline constexpr std::uint64_t kAnswerBytesMax = 512 * kMiB;
std::unexpected<Error> refuse_answer();
/// To be asked while an answer of many parts is made.
Result<void> check_answer(const Context& context);

}  // namespace cairn::server
