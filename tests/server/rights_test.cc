// Which rights each command takes, all of them: a command that is new has to be put here, by what it answers and what it changes.
#include <gtest/gtest.h>

#include <map>

#include "server/users.h"

namespace cairn::server {
namespace {

/// r: read, w: write, a: admin, m: monitor or read, +: any right, -: none; *: refused to users with prefixes.
std::string rights_of(const CommandInfo& info) {
  std::vector<ByteView> arguments(static_cast<std::size_t>(std::abs(info.arity)) + 2, "app:k");
  const auto allows = [&](bool reads, bool writes, bool admin, bool monitors) {
    User user;
    user.reads = reads;
    user.writes = writes;
    user.admin = admin;
    user.monitors = monitors;
    return user.refusal(info, arguments).empty();
  };
  std::string rights;
  if (allows(false, false, false, false)) {
    rights = "-";
  } else if (allows(false, false, false, true)) {
    rights = allows(false, true, false, false) ? "+" : "m";
  } else {
    if (!allows(false, true, true, true)) rights += "r";
    if (!allows(true, false, true, true)) rights += "w";
    if (!allows(true, true, false, true)) rights += "a";
  }
  User limited;
  limited.reads = limited.writes = limited.admin = true;
  limited.prefixes = {"app:"};
  if (!limited.refusal(info, arguments).empty()) rights += "*";
  return rights;
}

const std::map<std::string, std::string> kRights = {
    {"ACL HELP", "+"},
    {"ACL WHOAMI", "+"},
    {"APPEND", "w"},
    {"AUTH", "-"},
    {"BITCOUNT", "r"},
    {"BITFIELD", "rw"},
    {"BITFIELD_RO", "r"},
    {"BITOP", "rw"},
    {"BGSAVE", "a"},
    {"BITPOS", "r"},
    {"CHECKPOINT", "a"},
    {"CLIENT GETNAME", "+"},
    {"CLIENT HELP", "+"},
    {"CLIENT ID", "+"},
    {"CLIENT INFO", "+"},
    {"CLIENT KILL", "a"},
    {"CLIENT LIST", "a"},
    {"CLIENT SETINFO", "+"},
    {"CLIENT SETNAME", "+"},
    {"COMMAND", "+"},
    {"COMMAND COUNT", "+"},
    {"COMMAND DOCS", "+"},
    {"COMMAND GETKEYS", "+"},
    {"COMMAND HELP", "+"},
    {"COMMAND INFO", "+"},
    {"COMMAND LIST", "+"},
    {"CONFIG GET", "a"},
    {"CONFIG HELP", "a"},
    {"CONFIG RESETSTAT", "a"},
    {"CONFIG SET", "a"},
    {"COPY", "rw"},
    {"DBSIZE", "r*"},
    {"DECR", "rw"},
    {"DECRBY", "rw"},
    {"DEL", "w"},
    {"DISCARD", "+"},
    {"DUMP", "r"},
    {"ECHO", "+"},
    {"EVAL", "rw"},
    {"EVALSHA", "rw"},
    {"EVALSHA_RO", "r"},
    {"EVAL_RO", "r"},
    {"EXEC", "+"},
    {"EXISTS", "r"},
    {"EXPIRE", "w"},
    {"EXPIREAT", "w"},
    {"EXPIRETIME", "r"},
    {"FLUSHALL", "wa*"},
    {"FLUSHDB", "wa*"},
    {"GET", "r"},
    {"GETBIT", "r"},
    {"GETDEL", "rw"},
    {"GETEX", "rw"},
    {"GETRANGE", "r"},
    {"GETSET", "rw"},
    {"HELLO", "-"},
    {"INCR", "rw"},
    {"INCRBY", "rw"},
    {"INCRBYFLOAT", "rw"},
    {"INFO", "m"},
    {"KEYS", "r"},
    {"LASTSAVE", "a"},
    {"LCS", "r"},
    {"MEMORY HELP", "r"},
    {"MEMORY USAGE", "r"},
    {"MGET", "r"},
    {"MOVE", "rw"},
    {"MSET", "w"},
    {"MSETNX", "w"},
    {"MULTI", "+"},
    {"OBJECT ENCODING", "r"},
    {"OBJECT FREQ", "r"},
    {"OBJECT HELP", "r"},
    {"OBJECT IDLETIME", "r"},
    {"OBJECT REFCOUNT", "r"},
    {"PERSIST", "w"},
    {"PEXPIRE", "w"},
    {"PEXPIREAT", "w"},
    {"PEXPIRETIME", "r"},
    {"PING", "-"},
    {"PSETEX", "w"},
    {"PTTL", "r"},
    {"QUIT", "-"},
    {"RANDOMKEY", "r*"},
    {"RENAME", "rw"},
    {"RENAMENX", "rw"},
    {"RESET", "-"},
    {"RESTORE", "w"},
    {"ROLE", "+"},
    {"SCAN", "r*"},
    {"SCRIPT EXISTS", "rw"},
    {"SCRIPT FLUSH", "rw*"},
    {"SCRIPT HELP", "+"},
    {"SCRIPT KILL", "rw*"},
    {"SCRIPT LOAD", "rw"},
    {"SELECT", "+"},
    {"SET", "w"},
    {"SETBIT", "rw"},
    {"SETEX", "w"},
    {"SETNX", "w"},
    {"SETRANGE", "w"},
    {"SLOWLOG GET", "a"},
    {"SLOWLOG HELP", "a"},
    {"SLOWLOG LEN", "a"},
    {"SLOWLOG RESET", "a"},
    {"STRLEN", "r"},
    {"SUBSTR", "r"},
    {"SWAPDB", "wa*"},
    {"TABLE.ERASE", "w"},
    {"TABLE.FIND", "r*"},
    {"TABLE.GET", "r"},
    {"TABLE.PUT", "w"},
    {"TABLE.SCAN", "r*"},
    {"TABLE.STATS", "m*"},
    {"TIME", "+"},
    {"TL.CONFIRM", "wa*"},
    {"TL.GETAT", "r"},
    {"TL.HISTORY", "r"},
    {"TL.KEYS", "r"},
    {"TL.ROLLBACK", "wa*"},
    {"TL.STATS", "m*"},
    {"TL.UNDO", "wa*"},
    {"TL.UNWATCH", "r"},
    {"TL.WATCH", "r"},
    {"TOUCH", "r"},
    {"TTL", "r"},
    {"TYPE", "r"},
    {"UNLINK", "w"},
    {"UNWATCH", "+"},
    {"WAIT", "+"},
    {"WATCH", "+"},
};

TEST(Rights, GoByWhatEachCommandAnswersAndChanges) {
  for (const CommandInfo* info : all_commands()) {
    const auto found = kRights.find(info->name);
    ASSERT_NE(found, kRights.end()) << info->name << " is missing here; its rights are now \"" << rights_of(*info) << "\"";
    EXPECT_EQ(rights_of(*info), found->second) << info->name;
  }
  EXPECT_EQ(kRights.size(), all_commands().size());
}

TEST(Rights, SetWithGetTakesTheRightToRead) {
  User writer;
  writer.writes = true;
  const CommandInfo& set = *command_named("SET");
  const std::vector<ByteView> plain = {"SET", "k", "GET"};  // A value.
  const std::vector<ByteView> with_get = {"SET", "k", "v", "EX", "10", "get"};
  EXPECT_TRUE(writer.refusal(set, plain).empty());
  EXPECT_FALSE(writer.refusal(set, with_get).empty());
  writer.reads = true;
  EXPECT_TRUE(writer.refusal(set, with_get).empty());
}

}  // namespace
}  // namespace cairn::server
