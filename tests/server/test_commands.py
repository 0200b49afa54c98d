#!/usr/bin/env python3
"""What is Cairn's own, and what a comparison with Redis does not reach: following saves, times, versions of the protocol, expiry,
configuration, clean ends."""
import subprocess
import sys
import tempfile
import time

import servers
from resp import Connection, Push, ReplyError


def raises(reply, begin: str) -> None:
    assert isinstance(reply, ReplyError) and reply.startswith(begin), reply


def following(server) -> None:
    """Without a gap, from any stamp on; what is rolled back is taken back."""
    writer = Connection(server.port)
    assert writer.call("SET", "mail:1", "early") == "OK"
    stamp = writer.call("TL.HISTORY", "mail:1")[-1][0]
    modern, plain = Connection(server.port), Connection(server.port)
    assert modern.call("HELLO", "3")[b"proto"] == 3
    assert modern.call("TL.WATCH", "mail:", "FROM", stamp) == "OK" and plain.call("TL.WATCH", "mail:") == "OK"
    for i in range(500):
        assert writer.call("SET", f"mail:{i}", f"v{i}") == "OK"
        assert writer.call("SET", f"other:{i}", "x") == "OK"
    assert writer.call("DEL", "mail:7") == 1
    first = modern.read()
    assert isinstance(first, Push) and first == [b"tl.watch", b"mail:", b"saved", b"mail:1", stamp, b"early"], first
    for connection in (modern, plain):
        got = [connection.read() for _ in range(501)]
        assert [(each[2], each[3], each[5]) for each in got] == [(b"saved", b"mail:%d" % i, b"v%d" % i) for i in range(500)] + [(b"erased", b"mail:7", None)]
    last = got[-2][4]
    assert writer.call("TL.ROLLBACK", last).startswith("OK 2 saves are cut off, the first of ")
    for connection in (modern, plain):
        assert connection.read()[2] == b"rolled_back"
    raises(plain.call("GET", "mail:1"), "ERR Can't execute 'get'")
    assert modern.call("GET", "mail:7") == b"v7"
    assert modern.call("TL.UNWATCH") == 1 and plain.call("RESET") == "RESET"
    assert writer.call("TL.UNDO") == "OK" and plain.call("GET", "mail:7") is None


def a_slow_follower_takes_no_memory(server) -> None:
    follower, writer = Connection(server.port), Connection(server.port)
    assert follower.call("TL.WATCH", "big:") == "OK"
    value = b"x" * 100_000
    for i in range(300):
        assert writer.call("SET", f"big:{i}", value) == "OK"
    memory = int(writer.call("INFO", "memory").decode().split("clients_memory:")[1].split()[0])
    assert memory < 20_000_000, memory
    for i in range(300):
        event = follower.read()
        assert event[3] == b"big:%d" % i, (i, event[:5])


def times(server) -> None:
    connection = Connection(server.port)
    for value in ("one", "two"):
        connection.call("SET", "t", value)
        time.sleep(0.005)
    (first, one), (second, two) = connection.call("TL.HISTORY", "t")
    assert (one, two) == (b"one", b"two")
    assert connection.call("TL.GETAT", "t", first) == b"one" and connection.call("TL.GETAT", "t", second) == b"two"
    assert connection.call("TL.GETAT", "t", "1973-06-01T00:00:00Z") is None
    assert connection.call("TL.HISTORY", "t", second, "+") == [[second, b"two"]]
    assert connection.call("TL.HISTORY", "t", "-", second) == [[first, b"one"]]
    for i in range(25):
        connection.call("SET", f"page:{i:02}", "x")
    found, cursor = [], b"0"
    while True:
        cursor, some = connection.call("TL.KEYS", "page:", "-", "+", "LIMIT", "10", "CURSOR", cursor)
        found += [key for key, _ in some]
        if cursor == b"0":
            break
    assert found == [b"page:%02d" % i for i in range(25)], found
    raises(connection.call("TL.GETAT", "t", "yesterday"), "ERR 'yesterday' is no time")


