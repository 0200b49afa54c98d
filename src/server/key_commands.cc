// Keys: whether they are there, how long, under which name; and walks over all of them.
#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "server/client.h"
#include "server/command.h"
#include "server/glob.h"
#include "server/service.h"
#include "server/text.h"
#include "server/times.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kNoKey = -2;
constexpr std::int64_t kNoExpiry = -1;

Result<void> exists(Context& c) {
  if (c.size() == 2) {
    CAIRN_TRY(there, c.keys.contains(c[1]));
    c.reply.integer(there ? 1 : 0);
    return {};
  }
  CAIRN_TRY(values, c.keys.get_all(c.arguments.subspan(1)));
  c.reply.integer(std::ranges::count_if(values, [](const std::optional<Pinned>& value) { return value.has_value(); }));
  return {};
}

Result<void> del(Context& c) {
  std::int64_t count = 0;
  for (const ByteView key : c.arguments.subspan(1)) {
    CAIRN_TRY(there, c.keys.contains(key));
    if (!there) continue;
    CAIRN_TRY_VOID(c.keys.erase(key));
    ++count;
  }
  c.reply.integer(count);
  return {};
}

Result<void> type(Context& c) {
  CAIRN_TRY(there, c.keys.contains(c[1]));
  c.reply.simple(there ? "string" : "none");
  return {};
}

/// -2: there is no such key; -1: it does not expire; else what `of` makes of the milliseconds since 1970 when it does.
template <typename Of>
Result<void> expiry(Context& c, Of of) {
  CAIRN_TRY(found, c.keys.find(c[1]));
  if (!found) {
    c.reply.integer(kNoKey);
  } else if (!found->expires) {
    c.reply.integer(kNoExpiry);
  } else {
    c.reply.integer(of(found->expires->time_since_epoch().count()));
  }
  return {};
}
std::int64_t left_ms(std::int64_t at_ms) { return std::max<std::int64_t>(at_ms - Keyspace::now().time_since_epoch().count(), 0); }
std::int64_t in_seconds(std::int64_t ms) { return (ms + 500) / 1000; }

Result<void> ttl(Context& c) {
  return expiry(c, [](std::int64_t at_ms) { return in_seconds(left_ms(at_ms)); });
}
Result<void> pttl(Context& c) { return expiry(c, left_ms); }
Result<void> expiretime(Context& c) { return expiry(c, in_seconds); }
Result<void> pexpiretime(Context& c) {
  return expiry(c, [](std::int64_t at_ms) { return at_ms; });
}

struct ExpireOptions {
  bool only_new = false;
  bool only_existing = false;
  bool greater = false;
  bool less = false;

  /// Whether the key, which expires at `now`, is to expire at `then`.
  [[nodiscard]] bool allow(Expires now, Time then) const {
    if (only_new && now) return false;
    if (only_existing && !now) return false;
    if (greater && (!now || then <= *now)) return false;
    return !(less && now && then >= *now);
  }
};

Result<ExpireOptions> expire_options(const Context& c) {
  ExpireOptions options;
  for (const ByteView word : c.arguments.subspan(3)) {
    if (same_word(word, "NX")) {
      options.only_new = true;
    } else if (same_word(word, "XX")) {
      options.only_existing = true;
    } else if (same_word(word, "GT")) {
      options.greater = true;
    } else if (same_word(word, "LT")) {
      options.less = true;
    } else {
      return refuse("ERR Unsupported option " + std::string(up_to_zero(word)));
    }
  }
  if (options.only_new && (options.only_existing || options.greater || options.less)) {
    return refuse("ERR NX and XX, GT or LT options at the same time are not compatible");
  }
  if (options.greater && options.less) return refuse("ERR GT and LT options at the same time are not compatible");
  return options;
}

Result<void> expire_at(Context& c, ExpiryUnit unit, const char* name) {
  CAIRN_TRY(options, expire_options(c));
  CAIRN_TRY(when, any_time({unit, c[2]}, name));
  CAIRN_TRY(found, c.keys.find(c[1]));
  if (!found || !options.allow(found->expires, when)) {
    c.reply.integer(0);
    return {};
  }
  c.reply.integer(1);
  return when <= Keyspace::now() ? c.keys.erase(c[1]) : c.keys.set_expiry(c[1], when);
}
Result<void> expire(Context& c) { return expire_at(c, ExpiryUnit::kSeconds, "expire"); }
Result<void> pexpire(Context& c) { return expire_at(c, ExpiryUnit::kMilliseconds, "pexpire"); }
Result<void> expireat(Context& c) { return expire_at(c, ExpiryUnit::kAtSecond, "expireat"); }
Result<void> pexpireat(Context& c) { return expire_at(c, ExpiryUnit::kAtMillisecond, "pexpireat"); }

