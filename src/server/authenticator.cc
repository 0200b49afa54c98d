#include "server/authenticator.h"

namespace cairn::server {
namespace {

/// Of a user who is not there: nothing hashes to it.
constexpr ByteView kNoPassword =
    "scrypt:16384:8:1:00000000000000000000000000000000:0000000000000000000000000000000000000000000000000000000000000000";

/// The first entry behind `last`, or the first of all.
template <typename Map>
auto next_after(Map& map, const std::string& last) {
  const auto next = map.upper_bound(last);
  return next == map.end() ? map.begin() : next;
}

}  // namespace

void Authenticator::check(ByteView name, std::shared_ptr<const User> user, ByteView password, const std::string& address,
                          Done done) {
  const std::optional<bool> known = known_.find(name, user.get(), password);
  if (known) return *known ? done(Outcome::kRight, std::move(user)) : done(Outcome::kWrong, nullptr);
  Login login{.user = std::move(user), .name = std::string(name), .password = std::string(password), .done = std::move(done)};
  if (!put_in_line(address, login)) return login.done(Outcome::kTooMany, nullptr);
  changed_.notify_all();
}

/// False: too many wait already.
bool Authenticator::put_in_line(const std::string& address, Login& login) {
  const MutexLock lock(mutex_);
  OfAddress& of_address = waiting_[address];
  std::deque<Login>& of_user = of_address.users[login.name];
  if (of_user.size() < kOfUserMax && of_address.count < kOfAddressMax && count_ < kInAllMax) {
    ++of_address.count;
    ++count_;
    of_user.push_back(std::move(login));
    return true;
  }
  if (of_user.empty()) of_address.users.erase(login.name);
  if (of_address.count == 0) waiting_.erase(address);
  return false;
}

Authenticator::Login Authenticator::take_next() {
  const auto address = next_after(waiting_, last_address_);
  OfAddress& of_address = address->second;
  const auto user = next_after(of_address.users, of_address.last_user);
  Login login = std::move(user->second.front());
  user->second.pop_front();
  of_address.last_user = user->first;
  if (user->second.empty()) of_address.users.erase(user);
  last_address_ = address->first;
  if (--of_address.count == 0) waiting_.erase(address);
  --count_;
  return login;
}

void Authenticator::run() {
  while (true) {
    Login login;
    {
      const MutexLock lock(mutex_);
      while (count_ == 0 && !stopping_) changed_.wait(mutex_);
      if (stopping_) return;
      login = take_next();
    }
    // The same may have been tried while it waited.
    std::optional<bool> right = known_.find(login.name, login.user.get(), login.password);
    if (!right) {
      right = check_password(login.password, login.user ? ByteView(login.user->password) : kNoPassword) && login.user;
      known_.add(login.name, login.user.get(), login.password, *right);
    }
    *right ? login.done(Outcome::kRight, login.user) : login.done(Outcome::kWrong, nullptr);
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
  std::map<std::string, OfAddress> dropped;  // They may hold the last share of a connection, which is not for under a lock.
  const MutexLock lock(mutex_);
  dropped.swap(waiting_);
  count_ = 0;
}

}  // namespace cairn::server
