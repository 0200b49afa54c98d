// OBJECT and MEMORY USAGE describe a key; DUMP and RESTORE carry its value from one server to another.
#include <algorithm>

#include "base/error.h"
#include "server/command.h"
#include "server/rdb.h"
#include "server/text.h"

namespace cairn::server {
namespace {

constexpr std::uint64_t kRecordBytes = 64;  // About what a save takes beside its key and value.

/// How Redis would keep the value, but that Redis keeps a string raw once it was appended to.
Result<void> object_encoding(Context& c) {
  constexpr std::size_t kEmbeddedMost = 44;
  CAIRN_TRY(value, c.keys.get(c[2]));
  std::int64_t number = 0;
  if (!value) {
    c.reply.null();
  } else if (parse_integer(value->view(), number)) {
    c.reply.bulk(ByteView("int"));
  } else {
    c.reply.bulk(ByteView(value->size() <= kEmbeddedMost ? "embstr" : "raw"));
  }
  return {};
}

Result<void> object_freq(Context& c) {
  CAIRN_TRY(there, c.keys.contains(c[2]));
  if (there) {
    return refuse(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between "
        "policies at runtime LRU and LFU data will take some time to adjust.");
  }
  c.reply.null();
  return {};
}

/// Seconds since the key was saved: lookups leave no trace.
Result<void> object_idletime(Context& c) {
  CAIRN_TRY(found, c.keys.find(c[2]));
  if (!found) {
    c.reply.null();
    return {};
  }
  const auto idle = Keyspace::now() - found->saved.value_or(Keyspace::now());
  c.reply.integer(std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::seconds>(idle).count(), 0));
  return {};
}

Result<void> object_refcount(Context& c) {
  CAIRN_TRY(there, c.keys.contains(c[2]));
  there ? c.reply.integer(1) : c.reply.null();
  return {};
}

/// MEMORY USAGE key [SAMPLES count]: bytes that the last save of the key takes in the log.
Result<void> memory_usage(Context& c) {
  for (std::size_t i = 3; i < c.size(); i += 2) {
    if (!same_word(c[i], "SAMPLES") || i + 1 == c.size()) return refuse_syntax();
    CAIRN_TRY(samples, integer_argument(c[i + 1]));
    if (samples < 0) return refuse_syntax();
  }
  CAIRN_TRY(value, c.keys.get(c[2]));
  value ? c.reply.integer(static_cast<std::int64_t>(kRecordBytes + c[2].size() + value->size())) : c.reply.null();
  return {};
}

Result<void> dump(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  value ? c.reply.bulk(ByteView(dump_string(value->view()))) : c.reply.null();
  return {};
}

struct RestoreOptions {
  bool replace = false;
  bool absolute = false;
};
Result<RestoreOptions> restore_options(const Context& c) {
  RestoreOptions options;
  bool idle = false;
  bool frequency = false;
  for (std::size_t i = 4; i < c.size(); ++i) {
    if (same_word(c[i], "REPLACE")) {
      options.replace = true;
    } else if (same_word(c[i], "ABSTTL")) {
      options.absolute = true;
    } else if (same_word(c[i], "IDLETIME") && i + 1 < c.size() && !frequency) {
      CAIRN_TRY(given, integer_argument(c[++i]));
      if (given < 0) return refuse("ERR Invalid IDLETIME value, must be >= 0");
      idle = true;
    } else if (same_word(c[i], "FREQ") && i + 1 < c.size() && !idle) {
      CAIRN_TRY(given, integer_argument(c[++i]));
      if (given < 0 || given > 255) return refuse("ERR Invalid FREQ value, must be >= 0 and <= 255");
      frequency = true;
    } else {
      return refuse_syntax();
    }
  }
  return options;
}

/// RESTORE key ttl dump [REPLACE] [ABSTTL] [IDLETIME seconds | FREQ frequency]
Result<void> restore(Context& c) {
  CAIRN_TRY(options, restore_options(c));
  CAIRN_TRY(there, c.keys.contains(c[1]));
  if (there && !options.replace) return refuse("BUSYKEY Target key name already exists.");
  CAIRN_TRY(ttl, integer_argument(c[2]));
  if (ttl < 0) return refuse("ERR Invalid TTL value, must be >= 0");
  CAIRN_TRY(value, load_string(c[3]));
  Expires expires;
  if (ttl != 0) {
    constexpr std::int64_t kMost = (std::int64_t{1} << 47) - 1;  // The year 6429, as for every expiry.
    const std::int64_t now = Keyspace::now().time_since_epoch().count();
    if (ttl > kMost || (!options.absolute && ttl > kMost - now)) return refuse("ERR Invalid TTL value, must be >= 0");
    expires = Time(std::chrono::milliseconds(options.absolute ? ttl : now + ttl));
  }
  c.reply.ok();
  if (expires && *expires <= Keyspace::now()) return there ? c.keys.erase(c[1]) : Result<void>();
  return c.keys.put_computed(c[1], std::move(value), expires);
}

constexpr const char* kGroup = "generic";

constexpr CommandInfo kCommands[] = {
    {"DUMP", 2, Where::kReader, kReads, 1, 1, 1, dump, kGroup, "2.6.0",
     "Return a serialized version of the value stored at the specified key", "key"},
    {"MEMORY HELP", 2, Where::kReader, kReads, 0, 0, 0, subcommand_help, "server", "4.0.0",
     "Show helpful text about the different subcommands", ""},
    {"MEMORY USAGE", -3, Where::kReader, kReads, 2, 2, 1, memory_usage, "server", "4.0.0",
     "Estimate the bytes that a key and its value take", "key [SAMPLES count]"},
    {"OBJECT ENCODING", 3, Where::kReader, kReads, 2, 2, 1, object_encoding, kGroup, "2.2.3",
     "Return how Redis would encode the value of a key", "key"},
    {"OBJECT FREQ", 3, Where::kReader, kReads, 2, 2, 1, object_freq, kGroup, "4.0.0",
     "Refused: the frequency of access is not tracked", "key"},
    {"OBJECT HELP", 2, Where::kReader, kReads, 0, 0, 0, subcommand_help, kGroup, "6.2.0",
     "Show helpful text about the different subcommands", ""},
    {"OBJECT IDLETIME", 3, Where::kReader, kReads, 2, 2, 1, object_idletime, kGroup, "2.2.3",
     "Return the seconds since a key was saved", "key"},
    {"OBJECT REFCOUNT", 3, Where::kReader, kReads, 2, 2, 1, object_refcount, kGroup, "2.2.3",
     "Return the number of references to the value of a key", "key"},
    {"RESTORE", -4, Where::kWriter, kWrites, 1, 1, 1, restore, kGroup, "2.6.0",
     "Create a key from a value that DUMP has serialized",
     "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]"},
};

}  // namespace

std::span<const CommandInfo> object_commands() { return kCommands; }

}  // namespace cairn::server
