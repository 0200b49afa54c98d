#!/usr/bin/env python3
"""Scripts of Lua: locks as libraries take them, what a script may reach, and what ends one that does not end."""
import concurrent.futures
import hashlib
import os
import sys
import tempfile
import threading
import time

import servers
from resp import Connection, ReplyError
from test_door import hashed, look_at_both, raises

RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


def locks(work: str) -> None:
    """A lock is held by one at a time, and released by the one who holds it."""
    with servers.cairn(f"{work}/locks", "--durability", "kernel") as server:
        counted = {"inside": 0, "turns": 0}

        def work_under_lock(name: int) -> None:
            connection = Connection(server.port)
            sha1 = connection.call("SCRIPT", "LOAD", RELEASE)
            assert sha1.decode() == hashlib.sha1(RELEASE.encode()).hexdigest()
            for turn in range(50):
                token = f"{name}-{turn}"
                while connection.call("SET", "lock", token, "NX", "PX", "10000") != "OK":
                    time.sleep(0.0005)
                counted["inside"] += 1
                assert counted["inside"] == 1
                counted["turns"] += 1
                counted["inside"] -= 1
                assert connection.call("EVALSHA", sha1, "1", "lock", "another") == 0
                assert connection.call("EVALSHA", sha1, "1", "lock", token) == 1

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work_under_lock, name) for name in range(4)]:
                done.result()
        assert counted["turns"] == 200


def answers(work: str) -> None:
    """Values, errors and the cache of scripts, as in Redis."""
    with servers.cairn(f"{work}/answers", "--durability", "kernel") as server:
        connection = Connection(server.port)

        def run(script: str, *arguments: str, keys: int = 0):
            return connection.call("EVAL", script, str(keys), *arguments)

        unknown = "f" * 40
        raises(connection.call("EVALSHA", unknown, "0"), "NOSCRIPT No matching script")
        raises(connection.call("EVAL", "return 1", "2", "a"), "ERR Number of keys can't be greater")
        raises(connection.call("EVAL", "return 1", "-1"), "ERR Number of keys can't be negative")
        raises(run("return ("), "ERR Error compiling script (new function): user_script:1:")
        raises(run("#!python\nreturn 1"), "ERR Unexpected engine in script shebang: python")
        raises(run("#!lua flags=no-writes\nreturn redis.call('set', 'x', 1)"), "ERR Write commands are not allowed from read-only scripts")
        raises(connection.call("EVAL_RO", "return redis.call('set', 'x', 1)", "0"), "ERR Write commands are not allowed")
        assert connection.call("EVAL_RO", "return redis.call('get', 'x')", "0") is None
        assert run("return {1, 'a', {2, {3}}, 3.9, true, false, {ok = 'fine'}, nil, 7}") == [1, b"a", [2, [3]], 3, 1, None, "fine"]
        assert run("return {KEYS[2], ARGV[1], #KEYS, #ARGV}", "a", "b", "c", keys=2) == [b"b", b"c", 2, 1]
        # What was saved before an error stays, as in Redis; a transaction goes on.
        raises(run("redis.call('set', 'kept', 1) error('broken')"), "ERR user_script:1: broken script: ")
        assert connection.call("GET", "kept") == b"1"
        connection.send(["MULTI"], ["EVAL", "redis.call('incr', 'n') error('x')", "0"], ["INCR", "n"], ["EVAL", "return redis.call('incr', 'n')", "0"], ["EXEC"])
        replies = [connection.read() for _ in range(5)][4]
        raises(replies[0], "ERR user_script:1: x")
        assert replies[1:] == [2, 3]
        # Large values, many writes to one key, other databases.
        assert run("redis.call('set', 'big', string.rep('x', 3000000)) for i = 1, 50 do redis.call('append', 'big', 'y') end return redis.call('strlen', 'big')") == 3_000_050
        assert len(connection.call("GET", "big")) == 3_000_050
        assert run("redis.call('select', 3) redis.call('set', 'there', 'x') return redis.call('get', 'big')") is None
        assert connection.call("GET", "there") is None and connection.call("SELECT", "3") == "OK" and connection.call("GET", "there") == b"x"
        # All of what a script saves has one stamp.
        many = [f"many:{i}" for i in range(700)]
        for key in many:
            connection.send(["SET", key, "x" * 20_000])
        assert all(connection.read() == "OK" for _ in many)
        assert run("local sizes = 0 for _, v in ipairs(redis.call('mget', unpack(KEYS))) do sizes = sizes + #v end return sizes", *many, keys=700) == 14_000_000
        run("redis.call('set', 'one', 1) redis.call('set', 'two', 2)")
        stamps = {connection.call("TL.HISTORY", key)[0][0] for key in ("one", "two")}
        assert len(stamps) == 1, stamps
        assert run("local done, text = xpcall(function() return 1, 2 end, error) local failed, why = xpcall(function() error('x') end, function(e) return 'got ' .. e end) return {tostring(done), text, tostring(failed), why}") == [b"true", 1, b"false", b"got user_script:1: x"]
        assert run("return cjson.encode({a = {1, 2.5, 'x/\\n\\1'}, b = cjson.null})") in (rb'{"a":[1,2.5,"x\/\n\u0001"],"b":null}', rb'{"b":null,"a":[1,2.5,"x\/\n\u0001"]}')
        assert run("local t = cjson.decode(ARGV[1]) return {t.a[2], t.b == cjson.null and 1 or 0, tostring(t.c.d)}", '{"a": [1, "x"], "b": null, "c": {"d": 1.5e3}}') == [b"x", 1, b"1500"]
        for wrong in ("{", "[1,]", "nul", '"\\ud800"', "[" * 2000):
            raises(run("return cjson.decode(ARGV[1])", wrong), "ERR ")
        assert run("return {bit.band(0xff, 0x0f), bit.bnot(0), bit.lshift(1, 31), bit.rol(0x12345678, 12), bit.tohex(-1), bit.tohex(255, -4), bit.tohex(1, -2147483648)}") == [15, -1, -2147483648, 0x45678123, b"ffffffff", b"00FF", b"00000001"]
        # The cache: what is loaded stays until it is flushed.
        sha1 = connection.call("SCRIPT", "LOAD", "return 5")
        assert connection.call("EVALSHA", sha1.upper(), "0") == 5
        assert connection.call("SCRIPT", "EXISTS", sha1, unknown) == [1, 0]
        assert connection.call("SCRIPT", "FLUSH") == "OK" and connection.call("SCRIPT", "EXISTS", sha1) == [0]
        raises(connection.call("SCRIPT", "KILL"), "NOTBUSY No scripts in execution")
        connection.call("HELLO", "3")
        assert run("return {true, redis.call('get', 'none') == false}") == [1, 1]
        assert run("redis.setresp(3) return {true, redis.call('get', 'none') == nil, {double = 1.5}}") == [True, True, 1.5]


