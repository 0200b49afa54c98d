// Strings: SET, GET, and what is made of them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "server/command.h"
#include "server/text.h"
#include "server/times.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kStringBytesMax = static_cast<std::int64_t>(512 * kMiB);

Result<void> get(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  c.reply.bulk_or_null(value);
  return {};
}

struct SetOptions {
  bool only_new = false;
  bool only_existing = false;
  bool get = false;
  bool keep_ttl = false;
  bool persist = false;
  const CommandInfo* info = nullptr;
  std::optional<ExpiryArgument> expiry;
};

/// What follows the key and value of SET, or the key of GETEX.
Result<SetOptions> set_options(const Context& c, std::size_t first, bool of_getex) {
  SetOptions options;
  for (std::size_t i = first; i < c.size(); ++i) {
    const ByteView word = c[i];
    const bool timed = options.expiry || options.keep_ttl || options.persist;
    if (!of_getex && same_word(word, "NX") && !options.only_existing) {
      options.only_new = true;
    } else if (!of_getex && same_word(word, "XX") && !options.only_new) {
      options.only_existing = true;
    } else if (!of_getex && same_word(word, "GET")) {
      options.get = true;
    } else if (!of_getex && same_word(word, "KEEPTTL") && !options.expiry && !options.persist) {
      options.keep_ttl = true;
    } else if (of_getex && same_word(word, "PERSIST") && !options.expiry && !options.keep_ttl) {
      options.persist = true;
    } else if (const auto unit = expiry_unit(word); unit && !timed && i + 1 < c.size()) {
      options.expiry = ExpiryArgument{*unit, c[++i]};
    } else {
      return refuse_syntax();
    }
  }
  return options;
}

Result<void> set(Context& c) {
  CAIRN_TRY(options, set_options(c, 3, false));
  Expires expires;
  if (options.expiry) {
    CAIRN_TRY(when, future_time(*options.expiry, "set"));
    expires = when;
  }
  const bool must_look = options.only_new || options.only_existing || options.get || options.keep_ttl;
  if (must_look) {
    CAIRN_TRY(found, c.keys.find(c[1]));
    if (options.get) {
      CAIRN_TRY(value, c.keys.get(c[1]));
      c.reply.bulk_or_null(value);
    }
    if ((options.only_new && found) || (options.only_existing && !found)) {
      if (!options.get) c.reply.null();
      return {};
    }
    if (options.keep_ttl && found) expires = found->expires;
  }
  CAIRN_TRY_VOID(c.keys.put(c[1], c[2], expires));
  if (!options.get) c.reply.ok();
  return {};
}

Result<void> setnx(Context& c) {
  CAIRN_TRY(there, c.keys.contains(c[1]));
  if (!there) CAIRN_TRY_VOID(c.keys.put(c[1], c[2], {}));
  c.reply.integer(there ? 0 : 1);
  return {};
}

Result<void> set_for(Context& c, ExpiryUnit unit, const char* name) {
  CAIRN_TRY(expires, future_time({unit, c[2]}, name));
  CAIRN_TRY_VOID(c.keys.put(c[1], c[3], expires));
  c.reply.ok();
  return {};
}
Result<void> setex(Context& c) { return set_for(c, ExpiryUnit::kSeconds, "setex"); }
Result<void> psetex(Context& c) { return set_for(c, ExpiryUnit::kMilliseconds, "psetex"); }

Result<void> getset(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  CAIRN_TRY_VOID(c.keys.put(c[1], c[2], {}));
  c.reply.bulk_or_null(value);
  return {};
}

Result<void> getdel(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  if (value) CAIRN_TRY_VOID(c.keys.erase(c[1]));
  c.reply.bulk_or_null(value);
  return {};
}

Result<void> getex(Context& c) {
  CAIRN_TRY(options, set_options(c, 2, true));
  CAIRN_TRY(value, c.keys.get(c[1]));
  if (!value) {
    c.reply.null();
    return {};
  }
  if (options.expiry) {
    CAIRN_TRY(when, future_time(*options.expiry, "getex"));
    if (when <= Keyspace::now()) {
      CAIRN_TRY_VOID(c.keys.erase(c[1]));
    } else {
      CAIRN_TRY_VOID(c.keys.set_expiry(c[1], when));
    }
  } else if (options.persist) {
    CAIRN_TRY(found, c.keys.find(c[1]));
    if (found && found->expires) CAIRN_TRY_VOID(c.keys.set_expiry(c[1], {}));
  }
  c.reply.bulk_or_null(value);
  return {};
}

Result<void> mget(Context& c) {
  CAIRN_TRY(values, c.keys.get_all(c.arguments.subspan(1)));
  c.reply.array(values.size());
  for (const std::optional<Pinned>& value : values) {
    c.reply.bulk_or_null(value);
    CAIRN_TRY_VOID(check_answer(c));
  }
  return {};
}

