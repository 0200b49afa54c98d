// A connection's bytes, plain or through TLS; never blocks.
#pragma once
#include <sys/uio.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>

#include "server/tls.h"

namespace cairn::server {

class Transport {
 public:
  /// `tls`: none for a plain connection.
  Transport(boost::asio::ip::tcp::socket socket, const TlsContext& tls);

  enum class Status : std::uint8_t {
    kDone,
    kWouldBlock,
    kNoMore,  ///< The client sends nothing more, but may still take.
    kEnded,
  };
  struct Moved {
    Status status;
    std::size_t bytes = 0;
  };
  Moved read(char* into, std::size_t size);
  Moved write(const iovec* parts, std::size_t count);
  /// Whoever waits for bytes must leave them to read().
  [[nodiscard]] bool reads_by_itself() const { return tls_ != nullptr; }
  /// Bytes that have come can be read without waiting for more.
  [[nodiscard]] bool pending() const;
  void close();

  [[nodiscard]] boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  Moved read_tls(char* into, std::size_t size);
  Moved write_tls(const iovec* parts, std::size_t count);
  boost::asio::ip::tcp::socket socket_;
  TlsConnection tls_;
};

}  // namespace cairn::server
