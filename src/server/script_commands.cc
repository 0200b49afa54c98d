// EVAL and its relatives. Scripts run in the writer, one after the other, like all saves; SCRIPT KILL alone does not wait for it.
#include "base/error.h"
#include "server/command.h"
#include "server/script_engine.h"
#include "server/service.h"

namespace cairn::server {
namespace {

constexpr std::size_t kBeforeKeys = 3;  // The name, the script, the number of keys.

/// How many keys follow: … numkeys [key …] [arg …]
Result<std::size_t> key_count(const Context& c) {
  CAIRN_TRY(keys, integer_argument(c[2]));
  if (keys < 0) return refuse("ERR Number of keys can't be negative");
  if (static_cast<std::uint64_t>(keys) > c.size() - kBeforeKeys) {
    return refuse("ERR Number of keys can't be greater than number of args");
  }
  return static_cast<std::size_t>(keys);
}

Result<void> run_script(Context& c, ByteView sha1, std::size_t keys, bool read_only) {
  const Arguments all = c.arguments.subspan(kBeforeKeys);
  return c.execution.scripts().run(c,
                                   {.sha1 = sha1, .keys = all.first(keys), .values = all.subspan(keys), .read_only = read_only});
}

Result<void> run_source(Context& c, bool read_only) {
  CAIRN_TRY(keys, key_count(c));
  CAIRN_TRY(sha1, c.execution.scripts().load(c[1]));
  return run_script(c, sha1, keys, read_only);
}

Result<void> run_sha1(Context& c, bool read_only) {
  constexpr std::size_t kDigits = 40;
  if (c[1].size() != kDigits) return refuse(kNoScript);
  CAIRN_TRY(keys, key_count(c));
  return run_script(c, small_letters(c[1]), keys, read_only);
}

Result<void> eval(Context& c) { return run_source(c, false); }
Result<void> eval_ro(Context& c) { return run_source(c, true); }
Result<void> evalsha(Context& c) { return run_sha1(c, false); }
Result<void> evalsha_ro(Context& c) { return run_sha1(c, true); }

Result<void> script_load(Context& c) {
  CAIRN_TRY(sha1, c.execution.scripts().load(c[2]));
  c.reply.bulk(ByteView(sha1));
  return {};
}

Result<void> script_exists(Context& c) {
  c.reply.array(c.size() - 2);
  for (const ByteView sha1 : c.arguments.subspan(2)) {
    c.reply.integer(c.execution.scripts().contains(small_letters(sha1)) ? 1 : 0);
  }
  return {};
}

Result<void> script_flush(Context& c) {
  if (c.size() > 3 || (c.size() == 3 && !same_word(c[2], "ASYNC") && !same_word(c[2], "SYNC"))) {
    return refuse("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
  }
  c.execution.scripts().flush();
  c.reply.ok();
  return {};
}

Result<void> script_kill(Context& c) {
  ScriptControl& scripts = c.service.scripts();
  const std::uint64_t running = scripts.running;
  if (running == 0) return refuse("NOTBUSY No scripts in execution right now.");
  scripts.kill = running;
  c.reply.ok();
  return {};
}

constexpr const char* kGroup = "scripting";
constexpr std::uint32_t kRuns = kReads | kScripts | kCountedKeys;
constexpr std::uint32_t kKeeps = kReads | kWrites | kScripts;
constexpr const char* kOfSource = "script numkeys [key ...] [arg ...]";
constexpr const char* kOfSha1 = "sha1 numkeys [key ...] [arg ...]";

constexpr CommandInfo kCommands[] = {
    {"EVAL", -3, Where::kWriter, kRuns | kWrites, 0, 0, 0, eval, kGroup, "2.6.0", "Execute a Lua script server side", kOfSource},
    {"EVALSHA", -3, Where::kWriter, kRuns | kWrites, 0, 0, 0, evalsha, kGroup, "2.6.0", "Execute a Lua script server side",
     kOfSha1},
    {"EVALSHA_RO", -3, Where::kWriter, kRuns, 0, 0, 0, evalsha_ro, kGroup, "7.0.0", "Execute a read-only Lua script server side",
     kOfSha1},
    {"EVAL_RO", -3, Where::kWriter, kRuns, 0, 0, 0, eval_ro, kGroup, "7.0.0", "Execute a read-only Lua script server side",
     kOfSource},
    {"SCRIPT EXISTS", -3, Where::kWriter, kKeeps, 0, 0, 0, script_exists, kGroup, "2.6.0",
     "Check existence of scripts in the script cache", "sha1 [sha1 ...]"},
    {"SCRIPT FLUSH", -2, Where::kWriter, kKeeps | kAllKeys, 0, 0, 0, script_flush, kGroup, "2.6.0",
     "Remove all the scripts from the script cache", "[ASYNC | SYNC]"},
    {"SCRIPT HELP", 2, Where::kReader, kFast, 0, 0, 0, subcommand_help, kGroup, "5.0.0",
     "Show helpful text about the different subcommands", ""},
    {"SCRIPT KILL", 2, Where::kConnection, kReads | kWrites | kAllKeys, 0, 0, 0, script_kill, kGroup, "2.6.0",
     "Kill the script currently in execution", ""},
    {"SCRIPT LOAD", 3, Where::kWriter, kKeeps, 0, 0, 0, script_load, kGroup, "2.6.0",
     "Load the specified Lua script into the script cache", "script"},
};

}  // namespace

std::span<const CommandInfo> script_commands() { return kCommands; }

}  // namespace cairn::server
