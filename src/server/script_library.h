// What a script finds under global names: the parts of Lua's library that reach nothing outside the script, cjson, bit, redis.
#pragma once

struct lua_State;

namespace cairn::server {

/// Pushes the template of the globals of a script: functions, and tables of them for each library. Leaves the globals of the
/// state itself empty. May raise an error of Lua.
void push_script_library(lua_State* lua);
// Push a table of functions: cjson, bit.
void push_json_library(lua_State* lua);
void push_bit_library(lua_State* lua);
/// Puts a function into the table on the top of the stack.
void set_function(lua_State* lua, const char* name, int (*function)(lua_State* lua));

}  // namespace cairn::server
