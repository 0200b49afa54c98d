// cjson.encode() and cjson.decode() as scripts know them from Redis. Debian's lua-cjson counts bytes in an int, which a table
// that holds the same long text many times overflows (CVE-2022-24834); here what is encoded is bounded.
#include <fmt/format.h>

#include <cmath>
#include <lua5.1/lua.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/script_engine.h"
#include "server/script_library.h"

namespace cairn::server {
namespace {

constexpr int kDepthMax = 1000;
constexpr std::uint64_t kCheckedValues = 64;  // A table may stand in the value again and again: the time is looked at so often.

class JsonWriter {
 public:
  explicit JsonWriter(lua_State* lua) : lua_(lua), bytes_max_(ScriptEngine::of(lua).memory_max()) {}
  [[nodiscard]] const std::string& text() const { return text_; }

  /// Writes the value on the top of the stack, which stays.
  void write(int depth) {
    if (depth > kDepthMax) luaL_error(lua_, "Cannot serialise, excessive depth (%d)", depth);
    luaL_checkstack(lua_, 4, "a table within tables");
    if (++values_ % kCheckedValues == 0) ScriptEngine::of(lua_).check(lua_);
    if (text_.size() > bytes_max_) ScriptEngine::of(lua_).refuse_memory(lua_);
    switch (const int type = lua_type(lua_, -1)) {
      case LUA_TSTRING: write_text(-1); break;
      case LUA_TNUMBER: write_number(); break;
      case LUA_TBOOLEAN: text_ += lua_toboolean(lua_, -1) != 0 ? "true" : "false"; break;
      case LUA_TNIL: text_ += "null"; break;
      case LUA_TTABLE: write_table(depth); break;
      case LUA_TLIGHTUSERDATA: text_ += "null"; break;  // cjson.null: there is no other.
      default: luaL_error(lua_, "Cannot serialise %s: type not supported", lua_typename(lua_, type));
    }
  }

 private:
  void write_text(int index) {
    std::size_t size = 0;
    const char* const bytes = lua_tolstring(lua_, index, &size);
    text_ += '"';
    for (const char c : ByteView(bytes, size)) {
      switch (c) {
        case '"': text_ += "\\\""; break;
        case '\\': text_ += "\\\\"; break;
        case '/': text_ += "\\/"; break;
        case '\b': text_ += "\\b"; break;
        case '\f': text_ += "\\f"; break;
        case '\n': text_ += "\\n"; break;
        case '\r': text_ += "\\r"; break;
        case '\t': text_ += "\\t"; break;
        default:
          if ((c >= 0 && c < ' ') || c == 0x7f) {
            text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
          } else {
            text_ += c;
          }
      }
    }
    text_ += '"';
  }
  void write_number() {
    const lua_Number number = lua_tonumber(lua_, -1);
    if (!std::isfinite(number)) luaL_error(lua_, "Cannot serialise number: must not be NaN or Inf");
    text_ += fmt::format("{:.14g}", number);
  }
  /// The greatest key, if all keys are numbers from 1 on and most of them are there; 0: it is an object.
  int array_size() {
    constexpr int kAlways = 10;
    constexpr int kPart = 2;
    constexpr lua_Number kMost = 1e9;
    lua_Number greatest = 0;
    int count = 0;
    for (lua_pushnil(lua_); lua_next(lua_, -2) != 0; lua_pop(lua_, 1), ++count) {
      const lua_Number key = lua_type(lua_, -2) == LUA_TNUMBER ? lua_tonumber(lua_, -2) : 0;
      if (!(key >= 1 && key <= kMost) || std::floor(key) != key) {
        lua_pop(lua_, 2);
        return 0;
      }
      greatest = std::max(greatest, key);
    }
    if (greatest > kAlways && greatest > static_cast<lua_Number>(count) * kPart) {
      luaL_error(lua_, "Cannot serialise table: excessively sparse array");
    }
    return static_cast<int>(greatest);
  }
  void write_table(int depth) {
    const int size = array_size();
    if (size != 0) {
      for (int i = 1; i <= size; ++i) {
        text_ += i == 1 ? '[' : ',';
        lua_rawgeti(lua_, -1, i);
        write(depth + 1);
        lua_pop(lua_, 1);
      }
      text_ += ']';
      return;
    }
    char before = '{';
    for (lua_pushnil(lua_); lua_next(lua_, -2) != 0; lua_pop(lua_, 1)) {
      text_ += std::exchange(before, ',');
      write_key();
      text_ += ':';
      write(depth + 1);
    }
    text_ += before == '{' ? "{}" : "}";
  }
  /// The key below the value on the top of the stack.
  void write_key() {
    if (lua_type(lua_, -2) == LUA_TSTRING) return write_text(-2);
    if (lua_type(lua_, -2) != LUA_TNUMBER) {
      luaL_error(lua_, "Cannot serialise table: table key must be a number or string");
    }
    text_ += fmt::format("\"{:.14g}\"", lua_tonumber(lua_, -2));
  }

