#include "server/command.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "server/text.h"

namespace cairn::server {
namespace {

constexpr std::size_t kNameBytesMax = 32;
/// The file of an error that is a reply by itself.
constexpr const char* kIsReply = "\x01reply";

struct Registry {
  std::vector<const CommandInfo*> all;
  std::unordered_map<ByteView, const CommandInfo*> by_name;  // In capitals.
  std::unordered_set<ByteView> containers;                   // First words of subcommands.

  Registry() {
    for (const auto commands :
         {string_commands(), bit_commands(), key_commands(), object_commands(), connection_commands(), server_commands(),
          script_commands(), config_commands(), backup_commands(), command_commands(), timeline_commands(), table_commands()}) {
      for (const CommandInfo& info : commands) {
        all.push_back(&info);
        by_name[info.name] = &info;
        const ByteView name = info.name;
        if (const std::size_t space = name.find(' '); space != ByteView::npos) containers.insert(name.substr(0, space));
      }
    }
    std::ranges::sort(all, {}, [](const CommandInfo* info) { return ByteView(info->name); });
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

std::string unknown(Arguments arguments) {
  constexpr std::size_t kShown = 128;
  std::string shown;
  for (std::size_t i = 1; i < arguments.size() && shown.size() < kShown; ++i) {
    shown += "'" + std::string(up_to_zero(arguments[i].substr(0, kShown - shown.size()))) + "' ";
  }
  return "ERR unknown command '" + std::string(up_to_zero(arguments[0].substr(0, kShown))) +
         "', with args beginning with: " + shown;
}

std::string wrong_number(const std::string& name) { return "ERR wrong number of arguments for '" + name + "' command"; }

}  // namespace

std::span<const CommandInfo* const> all_commands() { return registry().all; }

std::string full_name(const CommandInfo& info) {
  std::string name = small_letters(info.name);
  std::ranges::replace(name, ' ', '|');
  return name;
}

const CommandInfo* command_named(ByteView name) {
  if (name.size() > kNameBytesMax) return nullptr;
  std::array<char, kNameBytesMax> capitals{};
  for (std::size_t i = 0; i < name.size(); ++i) capitals[i] = to_capital(name[i]);
  const auto& names = registry().by_name;
  const auto found = names.find(ByteView(capitals.data(), name.size()));
  return found == names.end() ? nullptr : found->second;
}

const CommandInfo* find_command(Arguments arguments, std::string& error) {
  const CommandInfo* info = command_named(arguments[0]);
  if (info != nullptr && info->takes(arguments.size())) return info;
  const std::string first = capitals(arguments[0]);
  const bool has_subcommands = registry().containers.contains(first);
  if (info == nullptr && !has_subcommands) {
    error = unknown(arguments);
    return nullptr;
  }
  if (has_subcommands && arguments.size() > 1) {
    info = command_named(first + " " + std::string(arguments[1]));
    if (info == nullptr) {
      error = "ERR unknown subcommand '" + std::string(up_to_zero(arguments[1].substr(0, 128))) + "'. Try " + first + " HELP.";
      return nullptr;
    }
    if (info->takes(arguments.size())) return info;
  }
  error = wrong_number(info == nullptr ? small_letters(first) : full_name(*info));
  return nullptr;
}

std::unexpected<Error> refuse(std::string reply) { return fail(ErrorCode::kInvalidArgument, std::move(reply), kIsReply); }

std::string error_reply(const Error& error) {
  if (error.file == kIsReply) return error.message;
  const char* code = "ERR ";
  switch (error.code) {
    case ErrorCode::kNoSpace: code = "OOM "; break;
    case ErrorCode::kLeaseLost: code = "READONLY "; break;
    case ErrorCode::kReadOnly:
    case ErrorCode::kIo: code = "MISCONF "; break;
    case ErrorCode::kCorruption: code = "CORRUPTED "; break;
    case ErrorCode::kTimeout: code = "TRYAGAIN "; break;
    default: break;
  }
  if (error.code == ErrorCode::kInvalidArgument) return code + error.message;
  return code + error.to_string();
}

std::unexpected<Error> refuse_answer() { return refuse("ERR the answer would take more than 512 MiB: ask for less at a time"); }

Result<void> check_answer(const Context& context) {
  if (context.reply.output().memory_bytes() <= kAnswerBytesMax) return {};
  return refuse_answer();
}

Result<std::int64_t> integer_argument(ByteView text) {
  std::int64_t value = 0;
  if (!parse_integer(text, value)) return refuse("ERR value is not an integer or out of range");
  return value;
}

Result<int> int_argument(ByteView text, const char* invalid) {
  const Result<std::int64_t> number = integer_argument(text);
  const bool fits = number && *number >= INT32_MIN && *number <= INT32_MAX;
  if (!fits && invalid != nullptr) return refuse(invalid);
  CAIRN_TRY_VOID(number);
  if (!fits) return refuse("ERR value is out of range, value must between -2147483648 and 2147483647");
  return static_cast<int>(*number);
}

Result<void> check_database(int number) {
  if (number < 0 || number >= kDatabases) return refuse("ERR DB index is out of range");
  return {};
}

}  // namespace cairn::server
