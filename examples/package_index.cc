// Turns the Debian package index (`apt-cache dumpavail`, or /var/lib/dpkg/status) on standard input into lines that
// `cairn table load` reads: key = package name, value = the stanza as a JSON object.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

int main() {
  nlohmann::ordered_json stanza = nlohmann::ordered_json::object();
  std::string field;
  const auto flush = [&] {
    if (stanza.contains("Package")) {
      const nlohmann::ordered_json line{{"key", stanza["Package"]},
                                        {"value", stanza.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
      std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    }
    stanza = nlohmann::ordered_json::object();
    field.clear();
  };
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.empty()) {
      flush();
    } else if (line[0] == ' ' || line[0] == '\t') {
      if (!field.empty()) stanza[field] = stanza[field].get<std::string>() + "\n" + line.substr(1);
    } else if (const std::size_t colon = line.find(':'); colon != std::string::npos) {
      field = line.substr(0, colon);
      const std::size_t begin = line.find_first_not_of(' ', colon + 1);
      stanza[field] = begin == std::string::npos ? "" : line.substr(begin);
    }
  }
  flush();
  return std::cout.flush() ? 0 : 1;
}
