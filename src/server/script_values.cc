// Converts replies to values of Lua and back. Both directions run within a protected call of Lua and may raise its errors. Values
// that come from a script may be nested without end and share tables, so depth, size and time are checked while they are written.
#include "server/script_values.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <lua5.1/lua.hpp>
#include <string>

#include "server/command.h"
#include "server/script_engine.h"

namespace cairn::server {
namespace {

constexpr int kDepthMax = 1000;               // Of tables within tables, which may hold themselves.
constexpr std::uint64_t kCheckedValues = 64;  // A table may stand in the value again and again: the time is looked at so often.

/// Reads one reply after the other of what a command wrote.
class ReplyReader {
 public:
  ReplyReader(lua_State* lua, ByteView bytes) : lua_(lua), bytes_(bytes) {}

  void push_value() {
    luaL_checkstack(lua_, 8, "a reply within replies");
    const char type = bytes_.front();
    bytes_.remove_prefix(1);
    const ByteView line = take_line();
    switch (type) {
      case '+': push_single("ok", line); break;
      case '-': push_single("err", line); break;
      case ':': lua_pushnumber(lua_, static_cast<lua_Number>(integer(line))); break;
      case '$': line == "-1" ? lua_pushboolean(lua_, 0) : push_text(take(integer(line))); break;
      case '*': line == "-1" ? lua_pushboolean(lua_, 0) : push_array(integer(line)); break;
      case '_': lua_pushnil(lua_); break;
      case '#': lua_pushboolean(lua_, line == "t" ? 1 : 0); break;
      case ',':
        lua_createtable(lua_, 0, 1);
        lua_pushnumber(lua_, std::strtod(std::string(line).c_str(), nullptr));
        lua_setfield(lua_, -2, "double");
        break;
      case '%': push_map(integer(line)); break;
      case '~': push_set(integer(line)); break;
      case '(': push_single("big_number", line); break;
      default: push_verbatim(take(integer(line))); break;
    }
  }

 private:
  static std::int64_t integer(ByteView text) {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  ByteView take_line() {
    const std::size_t end = bytes_.find("\r\n");
    const ByteView line = bytes_.substr(0, end);
    bytes_.remove_prefix(end + 2);
    return line;
  }
  ByteView take(std::int64_t size) {
    const ByteView text = bytes_.substr(0, static_cast<std::size_t>(size));
    bytes_.remove_prefix(static_cast<std::size_t>(size) + 2);
    return text;
  }
  void push_text(ByteView text) { lua_pushlstring(lua_, text.data(), text.size()); }
  void push_single(const char* field, ByteView text) {
    lua_createtable(lua_, 0, 1);
    push_text(text);
    lua_setfield(lua_, -2, field);
  }
  void push_array(std::int64_t count) {
    lua_createtable(lua_, static_cast<int>(count), 0);
    for (int i = 1; i <= count; ++i) {
      push_value();
      lua_rawseti(lua_, -2, i);
    }
  }
  void push_map(std::int64_t count) {
    lua_createtable(lua_, 0, 1);
    lua_createtable(lua_, 0, static_cast<int>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      push_value();
      push_value();
      lua_rawset(lua_, -3);
    }
    lua_setfield(lua_, -2, "map");
  }
  void push_set(std::int64_t count) {
    lua_createtable(lua_, 0, 1);
    lua_createtable(lua_, 0, static_cast<int>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      push_value();
      lua_pushboolean(lua_, 1);
      lua_rawset(lua_, -3);
    }
    lua_setfield(lua_, -2, "set");
  }
  /// "txt:" and the text.
  void push_verbatim(ByteView text) {
    constexpr std::size_t kFormat = 3;
    lua_createtable(lua_, 0, 1);
    lua_createtable(lua_, 0, 2);
    push_text(text.substr(0, kFormat));
    lua_setfield(lua_, -2, "format");
    push_text(text.substr(kFormat + 1));
    lua_setfield(lua_, -2, "string");
    lua_setfield(lua_, -2, "verbatim_string");
  }

  lua_State* lua_;
  ByteView bytes_;
};

/// Writes values. Fields of tables are read raw: a metatable of the script's gets no say.
class ValueWriter {
 public:
  ValueWriter(lua_State* lua, Reply& reply, bool booleans) : lua_(lua), reply_(reply), booleans_(booleans) {}

  /// Pops one.
  void pop(int depth) {
    if (depth > kDepthMax || lua_checkstack(lua_, 8) == 0) luaL_error(lua_, "reached lua stack limit");
    if (++values_ % kCheckedValues == 0) ScriptEngine::of(lua_).check(lua_);
    if (reply_.output().memory_bytes() > kAnswerBytesMax) luaL_error(lua_, "the reply takes more than 512 MiB");
    switch (lua_type(lua_, -1)) {
      case LUA_TSTRING: reply_.bulk(text_at(-1)); break;
      case LUA_TNUMBER: reply_.integer(to_integer(lua_tonumber(lua_, -1))); break;
      case LUA_TBOOLEAN: write_boolean(lua_toboolean(lua_, -1) != 0); break;
      case LUA_TTABLE: write_table(depth); break;
      default: reply_.null(); break;
    }
    lua_pop(lua_, 1);
  }

