// Replies as values of Lua, and values of Lua as replies: what Redis calls the conversion rules of scripts.
#pragma once
#include "server/reply.h"

struct lua_State;

namespace cairn::server {

// They may raise an error of Lua, which is an exception.

/// Pushes a whole reply of the Redis protocol, version 2 or 3, as a value.
void push_reply(lua_State* lua, ByteView reply);
/// Pops the value on the top of the stack and writes it as a reply. `booleans`: the script has set the version of the protocol
/// that has them; else true is 1 and false is null.
void pop_as_reply(lua_State* lua, Reply& reply, bool booleans);
/// Pushes {err = text}: an error as a value.
void push_error(lua_State* lua, ByteView text);

}  // namespace cairn::server
