// One function for each call. Invariant: a call opens no view that `sees` leaves out, and changes no data.
#include "database/owner_calls.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace cairn::database {
namespace {

/// What every call is given.
struct Asked {
  Database& database;
  const std::string& directory;
  const Request& request;
  const Emit& emit;
  const Progress& progress;
  const ViewFilter& sees;

  /// kUnavailable: the view is there, and not seen.
  [[nodiscard]] Result<void> check_seen(const char* kind, const std::string& name, const std::vector<std::string>& names) const {
    if (is_seen(kind, name) || std::ranges::find(names, name) == names.end()) return {};
    return fail(ErrorCode::kUnavailable,
                "'" + name + "' has not been used by the process that owns " + directory + " since it started: ask that process");
  }
  [[nodiscard]] bool is_seen(const char* kind, const std::string& name) const { return !sees || sees(kind, name); }
  [[nodiscard]] Result<void> row(std::initializer_list<ByteView> parts) const {
    return emit(std::span(parts.begin(), parts.size()));
  }
};

Result<Table> table_of(const Asked& asked) {
  CAIRN_TRY_VOID(asked.check_seen("table", asked.request.view, asked.database.tables()));
  const Result<Table> table = asked.database.table(asked.request.view, {.create_if_missing = false});
  if (!table) return naming_others(table.error(), "tables in " + asked.directory, asked.database.tables());
  const Result<Table> family = table->family(asked.request.family, {.create_if_missing = false});
  if (!family) return naming_others(family.error(), "its families", table->families());
  return *family;
}

Result<Timeline> timeline_of(const Asked& asked) {
  CAIRN_TRY_VOID(asked.check_seen("timeline", asked.request.view, asked.database.timelines()));
  const Result<Timeline> timeline = asked.database.timeline(asked.request.view, {.create_if_missing = false});
  if (!timeline) return naming_others(timeline.error(), "timelines in " + asked.directory, asked.database.timelines());
  return *timeline;
}

Result<ForkStore> forks_of(const Asked& asked) {
  CAIRN_TRY_VOID(asked.check_seen("forks", asked.request.view, asked.database.fork_stores()));
  const Result<ForkStore> store = asked.database.forks(asked.request.view, {.create_if_missing = false});
  if (!store) return naming_others(store.error(), "fork stores in " + asked.directory, asked.database.fork_stores());
  return *store;
}

Result<void> list(const Asked& asked) {
  Database& database = asked.database;
  for (const std::string& name : database.tables()) {
    if (!asked.is_seen("table", name)) {
      CAIRN_TRY_VOID(asked.row({"table", name, "", ""}));
      continue;
    }
    CAIRN_TRY(table, database.table(name, {.create_if_missing = false}));
    CAIRN_TRY_VOID(asked.row({"table", name, encode_message(table.stats()), ""}));
  }
  for (const std::string& name : database.timelines()) {
    if (!asked.is_seen("timeline", name)) {
      CAIRN_TRY_VOID(asked.row({"timeline", name, "", ""}));
      continue;
    }
    CAIRN_TRY(timeline, database.timeline(name, {.create_if_missing = false}));
    CAIRN_TRY_VOID(asked.row({"timeline", name, encode_message(timeline.stats()), encode_message(timeline.last())}));
  }
  for (const std::string& name : database.fork_stores()) {
    if (!asked.is_seen("forks", name)) {
      CAIRN_TRY_VOID(asked.row({"forks", name, "", ""}));
      continue;
    }
    CAIRN_TRY(store, database.forks(name, {.create_if_missing = false}));
    CAIRN_TRY_VOID(asked.row({"forks", name, encode_message(store.stats()), ""}));
  }
  return {};
}

Result<void> table_stats(const Asked& asked) {
  CAIRN_TRY(table, table_of(asked));
  return asked.row({encode_message(table.stats())});
}

Result<void> timeline_stats(const Asked& asked) {
  CAIRN_TRY(timeline, timeline_of(asked));
  return asked.row({encode_message(timeline.stats())});
}

Result<void> forks_stats(const Asked& asked) {
  CAIRN_TRY(store, forks_of(asked));
  return asked.row({encode_message(store.stats())});
}

Result<void> table_get(const Asked& asked) {
  CAIRN_TRY(table, table_of(asked));
  CAIRN_TRY(value, table.get(asked.request.key));
  if (!value) return {};
  CAIRN_TRY_VOID(asked.row({*value}));
  return value->status();
}

/// `key` is a prefix here.
Result<void> table_scan(const Asked& asked) {
  CAIRN_TRY(table, table_of(asked));
  const Request& request = asked.request;
  Range range = prefix(request.key);
  if (request.from_key > range.from) range.from = request.from_key;
  if (!request.to_key.empty() && (range.to.empty() || request.to_key < range.to)) range.to = request.to_key;
  Scan entries = table.scan(range, request.reverse ? Direction::kReverse : Direction::kForward, request.limit);
  for (const auto entry : entries) CAIRN_TRY_VOID(asked.row({entry.key, entry.value}));
  return entries.status();
}

Result<void> timeline_get(const Asked& asked) {
  CAIRN_TRY(timeline, timeline_of(asked));
  const Request& request = asked.request;
  CAIRN_TRY(value, request.at ? timeline.get_at(request.key, *request.at) : timeline.get(request.key));
  if (!value) return {};
  CAIRN_TRY_VOID(asked.row({*value}));
  return value->status();
}

Result<void> timeline_keys(const Asked& asked) {
  CAIRN_TRY(timeline, timeline_of(asked));
  const Request& request = asked.request;
  SaveList saves = timeline.keys(request.key, request.from, request.to, request.limit);
  for (const auto entry : saves) CAIRN_TRY_VOID(asked.row({entry.key, encode_message(entry.stamp)}));
  return saves.status();
}

Result<void> timeline_history(const Asked& asked) {
  CAIRN_TRY(timeline, timeline_of(asked));
  const Request& request = asked.request;
  SaveList saves = timeline.history(request.key, request.from, request.to, request.limit);
  for (const auto entry : saves) {
    Pinned data;
    if (!entry.erased) {
      CAIRN_TRY(saved, saves.data());
      data = saved;
    }
    CAIRN_TRY_VOID(asked.row({entry.key, encode_message(entry.stamp), entry.erased ? "1" : "0", data}));
  }
  return saves.status();
}

Result<void> timeline_watch(const Asked& asked) {
  CAIRN_TRY(timeline, timeline_of(asked));
  const Request& request = asked.request;
  Watch watch = timeline.watch(request.key, request.from);
  for (std::uint64_t count = 0; request.limit == 0 || count < request.limit;) {
    CAIRN_TRY(event, watch.next(std::chrono::seconds(1)));
    if (asked.progress && !asked.progress(0, 0)) return fail(ErrorCode::kUnavailable, "cancelled");
    if (!event) continue;
    ++count;
    CAIRN_TRY_VOID(asked.row({encode_message(event->kind), event->key, encode_message(event->stamp), event->data}));
  }
  return {};
}

/// Verifying opens every view.
Result<void> verify(const Asked& asked) {
  const auto check_all = [&](const char* kind, const std::vector<std::string>& names) -> Result<void> {
    for (const std::string& name : names) CAIRN_TRY_VOID(asked.check_seen(kind, name, names));
    return {};
  };
  CAIRN_TRY_VOID(check_all("table", asked.database.tables()));
  CAIRN_TRY_VOID(check_all("timeline", asked.database.timelines()));
  CAIRN_TRY_VOID(check_all("forks", asked.database.fork_stores()));
  CAIRN_TRY(report, asked.database.verify(asked.progress));
  return asked.row({encode_message(report)});
}

Result<void> checkpoint(const Asked& asked) {
  const Request& request = asked.request;
  if (request.base.empty()) return asked.database.checkpoint(request.target, asked.progress);
  return asked.database.incremental_checkpoint(request.base, request.target, asked.progress);
}

}  // namespace

