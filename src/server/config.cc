// Each setting is one row of kSettings. Code that names, checks, prints or documents settings uses the rows.
#include "server/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "server/text.h"
#include "text/json.h"
#include "text/moment.h"
#include "text/suggestion.h"
#include "text/toml_file.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kSecondsMost = std::int64_t{1} << 31;
constexpr std::int64_t kMebibytesMost = std::int64_t{1} << 30;

bool set_durability(const std::string& text, Config& config) {
  constexpr ByteView kInterval = "interval:";
  constexpr std::int64_t kMsMost = 3'600'000;
  std::int64_t ms = 0;
  const bool is_interval =
      text.starts_with(kInterval) && parse_integer(ByteView(text).substr(kInterval.size()), ms) && ms >= 1 && ms <= kMsMost;
  if (!is_interval && text != "disk" && text != "kernel") return false;
  config.durability = text == "disk" ? Durability::kDisk : Durability::kKernel;
  config.sync_interval_ms = ms;
  return true;
}

/// Reads a PerDatabase. `parse` gives the value of a text, or nullopt.
template <typename Value>
bool set_each(const std::string& text, PerDatabase<Value>& into, std::optional<Value> (*parse)(ByteView)) {
  PerDatabase<Value> read{.text = text, .values = {}};
  std::optional<Value> for_all;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    ByteView part = ByteView(text).substr(begin, end - begin);
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    begin = end + 1;
    const std::size_t equals = part.find('=');
    const std::optional<Value> value = parse(equals == ByteView::npos ? part : part.substr(equals + 1));
    std::int64_t number = 0;
    const bool is_number = equals != ByteView::npos && parse_integer(part.substr(0, equals), number);
    if (!value || (equals != ByteView::npos && !is_number) || number < 0 || number >= kDatabases) return false;
    std::optional<Value>& place = is_number ? read.values[static_cast<std::size_t>(number)] : for_all;
    if (place) return false;  // Given twice.
    place = value;
  }
  for (std::optional<Value>& value : read.values) value = value ? value : for_all;
  into = std::move(read);
  return true;
}

bool set_timeline_timeout(const std::string& text, Config& config) {
  return set_each<std::chrono::milliseconds>(text, config.timeline_timeout, [](ByteView word) {
    return word == "never" ? std::optional(std::chrono::milliseconds(0)) : parse_duration(word);
  });
}

bool set_timeline_policy(const std::string& text, Config& config) {
  return set_each<Expired>(text, config.timeline_policy, [](ByteView word) {
    return word == "drop" ? std::optional(Expired::kDrop) : word == "persist" ? std::optional(Expired::kPersist) : std::nullopt;
  });
}

bool set_backup_every(const std::string& text, Config& config) {
  const auto every = text == "never" ? std::optional(std::chrono::milliseconds(0)) : parse_duration(text);
  if (!every) return false;
  config.backup_every_ms = every->count();
  return true;
}

bool set_file_mode(const std::string& text, Config& config) {
  unsigned mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || (mode & 0600U) != 0600U || mode > 0777U) return false;
  config.file_mode = mode;
  return true;
}

bool set_log_level(const std::string& text, Config& config) {
  // "error", "warning" and "critical" are other names that older files may have.
  constexpr std::array<ByteView, 9> kLevels{"trace", "debug", "info", "warn", "err", "off", "error", "warning", "critical"};
  if (std::ranges::find(kLevels, text) == kLevels.end()) return false;
  config.log_level = text;
  return true;
}

