#!/usr/bin/env python3
"""Sends the same random commands to redis-server and to Cairn and compares every reply.

differential.py [COMMANDS] [SEED]. What differs on purpose stands in docs/redis.md; here it is not generated, or is compared as
it says: times that are left, by a second; sets of keys, without their order.
"""
import os
import random
import sys
import tempfile
import time

import servers
from resp import Connection, ReplyError

KEYS = [b"k%d" % i for i in range(25)] + [b"user:%d" % i for i in range(5)] + [b"key with \r\n in it", b"\x00\xff", b"K1"]
WORDS = [b"NX", b"XX", b"GET", b"EX", b"PX", b"KEEPTTL", b"EXAT", b"PXAT", b"PERSIST", b"nx", b"GT", b"LT", b"REPLACE", b"DB", b"foo"]
DATABASES = [b"0", b"0", b"0", b"1", b"15"]
NOW = int(time.time())
#: Far enough away that no key expires meanwhile, or long over.
SECONDS = [b"1000", b"5000", b"86400", b"1", b"0", b"-1", b"-100000", b"x", b"1.5", b"9223372036854775807", b"9223372036854775", b"+5", b"05", b""]
SECONDS_SAFE = [each for each in SECONDS if each != b"1"]
MOMENTS = [NOW + 1000, NOW + 100000, NOW - 1000, 1, 0, -5]
INTEGERS = [b"0", b"1", b"-1", b"5", b"100", b"-7", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"3.0", b"abc", b" 1", b"1 ", b"007", b"-0", b""]
FLOATS = [b"0.1", b"1.5", b"-2.25", b"3e5", b"1e400", b"nan", b"inf", b"-inf", b"0x10", b"abc", b"10", b"1e-20", b" 1", b"5.0e3", b"123456789012345678901234567890"]
INDEXES = [b"0", b"1", b"2", b"5", b"-1", b"-3", b"-100", b"100", b"1000", b"x", b"-9223372036854775808", b"9223372036854775807"]
PATTERNS = [b"*", b"k*", b"k?", b"k[1-5]*", b"k[^1]*", b"user:*", b"K*", b"*1", b"\\k1", b"nothing*", b"k[5-1]", b"**", b"", b"k1", b"[ku]*", b"*[0-9]", b"k[", b"*\r\n*"]
PATTERNS_CONFIG = [b"databases", b"DATA*", b"nothing"]


#: With a timeout of a second: so that keys are asked for whose saves have left the history.
RESTS = "--timeline-timeout" in os.environ.get("CAIRN_SERVE_FLAGS", "")
BIT_OFFSETS = [b"0", b"1", b"7", b"8", b"9", b"100", b"1000", b"4294967296", b"-1", b"x", b"#1"]
#: 44 times "a", as Redis compresses it.
LZF = b"\xc3\x09\x2c\x01\x61\x61\xe0\x1f\x00\x01\x61\x61"


