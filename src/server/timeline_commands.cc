// TL.*: what a timeline can do and Redis cannot.
#include "base/error.h"
#include "server/client.h"
#include "server/command.h"
#include "server/times.h"
#include "text/moment.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kLimit = 1000;
constexpr std::int64_t kLimitMax = 1'000'000;

Result<Timeline*> timeline_of(const Context& c) {
  Timeline* const timeline = c.keys.timeline();
  if (timeline == nullptr) return refuse("ERR nothing was ever saved in database " + std::to_string(c.keys.number()));
  return timeline;
}

/// A key, and when it was saved.
void saved(Reply& reply, const SaveList::Entry& entry) {
  reply.array(2);
  reply.bulk(entry.key);
  reply.bulk(ByteView(entry.stamp.to_string()));
}

struct Page {
  std::uint64_t limit = kLimit;
  std::optional<Moment> after;
};
Result<Page> page(const Context& c, std::size_t first) {
  Page page;
  for (std::size_t i = first; i < c.size(); i += 2) {
    if (i + 1 == c.size()) return refuse_syntax();
    if (same_word(c[i], "LIMIT")) {
      CAIRN_TRY(limit, integer_argument(c[i + 1]));
      if (limit < 1 || limit > kLimitMax) return refuse("ERR LIMIT is from 1 to " + std::to_string(kLimitMax));
      page.limit = static_cast<std::uint64_t>(limit);
    } else if (same_word(c[i], "CURSOR")) {
      if (c[i + 1] == "0") continue;
      CAIRN_TRY(after, moment_argument(c[i + 1]));
      page.after = after;
    } else {
      return refuse_syntax();
    }
  }
  return page;
}

/// TL.KEYS prefix from to [LIMIT n] [CURSOR c]. Saves of one stamp are given together: then a cursor is a stamp.
Result<void> tl_keys(Context& c) {
  CAIRN_TRY(from, moment_argument(c[2]));
  CAIRN_TRY(to, moment_argument(c[3]));
  CAIRN_TRY(page_of, page(c, 4));
  CAIRN_TRY_VOID(c.execution.settle());  // Behind saves of this connection: they are to be seen.
  CAIRN_TRY(timeline, timeline_of(c));
  const Moment begin = page_of.after ? Moment(Stamp{page_of.after->last().value + 1}) : from;
  struct Found {
    Bytes key;
    Stamp stamp;
  };
  std::vector<Found> found;
  std::uint64_t bytes = 0;
  std::string cursor = "0";
  SaveList list = timeline->keys(c[1], begin, to);
  for (const auto entry : list) {
    if (found.size() >= page_of.limit && entry.stamp != found.back().stamp) {
      cursor = found.back().stamp.to_string();
      break;
    }
    found.push_back({Bytes(entry.key), entry.stamp});
    bytes += entry.key.size();
    if (bytes > kAnswerBytesMax) return refuse_answer();
  }
  CAIRN_TRY_VOID(list.status());
  c.reply.array(2);
  c.reply.bulk(ByteView(cursor));
  c.reply.array(found.size());
  for (const Found& each : found) saved(c.reply, {.key = each.key, .stamp = each.stamp});
  return {};
}

/// TL.HISTORY key [from to] [LIMIT n]
Result<void> tl_history(Context& c) {
  const bool ranged = c.size() >= 4 && !same_word(c[2], "LIMIT");
  CAIRN_TRY(from, moment_argument(ranged ? c[2] : ByteView("-")));
  CAIRN_TRY(to, moment_argument(ranged ? c[3] : ByteView("+")));
  CAIRN_TRY(page_of, page(c, ranged ? 4 : 2));
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY(timeline, timeline_of(c));
  SaveList list = timeline->history(c[1], from, to, page_of.limit);
  const std::size_t begin = c.reply.begin_array();
  std::uint64_t count = 0;
  for (const auto entry : list) {
    ++count;
    c.reply.array(2);
    c.reply.bulk(ByteView(entry.stamp.to_string()));
    if (entry.erased) {
      c.reply.null();
      continue;
    }
    CAIRN_TRY(data, list.data());
    c.reply.bulk(data);
    CAIRN_TRY_VOID(check_answer(c));
  }
  CAIRN_TRY_VOID(list.status());
  c.reply.end_array(begin, count);
  return {};
}

Result<void> tl_getat(Context& c) {
  CAIRN_TRY(at, moment_argument(c[2]));
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY(timeline, timeline_of(c));
  CAIRN_TRY(value, timeline->get_at(c[1], at));
  c.reply.bulk_or_null(value);
  return {};
}

template <typename Work>
Result<void> change(Context& c, Work work) {
  CAIRN_TRY(timeline, timeline_of(c));
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY_VOID(work(*timeline));
  c.reply.ok();
  return {};
}

/// The reply to TL.ROLLBACK: how many saves the rollback cut off, and until when TL.UNDO brings them back.
std::string rolled_back(const RolledBack& cut) {
  if (!cut.since) return "OK nothing was saved after that time";
  return "OK " + std::string(cut.at_least ? "at least " : "") + std::to_string(cut.saves) +
         (cut.saves == 1 ? " save is cut off, the first of " : " saves are cut off, the first of ") + cut.since->to_string() +
         "; TL.UNDO brings them back until " + format_time(cut.undo_until);
}

/// TL.ROLLBACK time [FORCE]: FORCE also to a moment before the first save.
Result<void> tl_rollback(Context& c) {
  const bool force = c.size() == 3 && same_word(c[2], "FORCE");
  if (c.size() > 3 || (c.size() == 3 && !force)) return refuse_syntax();
  CAIRN_TRY(to, moment_argument(c[1]));
  CAIRN_TRY(timeline, timeline_of(c));
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY(cut, timeline->rollback(to, {.force = force}));
  c.reply.simple(rolled_back(cut));
  return {};
}

