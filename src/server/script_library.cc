// Builds the template of a script's globals. Two things must stay true: no function in it reaches anything outside the script,
// and no single call runs without a bound, except for the pattern functions and table.sort (docs/redis.md).
#include "server/script_library.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <initializer_list>
#include <lua5.1/lua.hpp>
#include <string>

#include "server/script_engine.h"
#include "server/script_values.h"

namespace cairn::server {
namespace {

// What these functions of Lua 5.1 let through would end or block the server: a script cannot be interrupted within a function
// of the library, and the library trusts some of its arguments.

/// unpack(list [, from [, to]]): Lua's own computes the count with an overflow.
int unpack(lua_State* lua) {
  constexpr lua_Number kMost = 8000;  // The places of a stack of Lua.
  luaL_checktype(lua, 1, LUA_TTABLE);
  const lua_Number from = luaL_optnumber(lua, 2, 1);
  const lua_Number to = lua_isnoneornil(lua, 3) ? static_cast<lua_Number>(lua_objlen(lua, 1)) : luaL_checknumber(lua, 3);
  if (from > to) return 0;
  if (!(to - from < kMost) || !(from >= -2147483648.0 && to <= 2147483647.0))
    return luaL_error(lua, "too many results to unpack");
  const int first = static_cast<int>(from);
  const int count = static_cast<int>(to) - first + 1;
  luaL_checkstack(lua, count, "too many results to unpack");
  for (int i = 0; i < count; ++i) lua_rawgeti(lua, 1, first + i);
  return count;
}

/// Calls the function that a closure guards, with the arguments it got, unless the script has to end.
int call_guarded(lua_State* lua) {
  ScriptEngine::of(lua).check(lua);
  lua_pushvalue(lua, lua_upvalueindex(1));
  lua_insert(lua, 1);
  lua_call(lua, lua_gettop(lua) - 1, LUA_MULTRET);
  return lua_gettop(lua);
}

/// string.rep(text, count): many times nothing takes no memory, so that nothing would end it.
int guard_rep(lua_State* lua) {
  std::size_t size = 0;
  luaL_checklstring(lua, 1, &size);
  const lua_Number count = luaL_checknumber(lua, 2);
  if (size == 0 || !(count >= 1)) {
    lua_pushliteral(lua, "");
    return 1;
  }
  if (count * static_cast<lua_Number>(size) > static_cast<lua_Number>(ScriptEngine::of(lua).memory_max())) {
    ScriptEngine::of(lua).refuse_memory(lua);
  }
  return call_guarded(lua);
}

/// find, match, gmatch, gsub: the library calls itself for each item of a pattern, on the stack of the thread.
int guard_pattern(lua_State* lua) {
  constexpr std::size_t kPatternBytesMax = 4096;
  std::size_t size = 0;
  const char* const pattern = luaL_checklstring(lua, 2, &size);
  const bool special = ByteView(pattern, size).find_first_of("^$*+?.([%-") != ByteView::npos;
  if (size > kPatternBytesMax && special) return luaL_error(lua, "a pattern has at most 4096 bytes");
  return call_guarded(lua);
}

/// string.find(text, pattern, from, plain): a plain text has no items.
int guard_find(lua_State* lua) { return lua_toboolean(lua, 4) != 0 ? call_guarded(lua) : guard_pattern(lua); }

/// math.randomseed(): the next script does not go on from there.
int guard_seed(lua_State* lua) {
  ScriptEngine::of(lua).set_seeded();
  return call_guarded(lua);
}

/// table.insert(list, [place,] value): a place far before the list would have everything between moved.
int guard_insert(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  if (lua_gettop(lua) > 2) {
    const lua_Number place = luaL_checknumber(lua, 2);
    if (!(place >= 1 && place <= 1e9)) return luaL_error(lua, "bad argument #2 to 'insert' (position out of bounds)");
  }
  return call_guarded(lua);
}

/// loadstring(source): source alone, with the globals of the script.
int load_string(lua_State* lua) {
  std::size_t size = 0;
  const char* const source = luaL_checklstring(lua, 1, &size);
  const char* const name = luaL_optstring(lua, 2, "@user_script");
  lua_settop(lua, 2);
  ScriptEngine& engine = ScriptEngine::of(lua);
  if (engine.compile(lua, {source, size}, name) != 0) {
    lua_pushnil(lua);
    lua_insert(lua, -2);
    return 2;
  }
  engine.push_environment(lua);
  lua_setfenv(lua, -2);
  return 1;
}

/// An exception that is not Lua's, such as want of memory, leaves no error on the stack but whatever stood there.
void replace_foreign_error(lua_State* lua, int status) {
  if (status >= 0) return;
  lua_pop(lua, 1);
  lua_pushliteral(lua, "not enough memory");
}

/// As Redis has it: of an error that is a table with "err" a script gets the text.
int protected_call(lua_State* lua) {
  luaL_checkany(lua, 1);
  const int status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
  if (status == 0) {
    lua_pushboolean(lua, 1);
    lua_insert(lua, 1);
    return lua_gettop(lua);
  }
  replace_foreign_error(lua, status);
  if (lua_istable(lua, -1)) {
    lua_pushliteral(lua, "err");
    lua_rawget(lua, -2);
    lua_isstring(lua, -1) != 0 ? lua_replace(lua, -2) : lua_pop(lua, 1);
  }
  lua_pushboolean(lua, 0);
  lua_insert(lua, -2);
  return 2;
}

/// xpcall(function, handler): Lua's own calls the handler where the error is, and for the error that ends a script this is where
/// nothing can interrupt it. Here it is called when the function has been left.
int handled_call(lua_State* lua) {
  luaL_checkany(lua, 2);
  lua_settop(lua, 2);
  lua_insert(lua, 1);
  const int status = lua_pcall(lua, 0, LUA_MULTRET, 0);
  if (status == 0) {
    lua_pushboolean(lua, 1);
    lua_replace(lua, 1);
    return lua_gettop(lua);
  }
  replace_foreign_error(lua, status);
  replace_foreign_error(lua, lua_pcall(lua, 1, 1, 0));
  lua_pushboolean(lua, 0);
  lua_insert(lua, -2);
  return 2;
}

int redis_call(lua_State* lua) { return ScriptEngine::of(lua).call_command(lua, true); }
int redis_pcall(lua_State* lua) { return ScriptEngine::of(lua).call_command(lua, false); }

/// Whether there is one argument, a text; else pushes an error, which is returned as Redis does, not raised.
bool has_text_argument(lua_State* lua) {
  if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) return true;
  push_error(lua, "ERR wrong number or type of arguments");
  return false;
}

/// "CODE text", "-CODE text", or a text alone, which gets the code ERR.
int error_reply(lua_State* lua) {
  if (!has_text_argument(lua)) return 1;
  std::size_t size = 0;
  const char* const bytes = lua_tolstring(lua, 1, &size);
  ByteView text(bytes, size);
  if (text.starts_with('-')) text.remove_prefix(1);
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  std::string reply(text.find(' ') == ByteView::npos ? "ERR " : "");
  reply += text;
  push_error(lua, reply);
  return 1;
}

int status_reply(lua_State* lua) {
  if (!has_text_argument(lua)) return 1;
  lua_createtable(lua, 0, 1);
  lua_pushvalue(lua, 1);
  lua_setfield(lua, -2, "ok");
  return 1;
}

/// Raises an error as redis.call() does, whose code comes first.
int raise(lua_State* lua, const char* text) {
  push_error(lua, text);
  return lua_error(lua);
}

int sha1_hex(lua_State* lua) {
  if (lua_gettop(lua) != 1) return raise(lua, "ERR wrong number of arguments");
  ScriptEngine::of(lua).check(lua);
  std::size_t size = 0;
  const char* const text = luaL_checklstring(lua, 1, &size);
  const std::string sha1 = sha1_of({text, size});
  lua_pushlstring(lua, sha1.data(), sha1.size());
  return 1;
}

int set_version(lua_State* lua) {
  if (lua_gettop(lua) != 1) return raise(lua, "ERR redis.setresp() requires one argument.");
  const lua_Number version = luaL_checknumber(lua, 1);
  if (version != 2 && version != 3) return raise(lua, "ERR RESP version must be 2 or 3.");
  ScriptEngine::of(lua).set_version(version == 3);
  return 0;
}

/// redis.log(level, text…)
int write_log(lua_State* lua) {
  constexpr std::size_t kLoggedBytes = 1024;
  const int count = lua_gettop(lua);
  if (count < 2) return raise(lua, "ERR redis.log() requires two arguments or more.");
  if (lua_type(lua, 1) != LUA_TNUMBER) return raise(lua, "ERR First argument must be a number (log level).");
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::debug, spdlog::level::info,
                                                   spdlog::level::warn};
  const lua_Number level = lua_tonumber(lua, 1);
  if (!(level >= 0 && level <= 3)) return raise(lua, "ERR Invalid log level.");
  std::string text;
  for (int i = 2; i <= count; ++i) {
    std::size_t size = 0;
    const char* const part = lua_tolstring(lua, i, &size);
    if (part != nullptr) text += (text.empty() ? "" : " ") + std::string(part, std::min(size, kLoggedBytes));
  }
  for (char& c : text) c = c >= 0 && c < ' ' ? ' ' : c;
  spdlog::log(kLevels[static_cast<int>(level)], "event=script_log text=\"{}\"", text.substr(0, kLoggedBytes));
  return 0;
}

