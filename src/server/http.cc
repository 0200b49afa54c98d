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

/// The address that the other end has, without its port.
std::string host_of(const boost::asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(Service& service, boost::asio::io_context& context, boost::asio::ip::tcp::socket socket,
              std::shared_ptr<void> share)
      : service_(service),
        share_(std::move(share)),
        address_(host_of(socket)),
        transport_(std::move(socket), service.tls()),
        timer_(context) {
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

  using Request = http::request<http::string_body>;

  /// Why the request cannot be taken as it is framed: how long it is, or for whom, could be read in two ways. nullptr: it can.
  static const char* misframed(const Request& request) {
    const auto hosts = request.count(http::field::host);
    if (hosts > 1) return "there are two Host fields";
    if (hosts == 0 && request.version() >= 11) return "there is no Host field";
    const auto encoding = request[http::field::transfer_encoding];
    if (request.count(http::field::transfer_encoding) > 1) return "there are two Transfer-Encoding fields";
    if (!encoding.empty() && !same_word({encoding.data(), encoding.size()}, "chunked")) {
      return "the Transfer-Encoding is not known: chunked is";
    }
    if (!encoding.empty() && request.count(http::field::content_length) != 0) {
      return "there are both Transfer-Encoding and Content-Length";
    }
    return nullptr;
  }

  /// A page of another site can make a browser send a request here, but neither with this Content-Type unasked nor without saying
  /// where it comes from.
  static std::optional<HttpAnswer> refused_post(const Request& request) {
    const auto refuse = [](unsigned status, const char* why) {
      return HttpAnswer{.status = status, .type = "text/plain", .body = std::string(why) + "\n"};
    };
    const auto field = [&](http::field name) {
      const auto value = request[name];
      return ByteView(value.data(), value.size());
    };
    const ByteView type = field(http::field::content_type);
    if (!same_word(type.substr(0, type.find(';')), "application/json")) {
      return refuse(415, "Content-Type must be application/json");
    }
    const ByteView site = request["Sec-Fetch-Site"];
    if (!site.empty() && site != "same-origin" && site != "none") return refuse(403, "requests of other sites are not served");
    const ByteView origin = field(http::field::origin);
    const std::size_t scheme = origin.find("://");
    if (!origin.empty() && (scheme == ByteView::npos || !same_word(origin.substr(scheme + 3), field(http::field::host)))) {
      return refuse(403, "requests of other sites are not served");
    }
    if (request.body().find_first_not_of("{} \r\n\t") != std::string::npos) {
      return refuse(400, "the body must be empty or {}: the query has the arguments");
    }
    return std::nullopt;
  }

  void answer(const Request& request) {
    keep_ = request.keep_alive();
    const bool head = request.method() == http::verb::head;
    if (const char* const why = misframed(request)) {
      keep_ = false;
      return send({.status = 400, .type = "text/plain", .body = "bad request: " + std::string(why) + "\n"}, head);
    }
    const auto target = HttpTarget::parse({request.target().data(), request.target().size()});
    if (!target)
      return send({.status = 400,
                   .type = "text/plain",
                   .body = "the path or the query is not well formed: % must be followed by two hexadecimal digits\n"},
                  head);
    const bool posts = takes_post(*target);
    if (posts ? request.method() != http::verb::post : request.method() != http::verb::get && !head) {
      allow_ = posts ? "POST" : "GET, HEAD";
      return send({.status = 405, .type = "text/plain", .body = posts ? "POST\n" : "GET or HEAD\n"}, head);
    }
    if (posts) {
      if (const auto refused = refused_post(request)) return send(*refused, false);
    }
    const auto users = service_.users();
    const auto host = request[http::field::host];
    if (!users && target->path != "/healthz" && target->path != "/readyz" &&
        !is_served_host({host.data(), host.size()}, service_.config().http_hosts)) {
      return send({.status = 403,
                   .type = "text/plain",
                   .body = "host '" + std::string(host) + "' is not served: http_hosts in the configuration lists the names\n"},
                  head);
    }
    if (is_open_to_all(*target)) return send(answer_http(service_, *target, nullptr), head);
    if (!users) return walk(*target, nullptr, head);
    const auto field = request[http::field::authorization];
    ask_who(*users, {field.data(), field.size()},
            [this, target = *target, head](Authenticator::Outcome outcome, const std::shared_ptr<const User>& user) {
              if (outcome == Authenticator::Outcome::kRight) return walk(target, user, head);
              outcome == Authenticator::Outcome::kWrong
                  ? send({.status = 401, .type = "text/plain", .body = "who are you?\n"}, head)
                  : send({.status = 429, .type = "text/plain", .body = "too many logins wait to be checked\n"}, head);
            });
  }

  /// Answers on the thread for walks: this thread accepts connections, and an answer may take long.
  void walk(const HttpTarget& target, const std::shared_ptr<const User>& user, bool head) {
    service_.walker().submit([self = shared_from_this(), target, user, head](Executor&) mutable {
      HttpAnswer answer = takes_post(target) ? post_checkpoint(self->service_, target, user.get())
                                             : answer_http(self->service_, target, user.get());
      const auto executor = self->timer_.get_executor();
      boost::asio::post(executor, [self = std::move(self), answer = std::move(answer), head] { self->send(answer, head); });
    });
  }

  /// By "Basic" and base64 of name:password, which is checked elsewhere: it takes long.
  void ask_who(const Users& users, ByteView field, const Authenticator::Done& done) {
    constexpr ByteView kBasic = "Basic ";
    std::string pair;
    const auto wrong = [&] { done(Authenticator::Outcome::kWrong, nullptr); };
    if (!field.starts_with(kBasic)) return wrong();
    field.remove_prefix(kBasic.size());
    if (!absl::Base64Unescape(absl::string_view(field.data(), field.size()), &pair)) return wrong();
    const std::size_t colon = pair.find(':');
    if (colon == std::string::npos) return wrong();
    const std::string name = pair.substr(0, colon);
    service_.authenticator().check(
        name, users.find(name), pair.substr(colon + 1), address_,
        [self = shared_from_this(), done](Authenticator::Outcome outcome, const std::shared_ptr<const User>& user) {
          boost::asio::post(self->timer_.get_executor(), [self, done, outcome, user] { done(outcome, user); });
        });
  }

  void send(const HttpAnswer& answer, bool head) {
    http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
    response.set(http::field::server, "cairn");
    response.set(http::field::content_type, answer.type);
    response.set(http::field::cache_control, "no-store");
    response.set("X-Content-Type-Options", "nosniff");
    if (answer.status == 405) response.set(http::field::allow, allow_);
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
  const std::string address_;
  Transport transport_;
  boost::asio::steady_timer timer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string input_;
  std::string output_;
  bool keep_ = true;
  std::string allow_;  // Of the answer 405: the methods of the path.
};

}  // namespace

void serve_http(Service& service, boost::asio::io_context& context, boost::asio::ip::tcp::socket socket,
                std::shared_ptr<void> share) {
  std::make_shared<HttpSession>(service, context, std::move(socket), std::move(share))->start();
}

}  // namespace cairn::server