const Setting kSettings[] = {
    {"dir", nullptr, TextForm{&Config::dir}, "Directory of the database; created if it does not exist"},
    {"bind", nullptr, ListForm{&Config::bind},
     "Addresses to listen on. An address that other machines can reach needs users_file or tls_client_authority"},
    {"port", nullptr, NumberForm{&Config::port, 0, 65'535}, "Port for Redis clients; 0: any free port"},
    {"http_port", nullptr, NumberForm{&Config::http_port, 0, 65'535}, "Port for HTTP; 0: no HTTP"},
    {"http_hosts", nullptr, ListForm{&Config::http_hosts},
     "Names that the Host field of an HTTP request may have besides localhost; of use only while there are no users"},
    {"read_threads", nullptr, NumberForm{&Config::read_threads, 1, 256},
     "Threads that serve connections. Give one for each processor that clients on this machine do not use"},
    {"durability", nullptr, CustomForm{set_durability, durability_name, "disk, kernel or interval:MS with 1 to 3600000 ms"},
     "What an acknowledged write survives. disk: a power cut. kernel: a crash of the server. interval:MS: like kernel, and the "
     "log is synced every MS milliseconds"},
    {"clients_max", "maxclients", NumberForm{&Config::clients_max, 1, kClientsMost},
     "Connections at a time; further ones are refused. Lowered at start to what the limit on open files allows",
     &LiveConfig::clients_max},
    {"idle_timeout_s", "timeout", NumberForm{&Config::idle_timeout_s, 0, kSecondsMost},
     "An idle connection is closed after this many seconds; 0: never", &LiveConfig::idle_timeout_s},
    {"slow_reader_s", nullptr, NumberForm{&Config::slow_reader_s, 1, kSecondsMost},
     "A client that does not read its replies is disconnected after this many seconds"},
    {"client_memory_mib", nullptr, NumberForm{&Config::client_memory_mib, 1, kMebibytesMost},
     "MiB that requests and replies of all clients may take together; a client that needs more is disconnected"},
    {"script_time_ms", nullptr, NumberForm{&Config::script_time_ms, 1, kSecondsMost},
     "A script is ended after this many milliseconds, and then saves nothing", &LiveConfig::script_time_ms},
    {"script_memory_mib", nullptr, NumberForm{&Config::script_memory_mib, 1, 1024},
     "MiB that the Lua interpreter may allocate, and that one script may save"},
    {"slow_command_us", "slowlog-log-slower-than", NumberForm{&Config::slow_command_us, -1, std::int64_t{1} << 62},
     "SLOWLOG keeps commands that take this many microseconds or more; 0: every command; -1: none", &LiveConfig::slow_command_us},
    {"slow_commands_kept", "slowlog-max-len", NumberForm{&Config::slow_commands_kept, 0, 1'000'000},
     "Number of commands that SLOWLOG keeps", &LiveConfig::slow_commands_kept},
    {"timeline_timeout", nullptr,
     CustomForm{set_timeline_timeout, [](const Config& config) { return config.timeline_timeout.text; },
                "a duration (30s, 15m, 1h, 30d) or never, for all databases or as N=DURATION for one, such as 1h,3=never"},
     "How long each save stays in the history of a database. none: a database made anew has 1h, one that exists keeps "
     "what it has"},
    {"timeline_policy", nullptr,
     CustomForm{set_timeline_policy, [](const Config& config) { return config.timeline_policy.text; },
                "persist or drop, for all databases or as N=POLICY for one, such as persist,3=drop"},
     "What becomes of saves that leave the history. persist: the last save of each key stays. drop: all end, so keys do too. "
     "none: "
     "persist where timeline_timeout is set and for a database made anew; others keep what they have"},
    {"backup_directory", nullptr, TextForm{&Config::backup_directory},
     "Directory for copies of the database (BGSAVE, CHECKPOINT, backup_every); it must exist. Best on another disk"},
    {"backup_every", nullptr,
     CustomForm{set_backup_every, [](const Config& config) { return duration_text(config.backup_every_ms); },
                "a duration (15m, 6h, 1d) or never"},
     "How often a copy is made; never: only when a client asks"},
    {"backup_keep", nullptr, NumberForm{&Config::backup_keep, 1, 100'000},
     "Number of copies to keep; older ones that the server made are removed once a new one is verified"},
    {"backup_incrementals", nullptr, NumberForm{&Config::backup_incrementals, 0, 10'000},
     "Copies after each full one that hold only what changed since it; 0: every copy is full"},
    {"allow_flush", nullptr, SwitchForm{&Config::allow_flush}, "Whether FLUSHDB and FLUSHALL are allowed",
     &LiveConfig::allow_flush},
    {"file_mode", nullptr,
     CustomForm{set_file_mode, [](const Config& config) { return fmt::format("{:04o}", config.file_mode); },
                "octal digits from 0600 to 0777"},
     "Permissions of new files. New directories get the matching search permission; existing ones stay as they are"},
    {"log_level", nullptr,
     CustomForm{set_log_level, [](const Config& config) { return config.log_level; }, "trace, debug, info, warn, err or off"},
     "Least level of what is logged to standard error"},
    {"users_file", nullptr, TextForm{&Config::users_file},
     "TOML file of users and their rights. Without it every client may do everything"},
    {"tls_certificate", nullptr, TextForm{&Config::tls_certificate},
     "PEM file. With tls_key, both ports speak TLS 1.2 or newer and nothing else"},
    {"tls_key", nullptr, TextForm{&Config::tls_key}, "PEM file with the key of tls_certificate"},
    {"tls_client_authority", nullptr, TextForm{&Config::tls_client_authority},
     "PEM file; clients must show a certificate that it signed"},
};

template <typename... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};

std::string dashed(std::string name) {
  std::ranges::replace(name, '_', '-');
  return name;
}

std::unexpected<Error> wrong(const std::string& what) { return fail(ErrorCode::kInvalidArgument, what); }

/// The texts that a value of a file stands for, as a flag would give them; nullopt: no setting has such a value.
std::optional<std::vector<std::string>> texts_of(const Setting& setting, const TomlValue& value) {
  using Texts = std::optional<std::vector<std::string>>;
  const bool wants_text = std::holds_alternative<TextForm>(setting.form) || std::holds_alternative<CustomForm>(setting.form);
  const bool wants_number = std::holds_alternative<NumberForm>(setting.form) || std::holds_alternative<SwitchForm>(setting.form);
  return std::visit(
      Match{[&](std::int64_t number) { return wants_number ? Texts{{std::to_string(number)}} : Texts{}; },
            [&](bool on) { return std::holds_alternative<SwitchForm>(setting.form) ? Texts{{on ? "true" : "false"}} : Texts{}; },
            [&](const std::string& text) { return wants_text ? Texts{{text}} : Texts{}; },
            [&](const std::vector<std::string>& texts) {
              return std::holds_alternative<ListForm>(setting.form) ? Texts{texts} : Texts{};
            },
            [](const auto&) { return Texts{}; }},
      value.data);
}

/// How a value of the right kind is written in a file.
const char* form_hint(const Setting& setting) {
  const bool is_list = std::holds_alternative<ListForm>(setting.form);
  const bool is_text = std::holds_alternative<TextForm>(setting.form) || std::holds_alternative<CustomForm>(setting.form);
  return is_list ? ", as in [\"a\", \"b\"]" : is_text ? ", in double quotes" : "";
}

/// The message for a name in a file that is not a setting.
std::string unknown(const std::string& name, bool is_section) {
  if (is_section) return "section '" + name + "' is not known: settings stand at the top of the file, in no section";
  std::vector<std::string> names;
  for (const Setting& each : kSettings) {
    if (each.redis_name != nullptr && dashed(name) == each.redis_name) {
      return fmt::format("unknown setting '{}'; it is called '{}' here", name, each.name);
    }
    names.emplace_back(each.name);
  }
  return "unknown setting '" + name + "'" + suggestion(name, names);
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

bool parse_switch(ByteView text, bool& value) {
  const bool on = same_word(text, "true") || same_word(text, "yes") || text == "1";
  if (!on && !same_word(text, "false") && !same_word(text, "no") && text != "0") return false;
  value = on;
  return true;
}

std::string Setting::flag() const {
  const std::string flag = "--" + dashed(name);
  return redis_name == nullptr ? flag : flag + ",--" + redis_name;
}

std::string Setting::config_name() const { return redis_name != nullptr ? redis_name : dashed(name); }

std::string Setting::value(const Config& config) const {
  return std::visit(Match{[&](const NumberForm& f) { return std::to_string(config.*f.at); },
                          [&](const SwitchForm& f) { return std::string(config.*f.at ? "true" : "false"); },
                          [&](const TextForm& f) { return json_string(config.*f.at); },
                          [&](const ListForm& f) {
                            std::vector<std::string> quoted;
                            for (const std::string& text : config.*f.at) quoted.push_back(json_string(text));
                            return fmt::format("[{}]", fmt::join(quoted, ", "));
                          },
                          [&](const CustomForm& f) { return json_string(f.get(config)); }},
                    form);
}

std::string Setting::default_text() const {
  const std::string text = value({});
  return text == "\"\"" || text == "[]" ? "none" : text;
}

std::string Setting::expected() const {
  return std::visit(
      Match{[](const NumberForm& f) { return fmt::format("a whole number from {} to {}", f.least, f.most); },
            [](const SwitchForm&) { return std::string("true or false"); }, [](const TextForm&) { return std::string("text"); },
            [](const ListForm&) { return std::string("a list of texts"); },
            [](const CustomForm& f) { return std::string(f.description); }},
      form);
}

Result<void> Setting::set(const std::vector<std::string>& texts, Config& config) const {
  const std::string text = texts.empty() ? "" : texts.back();
  const bool taken = std::visit(Match{[&](const NumberForm& f) {
                                        std::int64_t number = 0;
                                        if (!parse_integer(text, number) || number < f.least || number > f.most) return false;
                                        config.*f.at = number;
                                        return true;
                                      },
                                      [&](const SwitchForm& f) { return parse_switch(text, config.*f.at); },
                                      [&](const TextForm& f) {
                                        config.*f.at = text;
                                        return true;
                                      },
                                      [&](const ListForm& f) {
                                        config.*f.at = texts;
                                        return true;
                                      },
                                      [&](const CustomForm& f) { return f.set(text, config); }},
                                form);
  return taken ? Result<void>{} : wrong(fmt::format("must be {}, not {}", expected(), json_string(text.substr(0, 80))));
}

Result<void> read_config(ByteView text, const std::string& file, Config& config) {
  const auto hint = [](const std::string& key) -> std::string {
    const auto setting = std::ranges::find(kSettings, key, &Setting::name);
    if (setting == std::end(kSettings)) return "";
    return fmt::format("; {} must be {}{}", key, setting->expected(), form_hint(*setting));
  };
  CAIRN_TRY(table, parse_toml_file(text, file, hint));
  for (const auto& [name, value] : table.values) {
    const auto setting = std::ranges::find(kSettings, name, &Setting::name);
    if (setting == std::end(kSettings)) return wrong(value.key_place() + ": " + unknown(name, value.is_section));
    const auto texts = texts_of(*setting, value);
    if (!texts) {
      return wrong(fmt::format("{}: {} must be {}{}", value.place(), name, setting->expected(), form_hint(*setting)));
    }
    const Result<void> set = setting->set(*texts, config);
    if (!set) return wrong(fmt::format("{}: {} {}", value.place(), name, set.error().message));
  }
  return {};
}

Result<std::string> read_text_file(const std::string& setting, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code ignored;
  // Opening a directory succeeds; reading it does not.
  const bool is_directory = std::filesystem::is_directory(file, ignored);
  if (!in || is_directory) {
    return wrong(
        fmt::format("{} '{}' cannot be read: {}", setting, file, is_directory ? "it is a directory" : std::strerror(errno)));
  }
  // At most a little more than a file may have: some files, such as /dev/zero, have no end.
  std::string text;
  std::array<char, 64 * kKiB> chunk{};
  while (text.size() <= kFileBytesMax && (in.read(chunk.data(), chunk.size()) || in.gcount() != 0)) {
    text.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad()) return wrong(fmt::format("{} '{}' cannot be read: {}", setting, file, std::strerror(errno)));
  return text;
}

std::string durability_name(const Config& config) {
  if (config.durability == Durability::kDisk) return "disk";
  return config.sync_interval_ms == 0 ? "kernel" : "interval:" + std::to_string(config.sync_interval_ms);
}

Result<void> check_config(const Config& config) {
  if (config.dir.empty())
    return wrong("dir is not set: name the directory of the database, as `cairn serve DIR` or dir = \"DIR\"");
  if (config.bind.empty()) return wrong("bind is an empty list: it needs an address, such as [\"127.0.0.1\"]");
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return wrong(config.tls_key.empty() ? "tls_certificate is set without tls_key: TLS needs both"
                                        : "tls_key is set without tls_certificate: TLS needs both");
  }
  if (!config.tls_client_authority.empty() && config.tls_certificate.empty()) {
    return wrong("tls_client_authority is set without tls_certificate and tls_key: certificates of clients need TLS");
  }
  for (const std::string& host : config.http_hosts) {
    if (host.empty() || host.find_first_of("/ *") != std::string::npos) {
      return wrong("http_hosts has '" + host + "': list host names alone, such as \"cairn.example\", without http:// and *");
    }
  }
  if (config.backup_every_ms != 0 && config.backup_directory.empty()) {
    return wrong("backup_every is set without backup_directory, which says where the copies go");
  }
  if (config.port != 0 && config.port == config.http_port) {
    return wrong(fmt::format("port and http_port are both {}: they must differ", config.port));
  }
  std::error_code missing;
  if (std::filesystem::exists(config.dir, missing) && !std::filesystem::is_directory(config.dir, missing)) {
    return wrong("dir is '" + config.dir + "', which is not a directory");
  }
  for (const std::string& text : config.bind) {
    if (std::ranges::count(config.bind, text) != 1) return wrong("bind has '" + text + "' twice");
    const std::optional<bool> loopback = is_loopback_address(text);
    if (!loopback) return wrong("bind has '" + text + "', which is not an IP address, such as 127.0.0.1 or ::1");
    if (!*loopback && config.users_file.empty() && config.tls_client_authority.empty()) {
      return wrong("bind has '" + text + "', which other machines can reach: set users_file, or TLS with tls_client_authority");
    }
  }
  return {};
}

std::string print_config(const Config& config) {
  std::string text;
  for (const Setting& setting : kSettings) text += fmt::format("{} = {}\n", setting.name, setting.value(config));
  return text;
}

std::string settings_markdown() {
  std::string text = "| setting | default | values | meaning |\n|---|---|---|---|\n";
  for (const Setting& setting : kSettings) {
    text += fmt::format("| `{}` | {} | {} | {} |\n", setting.name, setting.default_text(), setting.expected(), setting.help);
  }
  return text;
}

}  // namespace cairn::server