/// What concerns replicas, of which there are none, or a debugger.
int do_nothing(lua_State* /*lua*/) { return 0; }
int say_true(lua_State* lua) {
  lua_pushboolean(lua, 1);
  return 1;
}
int say_false(lua_State* lua) {
  lua_pushboolean(lua, 0);
  return 1;
}

/// Puts `guard` before a function of the table on the top of the stack.
void guard(lua_State* lua, const char* name, lua_CFunction guard) {
  lua_getfield(lua, -1, name);
  lua_pushcclosure(lua, guard, 1);
  lua_setfield(lua, -2, name);
}

void push_redis(lua_State* lua) {
  lua_newtable(lua);
  set_function(lua, "call", redis_call);
  set_function(lua, "pcall", redis_pcall);
  set_function(lua, "error_reply", error_reply);
  set_function(lua, "status_reply", status_reply);
  set_function(lua, "sha1hex", sha1_hex);
  set_function(lua, "setresp", set_version);
  set_function(lua, "log", write_log);
  set_function(lua, "set_repl", do_nothing);
  set_function(lua, "debug", do_nothing);
  set_function(lua, "replicate_commands", say_true);
  set_function(lua, "breakpoint", say_false);
  const auto number = [&](const char* name, lua_Number value) {
    lua_pushnumber(lua, value);
    lua_setfield(lua, -2, name);
  };
  int level = 0;
  for (const char* name : {"LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"}) number(name, level++);
  number("REPL_NONE", 0);
  number("REPL_AOF", 1);
  number("REPL_SLAVE", 2);
  number("REPL_REPLICA", 2);
  number("REPL_ALL", 3);
  number("REDIS_VERSION_NUM", 0x0007000f);
  lua_pushliteral(lua, "7.0.15");
  lua_setfield(lua, -2, "REDIS_VERSION");
}