Result<void> put_pairs(Context& c) {
  // All first: within a transaction what is staged stays.
  for (std::size_t i = 1; i < c.size(); i += 2) CAIRN_TRY_VOID(Keyspace::check_key(c[i]));
  for (std::size_t i = 1; i < c.size(); i += 2) CAIRN_TRY_VOID(c.keys.put(c[i], c[i + 1], {}));
  return {};
}

Result<void> check_pairs(const Context& c) {
  if (c.size() % 2 == 0) return refuse("ERR wrong number of arguments for '" + full_name(c.info) + "' command");
  return {};
}

Result<void> mset(Context& c) {
  CAIRN_TRY_VOID(check_pairs(c));
  CAIRN_TRY_VOID(put_pairs(c));
  c.reply.ok();
  return {};
}

Result<void> msetnx(Context& c) {
  CAIRN_TRY_VOID(check_pairs(c));
  for (std::size_t i = 1; i < c.size(); i += 2) {
    CAIRN_TRY(there, c.keys.contains(c[i]));
    if (there) {
      c.reply.integer(0);
      return {};
    }
  }
  CAIRN_TRY_VOID(put_pairs(c));
  c.reply.integer(1);
  return {};
}

/// The value of a key that is to be changed, and its expiry.
struct Old {
  Bytes value;
  Expires expires;
  bool there = false;
};
Result<Old> old_value(const Context& c) {
  Old old;
  CAIRN_TRY(value, c.keys.get(c[1]));
  CAIRN_TRY(found, c.keys.find(c[1]));
  if (!value || !found) return old;
  old.value = Bytes(value->view());
  old.expires = found->expires;
  old.there = true;
  return old;
}

Result<void> check_size(std::uint64_t bytes) {
  if (bytes <= static_cast<std::uint64_t>(kStringBytesMax)) return {};
  return refuse("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

Result<void> append(Context& c) {
  CAIRN_TRY(old, old_value(c));
  CAIRN_TRY_VOID(check_size(old.value.size() + c[2].size()));
  old.value.append(c[2]);
  c.reply.integer(static_cast<std::int64_t>(old.value.size()));
  return c.keys.put_computed(c[1], std::move(old.value), old.expires);
}

Result<void> strlen_of(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  c.reply.integer(value ? static_cast<std::int64_t>(value->size()) : 0);
  return {};
}

Result<void> getrange(Context& c) {
  CAIRN_TRY(start, integer_argument(c[2]));
  CAIRN_TRY(end, integer_argument(c[3]));
  CAIRN_TRY(value, c.keys.get(c[1]));
  const ByteView bytes = value ? value->view() : ByteView();
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (start < 0 && end < 0 && start > end) {
    c.reply.bulk(ByteView());
    return {};
  }
  if (start < 0) start = std::max<std::int64_t>(size + start, 0);
  if (end < 0) end = std::max<std::int64_t>(size + end, 0);
  end = std::min(end, size - 1);
  const bool empty = start > end || size == 0;
  c.reply.bulk(empty ? ByteView() : bytes.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start + 1)));
  return {};
}

Result<void> setrange(Context& c) {
  CAIRN_TRY(offset, integer_argument(c[2]));
  if (offset < 0) return refuse("ERR offset is out of range");
  CAIRN_TRY(old, old_value(c));
  const ByteView part = c[3];
  if (part.empty()) {
    c.reply.integer(static_cast<std::int64_t>(old.value.size()));
    return {};
  }
  if (offset > kStringBytesMax) return check_size(~std::uint64_t{0});
  const auto begin = static_cast<std::size_t>(offset);
  CAIRN_TRY_VOID(check_size(begin + part.size()));
  if (old.value.size() < begin + part.size()) old.value.resize(begin + part.size(), '\0');
  old.value.replace(begin, part.size(), part);
  c.reply.integer(static_cast<std::int64_t>(old.value.size()));
  return c.keys.put_computed(c[1], std::move(old.value), old.expires);
}

Result<void> add(Context& c, std::int64_t increment) {
  CAIRN_TRY(old, old_value(c));
  std::int64_t value = 0;
  if (old.there) {
    CAIRN_TRY(number, integer_argument(old.value));
    value = number;
  }
  if (__builtin_add_overflow(value, increment, &value)) return refuse("ERR increment or decrement would overflow");
  c.reply.integer(value);
  return c.keys.put_computed(c[1], std::to_string(value), old.expires);
}
Result<void> incr(Context& c) { return add(c, 1); }
Result<void> decr(Context& c) { return add(c, -1); }
Result<void> incrby(Context& c) {
  CAIRN_TRY(increment, integer_argument(c[2]));
  return add(c, increment);
}
Result<void> decrby(Context& c) {
  CAIRN_TRY(decrement, integer_argument(c[2]));
  if (decrement == std::numeric_limits<std::int64_t>::min()) return refuse("ERR decrement would overflow");
  return add(c, -decrement);
}

