// cairn timeline load: lines into a timeline.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/json_lines.h"
#include "cli/json_parse.h"
#include "cli/line_editor.h"
#include "cli/meter.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

struct LoadArguments {
  TimelineCommon common;
  std::string file;
  bool clamp = false;
  bool csv = false;
  CsvColumns columns;
};

constexpr std::uint64_t kGroupLines = 1000;  // One sync for as many.

struct Line {
  Bytes key;
  Bytes value;
  bool erased = false;
  std::optional<Time> time;
};

/// Milliseconds since 1970, or a string in RFC 3339.
Result<Time> parse_time(const nlohmann::json& time) {
  if (time.is_number_integer() && time.get<std::int64_t>() >= 0) return Time(std::chrono::milliseconds(time.get<std::int64_t>()));
  if (time.is_string()) {
    const Result<Time> parsed = parse_save_time(time.get<std::string>());
    if (parsed) return *parsed;
    return fail(ErrorCode::kInvalidArgument, "/time: " + parsed.error().message);
  }
  return fail(ErrorCode::kInvalidArgument,
              "/time: neither milliseconds since 1970 nor a string such as \"2026-11-28T15:04:05Z\"");
}

/// {"key":…,"value":…} or {"key":…,"erased":true}, with "time" and "stamp", of which the latter is passed over.
Result<Line> parse(const std::string& text) {
  CAIRN_TRY(object, parse_json(text));
  if (!object.is_object()) return fail(ErrorCode::kInvalidArgument, "not a JSON object");
  for (const auto& [name, value] : object.items()) {
    const bool known = name == "key" || name == "key64" || name == "value" || name == "value64" || name == "erased" ||
                       name == "time" || name == "stamp";
    if (!known) return fail(ErrorCode::kInvalidArgument, "/" + name + ": unknown field");
  }
  Line line;
  CAIRN_TRY(key, take_bytes(object, "key"));
  line.key = key;
  if (const auto erased = object.find("erased"); erased != object.end()) {
    if (!erased->is_boolean()) return fail(ErrorCode::kInvalidArgument, "/erased: neither true nor false");
    line.erased = erased->get<bool>();
  }
  if (!line.erased) {
    CAIRN_TRY(value, take_bytes(object, "value"));
    line.value = value;
  }
  if (const auto time = object.find("time"); time != object.end()) {
    CAIRN_TRY(parsed, parse_time(*time));
    line.time = parsed;
  }
  return line;
}

bool is_empty(const Timeline& timeline) {
  const TimelineStats stats = timeline.stats();
  return stats.blocks.empty() && stats.rollbacks.empty();
}

class Loader {
 public:
  Loader(const LoadArguments& arguments, Timeline timeline)
      : arguments_(arguments), timeline_(std::move(timeline)), empty_(is_empty(timeline_)) {}

  /// `bytes_total`: of the input; 0: unknown.
  Result<void> run(int fd, std::uint64_t bytes_total) {
    LineReader reader(fd);
    CsvReader records(reader);
    Meter meter("read");
    std::optional<Line> next;
    while (true) {
      Result<std::optional<Line>> line = arguments_.csv ? take_record(records) : take_line(reader);
      if (line && !*line) break;
      if (!meter.show_lines(number_, reader.bytes_read(), bytes_total)) break;
      if (line) {
        const Result<void> timed = check_time(**line);
        if (!timed) line = std::unexpected(timed.error());
      }
      if (!line) return bad_line(next, line.error());
      // One behind, so that the last of all is known when it is saved.
      if (next) CAIRN_TRY_VOID(save(*next, saved_ % kGroupLines == kGroupLines - 1));
      next = **std::move(line);
      number_of_next_ = number_;
    }
    if (next) CAIRN_TRY_VOID(save(*next, true));
    if (!is_interrupted()) return {};
    return std::unexpected(meter.explain({}, fmt::format("{} saved, none after line {}", counted(saved_, "line"), number_)));
  }
  [[nodiscard]] std::uint64_t saved() const { return saved_; }