def scans(server) -> None:
    connection = Connection(server.port)
    connection.call("FLUSHALL")
    connection.call("MSET", *(word for i in range(200) for word in (f"s:{i}", i)))
    cursor, seen = b"0", []
    while True:
        cursor, some = connection.call("SCAN", cursor, "COUNT", "7")
        seen += some
        if cursor == b"0":
            break
    assert sorted(seen) == sorted(b"s:%d" % i for i in range(200))
    raises(connection.call("SCAN", "123456"), "ERR invalid cursor")
    assert connection.call("RANDOMKEY") in seen


def expiry(server) -> None:
    connection = Connection(server.port)
    begin = time.monotonic()
    connection.call("SET", "short", "1", "PX", "60")
    connection.call("SET", "long", "1")
    assert connection.call("PEXPIRE", "long", "60") == 1
    while connection.call("EXISTS", "short", "long") != 0:
        assert time.monotonic() - begin < 5
    assert time.monotonic() - begin > 0.05
    assert connection.call("TTL", "short") == -2 and connection.call("KEYS", "short") == [] and connection.call("SET", "short", "2", "NX") == "OK"


def transactions(server) -> None:
    """What a transaction saves is there at once or not at all; its own reads see it."""
    connection, other = Connection(server.port), Connection(server.port)
    connection.send(["MULTI"], ["SET", "x", "1"], ["INCR", "x"], ["APPEND", "y", "a"], ["DEL", "x"], ["SETNX", "x", "new"], ["MGET", "x", "y"], ["EXEC"])
    assert [connection.read() for _ in range(8)][-1] == ["OK", 2, 1, 1, 1, [b"new", b"a"]]
    large = [["SET", f"tx:{i}", i] for i in range(1000)]
    connection.send(["MULTI"], *large, ["GET", "tx:999"], ["DBSIZE"], ["EXEC"])
    replies = [connection.read() for _ in range(1004)][-1]
    assert replies[-2] == b"999" and len(other.call("KEYS", "tx:*")) == 1000
    stamps = {other.call("TL.HISTORY", f"tx:{i}")[-1][0] for i in (0, 500, 999)}
    assert len(stamps) == 1, stamps
    connection.send(["SELECT", "2"], ["MULTI"], ["SET", "in2", "1"], ["SELECT", "3"], ["SET", "in3", "1"], ["EXEC"], ["GET", "in3"], ["SELECT", "2"], ["GET", "in2"], ["SELECT", "0"])
    assert [connection.read() for _ in range(10)][5:9] == [["OK", "OK", "OK"], b"1", "OK", b"1"]


def order(server) -> None:
    """Replies come in the order of the requests, however these arrive; lookups see what was asked before them."""
    connection = Connection(server.port)
    a, b = "a key that is longer than a few bytes", "another key that is as long as that"
    assert connection.call("MSET", a, "1", b, "2") == "OK"
    connection.socket.sendall(f"GET '{a}'\r\nGET '{b}'\r\nGET none\r\nGET '{a}'\r\n".encode())
    assert [connection.read() for _ in range(4)] == [b"1", b"2", None, b"1"]
    others = [Connection(server.port) for _ in range(8)]
    for i in range(300):  # Several batches of one connection are with the writer at once.
        for other in others:
            other.send(["SET", "busy", i])
        connection.send(["INCR", "count"])
        connection.send(["GET", "count"], ["ECHO", f"e{i}"])
        if i % 3 == 0:
            connection.send(["TL.HISTORY", "count", "-", "+", "LIMIT", "1000"])
    for i in range(300):
        assert connection.read() == i + 1 and connection.read() == b"%d" % (i + 1) and connection.read() == b"e%d" % i
        if i % 3 == 0:
            assert connection.read()[-1][1] == b"%d" % (i + 1)
    for _ in range(2000):  # Rounds are run while an earlier one becomes durable.
        connection.send(["INCR", "row"])
    assert [connection.read() for _ in range(2000)] == list(range(1, 2001))
    # Answers of more than the server lets wait, which the client takes without a pause: it goes on with what it held back.
    connection.call("SET", "large", b"x" * 15_000)
    for _ in range(20):
        connection.send(*([["GET", "large"]] * 300))
        assert all(connection.read() == b"x" * 15_000 for _ in range(300))
    follower = Connection(server.port)
    follower.send(["SET", "count", "x"], ["TL.WATCH", "count", "FROM", "-"], ["PING"])
    assert follower.read() == "OK" and follower.read() == "OK" and follower.read() == "PONG"
    assert follower.read()[0] == b"tl.watch"


