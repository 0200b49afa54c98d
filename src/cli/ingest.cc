// cairn table seal and ingest: lines into a sealed file, sealed files into a table.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_lines.h"
#include "cli/line_editor.h"
#include "cli/meter.h"

namespace cairn::cli {
namespace {

struct Arguments {
  Common common;
  std::vector<std::string> files;
  std::string file;
  std::string out;
  std::optional<Compression> compression;
};

Result<int> seal(const Arguments& arguments) {
  CAIRN_TRY(fd, open_lines(arguments.file));
  CAIRN_TRY(writer, SealedFileWriter::create(arguments.out, arguments.compression.value_or(Compression::kNone)));
  LineReader reader(fd.get());
  Meter meter("read");
  const std::uint64_t bytes_total = bytes_of_input(fd.get());
  std::optional<LineFormat> format;
  std::uint64_t number = 0;
  std::uint64_t sealed = 0;
  while (true) {
    CAIRN_TRY(line, reader.next());
    if (!line) break;
    if (!meter.show_lines(number + 1, reader.bytes_read(), bytes_total)) break;
    ++number;
    if (line->empty()) continue;
    if (!format) format = guess_format(arguments.file, *line);
    Result<void> added;
    if (const Result<KeyValue> entry = parse_line(*line, *format)) {
      added = writer.put(entry->key, entry->value);
    } else {
      added = std::unexpected(entry.error());
    }
    if (!added) {
      return fail(added.error().code,
                  fmt::format("{}:{}: {}; nothing was made of it", arguments.file, number, added.error().message));
    }
    ++sealed;
  }
  // The writer, without finish(), leaves no file.
  if (is_interrupted()) return std::unexpected(meter.explain({}, arguments.out + " was not made"));
  meter.clear();
  CAIRN_TRY_VOID(writer.finish());
  if (arguments.common.json) {
    CAIRN_TRY_VOID(print(to_line({{"ok", true}, {"sealed", sealed}})));
  } else {
    say(fmt::format("{} sealed\n", counted(sealed, "line")));
  }
  return 0;
}

Result<int> ingest(const Arguments& arguments) {
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kFail));
  Meter meter("checked and copied");
  const Result<WriteVersion> ingested = opened.table.ingest(arguments.files, meter.progress());
  if (!ingested) return std::unexpected(meter.explain(ingested.error(), "nothing was taken in"));
  meter.clear();
  CAIRN_TRY_VOID(opened.database.close());
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}, {"version", *ingested}})));
  return 0;
}

}  // namespace

void add_ingest(const Command& table) {
  Arguments& arguments = table.make_arguments<Arguments>();
  const Command seal_command = table.add_command("seal", "Write a sealed file for ingest from lines in key order");
  seal_command.add_option("OUT", arguments.out, "The file to write; it must not exist").required().completed_by(complete_file);
  seal_command.add_option("FILE", arguments.file, "A .jsonl or .tsv file, or - for standard input")
      .required()
      .completed_by(complete_file);
  add_compression(seal_command, arguments.compression);
  seal_command.add_flag("--json", arguments.common.json, "Print JSON");
  set_action(seal_command, arguments.common, [&arguments] { return seal(arguments); });

  const Command ingest_command =
      table.add_command("ingest", "Add sealed files, all or none, as newer than everything in the table");
  add_common(ingest_command, arguments.common);
  ingest_command.add_option("FILE", arguments.files, "Sealed files; keys ascend from file to file")
      .required()
      .completed_by(complete_file);
  set_action(ingest_command, arguments.common, [&arguments] { return ingest(arguments); });
}

}  // namespace cairn::cli
