// Bytes in JSON.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "cairn/bytes.h"
#include "cairn/stats.h"

namespace cairn::server {

/// Puts `bytes` into `object` as `name`, or as base64 under `name`64 if they are not UTF-8.
void put_bytes(nlohmann::ordered_json& object, const std::string& name, ByteView bytes);
/// One line of JSON.
std::string to_line(const nlohmann::ordered_json& object);
nlohmann::ordered_json jobs_to_json(const std::vector<JobStats>& jobs);

}  // namespace cairn::server