 private:
  void write_boolean(bool value) {
    if (!booleans_) {
      value ? reply_.integer(1) : reply_.null();
    } else if (reply_.resp3()) {
      reply_.output().append(value ? "#t\r\n" : "#f\r\n");
    } else {
      reply_.integer(value ? 1 : 0);
    }
  }
  /// Toward zero, as C converts; what does not fit is the least number.
  static std::int64_t to_integer(lua_Number number) {
    constexpr lua_Number kEnd = 9223372036854775808.0;
    return number >= -kEnd && number < kEnd ? static_cast<std::int64_t>(number) : std::numeric_limits<std::int64_t>::min();
  }
  ByteView text_at(int index) {
    std::size_t size = 0;
    const char* const bytes = lua_tolstring(lua_, index, &size);
    return {bytes, size};
  }
  /// Pushes a field of the table on the top of the stack, if it is of that type.
  bool push_field(const char* name, int type) {
    lua_pushstring(lua_, name);
    lua_rawget(lua_, -2);
    if (lua_type(lua_, -1) == type) return true;
    lua_pop(lua_, 1);
    return false;
  }
  void write_table(int depth) {
    if (push_field("err", LUA_TSTRING)) {
      reply_.error(text_at(-1));
    } else if (push_field("ok", LUA_TSTRING)) {
      reply_.simple(one_line(text_at(-1)));
    } else if (push_field("double", LUA_TNUMBER)) {
      const std::string text = fmt::format("{:.17g}", lua_tonumber(lua_, -1));
      reply_.resp3() ? reply_.output().append("," + text + "\r\n") : reply_.bulk(ByteView(text));
    } else if (push_field("map", LUA_TTABLE)) {
      write_pairs(depth, true);
    } else if (push_field("set", LUA_TTABLE)) {
      write_pairs(depth, false);
    } else if (push_field("big_number", LUA_TSTRING)) {
      const std::string text = one_line(text_at(-1));
      reply_.resp3() ? reply_.output().append("(" + text + "\r\n") : reply_.bulk(ByteView(text));
    } else if (push_field("verbatim_string", LUA_TTABLE)) {
      write_verbatim();
    } else {
      write_array(depth);
      return;
    }
    lua_pop(lua_, 1);
  }
  void write_array(int depth) {
    int count = 0;
    for (lua_rawgeti(lua_, -1, 1); !lua_isnil(lua_, -1); lua_rawgeti(lua_, -1, count + 1)) {
      lua_pop(lua_, 1);
      ++count;
    }
    lua_pop(lua_, 1);
    reply_.array(static_cast<std::uint64_t>(count));
    for (int i = 1; i <= count; ++i) {
      lua_rawgeti(lua_, -1, i);
      pop(depth + 1);
    }
  }
  void write_pairs(int depth, bool map) {
    std::uint64_t count = 0;
    for (lua_pushnil(lua_); lua_next(lua_, -2) != 0; lua_pop(lua_, 1)) ++count;
    map ? reply_.map(count) : reply_.set(count);
    for (lua_pushnil(lua_); lua_next(lua_, -2) != 0;) {
      lua_pushvalue(lua_, -2);  // The key, which lua_next() needs.
      pop(depth + 1);
      map ? pop(depth + 1) : lua_pop(lua_, 1);
    }
  }
  void write_verbatim() {
    std::string text;
    std::string format = "txt";
    if (push_field("format", LUA_TSTRING)) {
      format = std::string(text_at(-1)) + "   ";
      format.resize(3);
      lua_pop(lua_, 1);
    }
    if (push_field("string", LUA_TSTRING)) {
      text = text_at(-1);
      lua_pop(lua_, 1);
    }
    if (!reply_.resp3()) return reply_.bulk(ByteView(text));
    reply_.output().append(fmt::format("={}\r\n{}:", text.size() + format.size() + 1, format));
    reply_.output().append(text);
    reply_.output().append("\r\n");
  }

  lua_State* lua_;
  Reply& reply_;
  const bool booleans_;
  std::uint64_t values_ = 0;
};

}  // namespace

void push_reply(lua_State* lua, ByteView reply) { ReplyReader(lua, reply).push_value(); }

void pop_as_reply(lua_State* lua, Reply& reply, bool booleans) { ValueWriter(lua, reply, booleans).pop(0); }

void push_error(lua_State* lua, ByteView text) {
  lua_createtable(lua, 0, 1);
  lua_pushlstring(lua, text.data(), text.size());
  lua_setfield(lua, -2, "err");
}

}  // namespace cairn::server
