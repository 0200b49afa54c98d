// Checks passwords, one at a time, on a thread of its own: each takes some 50 ms, which nobody else is to wait for, and guessing
// is kept slow by it.
//
// Addresses take turns, and so do the users of an address: whoever floods the server with guesses delays the login of another
// address or user by a few checks. What waits is bounded for each address and in all. Passwords that were right or wrong before
// are known by keyed hashes until the users change: a client that tries a wrong password again and again costs nothing.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "server/users.h"

namespace cairn::server {

class Authenticator {
 public:
  Authenticator() : thread_([this] { run(); }) {}
  ~Authenticator() { stop(); }
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  enum class Outcome : std::uint8_t {
    kRight,
    kWrong,
    kTooMany,  ///< So many logins wait that this one was not tried.
  };
  /// Calls done(outcome, user), the user if the password is right, from this thread if the outcome is known already. `name`: of
  /// the user; `user`: nullptr if there is no such user, which takes as long. `address`: where the login comes from, without a
  /// port. From any thread.
  using Done = std::function<void(Outcome outcome, std::shared_ptr<const User> user)>;
  void check(ByteView name, std::shared_ptr<const User> user, ByteView password, const std::string& address, Done done)
      CAIRN_EXCLUDES(mutex_);
  /// Forgets what was right or wrong: the users have changed.
  void forget() { known_.clear(); }
  /// What was not answered by then is not.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kOfUserMax = 64;  // From one address.
  static constexpr std::size_t kOfAddressMax = 256;
  static constexpr std::size_t kInAllMax = 4096;

  struct Login {
    std::shared_ptr<const User> user;
    std::string name;
    std::string password;
    Done done;
  };
  /// The logins of one address, by user.
  struct OfAddress {
    std::map<std::string, std::deque<Login>> users;
    std::string last_user;  // Whose turn it was.
    std::size_t count = 0;
  };
  void run() CAIRN_EXCLUDES(mutex_);
  bool put_in_line(const std::string& address, Login& login) CAIRN_EXCLUDES(mutex_);
  Login take_next() CAIRN_REQUIRES(mutex_);

  KnownPasswords known_;
  Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  std::map<std::string, OfAddress> waiting_ CAIRN_GUARDED_BY(mutex_);
  std::string last_address_ CAIRN_GUARDED_BY(mutex_);  // Whose turn it was.
  std::size_t count_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses the members above.
};

}  // namespace cairn::server