using Names = std::initializer_list<const char*>;

/// Copies fields of the table on the top of the stack into the template, which is at the bottom: as a table called `library`, or
/// by themselves if that is nullptr. Leaves the stack as it was, without that table.
void keep(lua_State* lua, const char* library, Names names) {
  if (library != nullptr) lua_createtable(lua, 0, static_cast<int>(names.size()));
  const int into = library == nullptr ? 1 : lua_gettop(lua);
  const int from = library == nullptr ? lua_gettop(lua) : into - 1;
  for (const char* name : names) {
    lua_getfield(lua, from, name);
    lua_setfield(lua, into, name);
  }
  if (library != nullptr) lua_setfield(lua, 1, library);
  lua_pop(lua, 1);
}

void open_library(lua_State* lua, lua_CFunction open, const char* name, Names names) {
  lua_pushcfunction(lua, open);
  lua_pushstring(lua, name);
  lua_call(lua, 1, 1);
  keep(lua, name, names);
}

/// Puts a metatable that leads to it in the place of each table of the template: a script that has it as the metatable of an
/// empty table finds all of the library, and cannot change it or get at it.
void hide_libraries(lua_State* lua) {
  for (const char* name : {LUA_TABLIBNAME, LUA_MATHLIBNAME, LUA_STRLIBNAME, "cjson", "bit", "redis"}) {
    lua_createtable(lua, 0, 2);
    lua_getfield(lua, 1, name);
    lua_setfield(lua, -2, "__index");
    lua_pushliteral(lua, "library");
    lua_setfield(lua, -2, "__metatable");
    lua_setfield(lua, 1, name);
  }
}

}  // namespace

