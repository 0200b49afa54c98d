#include "server/users.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/error.h"
#include "server/glob.h"
#include "text/hex.h"
#include "text/suggestion.h"
#include "text/toml_file.h"

namespace cairn::server {
namespace {

constexpr std::uint64_t kCost = 16'384;
constexpr std::uint64_t kBlock = 8;
constexpr std::uint64_t kParallel = 1;
constexpr std::uint64_t kCostMost = std::uint64_t{1} << 20U;
constexpr std::uint64_t kMemoryMost = 2 * kGiB;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHashBytes = 32;

bool from_hex(ByteView text, std::string& bytes) {
  const bool is_hex = text.find_first_not_of("0123456789abcdef") == ByteView::npos;
  if (text.size() % 2 != 0 || !is_hex) return false;
  bytes = absl::HexStringToBytes(absl::string_view(text.data(), text.size()));
  return true;
}

struct Hashed {
  std::uint64_t cost = kCost;
  std::uint64_t block = kBlock;
  std::uint64_t parallel = kParallel;
  std::string salt;
  std::string hash;
};

bool parse_hashed(ByteView text, Hashed& hashed) {
  std::array<ByteView, 6> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    parts[i] = text.substr(0, colon);
    if ((colon == text.size()) != (i + 1 == parts.size())) return false;
    text.remove_prefix(std::min(colon + 1, text.size()));
  }
  std::array<std::int64_t, 3> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!parse_integer(parts[i + 1], numbers[i]) || numbers[i] < 1) return false;
  }
  hashed.cost = static_cast<std::uint64_t>(numbers[0]);
  hashed.block = static_cast<std::uint64_t>(numbers[1]);
  hashed.parallel = static_cast<std::uint64_t>(numbers[2]);
  const bool power_of_2 = hashed.cost >= 2 && std::has_single_bit(hashed.cost);
  const bool sane = power_of_2 && hashed.cost <= kCostMost && hashed.block <= 64 && hashed.parallel <= 16;
  return sane && parts[0] == "scrypt" && from_hex(parts[4], hashed.salt) && from_hex(parts[5], hashed.hash) &&
         hashed.hash.size() == kHashBytes;
}

bool derive(ByteView password, const Hashed& how, std::array<unsigned char, kHashBytes>& hash) {
  return EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(how.salt.data()),
                        how.salt.size(), how.cost, how.block, how.parallel, kMemoryMost, hash.data(), hash.size()) == 1;
}

ByteView view(const std::array<unsigned char, kHashBytes>& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

std::unexpected<Error> wrong(const std::string& place, const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, place + ": " + what);
}

Result<std::string> text_of(const TomlTable& table, const char* name) {
  const auto found = table.values.find(name);
  if (found == table.values.end()) return wrong(table.place(), fmt::format("this [[user]] has no {}", name));
  const auto* const text = std::get_if<std::string>(&found->second.data);
  if (text == nullptr || text->empty()) {
    return wrong(found->second.place(), fmt::format("{} must be a text in double quotes, and not empty", name));
  }
  return *text;
}

/// The list of texts that a user has under `name`, empty if there is none.
Result<std::vector<std::string>> list_of(const TomlTable& table, const char* name) {
  const auto found = table.values.find(name);
  if (found == table.values.end()) return std::vector<std::string>{};
  const auto* const list = std::get_if<std::vector<std::string>>(&found->second.data);
  if (list == nullptr) return wrong(found->second.place(), fmt::format("{} must be a list of texts, as in [\"a\", \"b\"]", name));
  return *list;
}

Result<User> parse_user(const TomlTable& table) {
  User user;
  CAIRN_TRY(name, text_of(table, "name"));
  user.name = name;
  CAIRN_TRY(password, text_of(table, "password"));
  Hashed hashed;
  if (!parse_hashed(password, hashed)) {
    return wrong(table.values.at("password").place(),
                 "the password of user '" + name + "' is not hashed: `cairn serve --hash-password` prints the hash of a line");
  }
  user.password = password;
  CAIRN_TRY(prefixes, list_of(table, "prefixes"));
  user.prefixes = prefixes;
  CAIRN_TRY(rights, list_of(table, "rights"));
  for (const std::string& right : rights) {
    bool User::* const known = right == "read"      ? &User::reads
                               : right == "write"   ? &User::writes
                               : right == "admin"   ? &User::admin
                               : right == "monitor" ? &User::monitors
                                                    : nullptr;
    if (known == nullptr) {
      return wrong(table.values.at("rights").place(),
                   fmt::format("unknown right '{}' of user '{}'; rights are read, write, admin and monitor", right, name));
    }
    user.*known = true;
  }
  for (const auto& [key, value] : table.values) {
    if (key == "name" || key == "password" || key == "rights" || key == "prefixes") continue;
    return wrong(value.key_place(), fmt::format("unknown key '{}' of user '{}'{}", key, name,
                                                suggestion(key, {"name", "password", "rights", "prefixes"})));
  }
  return user;
}

/// What a command that names no keys is limited to by its pattern; nullopt: it has none.
std::optional<Bytes> prefix_of_pattern(const CommandInfo& info, Arguments arguments) {
  if (same_word(info.name, "KEYS")) return glob_prefix(arguments[1]);
  if (!same_word(info.name, "SCAN")) return std::nullopt;
  std::optional<Bytes> prefix;  // Of the last one, which counts.
  for (std::size_t i = 2; i + 1 < arguments.size(); i += 2) {
    if (same_word(arguments[i], "MATCH")) prefix = glob_prefix(arguments[i + 1]);
  }
  return prefix;
}