def crc64(data: bytes) -> int:
    """With the polynomial of Jones, reflected, as in Redis."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x95AC9329AC4BC9B5 if value & 1 else 0)
    return value


def dump_of(encoded: bytes, value: bytes) -> bytes:
    """As DUMP gives it: `encoded` where that is given in the format of an RDB file, else the plain value."""
    if encoded is value:
        size = len(value)
        encoded = (bytes([size]) if size < 64 else bytes([0x40 | size >> 8, size & 255])) + value
    body = b"\0" + encoded + b"\x0a\x00"
    return body + crc64(body).to_bytes(8, "little")


#: ARGV is a command with its arguments.
SCRIPTS = [
    b"return redis.call(unpack(ARGV))",
    b"return redis.call(unpack(ARGV))",
    b"return redis.pcall(unpack(ARGV))",
    b"redis.setresp(3) return {redis.pcall(unpack(ARGV))}",
    b"local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return r.err end return {type(r), r}",
    b"redis.call('set', KEYS[1], 'before') local r = redis.call(unpack(ARGV)) redis.call('append', KEYS[1], 'after') return r",
    b"local done, r = pcall(redis.call, unpack(ARGV)) return {tostring(done), r}",
    b"return {redis.sha1hex(table.concat(ARGV, ' ')), cjson.encode(ARGV), #ARGV[1], string.upper(ARGV[1]), tonumber(ARGV[#ARGV]) or 'none'}",
    b"redis.call('select', 1) return {redis.pcall(unpack(ARGV)), redis.call('get', KEYS[1])}",
    b"error(ARGV[1])",
    b"error({err = 'CODE ' .. #ARGV})",
    b"return redis.error_reply(ARGV[1])",
    b"return {redis.status_reply('fine'), 3.99, -0.5, true, false, {1, {2, nil, 3}}, {double = 1.25}, ARGV}",
    b"return none",
    b"return (",
    b"#!lua flags=no-writes\nreturn redis.call(unpack(ARGV))",
]
#: What they answer has no order, or changes with time.
NOT_SCRIPTED = {b"KEYS", b"SCAN", b"DUMP", b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"EVAL", b"EVAL_RO", b"SCRIPT"}


class Commands:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.makers = [
            (8, lambda: [b"GET", self.key()]),
            (10, lambda: [b"SET", self.key(), self.value()]),
            (6, self.set_with_options),
            (2, lambda: [b"SETNX", self.key(), self.value()]),
            (1, lambda: [b"SETEX", self.key(), self.pick(SECONDS_SAFE), self.value()]),
            (1, lambda: [b"PSETEX", self.key(), self.pick([b"1000000", b"86400000", b"0", b"-1", b"x", b"9223372036854775807"]), self.value()]),
            (2, lambda: [b"GETSET", self.key(), self.value()]),
            (2, lambda: [b"GETDEL", self.key()]),
            (3, self.getex),
            (2, lambda: [b"MGET", *self.keys()]),
            (2, lambda: [b"MSET", *self.pairs()]),
            (2, lambda: [b"MSETNX", *self.pairs()]),
            (3, lambda: [b"APPEND", self.key(), self.value()]),
            (2, lambda: [b"STRLEN", self.key()]),
            (3, lambda: [self.pick([b"GETRANGE", b"SUBSTR"]), self.key(), self.pick(INDEXES), self.pick(INDEXES)]),
            (3, lambda: [b"SETRANGE", self.key(), self.pick([b"0", b"1", b"5", b"20", b"-1", b"x", b"600000000"]), self.value()]),
            (5, lambda: [self.pick([b"INCR", b"DECR"]), self.key()]),
            (4, lambda: [self.pick([b"INCRBY", b"DECRBY"]), self.key(), self.pick(INTEGERS)]),
            (3, lambda: [b"INCRBYFLOAT", self.key(), self.pick(FLOATS)]),
            (2, lambda: [self.pick([b"EXISTS", b"TOUCH"]), *self.keys()]),
            (3, lambda: [self.pick([b"DEL", b"UNLINK"]), *self.keys()]),
            (1, lambda: [b"TYPE", self.key()]),
            (4, lambda: [self.pick([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), self.key()]),
            (4, lambda: [b"EXPIRE", self.key(), self.pick(SECONDS_SAFE), *self.some_words(2)]),
            (2, lambda: [b"PEXPIRE", self.key(), self.pick([b"1000000", b"86400000", b"0", b"-1", b"x", b"9223372036854775807"]), *self.some_words(2)]),
            (3, lambda: [b"EXPIREAT", self.key(), self.pick(MOMENTS), *self.some_words(2)]),
            (2, lambda: [b"PEXPIREAT", self.key(), self.pick(MOMENTS) * 1000, *self.some_words(1)]),
            (2, lambda: [b"PERSIST", self.key()]),
            (3, lambda: [self.pick([b"RENAME", b"RENAMENX"]), self.key(), self.key()]),
            (3, self.copy),
            (1, lambda: [b"KEYS", self.pick(PATTERNS)]),
            (1, lambda: [b"DBSIZE"]),
            (1, lambda: [b"SELECT", self.pick(DATABASES + [b"16", b"-1", b"x", b"4294967296"])]),
            (1, lambda: [b"PING", *([self.value()] if self.one_in(2) else [])]),
            (1, lambda: [b"ECHO", self.value()]),
            (1, lambda: [b"WATCH", *self.keys()]),
            (1, lambda: [b"UNWATCH"]),
            (2, lambda: [b"MULTI"]),
            (3, lambda: [b"EXEC"]),
            (1, lambda: [b"DISCARD"]),
            (0.3, lambda: [b"FLUSHDB", *([self.pick([b"ASYNC", b"SYNC", b"NOW"])] if self.one_in(2) else [])]),
            (0.1, lambda: [b"FLUSHALL"]),
            (1, lambda: [b"NOSUCHCOMMAND", self.key(), self.value()]),
            (0.5, lambda: [b"CONFIG", self.pick([b"GET", b"NOSUCH"]), self.pick(PATTERNS_CONFIG)]),
            (0.5, lambda: [b"CLIENT", self.pick([b"GETNAME", b"NOSUCH"])]),
            (0.5, lambda: [b"CLIENT", b"SETNAME", self.pick([b"with space", b""])]),
            (1, self.scan),
            (3, lambda: [b"SETBIT", self.key(), self.pick(BIT_OFFSETS), self.pick([b"0", b"1", b"1", b"2", b"x"])]),
            (2, lambda: [b"GETBIT", self.key(), self.pick(BIT_OFFSETS)]),
            (3, lambda: [b"BITCOUNT", self.key(), *self.bit_range()]),
            (3, lambda: [b"BITPOS", self.key(), self.pick([b"0", b"1", b"1", b"2", b"x"]), *self.bit_range()]),
            (3, lambda: [b"BITOP", self.pick([b"AND", b"OR", b"XOR", b"NOT", b"not", b"NAND"]), *self.keys(), self.key()]),
            (4, self.bitfield),
            (2, self.lcs),
            (2, lambda: [b"DUMP", self.key()]),
            (2, self.restore),
            (1, lambda: [b"OBJECT", self.pick([b"ENCODING", b"FREQ", b"NOSUCH"]), b"none"]),
            (1, lambda: [b"MEMORY", b"USAGE", b"none", *self.pick([[], [b"SAMPLES", b"5"], [b"SAMPLES"], [b"SAMPLES", b"-1"], [b"FOO", b"1"]])]),
            (1, lambda: [b"WAIT", self.pick([b"0", b"x"]), self.pick([b"0", b"-1", b"x"])]),
            (0.5, lambda: [b"ROLE"]),
            (8, self.scripted),
            (0.5, lambda: [b"SCRIPT", *self.pick([[b"LOAD", b"return 1"], [b"LOAD", b"return ("], [b"EXISTS", b"x", b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"], [b"FLUSH"], [b"FLUSH", b"x"], [b"KILL"], [b"NOSUCH"]])]),
            (0.5, lambda: [b"EVALSHA", self.pick([b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db", b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", b"x"]), self.pick([b"0", b"1", b"-1", b"x"])]),
            (0.5, lambda: [b"CLIENT", b"KILL", *self.pick([[b"TYPE", b"wrong"], [b"TYPE", b"pubsub"], [b"USER", b"nobody"], [b"SKIPME", b"x"], [b"ID", b"0"]])]),
            (0.5, lambda: [b"CONFIG", b"SET", *self.pick([[b"timeout", b"0", b"TIMEOUT", b"0"], [b"timeout", b"x"], [b"nothing", b"1"], [b"daemonize", b"yes"]])]),
        ]
        self.weights = [weight for weight, _ in self.makers]

    def one_in(self, n: int) -> bool:
        return self.random.randrange(n) == 0

    def pick(self, values):
        return self.random.choice(values)

    def key(self) -> bytes:
        return self.pick(KEYS)

    def keys(self) -> list[bytes]:
        return [self.key() for _ in range(self.random.randint(1, 4))]

    def pairs(self) -> list[bytes]:
        pairs = []
        for _ in range(self.random.randint(1, 3)):
            pairs += [self.key(), self.value()]
        return pairs[:-1] if self.one_in(20) else pairs

    def value(self) -> bytes:
        kind = self.random.randrange(10)
        if kind < 3:
            return b"%d" % self.random.randint(-100, 100)
        if kind < 4:
            return self.pick(INTEGERS)
        if kind < 5:
            return self.pick(FLOATS)
        if kind < 6:
            return b""
        if kind < 9:
            return self.random.randbytes(self.random.randint(1, 40))
        return self.random.randbytes(self.random.randint(1000, 40000))

    def some_words(self, most: int) -> list[bytes]:
        return [self.pick(WORDS) for _ in range(self.random.randint(0, most))] if self.one_in(2) else []

    def expiry_words(self) -> list:
        unit = self.pick([b"EX", b"PX", b"EXAT", b"PXAT"])
        if unit == b"EX":
            return [unit, self.pick(SECONDS_SAFE)]
        if unit == b"PX":
            return [unit, self.pick([b"1000000", b"0", b"-1", b"x"])]
        moment = self.pick([NOW + 1000, NOW + 50000, 0, -1])
        return [unit, moment if unit == b"EXAT" else moment * 1000]

    def set_with_options(self) -> list:
        command = [b"SET", self.key(), self.value()]
        if self.one_in(2):
            command += self.expiry_words()
        # Words that need a number behind them are left to expiry_words(): any number there may be a short time.
        for _ in range(self.random.randint(0, 2)):
            command.append(self.pick([b"NX", b"XX", b"GET", b"KEEPTTL", b"xx", b"foo"]))
        return command

    def getex(self) -> list:
        command = [b"GETEX", self.key()]
        if self.one_in(2):
            command += self.expiry_words()
        if self.one_in(3):
            command.append(self.pick([b"PERSIST", b"NX", b"foo"]))
        return command

    def copy(self) -> list:
        command = [b"COPY", self.key(), self.key()]
        if self.one_in(2):
            command += [b"DB", self.pick(DATABASES + [b"99", b"x"])]
        if self.one_in(2):
            command.append(b"REPLACE")
        return command

    def scan(self) -> list:
        command = [b"SCAN", self.pick([b"0", b"0", b"0", b"x"]), b"COUNT", self.pick([b"1000", b"1000", b"1000", b"0", b"x"])]
        if self.one_in(2):
            command += [b"MATCH", self.pick(PATTERNS)]
        if self.one_in(4):
            command += [b"TYPE", self.pick([b"string", b"list"])]
        return command

    def bit_range(self) -> list:
        return [self.pick(INDEXES) for _ in range(self.random.randint(0, 2))] + ([self.pick([b"BYTE", b"BIT", b"bit", b"foo"])] if self.one_in(3) else [])

    def bitfield(self) -> list:
        command = [self.pick([b"BITFIELD", b"BITFIELD", b"BITFIELD_RO"]), self.key()]
        for _ in range(self.random.randint(0, 4)):
            kind = self.pick([b"GET", b"SET", b"INCRBY", b"OVERFLOW"])
            if kind == b"OVERFLOW":
                command += [kind, self.pick([b"WRAP", b"SAT", b"FAIL", b"fail", b"foo"])]
                continue
            width = self.random.randint(1, 64)
            field = self.pick([b"i", b"u"]) + (b"%d" % width) if not self.one_in(15) else self.pick([b"u64", b"i65", b"x8", b"i0", b""])
            offset = self.pick([b"0", b"1", b"7", b"8", b"100", b"#0", b"#1", b"#3", b"%d" % self.random.randint(0, 300)]) if not self.one_in(15) else self.pick([b"-1", b"x", b"#x", b"4294967296"])
            command += [kind, field, offset]
            if kind != b"GET":
                command.append(self.pick([b"0", b"1", b"-1", b"255", b"-128", b"1000", *INTEGERS]))
        return command

    def lcs(self) -> list:
        words = [b"LEN", b"IDX", b"WITHMATCHLEN", b"MINMATCHLEN", b"2", b"idx", b"foo"]
        return [b"LCS", self.pick(KEYS[:8]), self.pick(KEYS[:8]), *([self.pick(words) for _ in range(self.random.randint(0, 3))])]

    def scripted(self) -> list:
        command = [b"KEYS"]
        while command[0].upper() in NOT_SCRIPTED:
            command = self.next()
        return [self.pick([b"EVAL", b"EVAL", b"EVAL_RO"]), self.pick(SCRIPTS), b"1", self.key(), *command]

    def restore(self) -> list:
        value = self.value()[:2000]
        payload = dump_of(self.pick([value, b"\xc0\x05", b"\xc1\x00\x80", b"\xc2\xff\xff\xff\x7f", LZF]), value)
        if self.one_in(4):
            at = self.random.randrange(len(payload))
            payload = self.pick([payload[:at], payload + b"x", payload[:at] + bytes([payload[at] ^ 1 << self.random.randrange(8)]) + payload[at + 1:]])
        words = [self.pick([b"REPLACE", b"REPLACE", b"ABSTTL", b"IDLETIME", b"FREQ", b"5", b"foo"]) for _ in range(self.random.randint(0, 2))]
        return [b"RESTORE", self.key(), self.pick([b"0", b"0", b"1000000", b"%d" % ((NOW + 1000) * 1000), b"-1", b"x"]), payload, *words]

    def next(self) -> list:
        command = self.random.choices(self.makers, self.weights)[0][1]()
        if self.one_in(60):  # Too few arguments, or too many.
            command = command[: self.random.randint(1, len(command))] if self.one_in(2) else [*command, self.value()]
            if command[0] in (b"PING", b"SCAN", b"INFO", b"ROLE", b"EXPIRE", b"SETEX", b"PSETEX", b"SET", b"GETEX", b"PEXPIRE"):
                return [b"GET"]
        if self.one_in(10):
            command[0] = command[0].lower()
        return command


def shown(reply, command: list):
    """What of the reply is compared."""
    name = command[0].upper()
    if isinstance(reply, ReplyError):
        return ("error", str(reply))
    if name == b"KEYS" and isinstance(reply, list):
        return sorted(reply)
    if name == b"SCAN" and isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], list):
        return [reply[0], sorted(reply[1])]
    return reply


def equal(ours, theirs, command: list) -> bool:
    name = command[0].upper()
    tolerance = {b"TTL": 1, b"PTTL": 5000, b"EXPIRETIME": 5, b"PEXPIRETIME": 5000}.get(name)
    if tolerance and isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return abs(ours - theirs) <= tolerance
    if name == b"DUMP" and isinstance(theirs, bytes) and theirs[1] == 0xC3:
        return isinstance(ours, bytes)  # Redis has compressed it, which Cairn only reads.
    return shown(ours, command) == shown(theirs, command)


def small_blocks(directory: str) -> servers.Server:
    """So that most of what is read stands in closed blocks and merged indexes."""
    for timeline in ("main", "redis-1", "redis-15"):
        servers.subprocess.run([servers.CAIRN, "timeline", "create", directory, "--timeline", timeline, "--block-keys", "20", "--block-bytes", "65536"], check=True)
    return servers.cairn(directory, "--durability", "kernel")


def run(count: int, seed: int) -> int:
    commands = Commands(seed)
    different = 0
    with tempfile.TemporaryDirectory() as work, small_blocks(f"{work}/cairn") as ours, servers.redis(work) as theirs:
        pair = (Connection(ours.port), Connection(theirs.port))
        queued: list[list] | None = None  # Within MULTI.
        watches = False
        sent = 0
        while sent < count:
            pipeline = [commands.next() for _ in range(commands.random.randint(1, 30))]
            if queued is None and commands.one_in(10):  # Refused within MULTI, unlike in Redis.
                numbers = [commands.pick(DATABASES + [b"16", b"-1", b"x", b"4294967296"]) for _ in range(2)]
                # Swapped back and forth, a watched key is as it was: Redis has touched it all the same.
                swaps = not watches and commands.one_in(2)
                pipeline = [[b"SWAPDB", *numbers] if swaps else [b"MOVE", commands.key(), numbers[0]]]
            if RESTS and commands.one_in(60):
                time.sleep(1.1)
            for connection in pair:
                connection.send(*pipeline)
            for command in pipeline:
                mine, other = pair[0].read(), pair[1].read()
                sent += 1
                name = command[0].upper()
                if other == "QUEUED":
                    queued.append(command)
                elif name == b"MULTI" and other == "OK":
                    queued = []
                elif name in (b"WATCH", b"UNWATCH", b"EXEC", b"DISCARD"):
                    watches = name == b"WATCH" and (watches or other == "OK")
                if name == b"EXEC" and isinstance(mine, list) and isinstance(other, list) and len(mine) == len(other):
                    same = all(equal(a, b, each) for a, b, each in zip(mine, other, queued))
                else:
                    same = equal(mine, other, command)
                if name in (b"EXEC", b"DISCARD") and not (isinstance(other, ReplyError) and other.startswith("ERR")):
                    queued = None
                if not same:
                    different += 1
                    print(f"after {sent} commands of seed {seed}: {command!r:.300}\n  Cairn {mine!r:.300}\n  Redis {other!r:.300}")
                    if different > 20:
                        return different
    print(f"{sent} random commands of seed {seed}: {sent - different} replies are as redis-server's, {different} are not")
    return different


if __name__ == "__main__":
    sys.exit(1 if run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1) else 0)
