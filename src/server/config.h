// The settings of `cairn serve`: one table, from which the file, the flags, CONFIG, --help, --check-config and docs/server.md are
// made.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cairn/result.h"
#include "cairn/timeline.h"
#include "cairn/write.h"

namespace cairn::server {

inline constexpr std::int64_t kClientsMost = 1'000'000;
inline constexpr int kDatabases = 16;

/// A setting of each numbered database. `text`: as it was given, "VALUE" for all of them or "N=VALUE" for one, with commas
/// between.
template <typename Value>
struct PerDatabase {
  std::string text;
  std::array<std::optional<Value>, kDatabases> values;  ///< Not set: the database keeps what it has.
};

/// Values as they were configured; the table in config.cc says what each means.
struct Config {
  std::string dir;
  std::vector<std::string> bind{"127.0.0.1"};
  std::int64_t port = 7379;
  std::int64_t http_port = 0;
  std::vector<std::string> http_hosts;
  std::int64_t read_threads = 2;
  Durability durability = Durability::kDisk;
  std::int64_t sync_interval_ms = 0;  ///< With kKernel: the log is synced this often; 0: when the system does.
  std::int64_t clients_max = 10'000;
  std::int64_t idle_timeout_s = 0;
  std::int64_t slow_reader_s = 60;
  std::int64_t client_memory_mib = 1024;
  std::int64_t script_time_ms = 5000;
  std::int64_t script_memory_mib = 256;
  std::int64_t slow_command_us = 10'000;
  std::int64_t slow_commands_kept = 128;
  PerDatabase<std::chrono::milliseconds> timeline_timeout;
  PerDatabase<Expired> timeline_policy;
  std::string backup_directory;
  std::int64_t backup_every_ms = 0;  ///< 0: only when a client asks.
  std::int64_t backup_keep = 7;
  std::int64_t backup_incrementals = 6;
  bool allow_flush = true;
  unsigned file_mode = 0600;
  std::string log_level = "info";
  std::string users_file;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_authority;
};

/// The settings that CONFIG SET can change while the server runs.
struct LiveConfig {
  explicit LiveConfig(const Config& config)
      : clients_max(config.clients_max),
        idle_timeout_s(config.idle_timeout_s),
        script_time_ms(config.script_time_ms),
        slow_command_us(config.slow_command_us),
        slow_commands_kept(config.slow_commands_kept),
        allow_flush(config.allow_flush ? 1 : 0) {}
  std::atomic<std::int64_t> clients_max;
  std::atomic<std::int64_t> idle_timeout_s;
  std::atomic<std::int64_t> script_time_ms;
  std::atomic<std::int64_t> slow_command_us;
  std::atomic<std::int64_t> slow_commands_kept;
  std::atomic<std::int64_t> allow_flush;  ///< 0 or 1.
};

/// The forms that the value of a setting can have.
struct NumberForm {
  std::int64_t Config::* at;
  std::int64_t least;
  std::int64_t most;
};
struct SwitchForm {  // true or false; 1 and 0 too.
  bool Config::* at;
};
struct TextForm {
  std::string Config::* at;
};
struct ListForm {
  std::vector<std::string> Config::* at;
};
struct CustomForm {  // A text with a syntax of its own.
  bool (*set)(const std::string& text, Config& config);
  std::string (*get)(const Config& config);
  const char* description;
};

struct Setting {
  const char* name;        ///< In a file. With '-' for '_' it is the flag, and the name in CONFIG unless redis_name is given.
  const char* redis_name;  ///< The name of the same thing in Redis: in CONFIG, and another flag. nullptr: none.
  std::variant<NumberForm, SwitchForm, TextForm, ListForm, CustomForm> form;
  const char* help;
  std::atomic<std::int64_t> LiveConfig::* live = nullptr;  ///< Set by CONFIG SET.

  [[nodiscard]] std::string flag() const;                       ///< "--read-threads", with a second name after a comma.
  [[nodiscard]] std::string config_name() const;                ///< "maxclients"
  [[nodiscard]] std::string value(const Config& config) const;  ///< As it stands in a file.
  [[nodiscard]] std::string default_text() const;               ///< "none" if it is empty.
  [[nodiscard]] std::string expected() const;                   ///< "a whole number from 1 to 256"
  /// Stores a value into `config`: one text, or for a list one text for each element. kInvalidArgument: `expected()` is not met.
  [[nodiscard]] Result<void> set(const std::vector<std::string>& texts, Config& config) const;
};

std::span<const Setting> settings();
/// "true", "yes", "1", or the opposites. False: `text` is none of them.
bool parse_switch(ByteView text, bool& value);

/// Sets what `text`, a TOML file named `file`, contains. kInvalidArgument with file, line, column and key; `config` may then be
/// changed in part.
Result<void> read_config(ByteView text, const std::string& file, Config& config);
/// "disk", "kernel" or "interval:MS".
std::string durability_name(const Config& config);
/// The content of a file, or its first MiB and a little more. kInvalidArgument, naming `setting`: the file cannot be read.
Result<std::string> read_text_file(const std::string& setting, const std::string& file);
/// kInvalidArgument: the first two settings that contradict each other, or the first that cannot be used.
Result<void> check_config(const Config& config);
/// All settings and their values, as a file for --config.
std::string print_config(const Config& config);
/// The table of settings in docs/server.md.
std::string settings_markdown();

}  // namespace cairn::server
