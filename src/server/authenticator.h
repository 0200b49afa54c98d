// Checks passwords, one at a time, on a thread of its own: each takes some 50 ms, which nobody else is to wait for, and guessing
// is so kept slow.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "server/users.h"

namespace cairn::server {

class Authenticator {
 public:
  Authenticator() : thread_([this] { run(); }) {}
  ~Authenticator() { stop(); }
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// Calls done(user), or done(nullptr) if it is not the password; from this thread if that is known already. `user` may be
  /// nullptr, which takes as long. From any thread.
  using Done = std::function<void(std::shared_ptr<const User>)>;
  void check(std::shared_ptr<const User> user, ByteView password, Done done) CAIRN_EXCLUDES(mutex_);
  /// The same, waiting for it.
  bool check_now(const User& user, ByteView password);
  /// What was not answered by then is not.
  void stop() CAIRN_EXCLUDES(mutex_);

 private:
  struct Question {
    std::shared_ptr<const User> user;
    std::string password;
    Done done;
  };
  void run() CAIRN_EXCLUDES(mutex_);

  ProvenPasswords proven_;
  Mutex mutex_{Rank::kLeaf};
  CondVar changed_;
  std::deque<Question> questions_ CAIRN_GUARDED_BY(mutex_);
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::server
