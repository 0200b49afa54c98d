// Who a connection belongs to, and what it may do.
#include <algorithm>
#include <boost/asio/post.hpp>

#include "server/read_thread.h"
#include "server/session.h"

namespace cairn::server {

RequestLimits Session::limits() const {
  if (service_.config().users_file.empty() || client_.user) return {};
  return RequestLimits::unauthenticated();
}

/// If they were read anew: what this one may do now, if it is still there.
void Session::look_up_user() {
  const std::uint64_t generation = service_.users_generation();
  if (client_.users_generation == generation) return;
  client_.users_generation = generation;
  if (client_.user) set_user(service_.users()->find(client_.user->name));
}

void Session::set_user(std::shared_ptr<const User> user) {
  client_.info->hides_totals = user && !user->prefixes.empty();
  client_.user = std::move(user);
}

/// Whether all of a transaction may still be run.
bool Session::may_run(const Requests& transaction) {
  if (service_.config().users_file.empty()) return true;
  std::vector<ByteView> arguments;
  return std::ranges::all_of(transaction.items(), [&](const Requests::Item& item) {
    transaction.arguments_of(item, arguments);
    return item.info == nullptr || (client_.user && client_.user->refusal(*item.info, arguments).empty());
  });
}

void Session::follow_what_may_be_seen() {
  if (service_.config().users_file.empty()) return;
  look_up_user();
  std::erase_if(client_.following, [&](const Following& each) {
    return !client_.user || !client_.user->reads || !client_.user->may_see(each.prefix);
  });
}

bool Session::refuse(const CommandInfo& info, Arguments arguments) {
  if (service_.config().users_file.empty()) return false;
  look_up_user();
  std::string why;
  if (client_.user) {
    why = client_.user->refusal(info, arguments);
  } else if ((info.flags & kNoAuth) == 0) {
    why = "NOAUTH Authentication required.";
  }
  if (why.empty()) return false;
  client_.transaction_failed = client_.transaction != nullptr;
  answer_error(why);
  return true;
}

/// AUTH, and HELLO with AUTH: what they do else has to wait until the password is checked. False: it is another command, or one
/// that says itself what is wrong with it.
bool Session::asks_to_authenticate(const CommandInfo& info, Arguments arguments) {
  if ((info.flags & kNoAuth) == 0) return false;
  if (same_word(info.name, "AUTH")) {
    if (arguments.size() > 3) {
      answer_error("ERR syntax error");
    } else if (service_.config().users_file.empty() && arguments.size() == 2) {
      answer_error(
          "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is "
          "correct?");
    } else {
      authenticate(info, arguments, arguments.size() == 3 ? arguments[1] : "default", arguments.back());
    }
    return true;
  }
  if (!same_word(info.name, "HELLO")) return false;
  for (std::size_t i = 2; i + 2 < arguments.size(); ++i) {
    if (!same_word(arguments[i], "AUTH")) continue;
    authenticate(info, arguments, arguments[i + 1], arguments[i + 2]);
    return true;
  }
  if (service_.config().users_file.empty() || client_.user) return false;
  answer_error(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option "
      "can "
      "be used to authenticate the client and select the RESP protocol version at the same time");
  return true;
}

void Session::authenticate(const CommandInfo& info, Arguments arguments, ByteView name, ByteView password) {
  if (service_.config().users_file.empty()) {
    // Everybody is "default", with whatever password.
    if (name == "default") return run_connection_command(info, arguments);
    return answer_error("WRONGPASS invalid username-password pair or user is disabled.");
  }
  awaits_password_ = true;
  auto request = std::make_shared<Requests>();
  request->add(&info, arguments, client_.database, client_.resp3);
  const std::uint64_t generation = service_.users_generation();  // Before: what changes since is looked up later.
  const auto done = [self = shared_from_this(), request, generation](Authenticator::Outcome outcome,
                                                                     const std::shared_ptr<const User>& user) {
    boost::asio::post(self->thread_.context(), [self, request, outcome, user, generation] {
      if (!self->closed_) self->authenticated(outcome, user, generation, *request);
    });
  };
  service_.authenticator().check(name, service_.users()->find(name), password, client_.info->host(), done);
}

void Session::authenticated(Authenticator::Outcome outcome, const std::shared_ptr<const User>& user, std::uint64_t generation,
                            const Requests& request) {
  awaits_password_ = false;
  if (outcome == Authenticator::Outcome::kTooMany) {
    answer_error("TRYAGAIN too many logins wait to be checked; try again in a second");
  } else if (user) {
    set_user(user);
    client_.users_generation = generation;
    client_.info->set_user(user->name);
    std::vector<ByteView> arguments;
    request.arguments_of(request.items()[0], arguments);
    run_connection_command(*request.items()[0].info, arguments);
  } else {
    answer_error("WRONGPASS invalid username-password pair or user is disabled.");
  }
  go_on();
}

}  // namespace cairn::server
