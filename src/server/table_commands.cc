// TABLE.*: the tables of the same directory. Their saves run in the writer, each durable before the next command; what they do is
// no part of a transaction.
#include "base/error.h"
#include "server/command.h"
#include "server/service.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kLimit = 1000;
constexpr std::int64_t kLimitMax = 1'000'000;

Result<Table> table_of(const Context& c, bool create = false) {
  TableOptions options;
  options.create_if_missing = create;
  if ((c.info.flags & kWrites) != 0 && c[1] == Databases::kOrderTable) {
    return refuse("ERR table '" + Bytes(c[1]) + "' belongs to the server: SWAPDB alone changes it");
  }
  return c.service.databases().database().table(Bytes(c[1]), options);
}

WriteOptions write_options(const Context& c) { return {.durability = c.service.config().durability, .account = {}}; }

Result<void> put(Context& c) {
  CAIRN_TRY(table, table_of(c, true));
  CAIRN_TRY_VOID(table.put(c[2], c[3], write_options(c)));
  c.reply.ok();
  return {};
}

Result<void> get(Context& c) {
  CAIRN_TRY(table, table_of(c));
  CAIRN_TRY(value, table.get(c[2]));
  c.reply.bulk_or_null(value);
  return {};
}

Result<void> erase(Context& c) {
  CAIRN_TRY(table, table_of(c));
  CAIRN_TRY(value, table.get(c[2]));
  if (value) CAIRN_TRY_VOID(table.erase(c[2], write_options(c)));
  c.reply.integer(value ? 1 : 0);
  return {};
}

Result<void> give(Context& c, Scan scan, std::uint64_t limit) {
  const std::size_t begin = c.reply.begin_array();
  std::uint64_t count = 0;
  for (const auto entry : scan) {
    c.reply.array(2);
    c.reply.bulk(entry.key);
    c.reply.bulk(entry.value);
    CAIRN_TRY_VOID(check_answer(c));
    if (++count == limit) break;
  }
  CAIRN_TRY_VOID(scan.status());
  c.reply.end_array(begin, count);
  return {};
}

Result<std::uint64_t> limit_argument(ByteView text) {
  CAIRN_TRY(limit, integer_argument(text));
  if (limit < 1 || limit > kLimitMax) return refuse("ERR LIMIT is from 1 to " + std::to_string(kLimitMax));
  return static_cast<std::uint64_t>(limit);
}

/// TABLE.SCAN table [FROM key] [TO key] [PREFIX prefix] [REVERSE] [LIMIT n]
Result<void> scan(Context& c) {
  Range range = everything();
  Direction direction = Direction::kForward;
  std::uint64_t limit = kLimit;
  for (std::size_t i = 2; i < c.size(); ++i) {
    if (same_word(c[i], "REVERSE")) {
      direction = Direction::kReverse;
      continue;
    }
    if (i + 1 == c.size()) return refuse_syntax();
    if (same_word(c[i], "FROM")) {
      range.from = Bytes(c[++i]);
    } else if (same_word(c[i], "TO")) {
      range.to = Bytes(c[++i]);
    } else if (same_word(c[i], "PREFIX")) {
      range = prefix(c[++i]);
    } else if (same_word(c[i], "LIMIT")) {
      CAIRN_TRY(given, limit_argument(c[++i]));
      limit = given;
    } else {
      return refuse_syntax();
    }
  }
  CAIRN_TRY(table, table_of(c));
  return give(c, table.scan(range, direction, limit), limit);
}

/// TABLE.FIND table index term [LIMIT n]
Result<void> find(Context& c) {
  std::uint64_t limit = kLimit;
  if (c.size() != 4) {
    if (c.size() != 6 || !same_word(c[4], "LIMIT")) return refuse_syntax();
    CAIRN_TRY(given, limit_argument(c[5]));
    limit = given;
  }
  CAIRN_TRY(table, table_of(c));
  return give(c, table.find(Bytes(c[2]), c[3]), limit);
}

Result<void> stats(Context& c) {
  CAIRN_TRY(table, table_of(c));
  const TableStats stats = table.stats();
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  for (const LayerStats& layer : stats.layers) {
    bytes += layer.bytes;
    records += layer.records;
  }
  c.reply.map(9);
  const auto number = [&](const char* name, std::uint64_t value) {
    c.reply.bulk(ByteView(name));
    c.reply.integer(static_cast<std::int64_t>(value));
  };
  number("layers", stats.layers.size());
  number("bytes", bytes);
  number("records", records);
  number("writes", stats.writes);
  number("written_bytes", stats.written_bytes);
  number("syncs", stats.syncs);
  number("flushes", stats.flushes);
  number("compactions", stats.compactions);
  number("memory_bytes", stats.memory_bytes);
  return {};
}

constexpr const char* kGroup = "table";

constexpr CommandInfo kCommands[] = {
    {"TABLE.ERASE", 3, Where::kWriter, kWrites | kNotInMulti, 2, 2, 1, erase, kGroup, "0.1.0", "Erase a key of a table",
     "table key"},
    {"TABLE.FIND", -4, Where::kReader, kReads | kAllKeys | kWalks, 0, 0, 0, find, kGroup, "0.1.0",
     "Get the entries of a table with a term in an index", "table index term [LIMIT n]"},
    {"TABLE.GET", 3, Where::kReader, kReads, 2, 2, 1, get, kGroup, "0.1.0", "Get the value of a key of a table", "table key"},
    {"TABLE.PUT", 4, Where::kWriter, kWrites | kNotInMulti, 2, 2, 1, put, kGroup, "0.1.0",
     "Set the value of a key of a table, which is made if there is none", "table key value"},
    {"TABLE.SCAN", -2, Where::kReader, kReads | kAllKeys | kWalks, 0, 0, 0, scan, kGroup, "0.1.0",
     "Get the entries of a table in the order of keys", "table [FROM key] [TO key] [PREFIX prefix] [REVERSE] [LIMIT n]"},
    {"TABLE.STATS", 2, Where::kReader, kMonitors | kTotals, 0, 0, 0, stats, kGroup, "0.1.0", "Get what a table holds and does",
     "table"},
};

}  // namespace

std::span<const CommandInfo> table_commands() { return kCommands; }

}  // namespace cairn::server