std::size_t parts_of(Request::Call call) {
  switch (call) {
    case Request::Call::kList:
    case Request::Call::kTimelineHistory:
    case Request::Call::kTimelineWatch: return 4;
    case Request::Call::kTableScan:
    case Request::Call::kTimelineKeys: return 2;
    default: return 1;
  }
}

std::unexpected<Error> naming_others(Error failed, const std::string& kinds, const std::vector<std::string>& names) {
  if (failed.code != ErrorCode::kNotFound) return std::unexpected(std::move(failed));
  constexpr std::size_t kNamedMost = 8;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kNamedMost); ++i) list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kNamedMost) list += " and " + std::to_string(names.size() - kNamedMost) + " more";
  failed.message += "; " + kinds + ": " + (names.empty() ? "none" : list);
  return std::unexpected(std::move(failed));
}

Result<void> run_call(Database& database, const std::string& directory, const Request& request, const Emit& emit,
                      const Progress& progress, const ViewFilter& sees) {
  const Asked asked{
      .database = database, .directory = directory, .request = request, .emit = emit, .progress = progress, .sees = sees};
  switch (request.call) {
    case Request::Call::kList: return list(asked);
    case Request::Call::kTableStats: return table_stats(asked);
    case Request::Call::kTimelineStats: return timeline_stats(asked);
    case Request::Call::kForksStats: return forks_stats(asked);
    case Request::Call::kTableGet: return table_get(asked);
    case Request::Call::kTableScan: return table_scan(asked);
    case Request::Call::kTimelineGet: return timeline_get(asked);
    case Request::Call::kTimelineKeys: return timeline_keys(asked);
    case Request::Call::kTimelineHistory: return timeline_history(asked);
    case Request::Call::kTimelineWatch: return timeline_watch(asked);
    case Request::Call::kVerify: return verify(asked);
    case Request::Call::kCheckpoint: return checkpoint(asked);
  }
  return fail(ErrorCode::kUnsupported, "the process that owns the directory does not know this call");
}

}  // namespace cairn::database