/// Whether it is SET with GET, which answers what the key had.
bool set_answers_value(const CommandInfo& info, Arguments arguments) {
  static const CommandInfo* const set = command_named("SET");
  if (&info != set || arguments.size() < 4) return false;
  return std::ranges::any_of(arguments.subspan(3), [](ByteView word) { return same_word(word, "GET"); });
}

}  // namespace

bool User::may_see(ByteView key) const {
  return prefixes.empty() || std::ranges::any_of(prefixes, [&](const std::string& prefix) { return key.starts_with(prefix); });
}

std::string User::refusal(const CommandInfo& info, Arguments arguments) const {
  // Whether someone is there at all, PING and the commands that log in and out tell everybody.
  const bool needs_none = (info.flags & kNoAuth) != 0 || same_word(info.name, "PING");
  const bool has_any = reads || writes || admin || monitors;
  const bool must_read = (info.flags & kReads) != 0 || set_answers_value(info, arguments);
  const bool has_right = (has_any || needs_none) && (!must_read || reads) && ((info.flags & kWrites) == 0 || writes) &&
                         ((info.flags & kAdmin) == 0 || admin) &&
                         ((info.flags & kMonitors) == 0 || may_monitor((info.flags & kTotals) != 0));
  if (!has_right) return "NOPERM this user has no permissions to run the '" + full_name(info) + "' command";
  bool sees = true;
  info.for_each_key(arguments, [&](ByteView key) { sees = sees && may_see(key); });
  if ((info.flags & kAllKeys) != 0 && !prefixes.empty()) {
    const std::optional<Bytes> prefix = prefix_of_pattern(info, arguments);
    sees = prefix && may_see(*prefix);
  }
  return sees ? "" : "NOPERM this user has no permissions to access one of the keys used as arguments";
}

Result<std::shared_ptr<const Users>> Users::parse(ByteView text, const std::string& file) {
  CAIRN_TRY(parsed, parse_toml_file(text, file));
  for (const auto& [name, value] : parsed.values) {
    if (name != "user" || !std::holds_alternative<std::vector<TomlTable>>(value.data)) {
      return wrong(value.key_place(),
                   "'" + name + "' is not known here: a file of users consists of sections [[user]], in two brackets");
    }
  }
  if (parsed.values.empty()) return wrong(file, "there is no user: a file of users consists of [[user]] sections");
  auto users = std::make_shared<Users>();
  for (const TomlTable& table : std::get<std::vector<TomlTable>>(parsed.values.at("user").data)) {
    CAIRN_TRY(user, parse_user(table));
    const std::string name = user.name;
    if (!users->users_.emplace(name, std::make_shared<const User>(std::move(user))).second) {
      return wrong(table.place(), "there is a user '" + name + "' already");
    }
  }
  return users;
}

std::shared_ptr<const User> Users::find(ByteView name) const {
  const auto found = users_.find(name);
  return found == users_.end() ? nullptr : found->second;
}

Result<std::string> hash_password(ByteView password) {
  Hashed how;
  how.salt.resize(kSaltBytes);
  std::array<unsigned char, kHashBytes> hash{};
  if (RAND_bytes(reinterpret_cast<unsigned char*>(how.salt.data()), kSaltBytes) != 1 || !derive(password, how, hash)) {
    return fail(ErrorCode::kUnavailable, "the password could not be hashed");
  }
  return "scrypt:" + std::to_string(how.cost) + ":" + std::to_string(how.block) + ":" + std::to_string(how.parallel) + ":" +
         to_hex(how.salt) + ":" + to_hex(view(hash));
}

bool check_password(ByteView password, ByteView hashed) {
  Hashed how;
  std::array<unsigned char, kHashBytes> hash{};
  if (!parse_hashed(hashed, how) || !derive(password, how, hash)) return false;
  return CRYPTO_memcmp(hash.data(), how.hash.data(), hash.size()) == 0;
}

KnownPasswords::KnownPasswords() : key_(kHashBytes, '\0') {
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key_.data()), static_cast<int>(key_.size())) != 1) key_.clear();
}

/// Of the password as it is configured, too: what was said of another one means nothing. Empty: it cannot be made.
std::string KnownPasswords::digest(ByteView name, const User* user, ByteView password) const {
  if (key_.empty()) return {};
  const std::string what =
      std::string(name) + '\0' + (user == nullptr ? std::string() : user->password) + '\0' + std::string(password);
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  const unsigned char* const done = HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
                                         reinterpret_cast<const unsigned char*>(what.data()), what.size(), bytes.data(), &size);
  return done == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

std::optional<bool> KnownPasswords::find(ByteView name, const User* user, ByteView password) const {
  const std::string wanted = digest(name, user, password);
  if (wanted.empty()) return std::nullopt;
  const MutexLock lock(mutex_);
  const auto found = right_.find(name);
  if (user != nullptr && found != right_.end() && found->second.size() == wanted.size() &&
      CRYPTO_memcmp(found->second.data(), wanted.data(), wanted.size()) == 0) {
    return true;
  }
  return wrong_.contains(wanted) ? std::optional(false) : std::nullopt;
}

void KnownPasswords::add(ByteView name, const User* user, ByteView password, bool right) {
  std::string known = digest(name, user, password);
  if (known.empty()) return;
  const MutexLock lock(mutex_);
  if (right) {
    right_[std::string(name)] = std::move(known);
  } else if (wrong_.insert(known).second) {
    wrong_in_order_.push_back(std::move(known));
    if (wrong_in_order_.size() <= kWrongMax) return;
    wrong_.erase(wrong_in_order_.front());
    wrong_in_order_.pop_front();
  }
}

void KnownPasswords::clear() {
  const MutexLock lock(mutex_);
  right_.clear();
  wrong_.clear();
  wrong_in_order_.clear();
}

}  // namespace cairn::server
