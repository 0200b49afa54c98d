// cairn table load: lines into a table.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/json_lines.h"
#include "cli/line_editor.h"
#include "cli/meter.h"

namespace cairn::cli {
namespace {

struct LoadArguments {
  Common common;
  std::string file;
  bool ack = false;
  bool skip_bad = false;
  bool csv = false;
  CsvColumns columns;
};

constexpr std::size_t kGroupLines = 1000;
constexpr std::size_t kAckGroupLines = 64;  // Small, so that no acknowledgement waits long for the others of its group.
constexpr std::uint64_t kGroupBytes = kMiB;

class Loader {
 public:
  Loader(const LoadArguments& arguments, Table table) : arguments_(arguments), table_(std::move(table)) {}

  Result<int> run(int fd, std::uint64_t total_bytes) {
    LineReader reader(fd);
    CsvReader records(reader);
    Meter meter("read");
    while (true) {
      const Result<bool> added = arguments_.csv ? add_record(records) : add_line(reader);
      if (!added) {
        meter.clear();
        CAIRN_TRY_VOID(bad_line(added.error()));
      } else if (!*added) {
        break;
      }
      const std::size_t lines_max = arguments_.ack ? kAckGroupLines : kGroupLines;
      const bool waiting = arguments_.ack && !reader.buffered();
      if (batch_.size() >= lines_max || batch_bytes_ >= kGroupBytes || waiting) CAIRN_TRY_VOID(store());
      if (!meter.show_lines(line_number_, reader.bytes_read(), total_bytes)) break;
    }
    CAIRN_TRY_VOID(store());
    if (!is_interrupted()) return 0;
    return std::unexpected(
        meter.explain({}, fmt::format("{} stored, none after line {}", counted(stored_, "line"), line_number_)));
  }
  [[nodiscard]] std::uint64_t stored() const { return stored_; }
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }

 private:
  /// False: there is no other line.
  Result<bool> add_line(LineReader& reader) {
    CAIRN_TRY(line, reader.next());
    if (!line) return false;
    ++line_number_;
    if (line->empty()) return true;
    if (!format_) format_ = guess_format(arguments_.file, *line);
    CAIRN_TRY(entry, parse_line(*line, *format_));
    CAIRN_TRY_VOID(add(entry));
    return true;
  }
  /// The same of a CSV file, whose first record is its header.
  Result<bool> add_record(CsvReader& records) {
    const auto fields = records.next();
    if (fields && !*fields) return false;
    line_number_ = records.line();
    CAIRN_TRY_VOID(fields);
    if (!columns_) {
      CAIRN_TRY(begun, CsvEntries::begin(**fields, arguments_.columns));
      columns_ = std::move(begun);
      return true;
    }
    CAIRN_TRY(entry, columns_->entry(**fields));
    CAIRN_TRY_VOID(add(entry));
    return true;
  }
  [[nodiscard]] std::string in_place(const std::string& message) const {
    return fmt::format("{}:{}: {}", arguments_.file, line_number_, message);
  }
  Result<void> add(const KeyValue& entry) {
    const std::uint64_t bytes = entry.key.size() + entry.value.size();
    // A large value goes alone, so that its error is its own.
    if (bytes >= kGroupBytes) CAIRN_TRY_VOID(store());
    if (arguments_.ack) keys_.push_back(entry.key);
    batch_.put(entry.key, entry.value);
    batch_bytes_ += bytes;
    if (bytes >= kGroupBytes) return store();
    return {};
  }
  /// Stores every line before this one, then skips it or ends the load with it.
  Result<void> bad_line(const Error& error) {
    if (error.code != ErrorCode::kInvalidArgument) return std::unexpected(error);
    if (arguments_.csv && !columns_) return fail(error.code, in_place(error.message));  // Without the header no line is good.
    CAIRN_TRY_VOID(store());
    const std::string where = in_place(error.message);
    if (!arguments_.skip_bad) {
      return fail(ErrorCode::kInvalidArgument,
                  where + fmt::format("; {} before it stored, none after it", counted(stored_, "line")));
    }
    say(fmt::format("cairn: skipped {}\n", where));
    ++skipped_;
    return {};
  }
  Result<void> store() {
    if (batch_.empty()) return {};
    const Batch batch = std::exchange(batch_, {});
    const std::vector<Bytes> keys = std::exchange(keys_, {});
    batch_bytes_ = 0;
    CAIRN_TRY_VOID(table_.write(batch));
    stored_ += batch.size();
    std::string lines;
    for (const Bytes& key : keys) lines += to_line(key_json(key));
    if (lines.empty()) return {};
    CAIRN_TRY_VOID(print(lines));
    return flush_output();
  }
  static Json key_json(const Bytes& key) {
    Json object;
    put_bytes(object, "key", key);
    return object.has("key") ? object["key"] : object;
  }

  const LoadArguments& arguments_;
  Table table_;
  std::optional<LineFormat> format_;
  std::optional<CsvEntries> columns_;  // Once the header was read.
  Batch batch_;
  std::uint64_t batch_bytes_ = 0;
  std::vector<Bytes> keys_;  // Of the batch, to be acknowledged.
  std::uint64_t line_number_ = 0;
  std::uint64_t stored_ = 0;
  std::uint64_t skipped_ = 0;
};

Result<int> load(LoadArguments& arguments) {
  const bool names_columns = !arguments.columns.key.empty() || arguments.columns.value || arguments.columns.base64;
  arguments.csv = arguments.csv || arguments.file.ends_with(".csv");
  if (names_columns && !arguments.csv) {
    return fail(ErrorCode::kInvalidArgument, "--key, --value and --base64 are for CSV: give --csv, or a file that ends in .csv");
  }
  CAIRN_TRY(fd, open_lines(arguments.file));
  CAIRN_TRY(opened, open_table(arguments.common, IfMissing::kCreate));
  Loader loader(arguments, opened.table);
  const Result<int> done = loader.run(fd.get(), bytes_of_input(fd.get()));
  const Result<void> closed = opened.database.close();
  CAIRN_TRY_VOID(done);
  CAIRN_TRY_VOID(closed);
  if (arguments.common.json) {
    CAIRN_TRY_VOID(print(to_line({{"ok", true}, {"stored", loader.stored()}, {"skipped", loader.skipped()}})));
  } else if (!arguments.ack) {
    say(fmt::format("{} stored, {} skipped\n", counted(loader.stored(), "line"), loader.skipped()));
  }
  return 0;
}

}  // namespace

void add_load(const Command& table) {
  LoadArguments& arguments = table.make_arguments<LoadArguments>();
  const Command command =
      table.add_command("load", "Store lines of {\"key\":…,\"value\":…} or KEY TAB VALUE, or the records of a CSV file");
  add_common(command, arguments.common);
  command.add_option("FILE", arguments.file, "A .jsonl, .tsv or .csv file, or - for standard input")
      .required()
      .completed_by(complete_file);
  command.add_flag("--ack", arguments.ack, "Print each key as a JSON string once it is durable");
  command.add_flag("--skip-bad", arguments.skip_bad, "Report and skip bad lines");
  add_csv_columns(command, arguments.csv, arguments.columns);
  set_action(command, arguments.common, [&arguments] { return load(arguments); });
}

}  // namespace cairn::cli
