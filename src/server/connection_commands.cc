// The connection itself: greetings, names, transactions, and who else is there.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "server/client.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

Result<void> ping(Context& c) {
  if (c.size() > 2) return refuse("ERR wrong number of arguments for 'ping' command");
  c.size() == 2 ? c.reply.bulk(c[1]) : c.reply.simple("PONG");
  return {};
}

Result<void> echo(Context& c) {
  c.reply.bulk(c[1]);
  return {};
}

Result<void> quit(Context& c) {
  c.client->closing = true;
  c.reply.ok();
  return {};
}

Result<void> reset(Context& c) {
  Client& client = *c.client;
  client.drop_transaction();
  client.following.clear();
  client.database = 0;
  client.info->database = 0;
  client.resp3 = false;
  client.info->resp3 = false;
  client.info->set_name({});
  client.user.reset();
  client.info->hides_totals = false;
  client.info->set_user("default");
  c.reply.simple("RESET");
  return {};
}

Result<void> select(Context& c) {
  CAIRN_TRY(number, int_argument(c[1]));
  CAIRN_TRY_VOID(check_database(number));
  c.client->database = number;
  c.client->info->database = c.client->database;
  c.reply.ok();
  return {};
}

Result<void> check_name(ByteView name) {
  if (std::ranges::all_of(name, [](char byte) { return byte >= '!' && byte <= '~'; })) return {};
  return refuse("ERR Client names cannot contain spaces, newlines or special characters.");
}

Result<void> hello(Context& c) {
  Client& client = *c.client;
  std::int64_t version = client.resp3 ? 3 : 2;
  if (c.size() > 1) {
    if (!parse_integer(c[1], version)) return refuse("ERR Protocol version is not an integer or out of range");
    if (version < 2 || version > 3) return refuse("NOPROTO unsupported protocol version");
  }
  std::optional<ByteView> name;
  for (std::size_t i = 2; i < c.size(); ++i) {
    if (same_word(c[i], "AUTH") && i + 2 < c.size()) {
      i += 2;  // That was seen to.
    } else if (same_word(c[i], "SETNAME") && i + 1 < c.size()) {
      name = c[++i];
      CAIRN_TRY_VOID(check_name(*name));
    } else {
      return refuse("ERR Syntax error in HELLO option '" + std::string(c[i]) + "'");
    }
  }
  if (name) client.info->set_name(*name);
  client.resp3 = version == 3;
  client.info->resp3 = client.resp3;
  Reply reply(c.reply.output(), client.resp3);
  reply.map(7);
  const auto pair = [&](ByteView key, ByteView value) {
    reply.bulk(key);
    reply.bulk(value);
  };
  pair("server", "redis");
  pair("version", "7.0.15");
  reply.bulk(ByteView("proto"));
  reply.integer(version);
  reply.bulk(ByteView("id"));
  reply.integer(static_cast<std::int64_t>(client.info->id));
  pair("mode", "standalone");
  pair("role", "master");
  reply.bulk(ByteView("modules"));
  reply.array(0);
  return {};
}

/// Runs once the password was found to be right.
Result<void> auth(Context& c) {
  c.reply.ok();
  return {};
}

Result<void> acl_whoami(Context& c) {
  c.reply.bulk(ByteView(c.client->user ? c.client->user->name : "default"));
  return {};
}

Result<void> client_id(Context& c) {
  c.reply.integer(static_cast<std::int64_t>(c.client->info->id));
  return {};
}

Result<void> client_getname(Context& c) {
  const std::string name = c.client->info->name();
  name.empty() ? c.reply.null() : c.reply.bulk(ByteView(name));
  return {};
}

Result<void> client_setname(Context& c) {
  CAIRN_TRY_VOID(check_name(c[2]));
  c.client->info->set_name(c[2]);
  c.reply.ok();
  return {};
}

/// Libraries say what they are; nothing here depends on it.
Result<void> client_setinfo(Context& c) {
  if (!same_word(c[2], "LIB-NAME") && !same_word(c[2], "LIB-VER")) {
    return refuse("ERR Unrecognized option '" + std::string(c[2]) + "'");
  }
  c.reply.ok();
  return {};
}

Result<void> client_info(Context& c) {
  c.reply.verbatim(c.client->info->describe(c.service.boot_ms()) + "\n");
  return {};
}

bool is_client_type(ByteView name) {
  return std::ranges::any_of(std::array{"normal", "master", "replica", "slave", "pubsub"},
                             [&](const char* type) { return same_word(name, type); });
}