Result<void> persist(Context& c) {
  CAIRN_TRY(found, c.keys.find(c[1]));
  const bool changes = found && found->expires;
  c.reply.integer(changes ? 1 : 0);
  return changes ? c.keys.set_expiry(c[1], {}) : Result<void>{};
}

/// Puts what stands under `from` under `to`, in the same database or another. False: there is nothing.
Result<bool> copy_value(Keyspace& source, ByteView from, Keyspace& target, ByteView to) {
  CAIRN_TRY(found, source.find(from));
  if (!found) return false;
  CAIRN_TRY(value, source.get(from));
  CAIRN_TRY_VOID(target.put_computed(to, value ? Bytes(*value) : Bytes(), found->expires));
  return true;
}

Result<void> rename_key(Context& c, bool only_new) {
  CAIRN_TRY(there, c.keys.contains(c[1]));
  if (!there) return refuse("ERR no such key");
  if (only_new) {
    CAIRN_TRY(taken, c.keys.contains(c[2]));
    if (taken) {
      c.reply.integer(0);
      return {};
    }
  }
  if (c[1] != c[2]) {
    CAIRN_TRY_VOID(copy_value(c.keys, c[1], c.keys, c[2]));
    CAIRN_TRY_VOID(c.keys.erase(c[1]));
  }
  only_new ? c.reply.integer(1) : c.reply.ok();
  return {};
}
Result<void> rename_to(Context& c) { return rename_key(c, false); }
Result<void> renamenx(Context& c) { return rename_key(c, true); }

Result<void> copy(Context& c) {
  int number = c.keys.number();
  bool replace = false;
  for (std::size_t i = 3; i < c.size(); ++i) {
    if (same_word(c[i], "REPLACE")) {
      replace = true;
    } else if (same_word(c[i], "DB") && i + 1 < c.size()) {
      CAIRN_TRY(given, int_argument(c[++i]));
      CAIRN_TRY_VOID(check_database(given));
      number = given;
    } else {
      return refuse_syntax();
    }
  }
  if (number == c.keys.number() && c[1] == c[2]) return refuse("ERR source and destination objects are the same");
  Keyspace& target = c.execution.keys(number);
  CAIRN_TRY(taken, target.contains(c[2]));
  bool copied = false;
  if (!taken || replace) {
    CAIRN_TRY(done, copy_value(c.keys, c[1], target, c[2]));
    copied = done;
  }
  c.reply.integer(copied ? 1 : 0);
  return {};
}

Result<void> random_key(Context& c) {
  CAIRN_TRY(key, c.keys.random_key(system_random()));
  key ? c.reply.bulk(ByteView(*key)) : c.reply.null();
  return {};
}

Result<void> keys(Context& c) {
  const std::size_t begin = c.reply.begin_array();
  std::uint64_t count = 0;
  Result<void> fits;
  CAIRN_TRY_VOID(c.keys.for_each(glob_prefix(c[1]), {}, [&](ByteView key) {
    if (glob_match(c[1], key)) {
      c.reply.bulk(key);
      ++count;
    }
    fits = check_answer(c);
    return fits.has_value();
  }));
  CAIRN_TRY_VOID(fits);
  c.reply.end_array(begin, count);
  return {};
}

struct ScanOptions {
  ByteView pattern = "*";
  std::int64_t count = 10;
  bool other_type = false;
};
Result<ScanOptions> scan_options(const Context& c) {
  ScanOptions options;
  for (std::size_t i = 2; i < c.size(); i += 2) {
    if (i + 1 == c.size()) return refuse_syntax();
    if (same_word(c[i], "COUNT")) {
      CAIRN_TRY(count, integer_argument(c[i + 1]));
      if (count < 1) return refuse_syntax();
      options.count = count;
    } else if (same_word(c[i], "MATCH")) {
      options.pattern = c[i + 1];
    } else if (same_word(c[i], "TYPE")) {
      options.other_type = !same_word(c[i + 1], "string");
    } else {
      return refuse_syntax();
    }
  }
  return options;
}

