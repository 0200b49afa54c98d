#include "server/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/error.h"

namespace cairn::server {
namespace {

/// `what`: a sentence for a person; the reason as OpenSSL names it comes after it.
std::unexpected<Error> wrong(const std::string& what, const std::string& file) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return fail(ErrorCode::kInvalidArgument, what + (reason == nullptr ? "" : " (" + std::string(reason) + ")"), file);
}

}  // namespace

void FreeTls::operator()(ssl_st* tls) const { SSL_free(tls); }

Result<TlsContext> load_tls(const Config& config) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return wrong("TLS cannot be used", {});
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // What is not sent yet may move, and an idle connection keeps no buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_use_certificate_chain_file(context.get(), config.tls_certificate.c_str()) != 1) {
    return wrong("tls_certificate is not a readable PEM file with a certificate", config.tls_certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), config.tls_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return wrong("tls_key is not a readable PEM file with the key of tls_certificate", config.tls_key);
  }
  if (config.tls_client_authority.empty()) return context;
  if (SSL_CTX_load_verify_locations(context.get(), config.tls_client_authority.c_str(), nullptr) != 1) {
    return wrong("tls_client_authority is not a readable PEM file with certificates", config.tls_client_authority);
  }
  constexpr unsigned char kName[] = "cairn";  // Without it clients could not resume.
  SSL_CTX_set_session_id_context(context.get(), kName, sizeof kName - 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

TlsConnection accept_tls(const TlsContext& context, int socket) {
  TlsConnection tls(SSL_new(context.get()));
  if (!tls || SSL_set_fd(tls.get(), socket) != 1) return nullptr;
  SSL_set_accept_state(tls.get());
  return tls;
}

}  // namespace cairn::server