void set_function(lua_State* lua, const char* name, lua_CFunction function) {
  lua_pushcfunction(lua, function);
  lua_setfield(lua, -2, name);
}

// Each name is here because it cannot reach anything outside the script. Not here: package, require, module, io, os, debug,
// dofile, loadfile, load, string.dump, getfenv, setfenv, newproxy, collectgarbage, print; and coroutine, whose calls nest on the
// stack of the thread without a bound.
void push_script_library(lua_State* lua) {
  lua_newtable(lua);
  lua_pushcfunction(lua, luaopen_base);
  lua_pushliteral(lua, "");
  lua_call(lua, 1, 0);
  lua_pushvalue(lua, LUA_GLOBALSINDEX);
  keep(lua, nullptr,
       {"assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset", "select", "setmetatable",
        "tonumber", "tostring", "type", "_VERSION"});
  set_function(lua, "unpack", unpack);
  set_function(lua, "loadstring", load_string);
  set_function(lua, "pcall", protected_call);
  set_function(lua, "xpcall", handled_call);
  open_library(lua, luaopen_table, LUA_TABLIBNAME, {"concat", "foreach", "foreachi", "getn", "insert", "maxn", "remove", "sort"});
  lua_getfield(lua, 1, LUA_TABLIBNAME);
  guard(lua, "insert", guard_insert);
  for (const char* name : {"concat", "maxn", "remove", "sort"}) guard(lua, name, call_guarded);
  lua_pop(lua, 1);
  open_library(lua, luaopen_math, LUA_MATHLIBNAME,
               {"abs",  "acos",  "asin",   "atan",       "atan2", "ceil",  "cos",  "cosh", "deg", "exp",  "floor",
                "fmod", "frexp", "huge",   "ldexp",      "log",   "log10", "max",  "min",  "mod", "modf", "pi",
                "pow",  "rad",   "random", "randomseed", "sin",   "sinh",  "sqrt", "tan",  "tanh"});
  lua_getfield(lua, 1, LUA_MATHLIBNAME);
  guard(lua, "randomseed", guard_seed);
  lua_pop(lua, 1);
  open_library(lua, luaopen_string, LUA_STRLIBNAME,
               {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper"});
  lua_getfield(lua, 1, LUA_STRLIBNAME);
  guard(lua, "find", guard_find);
  for (const char* name : {"match", "gmatch", "gsub"}) guard(lua, name, guard_pattern);
  guard(lua, "rep", guard_rep);
  // The methods of texts: the metatable that luaopen_string() has given them leads to its own table.
  lua_pushliteral(lua, "");
  lua_getmetatable(lua, -1);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_pushliteral(lua, "string");
  lua_setfield(lua, -2, "__metatable");
  lua_pop(lua, 3);
  push_json_library(lua);
  lua_setfield(lua, 1, "cjson");
  push_bit_library(lua);
  lua_setfield(lua, 1, "bit");
  push_redis(lua);
  lua_setfield(lua, 1, "redis");
  hide_libraries(lua);
  // What the libraries have left among the globals of the state goes: nothing looks there.
  for (lua_pushnil(lua); lua_next(lua, LUA_GLOBALSINDEX) != 0;) {
    lua_pop(lua, 1);
    lua_pushvalue(lua, -1);
    lua_pushnil(lua);
    lua_rawset(lua, LUA_GLOBALSINDEX);
  }
}

}  // namespace cairn::server
