// The server itself: its time, what took long, what it is to others.
#include <chrono>

#include "base/error.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

Result<void> time_now(Context& c) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  c.reply.array(2);
  c.reply.bulk(ByteView(std::to_string(us / 1'000'000)));
  c.reply.bulk(ByteView(std::to_string(us % 1'000'000)));
  return {};
}

/// SLOWLOG GET [count]
Result<void> slowlog_get(Context& c) {
  std::int64_t count = 10;
  if (c.size() > 3) {
    return refuse("ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.");
  }
  if (c.size() == 3 && (!parse_integer(c[2], count) || count < -1)) {
    return refuse("ERR count should be greater than or equal to -1");
  }
  const std::vector<SlowLog::Entry> entries = c.service.slow_log().newest(count);
  c.reply.array(entries.size());
  for (const SlowLog::Entry& entry : entries) {
    c.reply.array(6);
    c.reply.integer(entry.id);
    c.reply.integer(entry.unix_s);
    c.reply.integer(entry.took_us);
    c.reply.array(entry.arguments.size());
    for (const std::string& argument : entry.arguments) c.reply.bulk(ByteView(argument));
    c.reply.bulk(ByteView(entry.address));
    c.reply.bulk(ByteView(entry.client_name));
  }
  return {};
}

Result<void> slowlog_len(Context& c) {
  c.reply.integer(static_cast<std::int64_t>(c.service.slow_log().size()));
  return {};
}

Result<void> slowlog_reset(Context& c) {
  c.service.slow_log().clear();
  c.reply.ok();
  return {};
}

Result<void> role(Context& c) {
  c.reply.array(3);
  c.reply.bulk(ByteView("master"));
  c.reply.integer(0);
  c.reply.array(0);
  return {};
}

/// WAIT numreplicas timeout: there are no replicas, so that nothing can be waited for.
Result<void> wait_for_replicas(Context& c) {
  CAIRN_TRY_VOID(integer_argument(c[1]));
  std::int64_t ms = 0;
  if (!parse_integer(c[2], ms)) return refuse("ERR timeout is not an integer or out of range");
  if (ms < 0) return refuse("ERR timeout is negative");
  c.reply.integer(0);
  return {};
}

constexpr const char* kGroup = "server";

constexpr CommandInfo kCommands[] = {
    {"INFO", -1, Where::kReader, kMonitors | kWalks, 0, 0, 0, info, kGroup, "1.0.0",
     "Get information and statistics about the server", "[section [section ...]]"},
    {"ROLE", 1, Where::kReader, kFast, 0, 0, 0, role, kGroup, "2.8.12", "Return the role of the server in replication", ""},
    {"SLOWLOG GET", -2, Where::kReader, kAdmin, 0, 0, 0, slowlog_get, kGroup, "2.2.12", "Get the entries of the slow log",
     "[count]"},
    {"SLOWLOG HELP", 2, Where::kReader, kAdmin, 0, 0, 0, subcommand_help, kGroup, "6.2.0",
     "Show helpful text about the different subcommands", ""},
    {"SLOWLOG LEN", 2, Where::kReader, kAdmin, 0, 0, 0, slowlog_len, kGroup, "2.2.12", "Get the length of the slow log", ""},
    {"SLOWLOG RESET", 2, Where::kReader, kAdmin, 0, 0, 0, slowlog_reset, kGroup, "2.2.12", "Clear all entries from the slow log",
     ""},
    {"TIME", 1, Where::kReader, kFast, 0, 0, 0, time_now, kGroup, "2.6.0", "Return the current server time", ""},
    {"WAIT", 3, Where::kReader, 0, 0, 0, 0, wait_for_replicas, kGroup, "3.0.0",
     "Return the number of replicas that have acknowledged the writes: always 0", "numreplicas timeout"},
};

}  // namespace

std::span<const CommandInfo> server_commands() { return kCommands; }

}  // namespace cairn::server
