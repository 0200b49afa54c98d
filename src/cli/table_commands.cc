// cairn table create, alter, put, get, erase, scan, find, explain, dump, flush and compact.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <map>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/json_lines.h"
#include "cli/meter.h"
#include "cli/source.h"

namespace cairn::cli {
namespace {

using database::Request;

struct Arguments {
  Common common;
  std::optional<std::string> key;
  std::string value;
  std::string from;
  std::string to;
  std::string prefix;
  bool reverse = false;
  std::uint64_t limit = 0;
  FamilyOptions family;
  std::string index;
  std::string term;
  bool has_value = false;
  bool raw = false;
  bool csv = false;
  bool base64 = false;
};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<int> create(const Arguments& arguments) {
  const Common& common = arguments.common;
  CAIRN_TRY(database, open_database(common.dir, IfMissing::kCreate));
  const bool is_there = contains(database->tables(), common.table);
  if (is_there && common.family == "main")
    return fail(ErrorCode::kConflict, "there is a table '" + common.table + "' already; `cairn table alter` changes it");
  TableOptions options;
  if (common.family == "main") options.main = arguments.family;
  CAIRN_TRY(table, database->table(common.table, options));
  if (common.family != "main") {
    if (contains(table.families(), common.family)) {
      return fail(ErrorCode::kConflict,
                  "table '" + common.table + "' has a family '" + common.family + "' already; `cairn table alter` changes it");
    }
    CAIRN_TRY_VOID(table.family(common.family, arguments.family));
  }
  CAIRN_TRY_VOID(database.close());
  if (common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Result<int> alter(const Arguments& arguments) {
  const Common& common = arguments.common;
  if (!arguments.family.ttl && !arguments.family.compression) {
    return fail(ErrorCode::kInvalidArgument, "nothing to change: give --ttl, --compression or both");
  }
  CAIRN_TRY(opened, open_table(common, IfMissing::kFail));
  CAIRN_TRY_VOID(opened.table.alter(common.family, arguments.family));
  CAIRN_TRY_VOID(opened.database.close());
  if (common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

/// NAME:LENGTH:EXTRACTOR; the extractor may contain colons.
IndexOptions parse_index(const std::string& text) {
  const std::size_t first = text.find(':');
  const std::size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  IndexOptions index{.name = text.substr(0, first)};
  const char* const begin = text.data() + first + 1;
  const bool whole =
      second != std::string::npos && std::from_chars(begin, text.data() + second, index.term_bytes).ptr == text.data() + second;
  if (!whole || begin == text.data() + second)
    throw BadArgument("'" + text + "' is not NAME:LENGTH:EXTRACTOR, such as section:16:json:/Section");
  index.extractor = text.substr(second + 1);
  return index;
}

Result<void> answer_version(const Arguments& arguments, WriteVersion version) {
  if (!arguments.common.json) return {};
  return print(to_line({{"ok", true}, {"version", version}}));
}

Result<int> put(const Arguments& arguments) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  if (arguments.key) {
    std::string value = arguments.value;
    if (!arguments.has_value) {
      CAIRN_TRY(text, read_all());
      value = text;
    }
    CAIRN_TRY(version, opened.table.put(*arguments.key, value));
    CAIRN_TRY_VOID(answer_version(arguments, version));
  } else {
    std::uint64_t number = 0;
    CAIRN_TRY_VOID(for_each_key(std::nullopt, [&](const std::string& line) -> Result<void> {
      ++number;
      const Result<KeyValue> entry = parse_line(line, LineFormat::kTabs);
      if (!entry) return fail(ErrorCode::kInvalidArgument, fmt::format("-:{}: {}", number, entry.error().message));
      CAIRN_TRY(version, opened.table.put(entry->key, entry->value));
      return answer_version(arguments, version);
    }));
  }
  CAIRN_TRY_VOID(opened.database.close());
  return 0;
}

Result<int> erase(const Arguments& arguments) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  CAIRN_TRY_VOID(for_each_key(arguments.key, [&](const std::string& key) -> Result<void> {
    CAIRN_TRY(version, opened.table.erase(key));
    return answer_version(arguments, version);
  }));
  CAIRN_TRY_VOID(opened.database.close());
  return 0;
}

Result<int> get(const Arguments& arguments) {
  const Common& common = arguments.common;
  CAIRN_TRY_VOID(check_raw(arguments.raw, common.json, arguments.key.has_value()));
  CAIRN_TRY(source, Source::open(common.dir));
  Request request{.call = Request::Call::kTableGet, .view = common.table, .family = common.family};
  bool all_found = true;
  CAIRN_TRY_VOID(for_each_key(arguments.key, [&](const std::string& key) -> Result<void> {
    request.key = key;
    bool found = false;
    CAIRN_TRY_VOID(source.call(request, [&](std::span<const ByteView> row) {
      found = true;
      return print_value(row[0], common.json, arguments.raw);
    }));
    if (!found) CAIRN_TRY_VOID(print_value(std::nullopt, common.json, arguments.raw));
    all_found = all_found && found;
    return {};
  }));
  CAIRN_TRY_VOID(source.close());
  return all_found ? 0 : 1;
}

Result<int> scan(const Arguments& arguments) {
  CAIRN_TRY(source, Source::open(arguments.common.dir));
  const Request request{.call = Request::Call::kTableScan,
                        .view = arguments.common.table,
                        .family = arguments.common.family,
                        .key = arguments.prefix,
                        .from_key = arguments.from,
                        .to_key = arguments.to,
                        .reverse = arguments.reverse,
                        .limit = arguments.limit};
  CAIRN_TRY_VOID(check_csv_output(arguments.csv, arguments.base64));
  if (arguments.csv) CAIRN_TRY_VOID(print(csv_header(arguments.base64)));
  CAIRN_TRY_VOID(source.call(request, [&](std::span<const ByteView> row) -> Result<void> {
    if (!arguments.csv) return print(entry_line(row[0], row[1]));
    CAIRN_TRY(line, csv_line(row[0], row[1], arguments.base64));
    return print(line);
  }));
  CAIRN_TRY_VOID(source.close());
  return 0;
}

Result<int> find(const Arguments& arguments) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  bool found = false;
  {
    Scan entries = opened.table.find(arguments.index, arguments.term);
    for (const auto entry : entries) {
      CAIRN_TRY_VOID(check_interrupt());
      CAIRN_TRY_VOID(print(entry_line(entry.key, entry.value)));
      found = true;
    }
    CAIRN_TRY_VOID(entries.status());
  }
  CAIRN_TRY_VOID(opened.database.close());
  return found ? 0 : 1;
}

Result<int> explain(const Arguments& arguments) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  CAIRN_TRY(versions, opened.table.explain(*arguments.key));
  for (const KeyVersion& version : versions) {
    if (arguments.common.json) {
      CAIRN_TRY_VOID(print(to_line({{"write_version", version.write_version},
                                    {"kind", version.kind},
                                    {"layer", version.layer},
                                    {"file", version.file},
                                    {"value_bytes", version.value_bytes},
                                    {"written_ms", version.written_ms},
                                    {"expiry_ms", version.expiry_ms},
                                    {"verdict", version.verdict}})));
    } else {
      CAIRN_TRY_VOID(print(fmt::format("{:>12}  {:<15} {:>10} bytes  {:<18} {:<26} {}\n", version.write_version, version.kind,
                                       version.value_bytes, version.layer, version.file, version.verdict)));
    }
  }
  CAIRN_TRY_VOID(opened.database.close());
  return versions.empty() ? 1 : 0;
}

Result<int> maintain(const Arguments& arguments, bool compacts) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  Meter meter("merged");
  const Result<void> done = compacts ? opened.table.compact(meter.progress()) : opened.table.flush();
  if (!done) return std::unexpected(meter.explain(done.error(), "what was merged stays merged, nothing is lost"));
  meter.clear();
  CAIRN_TRY_VOID(opened.database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}})));
  return 0;
}