/// CLIENT LIST [TYPE t] [ID id ...]
Result<void> client_list(Context& c) {
  std::vector<std::int64_t> ids;
  bool none = false;
  if (c.size() == 4 && same_word(c[2], "TYPE")) {
    if (!is_client_type(c[3])) return refuse("ERR Unknown client type '" + std::string(c[3]) + "'");
    none = !same_word(c[3], "normal");
  } else if (c.size() > 3 && same_word(c[2], "ID")) {
    for (const ByteView text : c.arguments.subspan(3)) {
      std::int64_t id = 0;
      if (!parse_integer(text, id) || id < 1) return refuse("ERR Invalid client ID");
      ids.push_back(id);
    }
  } else if (c.size() != 2) {
    return refuse_syntax();
  }
  std::string lines;
  for (const auto& client : c.service.clients()) {
    if (none || (!ids.empty() && std::ranges::find(ids, static_cast<std::int64_t>(client->id)) == ids.end())) continue;
    lines += client->describe(c.service.boot_ms()) + "\n";
  }
  c.reply.verbatim(lines);
  return {};
}

struct KillFilter {
  std::optional<std::int64_t> id;
  std::optional<ByteView> user;
  std::optional<ByteView> address;
  std::optional<ByteView> local_address;
  bool other_type = false;
  bool skip_me = true;

  [[nodiscard]] bool takes(const ClientInfo& client, const ClientInfo& me) const {
    if (other_type || (skip_me && client.id == me.id)) return false;
    if (id && static_cast<std::int64_t>(client.id) != *id) return false;
    if (address && client.address != *address) return false;
    if (user && client.user() != *user) return false;
    return !local_address || client.local_address == *local_address;
  }
};

Result<KillFilter> kill_filter(const Context& c) {
  KillFilter filter;
  for (std::size_t i = 2; i < c.size(); i += 2) {
    if (i + 1 == c.size()) return refuse_syntax();
    const ByteView value = c[i + 1];
    if (same_word(c[i], "ID")) {
      std::int64_t id = 0;
      if (!parse_integer(value, id) || id < 1) return refuse("ERR client-id should be greater than 0");
      filter.id = id;
    } else if (same_word(c[i], "ADDR")) {
      filter.address = value;
    } else if (same_word(c[i], "LADDR")) {
      filter.local_address = value;
    } else if (same_word(c[i], "TYPE")) {
      if (!is_client_type(value)) return refuse("ERR Unknown client type '" + std::string(value) + "'");
      filter.other_type = !same_word(value, "normal");
    } else if (same_word(c[i], "USER")) {
      const auto users = c.service.users();
      if (users ? !users->find(value) : value != "default") return refuse("ERR No such user '" + std::string(value) + "'");
      filter.user = value;
    } else if (same_word(c[i], "SKIPME") && (same_word(value, "yes") || same_word(value, "no"))) {
      filter.skip_me = same_word(value, "yes");
    } else {
      return refuse_syntax();
    }
  }
  return filter;
}

Result<void> client_kill(Context& c) {
  KillFilter filter;
  const bool by_address = c.size() == 3;
  if (by_address) {
    filter.address = c[2];
    filter.skip_me = false;
  } else {
    CAIRN_TRY(given, kill_filter(c));
    filter = given;
  }
  std::int64_t killed = 0;
  for (const auto& client : c.service.clients()) {
    if (!filter.takes(*client, *c.client->info)) continue;
    ++killed;
    if (client->id == c.client->info->id) {
      c.client->closing = true;
    } else {
      client->kill();
    }
  }
  if (!by_address) {
    c.reply.integer(killed);
  } else if (killed == 0) {
    return refuse("ERR No such client");
  } else {
    c.reply.ok();
  }
  return {};
}

Result<void> multi(Context& c) {
  if (c.client->transaction) return refuse("ERR MULTI calls can not be nested");
  c.client->transaction = std::make_unique<Requests>();
  c.client->database_before = c.client->database;
  c.client->info->queued = 0;
  c.reply.ok();
  return {};
}

Result<void> discard(Context& c) {
  if (!c.client->transaction) return refuse("ERR DISCARD without MULTI");
  c.client->drop_transaction();
  c.reply.ok();
  return {};
}

Result<void> unwatch(Context& c) {
  c.client->watched.reset();
  c.reply.ok();
  return {};
}

Result<void> watch(Context& c) {
  constexpr std::size_t kMost = 4096;
  if (c.watched->size() + c.size() - 1 > kMost) return refuse("ERR at most 4096 keys are watched at a time");
  for (const ByteView key : c.arguments.subspan(1)) {
    const auto same = [&](const Watched& each) { return each.database == c.keys.number() && each.key == key; };
    if (std::ranges::any_of(*c.watched, same)) continue;
    CAIRN_TRY(changed, c.keys.changed(key));
    CAIRN_TRY(there, c.keys.contains(key));
    c.watched->push_back({c.keys.number(), c.keys.timeline_number(), Bytes(key), changed, there});
  }
  c.reply.ok();
  return {};
}