  lua_State* lua_;
  const std::uint64_t bytes_max_;
  std::uint64_t values_ = 0;
  std::string text_;
};

/// Builds the value on the stack of Lua, as the parser finds its parts.
class JsonBuilder {
 public:
  explicit JsonBuilder(lua_State* lua) : lua_(lua) {}
  [[nodiscard]] const std::string& error() const { return error_; }

  // What nlohmann::json_sax asks for.
  bool null() {
    lua_pushlightuserdata(lua_, nullptr);
    return add();
  }
  bool boolean(bool value) {
    lua_pushboolean(lua_, value ? 1 : 0);
    return add();
  }
  bool number_integer(std::int64_t value) { return add(static_cast<lua_Number>(value)); }
  bool number_unsigned(std::uint64_t value) { return add(static_cast<lua_Number>(value)); }
  bool number_float(double value, const std::string& /*text*/) { return add(value); }
  bool string(const std::string& value) {
    lua_pushlstring(lua_, value.data(), value.size());
    return add();
  }
  bool binary(const std::vector<std::uint8_t>& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return start(-1); }
  bool start_array(std::size_t /*size*/) { return start(0); }
  bool key(const std::string& value) {
    lua_pushlstring(lua_, value.data(), value.size());
    return true;
  }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool parse_error(std::size_t place, const std::string& /*token*/, const nlohmann::detail::exception& why) {
    error_ = fmt::format("cjson.decode: at character {}: {}", place, why.what());
    return false;
  }

 private:
  bool add(lua_Number number) {
    lua_pushnumber(lua_, number);
    return add();
  }
  /// Puts the value on the top of the stack into the table it belongs to.
  bool add() {
    if (++values_ % kCheckedValues == 0) ScriptEngine::of(lua_).check(lua_);
    if (counts_.empty()) return true;
    if (counts_.back() < 0) {
      lua_rawset(lua_, -3);
    } else {
      lua_rawseti(lua_, -2, ++counts_.back());
    }
    return true;
  }
  bool start(int count) {
    if (counts_.size() >= kDepthMax) luaL_error(lua_, "Found too many nested data structures (%d)", kDepthMax + 1);
    luaL_checkstack(lua_, 4, "a table within tables");
    counts_.push_back(count);
    lua_newtable(lua_);
    return true;
  }
  bool end() {
    counts_.pop_back();
    return add();
  }

  lua_State* lua_;
  std::uint64_t values_ = 0;
  std::vector<int> counts_;  // Of the elements of each table that is open, the innermost last; -1: it is an object.
  std::string error_;
};

int encode(lua_State* lua) {
  if (lua_gettop(lua) != 1) return luaL_error(lua, "bad argument #1 to 'encode' (expected 1 argument)");
  JsonWriter writer(lua);
  writer.write(1);
  lua_pushlstring(lua, writer.text().data(), writer.text().size());
  return 1;
}

int decode(lua_State* lua) {
  if (lua_gettop(lua) != 1) return luaL_error(lua, "bad argument #1 to 'decode' (expected 1 argument)");
  std::size_t size = 0;
  const char* const text = luaL_checklstring(lua, 1, &size);
  JsonBuilder builder(lua);
  if (nlohmann::json::sax_parse(text, text + size, &builder)) return 1;
  return luaL_error(lua, "%s", builder.error().c_str());
}

}  // namespace

void push_json_library(lua_State* lua) {
  lua_createtable(lua, 0, 3);
  set_function(lua, "encode", encode);
  set_function(lua, "decode", decode);
  lua_pushlightuserdata(lua, nullptr);
  lua_setfield(lua, -2, "null");
}

}  // namespace cairn::server