Command add(const Command& table, const char* name, const char* help, Arguments& arguments) {
  const Command command = table.add_command(name, help);
  add_common(command, arguments.common);
  return command;
}

void add_key(const Command& command, Arguments& arguments) {
  command.add_option(
      "KEY", [&arguments](const std::string& key) { arguments.key = key; },
      "The key; default: one key a line from standard input");
}

void add_family_options(const Command& command, Arguments& arguments) {
  add_compression(command, arguments.family.compression);
  command.add_option(
      "--ttl",
      [&arguments](const std::string& text) {
        arguments.family.ttl = text == "never" || text == "0" ? std::chrono::milliseconds(0) : duration_option(text);
      },
      "Time to live of records, such as 500ms, 30s, 15m, 12h or 30d; never or 0: they do not end");
}

void add_alter(const Command& table, Arguments& arguments) {
  const Command command = add(table, "alter",
                              "Change the time to live of records that are written from now on, or the compression of files that "
                              "are sealed from now on; records in the table keep the end they have",
                              arguments);
  add_family_options(command, arguments);
  set_action(command, arguments.common, [&arguments] { return alter(arguments); });
}

void add_create(const Command& table, Arguments& arguments) {
  const Command create_command = add(table, "create", "Create a table or a family, and the database if there is none", arguments);
  add_family_options(create_command, arguments);
  create_command.add_list(
      "--index",
      [&arguments](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) arguments.family.indexes.push_back(parse_index(text));
      },
      "Term index NAME:LENGTH:EXTRACTOR, such as section:16:json:/Section; can be repeated");
  set_action(create_command, arguments.common, [&arguments] { return create(arguments); });
}

}  // namespace

