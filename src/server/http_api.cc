#include "server/http_api.h"

#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/url/pct_string_view.hpp>
#include <functional>

#include "base/error.h"
#include "server/times.h"
#include "text/json.h"
#include "text/moment.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kLimit = 100;
constexpr std::int64_t kLimitMax = 10'000;
constexpr std::uint64_t kValueBytesShown = 16 * kMiB;

HttpAnswer json_answer(const Json& object, unsigned status = 200) { return {.status = status, .body = to_line(object)}; }

HttpAnswer error_answer(const Error& error) {
  unsigned status = 500;
  switch (error.code) {
    case ErrorCode::kInvalidArgument: status = 400; break;
    case ErrorCode::kNotFound: status = 404; break;
    case ErrorCode::kPermissionDenied: status = 403; break;
    case ErrorCode::kBusy:
    case ErrorCode::kConflict: status = 409; break;
    case ErrorCode::kUnsupported: status = 501; break;
    case ErrorCode::kUnavailable: status = 503; break;
    default: break;
  }
  Json object{{"error", name_of(error.code)}, {"message", error.message}};
  if (error.code == ErrorCode::kInvalidArgument && error.message.starts_with("ERR ")) object["message"] = error.message.substr(4);
  if (error.code != ErrorCode::kInvalidArgument && !error.file.empty()) object["file"] = error.file;
  if (error.offset != Error::kNoOffset) object["offset"] = error.offset;
  return json_answer(object, status);
}

/// What a request about one database says.
struct Question {
  Timeline* timeline = nullptr;
  Bytes key;  // Or prefix.
  Moment from = kBeginning;
  Moment to = kEndOfTime;
  std::optional<Moment> at;
  std::uint64_t limit = kLimit;
};

Result<std::int64_t> number_of(const HttpTarget& target, const char* name, std::int64_t otherwise, std::int64_t least,
                               std::int64_t most) {
  const auto found = target.query.find(name);
  if (found == target.query.end()) return otherwise;
  std::int64_t number = 0;
  if (parse_integer(found->second, number) && number >= least && number <= most) return number;
  return fail(ErrorCode::kInvalidArgument,
              std::string(name) + " is a number from " + std::to_string(least) + " to " + std::to_string(most));
}

Result<Question> question_of(Service& service, const HttpTarget& target, const User* user, const char* named) {
  Question question;
  CAIRN_TRY(database, number_of(target, "db", 0, 0, kDatabases - 1));
  CAIRN_TRY(limit, number_of(target, "limit", kLimit, 1, kLimitMax));
  question.limit = static_cast<std::uint64_t>(limit);
  question.timeline = service.databases().find(static_cast<int>(database));
  if (question.timeline == nullptr) return fail(ErrorCode::kNotFound, "nothing was ever saved in that database");
  const auto key = target.query.find(named);
  if (key == target.query.end() && named == ByteView("key")) return fail(ErrorCode::kInvalidArgument, "key is not given");
  if (key != target.query.end()) question.key = key->second;
  for (const auto& [name, into] : {std::pair("from", &question.from), std::pair("to", &question.to)}) {
    if (const auto found = target.query.find(name); found != target.query.end()) {
      CAIRN_TRY(moment, moment_argument(found->second));
      *into = moment;
    }
  }
  if (const auto found = target.query.find("at"); found != target.query.end()) {
    CAIRN_TRY(moment, moment_argument(found->second));
    question.at = moment;
  }
  if (user != nullptr && (!user->reads || !user->may_see(question.key))) {
    return fail(ErrorCode::kPermissionDenied, "user '" + user->name + "' may not read that");
  }
  return question;
}

Result<Json> get(Service& service, const HttpTarget& target, const User* user) {
  CAIRN_TRY(question, question_of(service, target, user, "key"));
  CAIRN_TRY(value, question.at ? question.timeline->get_at(question.key, *question.at) : question.timeline->get(question.key));
  if (!value) return fail(ErrorCode::kNotFound, "there is nothing under that key");
  if (value->size() > kValueBytesShown) {
    return fail(ErrorCode::kInvalidArgument, "the value has more than 16 MiB, which only the Redis protocol gives");
  }
  Json object;
  put_bytes(object, "key", question.key);
  put_bytes(object, "value", *value);
  if (question.at) return object;
  CAIRN_TRY(info, question.timeline->info(question.key));
  if (info) {
    put_stamp(object, info->stamp);
    if (info->expires) object["expires"] = info->expires->time_since_epoch().count();
  }
  return object;
}