#: What reaches out of a script, into the next one, or into the process. Each is to end in an error.
ESCAPES = [
    "return package.loadlib('liblua5.1.so.0', 'luaopen_io')",  # CVE-2022-0543.
    "return require('io')",
    "return io.open('/etc/passwd')",
    "return os.execute('true')",
    "return os.getenv('HOME')",
    "return debug.getregistry()",
    "return dofile('/etc/passwd')",
    "return loadfile('/etc/passwd')",
    "return load(function() return '' end)",
    "return module('x')",
    "return newproxy(true)",
    "return getfenv(0)",
    "setfenv(1, {})",
    "return coroutine.create(print)",
    "print('x')",
    "collectgarbage('stop')",
    "return loadstring(string.dump(function() return 1 end))()",
    "return loadstring('\\27Lua')()",
    "return ('x').dump(1)",
    "getmetatable('').__index = {}",
    "setmetatable(_G, {})",
    "getmetatable(_G).__index = {}",
    "global = 1",
    "return undeclared",
    "loadstring('global = 1')()",
    "return redis.call('eval', 'return 1', 0)",
    "return redis.call('multi')",
    "return redis.call('auth', 'x')",
    "return redis.call('config', 'set', 'allow-flush', 'yes')",
    "return redis.call('client', 'kill', 'type', 'normal')",
    "return redis.call('tl.rollback', '-', 'FORCE')",
    "return redis.call('swapdb', 0, 1)",
    "return redis.call('script', 'flush')",
    "return redis.call({}, 1)",
    "return redis.call()",
    "return redis.call('set', 'only-one')",
    "return unpack({}, -2147483648, 2147483647)",  # An overflow in Lua's own.
    "return unpack({}, 0, 2147483647)",
    "return {unpack({}, 1, 1e8)}",
    "table.insert({}, -2147483648, 1)",
    "return string.rep('x', 1e15)",
    "return string.find(string.rep('a', 1e6), string.rep('a?', 3e5))",  # Lua's matcher would use up the stack of the thread.
    "return string.gsub('a', string.rep('(', 1e5), '')",
    "local function deep() return deep() + 1 end return deep()",
    "local t = {} t[1] = t return t",
    "local t = {} t[1] = t return cjson.encode(t)",
    "local t = {} local s = string.rep('x', 1e8) for i = 1, 50 do t[i] = s end return #cjson.encode(t)",  # CVE-2022-24834.
    "return string.format('%99999999d', 1)",
    "return pcall(error)()",
    "return setmetatable({}, {__index = function() error('x') end}).x",
]