Result<void> tl_undo(Context& c) {
  const bool discard = c.size() == 2 && same_word(c[1], "DISCARD");
  if (c.size() > 2 || (c.size() == 2 && !discard)) return refuse_syntax();
  return change(c, [&](Timeline& timeline) { return timeline.undo(discard); });
}

Result<void> tl_confirm(Context& c) {
  return change(c, [](Timeline& timeline) { return timeline.confirm(); });
}

/// TL.WATCH prefix [FROM stamp]: without FROM what comes from now on.
Result<void> tl_watch(Context& c) {
  if (c.size() != 2 && (c.size() != 4 || !same_word(c[2], "FROM"))) return refuse_syntax();
  CAIRN_TRY(timeline, timeline_of(c));
  Moment from(Stamp{timeline->last().value + 1});
  if (c.size() == 4) {
    CAIRN_TRY(given, moment_argument(c[3]));
    from = given;
  }
  std::vector<Following>& following = c.client->following;
  std::erase_if(following, [&](const Following& each) { return each.prefix == c[1]; });
  following.push_back({Bytes(c[1]), c.keys.number(), c.keys.timeline_number(), timeline->watch(c[1], from)});
  c.reply.ok();
  return {};
}

/// TL.UNWATCH [prefix]
Result<void> tl_unwatch(Context& c) {
  if (c.size() > 2) return refuse_syntax();
  const std::size_t ended =
      std::erase_if(c.client->following, [&](const Following& each) { return c.size() == 1 || each.prefix == c[1]; });
  c.reply.integer(static_cast<std::int64_t>(ended));
  return {};
}

Result<void> tl_stats(Context& c) {
  CAIRN_TRY(timeline, timeline_of(c));
  const TimelineStats stats = timeline->stats();
  c.reply.map(12);
  const auto number = [&](const char* name, std::uint64_t value) {
    c.reply.bulk(ByteView(name));
    c.reply.integer(static_cast<std::int64_t>(value));
  };
  c.reply.bulk(ByteView("lines"));
  c.reply.array(stats.lines.size());
  for (const LineStats& line : stats.lines) {
    c.reply.map(5);
    c.reply.bulk(ByteView("name"));
    c.reply.bulk(ByteView(line.name));
    number("blocks", line.blocks);
    number("bytes", line.bytes);
    number("saves", line.saves);
    c.reply.bulk(ByteView("first"));
    c.reply.bulk(ByteView(line.first.to_string()));
  }
  number("timeout_ms", static_cast<std::uint64_t>(stats.timeout.count()));
  number("index_files", stats.index_files);
  number("index_bytes", stats.index_bytes);
  number("index_probes", stats.index_probes);
  number("lookups", stats.lookups);
  number("writes", stats.writes);
  number("written_bytes", stats.written_bytes);
  number("syncs", stats.syncs);
  number("memory_bytes", stats.memory_bytes);
  number("rollbacks", stats.rollbacks.size());
  c.reply.bulk(ByteView("write_state"));
  c.reply.bulk(ByteView(stats.write_state.empty() ? "ok" : stats.write_state));
  return {};
}

constexpr const char* kGroup = "timeline";
constexpr std::uint32_t kFollows = kReads | kNotInMulti;
constexpr std::uint32_t kChanges = kWrites | kAdmin | kAllKeys | kNotInMulti;

constexpr CommandInfo kCommands[] = {
    {"TL.CONFIRM", 1, Where::kWriter, kChanges, 0, 0, 0, tl_confirm, kGroup, "0.1.0", "Give up what rollbacks have cut off", ""},
    {"TL.GETAT", 3, Where::kReader, kReads | kSettles, 1, 1, 1, tl_getat, kGroup, "0.1.0", "Get the value a key had at a time",
     "key time"},
    {"TL.HISTORY", -2, Where::kReader, kReads | kSettles | kWalks, 1, 1, 1, tl_history, kGroup, "0.1.0",
     "Get all saves of a key, oldest first", "key [from to] [LIMIT n]"},
    {"TL.KEYS", -4, Where::kReader, kReads | kSettles | kWalks, 1, 1, 1, tl_keys, kGroup, "0.1.0",
     "Get the keys under a prefix with their last save in [from, to), in the order of time",
     "prefix from to [LIMIT n] [CURSOR c]"},
    {"TL.ROLLBACK", -2, Where::kWriter, kChanges, 0, 0, 0, tl_rollback, kGroup, "0.1.0",
     "Take the database back to what it was at a time", "time [FORCE]"},
    {"TL.STATS", 1, Where::kReader, kMonitors | kTotals | kWalks, 0, 0, 0, tl_stats, kGroup, "0.1.0",
     "Get what the timeline of the database holds and does", ""},
    {"TL.UNDO", -1, Where::kWriter, kChanges, 0, 0, 0, tl_undo, kGroup, "0.1.0", "Take back the last rollback", "[DISCARD]"},
    {"TL.UNWATCH", -1, Where::kConnection, kFollows, 0, 0, 0, tl_unwatch, kGroup, "0.1.0", "Follow a prefix no more, or none",
     "[prefix]"},
    {"TL.WATCH", -2, Where::kConnection, kFollows, 1, 1, 1, tl_watch, kGroup, "0.1.0",
     "Be sent the saves under a prefix as they are made, from a time on", "prefix [FROM time]"},
};

}  // namespace

std::span<const CommandInfo> timeline_commands() { return kCommands; }

}  // namespace cairn::server
