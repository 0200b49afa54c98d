// Keys and values as lines of text: {"key":…,"value":…}, {"key64":…,"value64":…} for bytes that are not UTF-8, or
// KEY TAB VALUE.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "cairn/cairn.h"
#include "text/hex.h"
#include "text/json.h"

namespace cairn::cli {

/// 32 bytes of 64 hexadecimal digits. kInvalidArgument.
Result<Bytes> parse_account_key(const std::string& hex);
/// The bytes of a JSON string, or of the object {"NAME64":…}. kInvalidArgument.
Result<Bytes> parse_json_bytes(ByteView text, const std::string& name);

struct KeyValue {
  Bytes key;
  Bytes value;
};
enum class LineFormat : std::uint8_t { kJson, kTabs };
/// kInvalidArgument: it is no key of a table.
Result<void> check_key(ByteView key);
Result<KeyValue> parse_line(ByteView line, LineFormat format);
/// By the name of the file or, if that does not tell, its first line.
LineFormat guess_format(const std::string& file, const std::string& first_line);
/// The size of the regular file `fd`; 0 for a pipe or a terminal, whose length is unknown.
std::uint64_t bytes_of_input(int fd);
std::string entry_line(ByteView key, ByteView value);

/// A file of lines, or standard input for "-". kInvalidArgument: it cannot be read.
Result<Descriptor> open_lines(const std::string& file);

/// Lines of a file descriptor, without their ends. One thread.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}
  /// The next line, waiting for it; nullopt at the end.
  Result<std::optional<std::string>> next();
  /// Whether next() would answer without waiting.
  [[nodiscard]] bool buffered() const { return ended_ || buffer_.find('\n', at_) != std::string::npos; }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  int fd_;
  std::string buffer_;
  std::size_t at_ = 0;
  bool ended_ = false;
  std::uint64_t bytes_read_ = 0;
};

/// Calls `each` with `key` or, if there is none, with each line of standard input.
Result<void> for_each_key(const std::optional<std::string>& key, const std::function<Result<void>(const std::string&)>& each);
/// The options of a family.
Json to_json(const FamilyStats& family);
/// kInvalidArgument: --raw does not go with --json, or with keys from standard input.
Result<void> check_raw(bool raw, bool json, bool one_key);
/// The answer to a get, with a newline unless `raw`; of what is not there {"value":null}, or nothing.
Result<void> print_value(std::optional<ByteView> value, bool json, bool raw);

}  // namespace cairn::cli
