#include "server/transport.h"

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

Transport::Transport(boost::asio::ip::tcp::socket socket) : socket_(std::move(socket)) {
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(boost::asio::socket_base::keep_alive(true), ignored);
}

Transport::Moved Transport::read(char* into, std::size_t size) {
  const ssize_t bytes = recv(socket_.native_handle(), into, size, 0);
  return bytes == 0 ? Moved{Status::kNoMore} : moved(bytes);
}

Transport::Moved Transport::write(const iovec* parts, std::size_t count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);  // NOLINT: sendmsg() does not change them.
  message.msg_iovlen = count;
  return moved(sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL));
}

void Transport::close() {
  boost::system::error_code ignored;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace cairn::server