def escapes(work: str) -> None:
    with servers.cairn(f"{work}/escapes", "--durability", "kernel") as server:
        connection = Connection(server.port, timeout=60)
        assert connection.call("SET", "x", "1") == "OK"
        for script in ESCAPES:
            reply = connection.call("EVAL", script, "0")
            assert isinstance(reply, ReplyError), (script, reply)
            assert server.process.poll() is None, script
        raises(connection.call("EVAL", b"\x1bLua\x51\x00\x01", "0"), "ERR Error compiling script")
        raises(connection.call("SCRIPT", "LOAD", "return " + "(" * 100_000), "ERR Error compiling script")
        # What a script changes is gone with it.
        for script in ("redis.call = nil", "string.rep = nil", "rawset(_G, 'redis', nil)", "rawset(_G, 'mine', 1)", "table.insert(redis, 1)", "math.random = error", "cjson.encode = error"):
            connection.call("EVAL", script, "0")
        assert connection.call("EVAL", "return {redis.call('get', 'x'), string.rep('a', 2), #redis, type(math.random()), cjson.encode({1})}", "0") == [b"1", b"aa", 0, b"number", b"[1]"]
        raises(connection.call("EVAL", "return mine", "0"), "ERR user_script:1: Script attempted to access nonexistent global variable 'mine'")
        assert connection.call("GET", "x") == b"1"


