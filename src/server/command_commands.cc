// COMMAND: what the commands are called and take. And HELP of every command that has subcommands.
#include <algorithm>

#include "base/error.h"
#include "server/command.h"
#include "server/glob.h"
#include "server/text.h"

namespace cairn::server {
namespace {

bool is_subcommand(const CommandInfo& info) { return ByteView(info.name).find(' ') != ByteView::npos; }

void describe(Reply& reply, const CommandInfo& info) {
  reply.array(10);
  reply.bulk(ByteView(full_name(info)));
  reply.integer(info.arity);
  std::vector<const char*> flags;
  if ((info.flags & kWrites) != 0) flags.push_back("write");
  if ((info.flags & kWrites) == 0 && (info.flags & kReads) != 0) flags.push_back("readonly");
  if ((info.flags & kAdmin) != 0) flags.push_back("admin");
  if ((info.flags & kNoAuth) != 0) flags.push_back("no_auth");
  if ((info.flags & kFast) != 0) flags.push_back("fast");
  if ((info.flags & kCountedKeys) != 0) flags.push_back("movablekeys");
  reply.set(flags.size());
  for (const char* flag : flags) reply.simple(flag);
  reply.integer(info.first_key);
  reply.integer(info.last_key);
  reply.integer(info.key_step);
  reply.set(1);
  reply.simple(std::string("@") + info.group);
  for (int i = 0; i < 3; ++i) reply.array(0);  // Tips, key specifications, subcommands.
}

Result<void> command(Context& c) {
  c.reply.array(all_commands().size());
  for (const CommandInfo* info : all_commands()) describe(c.reply, *info);
  return {};
}

Result<void> command_count(Context& c) {
  c.reply.integer(static_cast<std::int64_t>(all_commands().size()));
  return {};
}

/// By its name as Redis prints it, `client|list` for a subcommand; nullptr: there is none.
const CommandInfo* command_printed_as(ByteView name) {
  std::string words(name);
  std::ranges::replace(words, '|', ' ');
  return command_named(words);
}

Result<void> command_info(Context& c) {
  if (c.size() == 2) return command(c);
  c.reply.array(c.size() - 2);
  for (const ByteView name : c.arguments.subspan(2)) {
    const CommandInfo* const found = command_printed_as(name);
    found == nullptr ? c.reply.null() : describe(c.reply, *found);
  }
  return {};
}

/// COMMAND GETKEYS command [argument ...]
Result<void> command_getkeys(Context& c) {
  std::string error;
  const Arguments asked = c.arguments.subspan(2);
  const CommandInfo* const found = find_command(asked, error);
  if (found == nullptr) {
    return refuse(error.starts_with("ERR unknown") ? "ERR Invalid command specified"
                                                   : "ERR Invalid number of arguments specified for command");
  }
  if (found->first_key == 0 && (found->flags & kCountedKeys) == 0) return refuse("ERR The command has no key arguments");
  std::vector<ByteView> keys;
  found->for_each_key(asked, [&](ByteView key) { keys.push_back(key); });
  c.reply.array(keys.size());
  for (const ByteView key : keys) c.reply.bulk(key);
  return {};
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
Result<void> command_list(Context& c) {
  if (c.size() != 2 && (c.size() != 5 || !same_word(c[2], "FILTERBY"))) return refuse_syntax();
  std::vector<const CommandInfo*> listed(all_commands().begin(), all_commands().end());
  if (c.size() == 5 && same_word(c[3], "PATTERN")) {
    std::erase_if(listed, [&](const CommandInfo* info) { return !glob_match(c[4], full_name(*info), true); });
  } else if (c.size() == 5 && same_word(c[3], "ACLCAT")) {
    std::erase_if(listed, [&](const CommandInfo* info) { return !same_word(c[4], info->group); });
  } else if (c.size() == 5 && same_word(c[3], "MODULE")) {
    listed.clear();
  } else if (c.size() == 5) {
    return refuse_syntax();
  }
  c.reply.array(listed.size());
  for (const CommandInfo* info : listed) c.reply.bulk(ByteView(full_name(*info)));
  return {};
}

/// The names of what a syntax line takes, as redis-cli shows them behind what is typed.
void describe_arguments(Reply& reply, ByteView syntax) {
  reply.array(1);
  reply.map(2);
  reply.bulk(ByteView("name"));
  reply.bulk(syntax);
  reply.bulk(ByteView("type"));
  reply.bulk(ByteView("string"));
}

void document(Reply& reply, const CommandInfo& info) {
  const bool has_arguments = *info.syntax != '\0';
  reply.map(has_arguments ? 4 : 3);
  const auto pair = [&](const char* key, const char* value) {
    reply.bulk(ByteView(key));
    reply.bulk(ByteView(value));
  };
  pair("summary", info.summary);
  pair("since", info.since);
  pair("group", info.group);
  if (!has_arguments) return;
  reply.bulk(ByteView("arguments"));
  describe_arguments(reply, info.syntax);
}

Result<void> command_docs(Context& c) {
  std::vector<const CommandInfo*> wanted;
  if (c.size() == 2) {
    for (const CommandInfo* info : all_commands()) {
      if (!is_subcommand(*info)) wanted.push_back(info);
    }
  }
  for (const ByteView name : c.arguments.subspan(2)) {
    if (const CommandInfo* const found = command_printed_as(name)) wanted.push_back(found);
  }
  c.reply.map(wanted.size());
  for (const CommandInfo* info : wanted) {
    c.reply.bulk(ByteView(full_name(*info)));
    document(c.reply, *info);
  }
  return {};
}

constexpr const char* kGroup = "server";

constexpr CommandInfo kCommands[] = {
    {"COMMAND", 1, Where::kReader, 0, 0, 0, 0, command, kGroup, "2.8.13", "Get array of command details", ""},
    {"COMMAND COUNT", 2, Where::kReader, 0, 0, 0, 0, command_count, kGroup, "2.8.13", "Get total number of commands", ""},
    {"COMMAND DOCS", -2, Where::kReader, 0, 0, 0, 0, command_docs, kGroup, "7.0.0", "Get documentation of commands",
     "[command-name [command-name ...]]"},
    {"COMMAND GETKEYS", -3, Where::kReader, 0, 0, 0, 0, command_getkeys, kGroup, "2.8.13",
     "Get the keys that a command with its arguments names", "command [arg [arg ...]]"},
    {"COMMAND HELP", 2, Where::kReader, 0, 0, 0, 0, subcommand_help, kGroup, "5.0.0",
     "Show helpful text about the different subcommands", ""},
    {"COMMAND INFO", -2, Where::kReader, 0, 0, 0, 0, command_info, kGroup, "2.8.13", "Get array of specific command details",
     "[command-name [command-name ...]]"},
    {"COMMAND LIST", -2, Where::kReader, 0, 0, 0, 0, command_list, kGroup, "7.0.0", "Get the names of all commands",
     "[FILTERBY MODULE name | ACLCAT category | PATTERN pattern]"},
};

}  // namespace

std::span<const CommandInfo> command_commands() { return kCommands; }

Result<void> subcommand_help(Context& c) {
  const ByteView full = c.info.name;
  const ByteView container = full.substr(0, full.find(' '));
  std::vector<std::string> lines{std::string(container) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"};
  for (const CommandInfo* info : all_commands()) {
    const ByteView name = info->name;
    if (!name.starts_with(container) || name.size() == container.size() || name[container.size()] != ' ') continue;
    if (info->run == subcommand_help) continue;
    const ByteView word = name.substr(container.size() + 1);
    lines.push_back(std::string(word) + (*info->syntax == '\0' ? "" : " " + std::string(info->syntax)));
    lines.push_back("    " + std::string(info->summary) + ".");
  }
  lines.emplace_back("HELP");
  lines.emplace_back("    Prints this help.");
  c.reply.array(lines.size());
  for (const std::string& line : lines) c.reply.simple(line);
  return {};
}

}  // namespace cairn::server
