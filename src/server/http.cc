#include "server/http.h"

#include <absl/strings/escaping.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <functional>
#include <sstream>

#include "server/http_api.h"
#include "server/transport.h"

namespace cairn::server {
namespace {

namespace http = boost::beast::http;
constexpr std::uint32_t kHeaderBytesMax = 16 * kKiB;
constexpr std::uint64_t kBodyBytesMax = 64 * kKiB;
constexpr auto kIdle = std::chrono::seconds(30);

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(Service& service, boost::asio::io_context& context, boost::asio::ip::tcp::socket socket,
              std::shared_ptr<void> share)
      : service_(service), share_(std::move(share)), transport_(std::move(socket), service.tls()), timer_(context) {
    begin();
  }
  void start() { wait(boost::asio::ip::tcp::socket::wait_read); }

 private:
  void begin() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    parser_->body_limit(kBodyBytesMax);
    parser_->eager(true);
  }

  /// One timer bounds every wait: a client that sends a byte at a time has no more time than one that sends nothing.
  void wait(boost::asio::ip::tcp::socket::wait_type what) {
    if (input_.empty() && output_.empty()) {
      timer_.expires_after(kIdle);
      timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!error && self) self->transport_.close();
      });
    }
    if (what == boost::asio::ip::tcp::socket::wait_read && transport_.pending()) {
      boost::asio::post(timer_.get_executor(), [self = shared_from_this()] { self->on_readable(); });
      return;
    }
    transport_.socket().async_wait(what, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return self->end();
      self->output_.empty() ? self->on_readable() : self->on_writable();
    });
  }

  void on_readable() {
    std::array<char, 16 * kKiB> bytes;
    const Transport::Moved moved = transport_.read(bytes.data(), bytes.size());
    if (moved.status == Transport::Status::kWouldBlock) return wait(boost::asio::ip::tcp::socket::wait_read);
    if (moved.status != Transport::Status::kDone) return end();
    input_.append(bytes.data(), moved.bytes);
    parse();
  }

  void parse() {
    boost::system::error_code error;
    const std::size_t used = parser_->put(boost::asio::buffer(input_), error);
    input_.erase(0, used);
    if (error && error != http::error::need_more) {
      keep_ = false;
      return send({.status = 400, .type = "text/plain", .body = "bad request: " + error.message() + "\n"}, false);
    }
    if (!parser_->is_done()) return wait(boost::asio::ip::tcp::socket::wait_read);
    answer(parser_->get());
  }

  void answer(const http::request<http::string_body>& request) {
    keep_ = request.keep_alive();
    const bool head = request.method() == http::verb::head;
    if (request.method() != http::verb::get && !head) {
      return send({.status = 405, .type = "text/plain", .body = "GET or HEAD\n"}, false);
    }
    const auto target = HttpTarget::parse({request.target().data(), request.target().size()});
    if (!target) return send({.status = 400, .type = "text/plain", .body = "the path is not well formed\n"}, head);
    const auto users = service_.users();
    if (!users || is_open_to_all(*target)) return send(answer_http(service_, *target, nullptr), head);
    const auto field = request[http::field::authorization];
    ask_who(*users, {field.data(), field.size()}, [this, self = shared_from_this(), target = *target, head](const User* user) {
      user == nullptr ? send({.status = 401, .type = "text/plain", .body = "who are you?\n"}, head)
                      : send(answer_http(service_, target, user), head);
    });
  }

  /// By "Basic" and base64 of name:password, which is checked elsewhere: it takes long.
  void ask_who(const Users& users, ByteView field, std::function<void(const User*)> done) {
    constexpr ByteView kBasic = "Basic ";
    std::string pair;
    if (!field.starts_with(kBasic)) return done(nullptr);
    field.remove_prefix(kBasic.size());
    if (!absl::Base64Unescape(absl::string_view(field.data(), field.size()), &pair)) return done(nullptr);
    const std::size_t colon = pair.find(':');
    if (colon == std::string::npos) return done(nullptr);
    service_.authenticator().check(users.find(pair.substr(0, colon)), pair.substr(colon + 1),
                                   [self = shared_from_this(), done = std::move(done)](const std::shared_ptr<const User>& user) {
                                     boost::asio::post(self->timer_.get_executor(), [done, user] { done(user.get()); });
                                   });
  }

  void send(const HttpAnswer& answer, bool head) {
    http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
    response.set(http::field::server, "cairn");
    response.set(http::field::content_type, answer.type);
    response.set(http::field::cache_control, "no-store");
    response.set("X-Content-Type-Options", "nosniff");
    if (answer.status == 401) response.set(http::field::www_authenticate, "Basic realm=\"cairn\"");
    response.keep_alive(keep_);
    response.content_length(answer.body.size());
    if (!head) response.body() = answer.body;
    std::ostringstream text;
    head ? text << response.base() : text << response;
    output_ = text.str();
    on_writable();
  }

  void on_writable() {
    while (!output_.empty()) {
      const iovec part{.iov_base = output_.data(), .iov_len = output_.size()};
      const Transport::Moved moved = transport_.write(&part, 1);
      if (moved.status == Transport::Status::kWouldBlock) return wait(boost::asio::ip::tcp::socket::wait_write);
      if (moved.status != Transport::Status::kDone) return end();
      output_.erase(0, moved.bytes);
    }
    if (!keep_) return end();
    begin();
    if (input_.empty()) return wait(boost::asio::ip::tcp::socket::wait_read);
    parse();
  }

  void end() {
    timer_.cancel();
    transport_.close();
  }

  Service& service_;
  const std::shared_ptr<void> share_;
  Transport transport_;
  boost::asio::steady_timer timer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string input_;
  std::string output_;
  bool keep_ = true;
};

}  // namespace

void serve_http(Service& service, boost::asio::io_context& context, boost::asio::ip::tcp::socket socket,
                std::shared_ptr<void> share) {
  std::make_shared<HttpSession>(service, context, std::move(socket), std::move(share))->start();
}

}  // namespace cairn::server
