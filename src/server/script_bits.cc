// bit.*: 32-bit arithmetic, as in Lua BitOp by Mike Pall (bitop.luajit.org), which Redis has. Debian's lua-bitop reads past a
// table of digits in bit.tohex(x, -2147483648).
#include <bit>
#include <cmath>
#include <cstdint>
#include <lua5.1/lua.hpp>
#include <string>

#include "server/script_library.h"

namespace cairn::server {
namespace {

/// A number modulo 2^32; a fraction is rounded to the nearest.
std::uint32_t argument(lua_State* lua, int index) {
  constexpr lua_Number kModulus = 4294967296.0;
  const lua_Number number = std::nearbyint(luaL_checknumber(lua, index));
  if (!std::isfinite(number)) return 0;
  const lua_Number rest = std::fmod(number, kModulus);
  return static_cast<std::uint32_t>(static_cast<std::int64_t>(rest));
}

int give(lua_State* lua, std::uint32_t bits) {
  lua_pushnumber(lua, static_cast<std::int32_t>(bits));
  return 1;
}

template <typename Operation>
int fold(lua_State* lua, Operation operation) {
  std::uint32_t bits = argument(lua, 1);
  for (int i = 2; i <= lua_gettop(lua); ++i) bits = operation(bits, argument(lua, i));
  return give(lua, bits);
}

template <typename Operation>
int shift(lua_State* lua, Operation operation) {
  constexpr std::uint32_t kPlaces = 31;
  return give(lua, operation(argument(lua, 1), static_cast<int>(argument(lua, 2) & kPlaces)));
}

int tohex(lua_State* lua) {
  constexpr std::int32_t kDigits = 8;
  std::uint32_t bits = argument(lua, 1);
  const std::int32_t wanted = lua_isnoneornil(lua, 2) ? kDigits : static_cast<std::int32_t>(argument(lua, 2));
  const char* const digits = wanted < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
  const std::int32_t count = wanted < -kDigits || wanted > kDigits ? kDigits : (wanted < 0 ? -wanted : wanted);
  std::string text(static_cast<std::size_t>(count), '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, bits >>= 4U) *digit = digits[bits & 15U];
  lua_pushlstring(lua, text.data(), text.size());
  return 1;
}

const luaL_Reg kFunctions[] = {
    {"tobit", [](lua_State* lua) { return give(lua, argument(lua, 1)); }},
    {"bnot", [](lua_State* lua) { return give(lua, ~argument(lua, 1)); }},
    {"bswap", [](lua_State* lua) { return give(lua, __builtin_bswap32(argument(lua, 1))); }},
    {"band", [](lua_State* lua) { return fold(lua, [](std::uint32_t a, std::uint32_t b) { return a & b; }); }},
    {"bor", [](lua_State* lua) { return fold(lua, [](std::uint32_t a, std::uint32_t b) { return a | b; }); }},
    {"bxor", [](lua_State* lua) { return fold(lua, [](std::uint32_t a, std::uint32_t b) { return a ^ b; }); }},
    {"lshift", [](lua_State* lua) { return shift(lua, [](std::uint32_t a, int n) { return a << n; }); }},
    {"rshift", [](lua_State* lua) { return shift(lua, [](std::uint32_t a, int n) { return a >> n; }); }},
    {"arshift",
     [](lua_State* lua) {
       return shift(lua, [](std::uint32_t a, int n) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(a) >> n); });
     }},
    {"rol", [](lua_State* lua) { return shift(lua, [](std::uint32_t a, int n) { return std::rotl(a, n); }); }},
    {"ror", [](lua_State* lua) { return shift(lua, [](std::uint32_t a, int n) { return std::rotr(a, n); }); }},
    {"tohex", tohex},
};

}  // namespace

void push_bit_library(lua_State* lua) {
  lua_newtable(lua);
  for (const luaL_Reg& each : kFunctions) set_function(lua, each.name, each.func);
}

}  // namespace cairn::server
