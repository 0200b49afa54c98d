// Splits records into fields and puts entries together. Invariant: a record that is refused has been read whole, so that the next
// call begins at the next record.
#include "cli/csv.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/cli.h"
#include "text/moment.h"

namespace cairn::cli {
namespace {

constexpr std::uint64_t kRecordBytesMax = 2 * kGiB;

std::unexpected<Error> wrong(const std::string& what) { return fail(ErrorCode::kInvalidArgument, what); }

/// Appends the fields of `text`, a part of a record, to `fields`. `in_quotes`: the last of them has an open quote, before and
/// after. False: a quote stands where none may.
bool split(ByteView text, std::vector<std::string>& fields, bool& in_quotes) {
  bool was_quoted = in_quotes;
  if (!in_quotes) fields.emplace_back();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& field = fields.back();
    if (in_quotes) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else {
        in_quotes = false;
      }
    } else if (c == ',') {
      fields.emplace_back();
      was_quoted = false;
    } else if (c == '"' && field.empty() && !was_quoted) {
      in_quotes = was_quoted = true;
    } else if (c == '"' || was_quoted) {
      return false;
    } else {
      field += c;
    }
  }
  return true;
}

Result<Bytes> decode(const std::string& text, bool is_base64, const std::string& column) {
  if (!is_base64) return text;
  Bytes bytes;
  if (!absl::Base64Unescape(text, &bytes)) return wrong("column '" + column + "' is not base64");
  return bytes;
}

std::string quoted(ByteView field) {
  if (field.find_first_of("\",\r\n") == ByteView::npos) return std::string(field);
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

Result<std::optional<std::vector<std::string>>> CsvReader::next() {
  std::vector<std::string> fields;
  bool in_quotes = false;
  std::uint64_t bytes = 0;
  line_ = lines_read_ + 1;
  while (true) {
    CAIRN_TRY(line, lines_.next());
    if (!line && in_quotes) return wrong("a quote is open at the end of the input");
    if (!line) return std::nullopt;
    if (++lines_read_ == 1 && line->starts_with("\xef\xbb\xbf")) line->erase(0, 3);  // The mark of UTF-8.
    bytes += line->size();
    if (bytes > kRecordBytesMax) return wrong("the record has more than 2 GiB: is a quote missing?");
    if (!in_quotes && (line->empty() || *line == "\r")) {  // Between records.
      line_ = lines_read_ + 1;
      continue;
    }
    const bool had_end = line->ends_with('\r');
    ByteView text = *line;
    if (had_end) text.remove_suffix(1);
    if (!split(text, fields, in_quotes)) {
      return wrong("a quote stands within a field: quote the whole field, and double the quotes in it");
    }
    if (!in_quotes) return fields;
    fields.back() += had_end ? "\r\n" : "\n";
  }
}

Result<CsvEntries> CsvEntries::begin(const std::vector<std::string>& header, const CsvColumns& columns) {
  CsvEntries entries;
  entries.header_ = header;
  for (const std::string& name : entries.header_) {
    if (std::ranges::count(entries.header_, name) != 1) return wrong("column '" + name + "' is twice in the header");
  }
  const auto find = [&](const std::string& name) -> std::optional<std::size_t> {
    const auto found = std::ranges::find(entries.header_, name);
    if (found == entries.header_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - entries.header_.begin());
  };
  const auto missing = [&](const std::string& name, const char* option) {
    return wrong(fmt::format("the header has no column '{}'; it has {}; {} names another", name, fmt::join(entries.header_, ", "),
                             option));
  };
  const std::string key = !columns.key.empty() ? columns.key : find("key64") ? "key64" : "key";
  const auto key_at = find(key);
  if (!key_at) return missing(key, "--key");
  entries.key_ = *key_at;
  entries.value_ = columns.value ? find(*columns.value) : find("value64") ? find("value64") : find("value");
  if (columns.value && !entries.value_) return missing(*columns.value, "--value");
  if (columns.timed) {
    entries.time_ = find(columns.time.empty() ? "time" : columns.time);
    if (!columns.time.empty() && !entries.time_) return missing(columns.time, "--time");
    entries.erased_ = find("erased");
  }
  entries.key_base64_ = columns.base64 || key == "key64";
  entries.value_base64_ = entries.value_ && (columns.base64 || entries.header_[*entries.value_] == "value64");
  return entries;
}

Result<KeyValue> CsvEntries::entry(const std::vector<std::string>& fields) const {
  if (fields.size() != header_.size()) {
    return wrong(fmt::format("the record has {}, the header {}", counted(fields.size(), "field"), header_.size()));
  }
  KeyValue entry;
  CAIRN_TRY(key, decode(fields[key_], key_base64_, header_[key_]));
  entry.key = key;
  CAIRN_TRY_VOID(check_key(entry.key));
  if (value_) {
    CAIRN_TRY(value, decode(fields[*value_], value_base64_, header_[*value_]));
    entry.value = value;
    return entry;
  }
  Json object;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!is_utf8(fields[i]))
      return wrong("column '" + header_[i] + "' is not UTF-8, which JSON needs: name one column by --value");
    object[header_[i]] = fields[i];
  }
  entry.value = to_line(object);
  entry.value.pop_back();  // The line end.
  return entry;
}