Result<void> scan(Context& c) {
  std::int64_t cursor = 0;
  if (!parse_integer(c[1], cursor) || cursor < 0) return refuse("ERR invalid cursor");
  CAIRN_TRY(options, scan_options(c));
  const Bytes prefix = glob_prefix(options.pattern);
  Bytes from;
  if (cursor != 0) {
    CAIRN_TRY(stands, c.service.cursors().find(static_cast<std::uint64_t>(cursor), c.keys.number()));
    from = stands;
  }
  std::vector<Bytes> found;
  std::optional<Bytes> next;
  std::int64_t looked_at = 0;
  CAIRN_TRY_VOID(c.keys.for_each(prefix, std::max<ByteView>(from, prefix), [&](ByteView key) {
    if (looked_at++ == options.count) {
      next = Bytes(key);
      return false;
    }
    if (!options.other_type && glob_match(options.pattern, key)) found.emplace_back(key);
    return true;
  }));
  const std::uint64_t client = c.who == nullptr ? 0 : c.who->id;
  const std::uint64_t left =
      next ? c.service.cursors().add(std::move(*next), c.keys.number(), static_cast<std::uint64_t>(cursor), client) : 0;
  c.reply.array(2);
  c.reply.bulk(ByteView(std::to_string(left)));
  c.reply.array(found.size());
  for (const Bytes& key : found) c.reply.bulk(ByteView(key));
  return {};
}

Result<void> dbsize(Context& c) {
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY(count, c.keys.count());
  c.reply.integer(static_cast<std::int64_t>(count));
  return {};
}

/// The copy is durable before the key is erased here: the two databases have logs of their own, and a crash between them must
/// not lose the key. After a crash it may be in both.
Result<void> move(Context& c) {
  CAIRN_TRY(number, int_argument(c[2]));
  CAIRN_TRY_VOID(check_database(number));
  if (number == c.keys.number()) return refuse("ERR source and destination objects are the same");
  Keyspace& target = c.execution.keys(number);
  CAIRN_TRY(there, c.keys.contains(c[1]));
  CAIRN_TRY(taken, target.contains(c[1]));
  const bool moves = there && !taken;
  c.reply.integer(moves ? 1 : 0);
  if (!moves) return {};
  CAIRN_TRY_VOID(copy_value(c.keys, c[1], target, c[1]));
  CAIRN_TRY_VOID(c.execution.commit());
  CAIRN_TRY_VOID(c.execution.settle());
  return c.keys.erase(c[1]);
}

Result<void> swapdb(Context& c) {
  CAIRN_TRY(first, int_argument(c[1], "ERR invalid first DB index"));
  CAIRN_TRY(second, int_argument(c[2], "ERR invalid second DB index"));
  CAIRN_TRY_VOID(check_database(first));
  CAIRN_TRY_VOID(check_database(second));
  CAIRN_TRY_VOID(c.execution.settle());
  CAIRN_TRY_VOID(c.service.databases().swap(first, second));
  c.reply.ok();
  return {};
}

Result<void> check_flush(const Context& c) {
  if (c.size() > 2 || (c.size() == 2 && !same_word(c[1], "ASYNC") && !same_word(c[1], "SYNC"))) return refuse_syntax();
  if (c.service.live().allow_flush != 0) return {};
  return refuse("NOPERM " + std::string(c.info.name) +
                " is switched off: CONFIG SET allow-flush yes, or allow_flush = true in the configuration, allows it");
}

Result<void> flushdb(Context& c) {
  CAIRN_TRY_VOID(check_flush(c));
  if (c.keys.timeline() != nullptr) c.keys.erase_all();
  c.reply.ok();
  return {};
}

Result<void> flushall(Context& c) {
  CAIRN_TRY_VOID(check_flush(c));
  for (int number = 0; number < kDatabases; ++number) {
    Keyspace& each = c.execution.keys(number);
    if (each.timeline() != nullptr) each.erase_all();
  }
  c.reply.ok();
  return {};
}

constexpr std::uint32_t kReadFast = kReads | kFast;
constexpr std::uint32_t kWriteFast = kWrites | kFast;
constexpr const char* kGroup = "generic";

