#include "server/authenticator.h"

namespace cairn::server {
namespace {
/// Of a user who is not there: nothing hashes to it.
constexpr ByteView kNoPassword =
    "scrypt:16384:8:1:00000000000000000000000000000000:0000000000000000000000000000000000000000000000000000000000000000";
}  // namespace

void Authenticator::check(std::shared_ptr<const User> user, ByteView password, Done done) {
  if (user && proven_.has(*user, password)) return done(std::move(user));
  const MutexLock lock(mutex_);
  questions_.push_back({std::move(user), std::string(password), std::move(done)});
  changed_.notify_all();
}

bool Authenticator::check_now(const User& user, ByteView password) {
  if (proven_.has(user, password)) return true;
  if (!check_password(password, user.password)) return false;
  proven_.add(user, password);
  return true;
}

void Authenticator::run() {
  while (true) {
    Question question;
    {
      const MutexLock lock(mutex_);
      while (questions_.empty() && !stopping_) changed_.wait(mutex_);
      if (stopping_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    const bool known =
        question.user ? check_now(*question.user, question.password) : check_password(question.password, kNoPassword);
    question.done(known ? question.user : nullptr);
  }
}

void Authenticator::stop() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  const MutexLock lock(mutex_);
  questions_.clear();
}

}  // namespace cairn::server
