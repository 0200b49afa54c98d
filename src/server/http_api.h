// What is answered over HTTP: docs/http.md.
#pragma once
#include <map>
#include <string>

#include "server/service.h"

namespace cairn::server {

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body;
};

/// A path with its query, "/api/v1/get?key=a".
struct HttpTarget {
  std::string path;
  std::map<std::string, std::string> query;  // Decoded.

  /// nullopt: it is not well formed.
  static std::optional<HttpTarget> parse(ByteView target);
};

/// Whether a request that names `host` in its Host field is served where there are no users: the name is one of this machine's
/// own (localhost, an address of the loopback network) or one of `allowed`. A page of another site can make a browser send
/// requests here under a name of its own choice (DNS rebinding), and would read the answers.
bool is_served_host(ByteView host, const std::vector<std::string>& allowed);
/// `user`: whoever asks; none where everybody may do everything.
HttpAnswer answer_http(Service& service, const HttpTarget& target, const User* user);
/// Whether a request with the method POST is answered at the path, and no other is: it changes something.
bool takes_post(const HttpTarget& target);
/// Begins a copy of the database, with the name that the query gives.
HttpAnswer post_checkpoint(Service& service, const HttpTarget& target, const User* user);
/// Whether everybody may ask it.
bool is_open_to_all(const HttpTarget& target);
/// In the text format of Prometheus.
std::string metrics_text(Service& service);

}  // namespace cairn::server