def bounds(work: str) -> None:
    """A script that takes too long or too much is ended, and nothing of it is saved; others wait no longer."""
    config = f"{work}/bounds.toml"
    with open(config, "w", encoding="utf-8") as out:
        out.write("script_time_ms = 300\nscript_memory_mib = 16\n")
    with servers.cairn(f"{work}/bounds", "--durability", "kernel", "--config", config) as server:
        connection, other = Connection(server.port), Connection(server.port)
        slow = float(os.environ.get("CAIRN_SLOW", "1")) * 3
        for loop in ("while true do end", "while true do pcall(function() while true do end end) end", "local function f() return f() end f()",
                     "while true do redis.pcall('get', 'none') end", "repeat until pcall(error) == 1", "for i = 1, 1e18 do redis.call('set', 'x', i) end",
                     "local s = string.rep('x', 1000) while true do s:gsub('x', function() while true do end end) end", "while true do xpcall(error, function() while true do end end) end",
                     "xpcall(function() while true do end end, function() while true do end end)",
                     # Each step takes long within the library, the compiler or the conversion.
                     "while true do pcall(string.rep, 'x', 7e6) end", "local s = string.rep('x', 4e6) while true do s:reverse() end", "local s = string.rep('x', 4e6) while true do redis.sha1hex(s) end",
                     "local s = string.rep('x', 4e6) while true do local t = s .. 'y' end", "loadstring('while true do ' .. string.rep('do break end ', 1e5) .. ' end')",
                     "local t = {} for i = 1, 2^15 do t['k' .. i] = 1 end for k in pairs(t) do t[k] = nil end local l = {} for i = 1, 1e5 do l[i] = t end return cjson.encode(l)",
                     "local t = {} for i = 1, 40 do t = {t, t} end return t", "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)"):
            begin = time.monotonic()
            reply = connection.call("EVAL", "redis.call('set', 'lost', 1) " + loop, "0")
            taken = time.monotonic() - begin
            raises(reply, "ERR Error running script: it ")  # Some need too much memory first.
            assert taken < slow, (loop, taken)
            assert connection.call("EXISTS", "lost", "x") == 0, loop
        for hungry in ("local t = {} for i = 1, 1e9 do t[i] = i end", "local s = 'x' while true do s = s .. s end", "for i = 1, 1e9 do redis.call('set', 'k' .. i, string.rep('x', 100000)) end"):
            raises(connection.call("EVAL", "redis.call('set', 'lost', 1) " + hungry, "0"), "ERR Error running script: it ")
            assert connection.call("EXISTS", "lost") == 0 and connection.call("EVAL", "return #ARGV", "0", "a") == 1
        # So is what is compiled for the first time.
        begin = time.monotonic()
        raises(connection.call("SCRIPT", "LOAD", "while true do " + "do break end " * 150_000 + " end"), "ERR Error running script: it ran")
        assert time.monotonic() - begin < slow
        # What catches the error of a want of memory is ended all the same.
        raises(connection.call("EVAL", "redis.call('set', 'lost', 1) pcall(function() local s = 'x' while true do s = s .. s end end)", "0"), "ERR Error running script: it needs")
        assert connection.call("EXISTS", "lost") == 0
        # A value that the script has saved is not copied each time it is read.
        assert connection.call("EVAL", "redis.call('set', 'x', string.rep('x', 2e6)) local a = {} for i = 1, 2000 do a[i] = 'x' end return #redis.call('mget', unpack(a))", "0").startswith("ERR Error running script: it reads")
        raises(connection.call("EVAL", "for i = 1, 100 do redis.call('setrange', i, 1e6, 'x') end", "0"), "ERR Error running script: it saves")
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        assert peak < 400_000 or "CAIRN_SLOW" in os.environ, peak
        # The interpreter collects garbage where it has no room for it; scripts that take too much are forgotten.
        connection.call("EVAL", "local t = {} for i = 1, 140000 do t[i] = '' .. i end return 1", "0")
        sha1 = connection.call("SCRIPT", "LOAD", "return 7")
        number = 0
        for _ in range(2):
            for size in (100_000, 10_000, 1000, 60):
                for _ in range(400):
                    number += 1
                    connection.call("SCRIPT", "LOAD", f'return "{number:06d}{"x" * size}"')
            reply = connection.call("EVALSHA", sha1, "0")
            assert reply == 7 or reply.startswith("NOSCRIPT"), reply
        for i in range(40):
            connection.call("SCRIPT", "LOAD", f"local a = {i} return {{" + "function() end," * 6000 + "}")
            assert connection.call("EVAL", "return 1", "0") == 1
        # In a transaction nothing of all of it is saved.
        connection.send(["MULTI"], ["SET", "lost", "1"], ["EVAL", "while true do end", "0"], ["EXEC"])
        raises([connection.read() for _ in range(4)][3], "ERR Error running script: it ran")
        assert connection.call("EXISTS", "lost") == 0
        assert connection.call("CONFIG", "SET", "script-time-ms", "60000") == "OK"
        ended = threading.Event()

        def kill() -> None:
            while not ended.is_set():
                if other.call("SCRIPT", "KILL") == "OK":
                    return
                time.sleep(0.01)

        killer = threading.Thread(target=kill)
        killer.start()
        raises(connection.call("EVAL", "redis.call('set', 'lost', 1) while true do end", "0"), "ERR Error running script: Script killed by user")
        ended.set()
        killer.join()
        assert connection.call("EXISTS", "lost") == 0
        # Where random numbers begin is no secret that a script leaves to the next.
        drawn = set()
        for _ in range(3):
            connection.call("EVAL", "math.randomseed(7)", "0")
            drawn.add(connection.call("EVAL", "return math.random(1000000000)", "0"))
        assert len(drawn) == 3, drawn
        # Lookups of others go on meanwhile.
        assert connection.call("SET", "seen", "1") == "OK"
        connection.send(["EVAL", "while true do end", "0"])
        begin = time.monotonic()
        for _ in range(100):
            assert other.call("GET", "seen") == b"1"
        assert time.monotonic() - begin < slow
        while other.call("SCRIPT", "KILL") != "OK":
            time.sleep(0.01)
        raises(connection.read(), "ERR Error running script: Script killed")
        # Thousands of scripts that differ do not fill the memory: those that were used last are kept.
        for i in range(0, 12_000, 500):
            connection.send(*[["EVAL", f"return {n}", "0"] for n in range(i, i + 500)])
            assert [connection.read() for _ in range(500)] == list(range(i, i + 500))
        memory = dict(line.split(":", 1) for line in connection.call("INFO", "memory").decode().split("\r\n") if ":" in line)
        assert int(memory["number_of_cached_scripts"]) <= 10_000 and int(memory["used_memory_lua"]) < 16 << 20, memory
        connection.send(["EVAL", "while true do end", "0"])
        time.sleep(0.1)
        begin = time.monotonic()
        assert server.stop() == 0 and time.monotonic() - begin < slow


