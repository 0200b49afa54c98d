#include "server/transport.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

namespace cairn::server {
namespace {

Transport::Moved moved(ssize_t bytes) {
  if (bytes > 0) return {Transport::Status::kDone, static_cast<std::size_t>(bytes)};
  const bool again = bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  return {again ? Transport::Status::kWouldBlock : Transport::Status::kEnded};
}

}  // namespace

Transport::Transport(boost::asio::ip::tcp::socket socket, const TlsContext& tls) : socket_(std::move(socket)) {
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(boost::asio::socket_base::keep_alive(true), ignored);
  if (!tls) return;
  tls_ = accept_tls(tls, socket_.native_handle());
  if (!tls_) socket_.close(ignored);  // Never in the clear.
}

Transport::Moved Transport::read(char* into, std::size_t size) {
  if (tls_) return read_tls(into, size);
  const ssize_t bytes = recv(socket_.native_handle(), into, size, 0);
  return bytes == 0 ? Moved{Status::kNoMore} : moved(bytes);
}

Transport::Moved Transport::write(const iovec* parts, std::size_t count) {
  if (tls_) return write_tls(parts, count);
  if (count == 1) return moved(send(socket_.native_handle(), parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL));
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);  // NOLINT: sendmsg() does not change them.
  message.msg_iovlen = count;
  return moved(sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL));
}

bool Transport::pending() const { return tls_ && SSL_pending(tls_.get()) > 0; }

Transport::Moved Transport::read_tls(char* into, std::size_t size) {
  std::size_t all = 0;
  while (all < size) {
    std::size_t bytes = 0;
    ERR_clear_error();
    const int done = SSL_read_ex(tls_.get(), into + all, size - all, &bytes);
    all += bytes;
    if (done == 1) continue;
    if (all != 0) break;  // The next call says why.
    switch (SSL_get_error(tls_.get(), done)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE: return {Status::kWouldBlock};
      case SSL_ERROR_ZERO_RETURN: return {Status::kNoMore};
      default: return {Status::kEnded};
    }
  }
  return {Status::kDone, all};
}

Transport::Moved Transport::write_tls(const iovec* parts, std::size_t count) {
  std::size_t all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t bytes = 0;
    ERR_clear_error();
    const int done = SSL_write_ex(tls_.get(), parts[i].iov_base, parts[i].iov_len, &bytes);
    all += bytes;
    if (done == 1 && bytes == parts[i].iov_len) continue;
    if (all != 0) break;
    const int error = SSL_get_error(tls_.get(), done);
    return {error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Status::kWouldBlock : Status::kEnded};
  }
  return {Status::kDone, all};
}

void Transport::close() {
  // The connection ends whether the peer can be told or not.
  if (tls_ && SSL_is_init_finished(tls_.get()) != 0) SSL_shutdown(tls_.get());
  boost::system::error_code ignored;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace cairn::server