 private:
  /// nullopt: there is no other line.
  Result<std::optional<Line>> take_line(LineReader& reader) {
    while (true) {
      CAIRN_TRY(text, reader.next());
      if (!text) return std::nullopt;
      ++number_;
      if (text->empty()) continue;
      CAIRN_TRY(line, parse(*text));
      return line;
    }
  }
  /// The same of a CSV file, whose first record is its header.
  Result<std::optional<Line>> take_record(CsvReader& records) {
    while (true) {
      const auto fields = records.next();
      if (fields && !*fields) return std::nullopt;
      number_ = records.line();
      CAIRN_TRY_VOID(fields);
      if (!columns_) {
        CAIRN_TRY(begun, CsvEntries::begin(**fields, arguments_.columns));
        columns_ = std::move(begun);
        continue;
      }
      CAIRN_TRY(entry, columns_->entry(**fields));
      CAIRN_TRY(erased, columns_->erased(**fields));
      Line line{.key = entry.key, .value = erased ? Bytes() : entry.value, .erased = erased, .time = {}};
      const auto time = columns_->time(**fields);
      if (!time) return line;
      const Result<Time> parsed = parse_save_time(*time);
      if (!parsed) return fail(ErrorCode::kInvalidArgument, "column of the time: " + parsed.error().message);
      line.time = *parsed;
      return line;
    }
  }
  Result<void> check_time(Line& line) {
    if (!line.time) return {};
    if (!empty_) {
      return fail(ErrorCode::kConflict,
                  "/time: lines with times go into an empty timeline only, and '" + arguments_.common.timeline + "' has saves");
    }
    if (last_ && *line.time < *last_) {
      if (!arguments_.clamp) {
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("/time: {} is before the time of the line before, {}; --clamp raises it", format_time(*line.time),
                                format_time(*last_)));
      }
      line.time = last_;
    }
    last_ = line.time;
    return {};
  }
  [[nodiscard]] Error at(std::uint64_t number, const Error& error) const {
    return {error.code,
            fmt::format("{}:{}: {}; {} before it saved, none after it", arguments_.file, number, error.message,
                        counted(saved_, "line")),
            error.file, error.offset};
  }
  /// Saves the line before it, and ends.
  Result<void> bad_line(const std::optional<Line>& before, const Error& error) {
    if (error.code != ErrorCode::kInvalidArgument && error.code != ErrorCode::kConflict) return std::unexpected(error);
    if (before) CAIRN_TRY_VOID(save(*before, true));
    return std::unexpected(at(number_, error));
  }
  Result<void> save(const Line& line, bool durable) {
    SaveOptions options;
    options.durability = durable ? Durability::kDisk : Durability::kKernel;
    options.keep_empty = true;
    options.time = line.time;
    const Result<Stamp> saved = line.erased ? timeline_.erase(line.key, options) : timeline_.put(line.key, line.value, options);
    if (!saved) return std::unexpected(at(number_of_next_, saved.error()));
    ++saved_;
    return {};
  }

  const LoadArguments& arguments_;
  Timeline timeline_;
  const bool empty_;
  std::optional<Time> last_;
  std::optional<CsvEntries> columns_;  // Once the header was read.
  std::uint64_t number_ = 0;
  std::uint64_t number_of_next_ = 0;
  std::uint64_t saved_ = 0;
};

Result<int> load(LoadArguments& arguments) {
  CsvColumns& columns = arguments.columns;
  columns.timed = true;
  arguments.csv = arguments.csv || arguments.file.ends_with(".csv");
  const bool names_columns = !columns.key.empty() || columns.value || columns.base64 || !columns.time.empty();
  if (names_columns && !arguments.csv) {
    return fail(ErrorCode::kInvalidArgument,
                "--key, --value, --time and --base64 are for CSV: give --csv, or a file that ends in .csv");
  }
  CAIRN_TRY(fd, open_lines(arguments.file));
  CAIRN_TRY(opened, open_timeline(arguments.common, IfMissing::kCreate));
  Loader loader(arguments, opened.timeline);
  const Result<void> done = loader.run(fd.get(), bytes_of_input(fd.get()));
  const Result<void> closed = opened.database.close();
  CAIRN_TRY_VOID(done);
  CAIRN_TRY_VOID(closed);
  if (arguments.common.json) CAIRN_TRY_VOID(print(to_line({{"ok", true}, {"saved", loader.saved()}})));
  if (!arguments.common.json) say(fmt::format("{} saved\n", counted(loader.saved(), "line")));
  return 0;
}

}  // namespace

void add_timeline_load(const Command& timeline) {
  LoadArguments& arguments = timeline.make_arguments<LoadArguments>();
  const Command command =
      timeline.add_command("load", "Save lines of {\"key\":…,\"value\":…,\"time\":…}, or the records of a CSV file");
  add_common(command, arguments.common);
  command
      .add_option("FILE", arguments.file,
                  "A .jsonl or .csv file, or - for standard input. \"time\": milliseconds since 1970, or RFC 3339")
      .required()
      .completed_by(complete_file);
  command.add_flag("--clamp", arguments.clamp, "Raise a time to the time of the line before");
  add_csv_columns(command, arguments.csv, arguments.columns);
  command.add_option("--time", arguments.columns.time, "CSV column of the time; default: time, if there is one");
  set_action(command, arguments.common, [&arguments] { return load(arguments); });
}

}  // namespace cairn::cli