def moments(work: str) -> None:
    """A lookup of several keys sees all of what a script, an MSET or a transaction has saved, or nothing."""
    with servers.cairn(f"{work}/moments", "--durability", "kernel") as server:
        stop = threading.Event()
        ways = (
            lambda value: [["EVAL", "redis.call('set', 'left', ARGV[1]) redis.call('set', 'right', ARGV[1])", "0", value]],
            lambda value: [["MSET", "left", value, "right", value]],
            lambda value: [["MULTI"], ["SET", "left", value], ["SET", "right", value], ["EXEC"]],
        )

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            lookers = [pool.submit(look_at_both, server.port, ("left", "right"), stop) for _ in range(3)]
            connection = Connection(server.port)
            try:
                for i in range(6000):
                    requests = ways[i % 3](str(i))
                    connection.send(*requests)
                    for _ in requests:
                        connection.read()
            finally:
                stop.set()
            for looker in lookers:
                looker.result()


def rights(work: str) -> None:
    """A script may do what its user may."""
    users = f"{work}/users.toml"
    with open(users, "w", encoding="utf-8") as out:
        for name, granted, prefixes in (("all", '"read", "write"', ""), ("app", '"read", "write"', 'prefixes = ["app:"]\n'), ("reader", '"read"', "")):
            out.write(f'[[user]]\nname = "{name}"\npassword = "{hashed(name)}"\nrights = [{granted}]\n{prefixes}')
    config = f"{work}/rights.toml"
    with open(config, "w", encoding="utf-8") as out:
        out.write(f'users_file = "{users}"\n')
    with servers.cairn(f"{work}/rights", "--durability", "kernel", "--config", config) as server:
        every, app, reader = (Connection(server.port) for _ in range(3))
        for connection, name in ((every, "all"), (app, "app"), (reader, "reader")):
            assert connection.call("AUTH", name, name) == "OK"
        assert every.call("EVAL", "return redis.call('mset', 'secret', 1, 'app:x', 2)", "0") == "OK"
        assert app.call("EVAL", "return redis.call('get', 'app:x')", "0") == b"2"
        raises(app.call("EVAL", "return redis.call('get', 'secret')", "0"), "NOPERM")
        raises(app.call("EVAL", "redis.call('set', 'secret', 3)", "1", "app:x"), "NOPERM")
        raises(app.call("EVAL", "return redis.call('keys', '*')", "0"), "NOPERM")
        raises(every.call("EVAL", "return redis.call('flushall')", "0"), "NOPERM")
        raises(reader.call("EVAL", "return 1", "0"), "NOPERM")
        assert reader.call("EVAL_RO", "return redis.call('get', 'secret')", "0") == b"1"
        raises(reader.call("EVAL_RO", "return redis.call('set', 'secret', 2)", "0"), "ERR Write commands are not allowed")
        app.send(["MULTI"], ["EVAL", "return redis.call('get', 'secret')", "0"], ["EXEC"])
        raises([app.read() for _ in range(3)][2][0], "NOPERM")


def kills(work: str) -> None:
    """All of what a script saves, or nothing: two keys that a script sets together are equal after each kill."""
    for turn in range(5):
        with servers.cairn(f"{work}/kills", "--durability", "kernel") as server:
            connection = Connection(server.port)
            before = connection.call("MGET", "left", "right")
            assert before[0] == before[1], before
            stop = threading.Timer(0.3, server.kill)
            stop.start()
            try:
                for i in range(1_000_000):
                    connection.call("EVAL", "redis.call('set', 'left', ARGV[1]) redis.call('set', 'right', ARGV[1])", "0", f"{turn}-{i}-" + "x" * 5000)
            except (ConnectionError, OSError, EOFError):
                pass
            stop.join()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for test in (locks, answers, escapes, bounds, moments, rights, kills):
            if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]:
                test(directory)
    print("scripts: locks, answers, escapes, bounds, moments, rights, kills")