std::optional<std::string> CsvEntries::time(const std::vector<std::string>& fields) const {
  return time_ && !fields[*time_].empty() ? std::optional(fields[*time_]) : std::nullopt;
}

Result<bool> CsvEntries::erased(const std::vector<std::string>& fields) const {
  const std::string text = erased_ ? fields[*erased_] : "";
  if (text == "true" || text == "false" || text.empty()) return text == "true";
  return wrong("column 'erased': '" + text + "' is neither true nor false");
}

std::string csv_header(bool base64) { return base64 ? "key64,value64\r\n" : "key,value\r\n"; }

Result<std::string> csv_line(ByteView key, ByteView value, bool base64) {
  if (base64) {
    const auto escape = [](ByteView bytes) { return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size())); };
    return escape(key) + "," + escape(value) + "\r\n";
  }
  for (const ByteView bytes : {key, value}) {
    if (is_utf8(bytes)) continue;
    return wrong(fmt::format("the {} of {} is not UTF-8: print all in base64 with --base64",
                             bytes.data() == key.data() ? "key" : "value", json_string(key)));
  }
  return quoted(key) + "," + quoted(value) + "\r\n";
}

void add_csv_columns(const Command& command, bool& csv, CsvColumns& columns) {
  command.add_flag("--csv", csv, "Read CSV with a header line (RFC 4180), as from a .csv file");
  command.add_option("--key", columns.key, "CSV column of the key; default: key, or key64");
  command.add_option("--value", columns.value,
                     "CSV column of the value; default: value or value64, or else all columns as a JSON object");
  command.add_flag("--base64", columns.base64, "The CSV columns of key and value are base64");
}

void add_csv_output(const Command& command, bool& csv, bool& base64) {
  command.add_flag("--csv", csv, "Print CSV with a header line (RFC 4180)");
  command.add_flag("--base64", base64, "With --csv: print keys and values in base64, for bytes that are not UTF-8");
}

Result<void> check_csv_output(bool csv, bool base64) {
  if (csv || !base64) return {};
  return fail(ErrorCode::kInvalidArgument, "--base64 is for CSV: give --csv too");
}

std::string csv_history_header(bool base64) { return base64 ? "time,key64,value64,erased\r\n" : "time,key,value,erased\r\n"; }

Result<std::string> csv_history_line(Time time, ByteView key, ByteView value, bool erased, bool base64) {
  CAIRN_TRY(line, csv_line(key, value, base64));
  line.insert(line.size() - 2, erased ? ",true" : ",");
  return format_time(time) + "," + line;
}

}  // namespace cairn::cli
