#include "server/config.h"

#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "directory/toml.h"
#include "server/text.h"

namespace cairn::server {
namespace {

std::unexpected<Error> wrong(const std::string& name, const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, name + " " + why);
}

template <typename T>
Result<void> set_number(const std::string& name, const directory::TomlTable::Value& value, std::int64_t least, std::int64_t most,
                        T& into) {
  const auto* const number = std::get_if<std::int64_t>(&value);
  if (number == nullptr) return wrong(name, "is to be a number");
  if (*number < least || *number > most) {
    return wrong(name, "is " + std::to_string(*number) + ", not from " + std::to_string(least) + " to " + std::to_string(most));
  }
  into = static_cast<T>(*number);
  return {};
}

/// Bytes, given in MiB.
Result<void> set_mib(const std::string& name, const directory::TomlTable::Value& value, std::int64_t most, std::uint64_t& bytes) {
  std::uint64_t mib = 0;
  CAIRN_TRY_VOID(set_number(name, value, 1, most, mib));
  bytes = mib * kMiB;
  return {};
}

Result<void> set_text(const std::string& name, const directory::TomlTable::Value& value, std::string& into) {
  const auto* const text = std::get_if<std::string>(&value);
  if (text == nullptr) return wrong(name, "is to be a text in quotes");
  into = *text;
  return {};
}

Result<void> set_value(const std::string& name, const directory::TomlTable::Value& value, Config& config) {
  constexpr std::int64_t kSecondsMost = std::int64_t{1} << 31;
  if (name == "dir") return set_text(name, value, config.dir);
  if (name == "log_level") return set_text(name, value, config.log_level);
  if (name == "users_file") return set_text(name, value, config.users_file);
  if (name == "tls_certificate") return set_text(name, value, config.tls_certificate);
  if (name == "tls_key") return set_text(name, value, config.tls_key);
  if (name == "tls_client_authority") return set_text(name, value, config.tls_client_authority);
  if (name == "port") return set_number(name, value, 1, 65'535, config.port);
  if (name == "http_port") return set_number(name, value, 0, 65'535, config.http_port);
  if (name == "read_threads") return set_number(name, value, 1, 256, config.read_threads);
  if (name == "clients_max") return set_number(name, value, 1, kClientsMost, config.clients_max);
  if (name == "idle_timeout_s") return set_number(name, value, 0, kSecondsMost, config.idle_timeout_s);
  if (name == "slow_reader_s") return set_number(name, value, 1, kSecondsMost, config.slow_reader_s);
  if (name == "script_time_ms") return set_number(name, value, 1, kSecondsMost, config.script_time_ms);
  if (name == "client_memory_mib") return set_mib(name, value, std::int64_t{1} << 30, config.client_memory_max);
  if (name == "script_memory_mib") return set_mib(name, value, 1024, config.script_memory_max);
  if (name == "allow_flush") {
    int allow = 0;
    CAIRN_TRY_VOID(set_number(name, value, 0, 1, allow));
    config.allow_flush = allow != 0;
    return {};
  }
  if (name == "file_mode") {
    std::string text;
    CAIRN_TRY_VOID(set_text(name, value, text));
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), config.file_mode, 8);
    const bool valid = error == std::errc{} && end == text.data() + text.size() && (config.file_mode & 0600U) == 0600U &&
                       config.file_mode <= 0777U;
    if (!valid) return wrong(name, "is '" + text + "'; it is from \"0600\" to \"0777\", in octal digits");
    return {};
  }
  if (name == "durability") {
    std::string text;
    CAIRN_TRY_VOID(set_text(name, value, text));
    return set_durability(text, config);
  }
  if (name == "http_hosts") {
    const auto* const list = std::get_if<std::vector<std::string>>(&value);
    if (list == nullptr) return wrong(name, "must be a list of names, such as [\"cairn.example\"]");
    config.http_hosts = *list;
    return {};
  }
  if (name == "bind") {
    const auto* const list = std::get_if<std::vector<std::string>>(&value);
    if (list == nullptr || list->empty()) return wrong(name, "is to be a list of addresses, such as [\"127.0.0.1\"]");
    config.bind = *list;
    return {};
  }
  return wrong("'" + name + "'", "is nothing that can be set");
}

}  // namespace

Result<void> read_config(ByteView text, const std::string& file, Config& config) {
  Result<directory::TomlTable> parsed = directory::parse_toml(text, file);
  if (!parsed) return fail(ErrorCode::kInvalidArgument, parsed.error().message, file);
  for (const auto& [name, tables] : parsed->tables)
    return fail(ErrorCode::kInvalidArgument, "'[[" + name + "]]' is nothing that can be set", file);
  for (const auto& [name, value] : parsed->values) {
    const Result<void> set = set_value(name, value, config);
    if (!set) return fail(ErrorCode::kInvalidArgument, set.error().message, file);
  }
  return {};
}

Result<std::string> read_text_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return system_error(errno, "opening the file", file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<void> set_durability(ByteView text, Config& config) {
  if (text == "disk" || text == "kernel") {
    config.durability = text == "disk" ? Durability::kDisk : Durability::kKernel;
    config.sync_interval_ms = 0;
    return {};
  }
  constexpr ByteView kInterval = "interval:";
  constexpr std::int64_t kMsMost = 3'600'000;
  std::int64_t ms = 0;
  if (text.starts_with(kInterval) && parse_integer(text.substr(kInterval.size()), ms) && ms >= 1 && ms <= kMsMost) {
    config.durability = Durability::kKernel;
    config.sync_interval_ms = ms;
    return {};
  }
  return wrong("durability", "is '" + std::string(text) + "'; it is disk, kernel, or interval:MS with 1 to 3600000 ms");
}

std::string durability_name(const Config& config) {
  if (config.durability == Durability::kDisk) return "disk";
  return config.sync_interval_ms == 0 ? "kernel" : "interval:" + std::to_string(config.sync_interval_ms);
}

Result<void> check_config(const Config& config) {
  if (config.dir.empty()) return wrong("dir", "is not given");
  if (config.tls_certificate.empty() != config.tls_key.empty()) return wrong("tls_certificate", "and tls_key go together");
  if (!config.tls_client_authority.empty() && config.tls_certificate.empty())
    return wrong("tls_client_authority", "needs tls_certificate");
  for (const std::string& host : config.http_hosts) {
    if (host.empty() || host.find_first_of("/ *") != std::string::npos) {
      return wrong("http_hosts", "has '" + host + "'; it lists names as a browser's Host field has them, without http://");
    }
  }
  for (const std::string& text : config.bind) {
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(text, error);
    if (error) return wrong("bind", "has '" + text + "', which is no address");
    if (!address.is_loopback() && config.users_file.empty() && config.tls_client_authority.empty()) {
      return wrong("bind", "has '" + text + "', where others can reach it: give users_file, or TLS with tls_client_authority");
    }
  }
  return {};
}

}  // namespace cairn::server