void add_table_commands(const Command& app) {
  const Command table = app.add_command("table", "Ordered maps (LSM trees)");
  table.require_command();
  Arguments& arguments = table.make_arguments<Arguments>();  // One subcommand runs.

  add_create(table, arguments);
  add_alter(table, arguments);

  Command put_command = add(table, "put", "Store VALUE under KEY", arguments);
  add_key(put_command, arguments);
  put_command.add_option(
      "VALUE",
      [&arguments](const std::string& value) {
        arguments.value = value;
        arguments.has_value = true;
      },
      "The value; default: all of standard input, or without KEY lines of KEY TAB VALUE");
  set_action(put_command, arguments.common, [&arguments] { return put(arguments); });

  Command get_command = add(table, "get", "Print the value of KEY; exit code 1 if there is none", arguments);
  add_key(get_command, arguments);
  add_raw(get_command, arguments.raw);
  set_action(get_command, arguments.common, [&arguments] { return get(arguments); });

  Command erase_command = add(table, "erase", "Erase KEY", arguments);
  add_key(erase_command, arguments);
  set_action(erase_command, arguments.common, [&arguments] { return erase(arguments); });

  Command scan_command = add(table, "scan", "Print entries in key order, one JSON object a line", arguments);
  scan_command.add_option("--from", arguments.from, "First key");
  scan_command.add_option("--to", arguments.to, "First key that is not printed");
  scan_command.add_option("--prefix", arguments.prefix, "Print keys with this prefix");
  scan_command.add_flag("--reverse", arguments.reverse, "Print in descending order");
  scan_command.add_option("--limit", arguments.limit, "Number of entries to print at most");
  add_csv_output(scan_command, arguments.csv, arguments.base64);
  set_action(scan_command, arguments.common, [&arguments] { return scan(arguments); });

  Command find_command = add(table, "find", "Print entries that have a term; exit code 1 if there are none", arguments);
  find_command.add_option("INDEX", arguments.index, "Name of the term index").required();
  find_command.add_option("TERM", arguments.term, "The term").required();
  set_action(find_command, arguments.common, [&arguments] { return find(arguments); });

  Command explain_command =
      add(table, "explain", "Print each version of a key, where it is, and why it is or is not the answer", arguments);
  explain_command.add_option("KEY", arguments.key, "The key").required();
  set_action(explain_command, arguments.common, [&arguments] { return explain(arguments); });

  Command dump_command = add(table, "dump", "Print all entries in the form that load reads", arguments);
  add_csv_output(dump_command, arguments.csv, arguments.base64);
  set_action(dump_command, arguments.common, [&arguments] { return scan(arguments); });
  Command flush_command = add(table, "flush", "Write the memtable to a sealed file", arguments);
  set_action(flush_command, arguments.common, [&arguments] { return maintain(arguments, false); });
  Command compact_command = add(table, "compact", "Merge all sealed files into one run", arguments);
  set_action(compact_command, arguments.common, [&arguments] { return maintain(arguments, true); });

  add_load(table);
  add_ingest(table);
  add_apply(table);
  add_stats(table);
}

}  // namespace cairn::cli
