// What `cairn serve` is told: by a file, and by flags, which come first.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cairn/result.h"
#include "cairn/write.h"

namespace cairn::server {

inline constexpr std::int64_t kClientsMost = 1'000'000;

struct Config {
  std::string dir;
  std::vector<std::string> bind{"127.0.0.1"};
  std::uint16_t port = 7379;
  std::uint16_t http_port = 0;  // 0: no HTTP.
  int read_threads = 2;
  Durability durability = Durability::kDisk;
  std::int64_t sync_interval_ms = 0;  // Of kKernel: a sync so often; 0: as the system does.
  std::int64_t clients_max = 10'000;
  std::int64_t idle_timeout_s = 0;  // 0: none.
  /// A client that takes nothing of what it is sent for so long is cut off.
  std::int64_t slow_reader_s = 60;
  /// Of all clients: what they have sent and was not answered, and answers that they have not taken. Who needs more is cut off.
  std::uint64_t client_memory_max = 1 * kGiB;
  std::int64_t script_time_ms = 5000;            // A script that runs longer is ended.
  std::uint64_t script_memory_max = 256 * kMiB;  // Bytes that Lua may allocate, and bytes that one script may save.
  bool allow_flush = true;
  unsigned file_mode = 0600;  // Permissions of new files: DatabaseOptions::file_mode.
  std::string log_level = "info";
  /// Names under which HTTP is served beside those of this machine, where there are no users. See docs/http.md.
  std::vector<std::string> http_hosts;
  std::string users_file;       // Empty: everybody may do everything.
  std::string tls_certificate;  // Empty: no TLS. Else both ports speak nothing but TLS.
  std::string tls_key;
  std::string tls_client_authority;  // Clients must show a certificate of it; empty: none.
};

/// Sets what `text`, a file of TOML named `file`, says. kInvalidArgument, with file and line.
Result<void> read_config(ByteView text, const std::string& file, Config& config);
/// "disk", "kernel" or "interval:MS".
Result<void> set_durability(ByteView text, Config& config);
std::string durability_name(const Config& config);
/// All of a file. kNotFound, kPermissionDenied, kIo.
Result<std::string> read_text_file(const std::string& file);
/// Whether it can be served like that; the first thing that is wrong.
Result<void> check_config(const Config& config);

}  // namespace cairn::server