def hostile_transactions(server) -> None:
    """What a transaction computes is bounded."""
    connection = Connection(server.port, timeout=240)  # TSan is slow to clear gigabytes.
    connection.call("SET", "k", b"x" * 1_000_000)
    connection.send(["MULTI"], *([["APPEND", "k", "x"]] * 500), ["EXEC"])
    assert [connection.read() for _ in range(502)][-1][-1] == 1_000_500
    connection.send(["MULTI"], *([["SETRANGE", f"s{i}", "300000000", "x"] for i in range(20)]), ["EXEC"])
    reply = [connection.read() for _ in range(22)][-1]
    assert sum(isinstance(each, ReplyError) for each in reply) >= 16 if isinstance(reply, list) else isinstance(reply, ReplyError)
    raises(connection.call("WATCH", *(f"w{i}" for i in range(5000))), "ERR at most 4096 keys")


def large_values(server) -> None:
    connection = Connection(server.port)
    value = bytes(range(256)) * 200_000  # 51 MB
    assert connection.call("SET", "large", value) == "OK"
    connection.send(*([["GET", "large"], ["STRLEN", "large"]] * 3))
    for _ in range(3):
        assert connection.read() == value and connection.read() == len(value)
    assert connection.call("APPEND", "large", "!") == len(value) + 1
    raises(connection.call("SETRANGE", "large", "536870912", "x"), "ERR string exceeds")


def configuration(server) -> None:
    connection = Connection(server.port)
    assert connection.call("CONFIG", "GET", "max*")[:2] == [b"maxclients", b"10000"]
    assert connection.call("CONFIG", "SET", "allow-flush", "no") == "OK"
    raises(connection.call("FLUSHALL"), "NOPERM")
    assert connection.call("CONFIG", "SET", "allow-flush", "yes") == "OK" and connection.call("FLUSHALL") == "OK"
    raises(connection.call("CONFIG", "SET", "port", "1"), "ERR CONFIG SET failed")
    raises(connection.call("CONFIG", "SET", "nothing", "1"), "ERR Unknown option")
    assert connection.call("CONFIG", "SET", "timeout", "1") == "OK"
    idle = Connection(server.port)
    begin = time.monotonic()
    try:
        idle.read()
        raise AssertionError("an idle client was told something")
    except ConnectionError:
        assert 0.5 < time.monotonic() - begin < 10
    assert Connection(server.port).call("CONFIG", "SET", "timeout", "0") == "OK"


def ends_cleanly(work: str) -> None:
    """SIGTERM: what was asked is answered, durable, and there again after the next start."""
    with servers.cairn(f"{work}/end") as server:
        connections = [Connection(server.port) for _ in range(20)]
        for i, connection in enumerate(connections):
            connection.send(*([["SET", f"{i}:{j}", j] for j in range(50)]))
        assert all(connection.read() == "OK" for connection in connections)  # The first reply of each.
        assert server.stop() == 0, server.read_log()
        for connection in connections:
            answered = 1
            try:
                while connection.read() == "OK":
                    answered += 1
            except (ConnectionError, OSError):
                pass
            connection.answered = answered
    with servers.cairn(f"{work}/end") as server:
        reader = Connection(server.port)
        for i, connection in enumerate(connections):
            assert all(reader.call("GET", f"{i}:{j}") == b"%d" % j for j in range(connection.answered))
        second = subprocess.run([servers.CAIRN, "serve", f"{work}/end", "--port", str(servers.free_port())], capture_output=True, text=True, check=False, timeout=30)
        assert second.returncode == 3, second.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        for test in (following, a_slow_follower_takes_no_memory, times, scans, expiry, transactions, order, hostile_transactions, large_values, configuration):
            with servers.cairn(f"{work}/{test.__name__}", "--durability", "kernel" if test not in (times, order) else "disk") as server:
                test(server)
                assert server.stop() == 0, server.read_log()
        ends_cleanly(work)
    print("commands: following, times, scans, expiry, transactions, order, large values, configuration, clean ends")


if __name__ == "__main__":
    sys.exit(main())
