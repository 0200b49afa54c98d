// TLS, by OpenSSL.
#pragma once
#include <memory>

#include "cairn/result.h"
#include "server/config.h"

struct ssl_ctx_st;
struct ssl_st;

namespace cairn::server {

using TlsContext = std::shared_ptr<ssl_ctx_st>;
struct FreeTls {
  void operator()(ssl_st* tls) const;
};
using TlsConnection = std::unique_ptr<ssl_st, FreeTls>;

/// With the certificate, key and, if clients must show certificates, their authority, that `config` names. kInvalidArgument, with
/// the file.
Result<TlsContext> load_tls(const Config& config);
/// Of an accepted socket; shakes hands when it is first read.
TlsConnection accept_tls(const TlsContext& context, int socket);

}  // namespace cairn::server
