// HTTP for people and monitors, on the thread that accepts connections.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "server/service.h"

namespace cairn::server {

/// Answers the requests of one connection, one after the other, until it ends or is idle for too long. `share` is kept
/// as long.
void serve_http(Service& service, boost::asio::io_context& context, boost::asio::ip::tcp::socket socket,
                std::shared_ptr<void> share);

}  // namespace cairn::server
