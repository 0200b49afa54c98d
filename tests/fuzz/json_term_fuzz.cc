// A pointer, a line feed and any bytes as JSON: whether there is a term, and a term that is no number, are as a JSON library
// reads the same bytes.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "table/json_term.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(input.find('\n'), input.size());
  const std::string pointer(input.substr(0, line));
  const std::string_view text = input.substr(std::min(line + 1, input.size()));
  const auto path = cairn::table::parse_json_pointer(pointer);
  if (!path) return 0;
  const auto term = cairn::table::json_term(text, *path);
  const auto document = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  const nlohmann::json::json_pointer where(pointer);
  bool found = false;
  try {
    found = !document.is_discarded() && document.contains(where);
  } catch (const nlohmann::json::exception&) {
    return 0;  // An index of an array that no number can hold.
  }
  const bool has_term = found && document.at(where).is_primitive() && !document.at(where).is_null();
  if (term.has_value() != has_term) std::abort();
  if (term && document.at(where).is_string() && *term != document.at(where).get<std::string>()) std::abort();
  return 0;
}