constexpr CommandInfo kCommands[] = {
    {"COPY", -3, Where::kWriter, kReads | kWrites, 1, 2, 1, copy, kGroup, "6.2.0", "Copy a key",
     "source destination [DB destination-db] [REPLACE]"},
    {"DBSIZE", 1, Where::kReader, kReads | kAllKeys | kSettles | kWalks, 0, 0, 0, dbsize, "server", "1.0.0",
     "Return the number of keys in the selected database", ""},
    {"DEL", -2, Where::kWriter, kWrites, 1, -1, 1, del, kGroup, "1.0.0", "Delete a key", "key [key ...]"},
    {"EXISTS", -2, Where::kReader, kReadFast, 1, -1, 1, exists, kGroup, "1.0.0", "Determine if a key exists", "key [key ...]"},
    {"EXPIRE", -3, Where::kWriter, kWriteFast, 1, 1, 1, expire, kGroup, "1.0.0", "Set a key's time to live in seconds",
     "key seconds [NX | XX | GT | LT]"},
    {"EXPIREAT", -3, Where::kWriter, kWriteFast, 1, 1, 1, expireat, kGroup, "1.2.0",
     "Set the expiration for a key as a UNIX timestamp", "key unix-time-seconds [NX | XX | GT | LT]"},
    {"EXPIRETIME", 2, Where::kReader, kReadFast, 1, 1, 1, expiretime, kGroup, "7.0.0",
     "Get the expiration Unix timestamp for a key", "key"},
    {"FLUSHALL", -1, Where::kWriter, kWrites | kAdmin | kAllKeys, 0, 0, 0, flushall, "server", "1.0.0",
     "Remove all keys from all databases", "[ASYNC | SYNC]"},
    {"FLUSHDB", -1, Where::kWriter, kWrites | kAdmin | kAllKeys, 0, 0, 0, flushdb, "server", "1.0.0",
     "Remove all keys from the current database", "[ASYNC | SYNC]"},
    {"KEYS", 2, Where::kReader, kReads | kAllKeys | kWalks, 0, 0, 0, keys, kGroup, "1.0.0",
     "Find all keys matching the given pattern", "pattern"},
    {"MOVE", 3, Where::kWriter, kReads | kWriteFast | kNotInMulti | kSettles, 1, 1, 1, move, kGroup, "1.0.0",
     "Move a key to another database", "key db"},
    {"PERSIST", 2, Where::kWriter, kWriteFast, 1, 1, 1, persist, kGroup, "2.2.0", "Remove the expiration from a key", "key"},
    {"PEXPIRE", -3, Where::kWriter, kWriteFast, 1, 1, 1, pexpire, kGroup, "2.6.0", "Set a key's time to live in milliseconds",
     "key milliseconds [NX | XX | GT | LT]"},
    {"PEXPIREAT", -3, Where::kWriter, kWriteFast, 1, 1, 1, pexpireat, kGroup, "2.6.0",
     "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
     "key unix-time-milliseconds [NX | XX | GT | LT]"},
    {"PEXPIRETIME", 2, Where::kReader, kReadFast, 1, 1, 1, pexpiretime, kGroup, "7.0.0",
     "Get the expiration Unix timestamp for a key in milliseconds", "key"},
    {"PTTL", 2, Where::kReader, kReadFast, 1, 1, 1, pttl, kGroup, "2.6.0", "Get the time to live for a key in milliseconds",
     "key"},
    {"RANDOMKEY", 1, Where::kReader, kReads | kAllKeys | kWalks, 0, 0, 0, random_key, kGroup, "1.0.0",
     "Return a random key from the keyspace", ""},
    {"RENAME", 3, Where::kWriter, kReads | kWrites, 1, 2, 1, rename_to, kGroup, "1.0.0", "Rename a key", "key newkey"},
    {"RENAMENX", 3, Where::kWriter, kReads | kWriteFast, 1, 2, 1, renamenx, kGroup, "1.0.0",
     "Rename a key, only if the new key does not exist", "key newkey"},
    {"SCAN", -2, Where::kReader, kReads | kAllKeys | kWalks, 0, 0, 0, scan, kGroup, "2.8.0",
     "Incrementally iterate the keys space", "cursor [MATCH pattern] [COUNT count] [TYPE type]"},
    {"SWAPDB", 3, Where::kWriter, kWriteFast | kAdmin | kAllKeys | kNotInMulti | kSettles, 0, 0, 0, swapdb, "server", "4.0.0",
     "Exchange two databases", "index1 index2"},
    {"TOUCH", -2, Where::kReader, kReadFast, 1, -1, 1, exists, kGroup, "3.2.1", "Count the keys that exist", "key [key ...]"},
    {"TTL", 2, Where::kReader, kReadFast, 1, 1, 1, ttl, kGroup, "1.0.0", "Get the time to live for a key in seconds", "key"},
    {"TYPE", 2, Where::kReader, kReadFast, 1, 1, 1, type, kGroup, "1.0.0", "Determine the type stored at key", "key"},
    {"UNLINK", -2, Where::kWriter, kWriteFast, 1, -1, 1, del, kGroup, "4.0.0", "Delete a key", "key [key ...]"},
};

}  // namespace

std::span<const CommandInfo> key_commands() { return kCommands; }

}  // namespace cairn::server