constexpr std::uint32_t kAlways = kNoAuth | kFast;
constexpr const char* kGroup = "connection";

constexpr CommandInfo kCommands[] = {
    {"ACL HELP", 2, Where::kConnection, kFast, 0, 0, 0, subcommand_help, kGroup, "6.0.0",
     "Show helpful text about the different subcommands", ""},
    {"ACL WHOAMI", 2, Where::kConnection, kFast, 0, 0, 0, acl_whoami, kGroup, "6.0.0", "Return the name of the user", ""},
    {"AUTH", -2, Where::kConnection, kAlways | kNotInMulti, 0, 0, 0, auth, kGroup, "1.0.0", "Authenticate to the server",
     "[username] password"},
    {"CLIENT GETNAME", 2, Where::kConnection, kFast, 0, 0, 0, client_getname, kGroup, "2.6.9", "Get the current connection name",
     ""},
    {"CLIENT HELP", 2, Where::kConnection, kFast, 0, 0, 0, subcommand_help, kGroup, "5.0.0",
     "Show helpful text about the different subcommands", ""},
    {"CLIENT ID", 2, Where::kConnection, kFast, 0, 0, 0, client_id, kGroup, "5.0.0",
     "Returns the client ID for the current connection", ""},
    {"CLIENT INFO", 2, Where::kConnection, kFast, 0, 0, 0, client_info, kGroup, "6.2.0",
     "Returns information about the current client connection", ""},
    {"CLIENT KILL", -3, Where::kConnection, kAdmin, 0, 0, 0, client_kill, kGroup, "2.4.0", "Kill the connection of a client",
     "ip:port | [ID client-id] [TYPE type] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME yes/no]"},
    {"CLIENT LIST", -2, Where::kConnection, kAdmin, 0, 0, 0, client_list, kGroup, "2.4.0", "Get the list of client connections",
     "[TYPE type] [ID client-id [client-id ...]]"},
    {"CLIENT SETINFO", 4, Where::kConnection, kFast, 0, 0, 0, client_setinfo, kGroup, "7.2.0",
     "Set information about the client's library", "LIB-NAME libname | LIB-VER libver"},
    {"CLIENT SETNAME", 3, Where::kConnection, kFast, 0, 0, 0, client_setname, kGroup, "2.6.9", "Set the current connection name",
     "connection-name"},
    {"DISCARD", 1, Where::kConnection, kNotInMulti | kFast, 0, 0, 0, discard, "transactions", "2.0.0",
     "Discard all commands issued after MULTI", ""},
    {"ECHO", 2, Where::kReader, kFast, 0, 0, 0, echo, kGroup, "1.0.0", "Echo the given string", "message"},
    {"EXEC", 1, Where::kConnection, kNotInMulti, 0, 0, 0, nullptr, "transactions", "1.2.0",
     "Execute all commands issued after MULTI", ""},
    {"HELLO", -1, Where::kConnection, kAlways, 0, 0, 0, hello, kGroup, "6.0.0", "Handshake with the server",
     "[protover [AUTH username password] [SETNAME clientname]]"},
    {"MULTI", 1, Where::kConnection, kNotInMulti | kFast, 0, 0, 0, multi, "transactions", "1.2.0",
     "Mark the start of a transaction block", ""},
    {"PING", -1, Where::kReader, kFast, 0, 0, 0, ping, kGroup, "1.0.0", "Ping the server", "[message]"},
    {"QUIT", -1, Where::kConnection, kAlways | kNotInMulti, 0, 0, 0, quit, kGroup, "1.0.0", "Close the connection", ""},
    {"RESET", 1, Where::kConnection, kAlways | kNotInMulti, 0, 0, 0, reset, kGroup, "6.2.0", "Reset the connection", ""},
    {"SELECT", 2, Where::kConnection, kFast, 0, 0, 0, select, kGroup, "1.0.0",
     "Change the selected database for the current connection", "index"},
    {"UNWATCH", 1, Where::kConnection, kFast, 0, 0, 0, unwatch, "transactions", "2.2.0", "Forget about all watched keys", ""},
    {"WATCH", -2, Where::kReader, kFast | kNotInMulti, 1, -1, 1, watch, "transactions", "2.2.0",
     "Watch the given keys to determine execution of the MULTI/EXEC block", "key [key ...]"},
};

}  // namespace

std::span<const CommandInfo> connection_commands() { return kCommands; }

}  // namespace cairn::server
