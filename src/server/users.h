// Who may connect, and what each may do. From a file of TOML:
//
//   [[user]]
//   name = "app"
//   password = "scrypt:16384:8:1:SALT:HASH"    # as `cairn serve --hash-password` prints it
//   rights = ["read", "write"]                 # and "admin", and "monitor": INFO, metrics, stats and nothing else
//   prefixes = ["app:", "shared:"]             # keys that begin with one of them; none: all keys
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cairn/result.h"
#include "server/command.h"

namespace cairn::server {

struct User {
  std::string name;
  std::string password;  // Hashed.
  bool reads = false;
  bool writes = false;
  bool admin = false;
  bool monitors = false;
  std::vector<std::string> prefixes;

  [[nodiscard]] bool may_see(ByteView key) const;
  /// Numbers about the server; `totals`: also sums over all keys.
  [[nodiscard]] bool may_monitor(bool totals) const { return (reads || monitors) && !(totals && !prefixes.empty()); }
  /// Why the command is refused, as a reply says it; empty: it is not.
  [[nodiscard]] std::string refusal(const CommandInfo& info, Arguments arguments) const;
};

class Users {
 public:
  /// kInvalidArgument, with file and, where it is a line that is wrong, its number.
  static Result<std::shared_ptr<const Users>> parse(ByteView text, const std::string& file);
  /// nullptr: there is none.
  [[nodiscard]] std::shared_ptr<const User> find(ByteView name) const;

 private:
  std::map<std::string, std::shared_ptr<const User>, std::less<>> users_;
};

/// By scrypt, with a salt of its own: 16 MiB and some 50 ms.
Result<std::string> hash_password(ByteView password);
/// False, too, if `hashed` is nothing that hash_password() makes.
bool check_password(ByteView password, ByteView hashed);

/// Remembers which passwords were right and which were wrong, so that a login that was tried before does not take 50 ms. It
/// knows passwords only as hashes under a key of this process. Of those that were wrong it keeps the last 4,096. Thread-safe.
class KnownPasswords {
 public:
  KnownPasswords();
  /// nullopt: not known. `user`: nullptr if there is no user of that name.
  [[nodiscard]] std::optional<bool> find(ByteView name, const User* user, ByteView password) const CAIRN_EXCLUDES(mutex_);
  void add(ByteView name, const User* user, ByteView password, bool right) CAIRN_EXCLUDES(mutex_);
  void clear() CAIRN_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t kWrongMax = 4096;
  [[nodiscard]] std::string digest(ByteView name, const User* user, ByteView password) const;

  std::string key_;
  mutable Mutex mutex_{Rank::kLeaf};
  std::map<std::string, std::string, std::less<>> right_ CAIRN_GUARDED_BY(mutex_);  // Digests, by user.
  std::set<std::string> wrong_ CAIRN_GUARDED_BY(mutex_);
  std::deque<std::string> wrong_in_order_ CAIRN_GUARDED_BY(mutex_);  // The oldest first.
};

}  // namespace cairn::server
