// How the histories of the numbered databases end: for the log and for INFO.
#pragma once
#include <string>

#include "server/databases.h"

namespace cairn::server {

/// Logs, for each database that exists, when its history ends, and what of it ends now.
void log_histories(const Databases& databases);
/// "history_db0:timeout_ms=3600000,policy=persist,…", a line for each database that exists. `oldest_ms`: 0 without saves.
std::string info_histories(const Databases& databases);
/// What CONFIG GET shows of timeline_timeout and timeline_policy: "0=1h,3=never", "0=persist,3=drop".
std::string timeouts_now(const Databases& databases);
std::string policies_now(const Databases& databases);

}  // namespace cairn::server