/// Saves of one stamp are given together: then `cursor`, the last stamp, says where to go on.
Result<Json> keys(Service& service, const HttpTarget& target, const User* user) {
  CAIRN_TRY(question, question_of(service, target, user, "prefix"));
  if (const auto cursor = target.query.find("cursor"); cursor != target.query.end()) {
    CAIRN_TRY(after, moment_argument(cursor->second));
    question.from = Stamp{after.last().value + 1};
  }
  Json list = Json::array();
  Json object;
  Stamp last;
  std::size_t count = 0;
  SaveList saves = question.timeline->keys(question.key, question.from, question.to);
  for (const auto entry : saves) {
    if (count >= question.limit && entry.stamp != last) {
      object["cursor"] = last.to_string();
      break;
    }
    last = entry.stamp;
    Json each;
    put_stamp(each, entry.stamp);
    put_bytes(each, "key", entry.key);
    list.push_back(std::move(each));
    ++count;
  }
  CAIRN_TRY_VOID(saves.status());
  object["keys"] = std::move(list);
  return object;
}

Result<Json> history(Service& service, const HttpTarget& target, const User* user) {
  CAIRN_TRY(question, question_of(service, target, user, "key"));
  Json object;
  put_bytes(object, "key", question.key);
  std::uint64_t bytes = 0;
  Json list = Json::array();
  SaveList saves = question.timeline->history(question.key, question.from, question.to, question.limit);
  for (const auto entry : saves) {
    Json each;
    put_stamp(each, entry.stamp);
    if (entry.erased) {
      each["erased"] = true;
    } else {
      CAIRN_TRY(data, saves.data());
      bytes += data.size();
      if (bytes > kValueBytesShown) {
        object["truncated"] = true;
        break;
      }
      put_bytes(each, "value", data);
    }
    list.push_back(std::move(each));
  }
  CAIRN_TRY_VOID(saves.status());
  object["saves"] = std::move(list);
  return object;
}

Json line_json(const LineStats& line) {
  return {{"name", line.name},   {"blocks", line.blocks},           {"bytes", line.bytes},
          {"saves", line.saves}, {"first", line.first.to_string()}, {"last", line.last.to_string()}};
}

Result<Json> stats(Service& service, const HttpTarget& /*target*/, const User* /*user*/) {
  const Counters& counters = service.counters();
  Json databases = Json::array();
  for (int number = 0; number < kDatabases; ++number) {
    const Timeline* const timeline = service.databases().find(number);
    if (timeline == nullptr) continue;
    const TimelineStats stats = timeline->stats();
    Json lines = Json::array();
    for (const LineStats& line : stats.lines) lines.push_back(line_json(line));
    databases.push_back({{"db", number},
                         {"timeline", Databases::name_of(service.databases().timeline_of(number))},
                         {"timeout_ms", stats.timeout.count()},
                         {"lines", std::move(lines)},
                         {"lookups", stats.lookups},
                         {"writes", stats.writes},
                         {"syncs", stats.syncs},
                         {"memory_bytes", stats.memory_bytes},
                         {"index_bytes", stats.index_bytes},
                         {"write_state", stats.write_state.empty() ? "ok" : stats.write_state},
                         {"job_errors", stats.job_errors}});
  }
  return Json{{"version", CAIRN_VERSION},
              {"durability", durability_name(service.config())},
              {"uptime_s", (service.boot_ms() - service.started_boot_ms()) / 1000},
              {"clients", service.client_count()},
              {"client_memory_bytes", service.client_memory()},
              {"connections", counters.connections.load()},
              {"connections_rejected", counters.rejected.load()},
              {"connections_cut_off", counters.cut_off.load()},
              {"reader_commands", counters.reader_commands.load()},
              {"writer_commands", counters.writer_commands.load()},
              {"writer_rounds", counters.writer_rounds.load()},
              {"databases", std::move(databases)}};
}

Result<Json> jobs(Service& service, const HttpTarget& /*target*/, const User* /*user*/) {
  const Timeline* const main = service.databases().find(0);
  return Json{{"jobs", jobs_to_json(main == nullptr ? std::vector<JobStats>{} : main->stats().jobs)}};
}

/// Whether saves are taken.
HttpAnswer ready(Service& service) {
  for (int number = 0; number < kDatabases; ++number) {
    const Timeline* const timeline = service.databases().find(number);
    if (timeline == nullptr) continue;
    const std::string state = timeline->stats().write_state;
    if (!state.empty()) return {.status = 503, .type = "text/plain", .body = "not ready: " + state + "\n"};
  }
  return {.type = "text/plain", .body = "ready\n"};
}

constexpr const char* kIndex =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cairn</title><h1>Cairn</h1><ul>"
    "<li><a href=\"/healthz\">healthz</a><li><a href=\"/readyz\">readyz</a><li><a href=\"/metrics\">metrics</a>"
    "<li><a href=\"/api/v1/stats\">stats</a><li><a href=\"/api/v1/keys\">keys</a>"
    "<li><a href=\"/api/v1/get?key=\">get</a><li><a href=\"/api/v1/history?key=\">history</a>"
    "<li><a href=\"/api/v1/jobs\">jobs</a></ul></html>\n";

