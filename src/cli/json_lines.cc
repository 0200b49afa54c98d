#include "cli/json_lines.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/json_parse.h"
#include "cli/meter.h"

namespace cairn::cli {
Result<Bytes> take_bytes(const nlohmann::json& object, const std::string& name) {
  const auto plain = object.find(name);
  const auto coded = object.find(name + "64");
  if ((plain != object.end()) == (coded != object.end())) {
    return fail(ErrorCode::kInvalidArgument, "/" + name + ": one of \"" + name + "\" and \"" + name + "64\" is needed");
  }
  if (plain != object.end()) {
    if (!plain->is_string()) return fail(ErrorCode::kInvalidArgument, "/" + name + ": not a string");
    return plain->get<std::string>();
  }
  Bytes bytes;
  if (!coded->is_string() || !absl::Base64Unescape(coded->get<std::string>(), &bytes)) {
    return fail(ErrorCode::kInvalidArgument, "/" + name + "64: not base64");
  }
  return bytes;
}

Result<Bytes> parse_account_key(const std::string& hex) {
  const bool is_hex = std::ranges::all_of(hex, [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); });
  if (hex.size() != 2 * kAccountKeyBytes || !is_hex) {
    return fail(ErrorCode::kInvalidArgument, "an account key has 64 hexadecimal digits; '" + hex + "' is none");
  }
  return Bytes(absl::HexStringToBytes(hex));
}

Result<nlohmann::json> parse_json(ByteView text) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::kInvalidArgument, error.what());
  }
}

Result<Bytes> parse_json_bytes(ByteView text, const std::string& name) {
  CAIRN_TRY(value, parse_json(text));
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.size() == 1) return take_bytes(value, name);
  return fail(ErrorCode::kInvalidArgument, "the " + name + " is neither a JSON string nor {\"" + name + "64\":…}");
}

Result<KeyValue> parse_line(ByteView line, LineFormat format) {
  KeyValue entry;
  if (format == LineFormat::kTabs) {
    const std::size_t tab = line.find('\t');
    if (tab == ByteView::npos) return fail(ErrorCode::kInvalidArgument, "no TAB between key and value");
    entry = {Bytes(line.substr(0, tab)), Bytes(line.substr(tab + 1))};
  } else {
    CAIRN_TRY(object, parse_json(line));
    if (!object.is_object()) return fail(ErrorCode::kInvalidArgument, "not a JSON object");
    for (const auto& [name, value] : object.items()) {
      if (name != "key" && name != "key64" && name != "value" && name != "value64") {
        return fail(ErrorCode::kInvalidArgument, "/" + name + ": unknown field");
      }
    }
    CAIRN_TRY(key, take_bytes(object, "key"));
    CAIRN_TRY(value, take_bytes(object, "value"));
    entry = {key, value};
  }
  CAIRN_TRY_VOID(check_key(entry.key));
  return entry;
}

Result<void> check_key(ByteView key) {
  if (!key.empty() && key.size() <= kKeyBytesMax) return {};
  return fail(ErrorCode::kInvalidArgument, "a key has 1 to 65535 bytes; this one has " + std::to_string(key.size()));
}

LineFormat guess_format(const std::string& file, const std::string& first_line) {
  if (file.ends_with(".tsv")) return LineFormat::kTabs;
  if (file.ends_with(".jsonl")) return LineFormat::kJson;
  return first_line.starts_with('{') && parse_json(first_line) ? LineFormat::kJson : LineFormat::kTabs;
}

Result<Descriptor> open_lines(const std::string& file) {
  const bool is_input = file == "-";
  Descriptor fd(is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(ErrorCode::kInvalidArgument, "cannot read " + file + ": " + std::strerror(errno));
  return fd;
}

std::uint64_t bytes_of_input(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
}

std::string entry_line(ByteView key, ByteView value) {
  Json object;
  put_bytes(object, "key", key);
  put_bytes(object, "value", value);
  return to_line(object);
}

Result<std::optional<std::string>> LineReader::next() {
  std::size_t searched = at_;
  while (true) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(at_, end - at_);
      at_ = end + 1;
      return line;
    }
    if (ended_) {
      if (at_ == buffer_.size()) return std::nullopt;
      std::string line = buffer_.substr(at_);
      at_ = buffer_.size();
      return line;
    }
    buffer_.erase(0, at_);
    at_ = 0;
    searched = buffer_.size();
    char chunk[64 * 1024];
    const ssize_t n = read(fd_, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR && !is_interrupted()) continue;
    if (n < 0 && errno == EINTR) return std::nullopt;  // Ctrl-C: there is no whole line.
    if (n < 0) return system_error(errno, "reading input");
    if (n == 0) ended_ = true;
    buffer_.append(chunk, static_cast<std::size_t>(n));
    bytes_read_ += static_cast<std::uint64_t>(n);
  }
}

Result<void> for_each_key(const std::optional<std::string>& key, const std::function<Result<void>(const std::string&)>& each) {
  if (key) return each(*key);
  LineReader reader(STDIN_FILENO);
  while (true) {
    CAIRN_TRY(line, reader.next());
    if (!line) return check_interrupt();
    CAIRN_TRY_VOID(each(*line));
  }
}

Json to_json(const FamilyStats& family) {
  Json indexes = Json::array();
  for (const IndexOptions& index : family.indexes) {
    indexes.push_back({{"name", index.name}, {"term_bytes", index.term_bytes}, {"extractor", index.extractor}});
  }
  return {
      {"name", family.name}, {"compression", name_of(family.compression)}, {"ttl_ms", family.ttl.count()}, {"indexes", indexes}};
}

Result<void> check_raw(bool raw, bool json, bool one_key) {
  if (raw && json) return fail(ErrorCode::kInvalidArgument, "--raw and --json exclude each other");
  if (raw && !one_key) return fail(ErrorCode::kInvalidArgument, "--raw prints one value; give its KEY");
  return {};
}

Result<void> print_value(std::optional<ByteView> value, bool json, bool raw) {
  if (!json) return value ? print(Bytes(*value) + (raw ? "" : "\n")) : Result<void>{};
  Json object;
  if (value) {
    put_bytes(object, "value", *value);
  } else {
    object["value"] = nullptr;
  }
  return print(to_line(object));
}

}  // namespace cairn::cli
