// Comma-separated values, as RFC 4180 has them: a header line, fields in quotes where they contain commas, quotes or line ends.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/json_lines.h"

namespace cairn::cli {

/// Reads records. Line ends are CR LF or LF. One thread.
class CsvReader {
 public:
  explicit CsvReader(LineReader& lines) : lines_(lines) {}
  /// The fields of the next record; nullopt at the end. kInvalidArgument: it is no record; the next call goes on behind it.
  Result<std::optional<std::vector<std::string>>> next();
  /// Where the record that next() gave, or refused, begins; counted from 1.
  [[nodiscard]] std::uint64_t line() const { return line_; }

 private:
  LineReader& lines_;
  std::uint64_t line_ = 0;
  std::uint64_t lines_read_ = 0;
};

/// Which columns of a CSV file are the key and the value, and of a timeline's also the time. The column "erased" of a timeline,
/// if there is one, has "true" where a save erased its key.
struct CsvColumns {
  std::string key;                   ///< Empty: "key", or "key64".
  std::optional<std::string> value;  ///< None: "value" or "value64" if there is one, else all columns, as a JSON object.
  bool base64 = false;  ///< The key and the value are base64; those of columns named "key64" and "value64" always are.
  bool timed = false;   ///< Of a timeline: entries may have a time and may be erases.
  std::string time;     ///< Empty: "time", if there is one.
};

/// Makes entries of the records of a file with that header.
class CsvEntries {
 public:
  /// kInvalidArgument: a column is not in the header, or twice.
  static Result<CsvEntries> begin(const std::vector<std::string>& header, const CsvColumns& columns);
  /// kInvalidArgument: the record has another number of fields, its key is none, or something is not base64.
  [[nodiscard]] Result<KeyValue> entry(const std::vector<std::string>& fields) const;
  /// The text in the time column of a record that entry() accepted; nullopt if there is no such column or it is empty.
  [[nodiscard]] std::optional<std::string> time(const std::vector<std::string>& fields) const;
  /// Whether the column `erased` of such a record has "true". kInvalidArgument: it has neither "true", "false" nor nothing.
  [[nodiscard]] Result<bool> erased(const std::vector<std::string>& fields) const;

 private:
  std::vector<std::string> header_;
  std::size_t key_ = 0;
  std::optional<std::size_t> value_;
  std::optional<std::size_t> time_;
  std::optional<std::size_t> erased_;
  bool key_base64_ = false;
  bool value_base64_ = false;
};

/// "key,value" or "key64,value64", and a line of an entry, with their line ends (CR LF). kInvalidArgument: without `base64` all
/// bytes must be UTF-8.
std::string csv_header(bool base64);
Result<std::string> csv_line(ByteView key, ByteView value, bool base64);
/// Adds --csv, --key, --value and --base64 to a command that reads CSV.
void add_csv_columns(const Command& command, bool& csv, CsvColumns& columns);
/// Adds --csv and --base64 to a command that prints CSV.
void add_csv_output(const Command& command, bool& csv, bool& base64);
/// kInvalidArgument: --base64 without --csv.
Result<void> check_csv_output(bool csv, bool base64);
/// csv_header() and csv_line() with a time in front and "true" behind if the save erased its key.
std::string csv_history_header(bool base64);
Result<std::string> csv_history_line(Time time, ByteView key, ByteView value, bool erased, bool base64);

}  // namespace cairn::cli
