// JSON as the command and the server print it: strings and numbers by the JSON library, so that the same library reads them back.
#include "text/json.h"

#include <absl/strings/escaping.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cairn {
bool is_utf8(ByteView bytes) {
  // The library refuses to write what is not UTF-8; asking it keeps reading and writing of one mind.
  try {
    static_cast<void>(nlohmann::json(std::string(bytes)).dump());  // Called for its exception.
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
  return true;
}

std::string json_string(ByteView text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Json::Json(double value) : text_(nlohmann::json(value).dump()) {}

Json::Json(const std::vector<std::string>& texts) : kind_(Kind::kArray) {
  for (const std::string& text : texts) push_back(text);
}

Json::Json(std::initializer_list<Member> members) : kind_(Kind::kObject) {
  for (const Member& member : members) (*this)[member.name] = member.value;
}

Json Json::array() {
  Json array;
  array.kind_ = Kind::kArray;
  return array;
}

Json Json::rendered(std::string text) {
  Json json;
  json.text_ = std::move(text);
  return json;
}

Json& Json::operator[](const std::string& name) {
  kind_ = Kind::kObject;
  const auto found = std::ranges::find(names_, name);
  if (found != names_.end()) return values_[static_cast<std::size_t>(found - names_.begin())];
  names_.push_back(name);
  return values_.emplace_back();
}

bool Json::has(const std::string& name) const { return std::ranges::find(names_, name) != names_.end(); }

void Json::append_to(std::string& out) const {
  if (kind_ == Kind::kScalar) {
    out += text_;
    return;
  }
  const bool is_object = kind_ == Kind::kObject;
  out += is_object ? '{' : '[';
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (i != 0) out += ',';
    if (is_object) out += json_string(names_[i]) + ":";
    values_[i].append_to(out);
  }
  out += is_object ? '}' : ']';
}

void put_bytes(Json& object, const std::string& name, ByteView bytes) {
  try {
    // Without a handler the library refuses bytes that are not UTF-8.
    object[name] = Json::rendered(nlohmann::json(std::string(bytes)).dump());
  } catch (const nlohmann::json::type_error&) {
    object[name + "64"] = absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
  }
}

std::string to_line(const Json& value) {
  std::string line;
  value.append_to(line);
  return line + "\n";
}

Json jobs_to_json(const std::vector<JobStats>& jobs) {
  Json array = Json::array();
  for (const JobStats& job : jobs) {
    array.push_back({{"name", job.name}, {"bytes_done", job.bytes_done}, {"bytes_total", job.bytes_total}});
  }
  return array;
}

}  // namespace cairn
