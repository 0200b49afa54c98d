// A connection's bytes, plain or through TLS; never blocks.
#pragma once
#include <sys/uio.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>

namespace cairn::server {

class Transport {
 public:
  explicit Transport(boost::asio::ip::tcp::socket socket);

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
  void close();

  [[nodiscard]] boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  boost::asio::ip::tcp::socket socket_;
};

}  // namespace cairn::server