/// Decodes %XX and, in a query, + as a space. nullopt: a % is not followed by two hexadecimal digits.
std::optional<std::string> decode(absl::string_view text, bool is_query) {
  const auto encoded = boost::urls::make_pct_string_view({text.data(), text.size()});
  if (!encoded) return std::nullopt;
  return encoded->decode(boost::urls::encoding_opts(is_query));
}

}  // namespace

std::optional<HttpTarget> HttpTarget::parse(ByteView target) {
  using Parts = std::pair<absl::string_view, absl::string_view>;
  const Parts parts = absl::StrSplit(absl::string_view(target.data(), target.size()), absl::MaxSplits('?', 1));
  const auto path = decode(parts.first, false);
  if (!path) return std::nullopt;
  HttpTarget parsed{.path = *path, .query = {}};
  for (const absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    const Parts named = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    const auto name = decode(named.first, true);
    const auto value = decode(named.second, true);
    if (!name || !value) return std::nullopt;
    parsed.query[*name] = *value;
  }
  return parsed;
}

namespace {

Result<void> begin_copy(Backups& backups, const HttpTarget& target) {
  const auto name = target.query.find("name");
  if (name != target.query.end()) return backups.request_named(name->second);
  CAIRN_TRY_VOID(backups.request(false));
  return {};
}

}  // namespace

bool takes_post(const HttpTarget& target) { return target.path == "/api/v1/checkpoint"; }

HttpAnswer post_checkpoint(Service& service, const HttpTarget& target, const User* user) {
  if (user != nullptr && !user->admin) {
    return error_answer(
        {ErrorCode::kPermissionDenied, "user '" + user->name + "' may not do that: it takes the right admin", {}});
  }
  const Result<void> begun = begin_copy(service.backups(), target);
  return begun ? json_answer({{"ok", true}, {"state", "started"}}, 202) : error_answer(begun.error());
}

bool is_open_to_all(const HttpTarget& target) {
  return target.path == "/" || target.path == "/healthz" || target.path == "/readyz";
}

bool is_served_host(ByteView host, const std::vector<std::string>& allowed) {
  const auto is_named = [&](ByteView name) {
    return std::ranges::any_of(allowed, [&](const std::string& each) { return same_word(each, name); });
  };
  if (is_named(host)) return true;
  const bool in_brackets = host.starts_with('[');
  const std::size_t end = in_brackets ? host.find(']') : std::min(host.find(':'), host.size());
  if (end == ByteView::npos) return false;
  const ByteView name = host.substr(in_brackets ? 1 : 0, end - (in_brackets ? 1 : 0));
  ByteView port = host.substr(in_brackets ? end + 1 : end);
  if (port.starts_with(':')) port.remove_prefix(1);
  if (port.find_first_not_of("0123456789") != ByteView::npos) return false;
  if (is_named(name) || same_word(name, "localhost")) return true;
  return is_loopback_address(std::string(name)).value_or(false);
}

HttpAnswer answer_http(Service& service, const HttpTarget& target, const User* user) {
  if (target.path == "/") return {.type = "text/html; charset=utf-8", .body = kIndex};
  if (target.path == "/healthz") return {.type = "text/plain", .body = "ok\n"};
  if (target.path == "/readyz") return ready(service);
  const bool of_server = target.path == "/metrics" || target.path == "/api/v1/stats" || target.path == "/api/v1/jobs";
  if (of_server && user != nullptr && !user->may_monitor(true)) {
    return error_answer({ErrorCode::kPermissionDenied,
                         "user '" + user->name + "' may not see that: it takes the right read or monitor, for all keys",
                         {}});
  }
  if (target.path == "/metrics") return {.type = "text/plain; version=0.0.4", .body = metrics_text(service)};
  using Route = Result<Json> (*)(Service&, const HttpTarget&, const User*);
  static const std::map<std::string, Route> kRoutes{{"/api/v1/stats", stats},
                                                    {"/api/v1/keys", keys},
                                                    {"/api/v1/get", get},
                                                    {"/api/v1/history", history},
                                                    {"/api/v1/jobs", jobs}};
  const auto route = kRoutes.find(target.path);
  if (route == kRoutes.end())
    return error_answer({ErrorCode::kNotFound, "there is nothing at this path; / links what there is", {}});
  const Result<Json> answer = route->second(service, target, user);
  return answer ? json_answer(*answer) : error_answer(answer.error());
}

}  // namespace cairn::server
