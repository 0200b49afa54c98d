#include "server/json.h"

#include <absl/strings/escaping.h>

namespace cairn::server {
namespace {

bool is_utf8(ByteView bytes) {
  // The library refuses to write what is not UTF-8; asking it keeps reading and writing of one mind.
  try {
    (void)nlohmann::json(std::string(bytes)).dump();
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
  return true;
}

}  // namespace

void put_bytes(nlohmann::ordered_json& object, const std::string& name, ByteView bytes) {
  if (is_utf8(bytes)) {
    object[name] = std::string(bytes);
  } else {
    object[name + "64"] = absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
  }
}

std::string to_line(const nlohmann::ordered_json& object) {
  // Messages may quote input that is not UTF-8; keys and values never get here as such (put_bytes).
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::ordered_json jobs_to_json(const std::vector<JobStats>& jobs) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const JobStats& job : jobs) {
    array.push_back({{"name", job.name}, {"bytes_done", job.bytes_done}, {"bytes_total", job.bytes_total}});
  }
  return array;
}

}  // namespace cairn::server