Result<void> incrbyfloat(Context& c) {
  CAIRN_TRY(old, old_value(c));
  long double value = 0;
  long double increment = 0;
  if ((old.there && !parse_long_double(old.value, value)) || !parse_long_double(c[2], increment)) {
    return refuse("ERR value is not a valid float");
  }
  value += increment;
  if (std::isnan(value) || std::isinf(value)) return refuse("ERR increment would produce NaN or Infinity");
  Bytes text = format_long_double(value);
  c.reply.bulk(ByteView(text));
  return c.keys.put_computed(c[1], std::move(text), old.expires);
}

struct LcsOptions {
  bool length = false;
  bool indexes = false;
  bool match_lengths = false;
  std::int64_t match_length_min = 0;
};
Result<LcsOptions> lcs_options(const Context& c) {
  LcsOptions options;
  for (std::size_t i = 3; i < c.size(); ++i) {
    if (same_word(c[i], "LEN")) {
      options.length = true;
    } else if (same_word(c[i], "IDX")) {
      options.indexes = true;
    } else if (same_word(c[i], "WITHMATCHLEN")) {
      options.match_lengths = true;
    } else if (same_word(c[i], "MINMATCHLEN") && i + 1 < c.size()) {
      CAIRN_TRY(least, integer_argument(c[++i]));
      options.match_length_min = std::max<std::int64_t>(least, 0);
    } else {
      return refuse_syntax();
    }
  }
  if (options.length && options.indexes) {
    return refuse("ERR If you want both the length and indexes, please just use IDX.");
  }
  return options;
}

/// Bytes [a_end - length, a_end) of the one are those before b_end of the other.
struct LcsMatch {
  std::size_t a_end;
  std::size_t b_end;
  std::size_t length;
};
struct Lcs {
  Bytes text;
  std::vector<LcsMatch> matches;  // From the ends to the beginnings.
};
/// Longest common subsequence by the table of lengths of all pairs of prefixes. Where two ways are as long, the one that Redis
/// takes is taken.
Lcs longest_common(ByteView a, ByteView b) {
  const std::size_t width = b.size() + 1;
  std::vector<std::uint32_t> table((a.size() + 1) * width);
  const auto at = [&](std::size_t i, std::size_t j) -> std::uint32_t& { return table[i * width + j]; };
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      at(i, j) = a[i - 1] == b[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
    }
  }
  Lcs found;
  std::size_t i = a.size();
  std::size_t j = b.size();
  while (i > 0 && j > 0) {
    if (a[i - 1] == b[j - 1]) {
      found.text.push_back(a[i - 1]);
      const bool goes_on = !found.matches.empty() && found.matches.back().a_end - found.matches.back().length == i &&
                           found.matches.back().b_end - found.matches.back().length == j;
      if (goes_on) {
        ++found.matches.back().length;
      } else {
        found.matches.push_back({.a_end = i, .b_end = j, .length = 1});
      }
      --i;
      --j;
    } else if (at(i - 1, j) > at(i, j - 1)) {
      --i;
    } else {
      --j;
    }
  }
  std::ranges::reverse(found.text);
  return found;
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
Result<void> lcs(Context& c) {
  CAIRN_TRY(options, lcs_options(c));
  CAIRN_TRY(values, c.keys.get_all(c.arguments.subspan(1, 2)));
  const std::optional<Pinned>& value_a = values[0];
  const std::optional<Pinned>& value_b = values[1];
  const ByteView a = value_a ? value_a->view() : ByteView();
  const ByteView b = value_b ? value_b->view() : ByteView();
  const std::uint64_t cells = (a.size() + 1) * (b.size() + 1);
  if (cells > static_cast<std::uint64_t>(kStringBytesMax) / sizeof(std::uint32_t)) {
    return refuse("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }
  Lcs found = longest_common(a, b);
  if (options.length) {
    c.reply.integer(static_cast<std::int64_t>(found.text.size()));
    return {};
  }
  if (!options.indexes) {
    c.reply.bulk(ByteView(found.text));
    return {};
  }
  std::erase_if(found.matches,
                [&](const LcsMatch& match) { return match.length < static_cast<std::uint64_t>(options.match_length_min); });
  c.reply.map(2);
  c.reply.bulk(ByteView("matches"));
  c.reply.array(found.matches.size());
  for (const LcsMatch& match : found.matches) {
    c.reply.array(options.match_lengths ? 3 : 2);
    for (const std::size_t end : {match.a_end, match.b_end}) {
      c.reply.array(2);
      c.reply.integer(static_cast<std::int64_t>(end - match.length));
      c.reply.integer(static_cast<std::int64_t>(end - 1));
    }
    if (options.match_lengths) c.reply.integer(static_cast<std::int64_t>(match.length));
  }
  c.reply.bulk(ByteView("len"));
  c.reply.integer(static_cast<std::int64_t>(found.text.size()));
  return {};
}

constexpr std::uint32_t kReadFast = kReads | kFast;
constexpr std::uint32_t kWriteFast = kWrites | kFast;
constexpr const char* kGroup = "string";

constexpr CommandInfo kCommands[] = {
    {"APPEND", 3, Where::kWriter, kWriteFast, 1, 1, 1, append, kGroup, "2.0.0", "Append a value to a key", "key value"},
    {"DECR", 2, Where::kWriter, kReads | kWriteFast, 1, 1, 1, decr, kGroup, "1.0.0",
     "Decrement the integer value of a key by one", "key"},
    {"DECRBY", 3, Where::kWriter, kReads | kWriteFast, 1, 1, 1, decrby, kGroup, "1.0.0",
     "Decrement the integer value of a key by the given number", "key decrement"},
    {"GET", 2, Where::kReader, kReadFast, 1, 1, 1, get, kGroup, "1.0.0", "Get the value of a key", "key"},
    {"GETDEL", 2, Where::kWriter, kReads | kWriteFast, 1, 1, 1, getdel, kGroup, "6.2.0",
     "Get the value of a key and delete the key", "key"},
    {"GETEX", -2, Where::kWriter, kReads | kWriteFast, 1, 1, 1, getex, kGroup, "6.2.0",
     "Get the value of a key and optionally set its expiration",
     "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]"},
    {"GETRANGE", 4, Where::kReader, kReads, 1, 1, 1, getrange, kGroup, "2.4.0", "Get a substring of the string stored at a key",
     "key start end"},
    {"GETSET", 3, Where::kWriter, kReads | kWriteFast, 1, 1, 1, getset, kGroup, "1.0.0",
     "Set the string value of a key and return its old value", "key value"},
    {"INCR", 2, Where::kWriter, kReads | kWriteFast, 1, 1, 1, incr, kGroup, "1.0.0",
     "Increment the integer value of a key by one", "key"},
    {"INCRBY", 3, Where::kWriter, kReads | kWriteFast, 1, 1, 1, incrby, kGroup, "1.0.0",
     "Increment the integer value of a key by the given amount", "key increment"},
    {"INCRBYFLOAT", 3, Where::kWriter, kReads | kWriteFast, 1, 1, 1, incrbyfloat, kGroup, "2.6.0",
     "Increment the float value of a key by the given amount", "key increment"},
    {"LCS", -3, Where::kReader, kReads | kWalks, 1, 2, 1, lcs, kGroup, "7.0.0", "Find the longest common subsequence",
     "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]"},
    {"MGET", -2, Where::kReader, kReadFast, 1, -1, 1, mget, kGroup, "1.0.0", "Get the values of all the given keys",
     "key [key ...]"},
    {"MSET", -3, Where::kWriter, kWrites, 1, -1, 2, mset, kGroup, "1.0.1", "Set multiple keys to multiple values",
     "key value [key value ...]"},
    {"MSETNX", -3, Where::kWriter, kWrites, 1, -1, 2, msetnx, kGroup, "1.0.1",
     "Set multiple keys to multiple values, only if none of the keys exist", "key value [key value ...]"},
    {"PSETEX", 4, Where::kWriter, kWrites, 1, 1, 1, psetex, kGroup, "2.6.0",
     "Set the value and expiration in milliseconds of a key", "key milliseconds value"},
    {"SET", -3, Where::kWriter, kWrites, 1, 1, 1, set, kGroup, "1.0.0", "Set the string value of a key",
     "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]"},
    {"SETEX", 4, Where::kWriter, kWrites, 1, 1, 1, setex, kGroup, "2.0.0", "Set the value and expiration of a key",
     "key seconds value"},
    {"SETNX", 3, Where::kWriter, kWriteFast, 1, 1, 1, setnx, kGroup, "1.0.0",
     "Set the value of a key, only if the key does not exist", "key value"},
    {"SETRANGE", 4, Where::kWriter, kWrites, 1, 1, 1, setrange, kGroup, "2.2.0",
     "Overwrite part of a string at key starting at the specified offset", "key offset value"},
    {"STRLEN", 2, Where::kReader, kReadFast, 1, 1, 1, strlen_of, kGroup, "2.2.0", "Get the length of the value stored in a key",
     "key"},
    {"SUBSTR", 4, Where::kReader, kReads, 1, 1, 1, getrange, kGroup, "1.0.0", "Get a substring of the string stored at a key",
     "key start end"},
};

}  // namespace

std::span<const CommandInfo> string_commands() { return kCommands; }

}  // namespace cairn::server
