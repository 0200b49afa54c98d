#!/usr/bin/env python3
"""Histories that end: keys whose saves have left the history answer as before, room comes back, the settings hold, and a disk that is
nearly full is said."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import servers
from resp import Connection, ReplyError

SHORT = ("--timeline-timeout", "1s", "--timeline-policy", "persist", "--durability", "kernel")


def scan(connection: Connection) -> list[bytes]:
    cursor, seen = b"0", []
    while True:
        cursor, some = connection.call("SCAN", cursor, "COUNT", "10")
        seen += some
        if cursor == b"0":
            return sorted(seen)


def histories(connection: Connection) -> dict[str, dict[str, str]]:
    lines = connection.call("INFO", "persistence").decode().split("\r\n")
    found = {}
    for line in lines:
        if line.startswith("history_"):
            name, values = line.split(":")
            found[name] = dict(pair.split("=") for pair in values.split(","))
    return found


def wait_until_history_is_empty(connection: Connection) -> None:
    deadline = time.monotonic() + 20
    while histories(connection)["history_db0"]["saves"] != "0":
        assert time.monotonic() < deadline, histories(connection)
        time.sleep(0.05)


def keys_stay(work: str) -> None:
    """Every command on keys answers as it did when their saves were in the history."""
    with servers.cairn(f"{work}/keys", *SHORT) as server:
        connection = Connection(server.port)
        names = [f"k:{i}" for i in range(100)]
        for name in names:
            connection.call("SET", name, "old")
        connection.call("MSET", *(word for name in names for word in (name, name)))
        connection.call("EXPIRE", "k:0", 1000)
        connection.call("DEL", "k:1")
        connection.call("SET", "k:2", "x", "PX", "100")
        names = sorted(name.encode() for name in names if name not in ("k:1", "k:2"))
        for _ in range(2):
            wait_until_history_is_empty(connection)
            assert sorted(connection.call("KEYS", "*")) == names and scan(connection) == names
            assert connection.call("DBSIZE") == len(names)
            assert all(connection.call("RANDOMKEY") in names for _ in range(200))
            assert connection.call("MGET", "k:0", "k:1", "k:2", "k:3") == [b"k:0", None, None, b"k:3"]
            assert 900 < connection.call("TTL", "k:0") <= 1000 and connection.call("TTL", "k:3") == -1
            assert connection.call("EXISTS", "k:0", "k:1", "k:2", "k:3") == 2
        assert connection.call("EXPIRE", "k:3", 500) == 1 and 400 < connection.call("TTL", "k:3") <= 500
        assert connection.call("PERSIST", "k:0") == 1 and connection.call("TTL", "k:0") == -1
        assert connection.call("PEXPIRE", "k:4", 1) == 1
        other = Connection(server.port)
        for changes in (False, True):
            wait_until_history_is_empty(connection)
            assert connection.call("WATCH", "k:5") == "OK"
            if changes:
                assert other.call("APPEND", "k:5", "!") == 4
            connection.send(["MULTI"], ["GET", "k:5"], ["EXEC"])
            assert [connection.read() for _ in range(3)][-1] == (None if changes else [b"k:5"])
        wait_until_history_is_empty(connection)
        assert connection.call("GET", "k:5") == b"k:5!" and connection.call("DBSIZE") == len(names) - 1
        assert connection.call("TL.HISTORY", "k:5") == []
        assert connection.call("FLUSHALL") == "OK"
        for _ in range(2):
            assert connection.call("DBSIZE") == 0 and connection.call("KEYS", "*") == [] and connection.call("RANDOMKEY") is None
            wait_until_history_is_empty(connection)
        assert server.stop() == 0, server.read_log()
    with servers.cairn(f"{work}/keys", "--timeline-policy", "drop") as server:
        connection = Connection(server.port)
        assert connection.call("CONFIG", "GET", "timeline-*") == [b"timeline-policy", b"0=drop", b"timeline-timeout", b"0=1s"]
        connection.call("SET", "k", "v")
        wait_until_history_is_empty(connection)
        assert connection.call("GET", "k") is None and connection.call("DBSIZE") == 0


def room_comes_back(work: str, saves: int) -> None:
    """One key saved often, keys that expired, FLUSHALL: nothing of it takes room after the timeout."""

    def size() -> int:
        return sum(each.stat().st_size for each in pathlib.Path(f"{work}/room").iterdir() if each.exists())

    with servers.cairn(f"{work}/room", "--timeline-timeout", "3s", "--durability", "kernel") as server:
        connection = Connection(server.port)
        for begin in range(0, saves, 1000):
            connection.send(*(["SET", "one", f"{begin + i:0100}"] for i in range(1000)))
            assert all(connection.read() == "OK" for _ in range(1000))
        for begin in range(0, saves // 3, 1000):
            connection.send(*(["SET", f"key:{begin + i}", f"{i:0100}", "PX", "500"] for i in range(1000)))
            assert all(connection.read() == "OK" for _ in range(1000))
        connection.call("SET", "kept", "v")
        connection.call("FLUSHALL")
        connection.call("SET", "two", "v")
        full = size()
        assert full > saves * 150, full
        deadline = time.monotonic() + 60
        while size() > 20_000_000:
            assert time.monotonic() < deadline, f"{size()} bytes are left of {full}"
            time.sleep(0.1)
        assert connection.call("KEYS", "*") == [b"two"]
        assert server.stop() == 0, server.read_log()


def settings(work: str) -> None:
    directory = f"{work}/settings"
    with servers.cairn(directory) as server:
        connection = Connection(server.port)
        assert connection.call("CONFIG", "GET", "timeline-timeout") == [b"timeline-timeout", b"0=1h"]
        history = histories(connection)["history_db0"]
        assert history["timeout_ms"] == "3600000" and history["policy"] == "persist", history
        assert "event=history database=0 timeout=\"1 h\" policy=persist" in server.read_log()
        assert isinstance(connection.call("CONFIG", "SET", "timeline-timeout", "2h"), ReplyError)
    old = f"{work}/old"  # Made by the library: for ever.
    subprocess.run([servers.CAIRN, "timeline", "create", old], check=True)
    subprocess.run([servers.CAIRN, "timeline", "put", old, "a", "1"], check=True)
    time.sleep(1.1)
    for flags, timeout, said in (((), "0=never", "every save is kept for ever"),
                                 (("--timeline-timeout", "1h"), "0=1h", "the oldest save leaves the history at"),
                                 ((), "0=1h", "the oldest save leaves the history at"),
                                 (("--timeline-timeout", "never,0=1s,3=15m"), "0=1s", "leave the history now; the last save of each key stays")):
        with servers.cairn(old, *flags) as server:
            connection = Connection(server.port)
            assert connection.call("CONFIG", "GET", "timeline-timeout")[1].decode() == timeout
            assert said in server.read_log(), server.read_log()
            assert connection.call("GET", "a") == b"1"
            if len(flags) == 2 and "3=" in flags[1]:
                connection.send(["SELECT", "3"], ["SET", "x", "1"], ["SELECT", "4"], ["SET", "x", "1"])
                assert [connection.read() for _ in range(4)] == ["OK"] * 4
                assert connection.call("CONFIG", "GET", "timeline-timeout")[1] == b"0=1s,3=15m,4=never"
            assert server.stop() == 0, server.read_log()


def a_disk_that_is_nearly_full(work: str) -> bool:
    """On a file system of its own, where the system lets the test have one. Returns whether it did."""
    disk = f"{work}/disk"
    os.mkdir(disk)
    server = servers.on_small_disk(disk, "64m", f"{disk}/db", "--durability", "kernel")
    if server is None:
        return False
    with server:
        connection = Connection(server.port)
        info = connection.call("INFO", "persistence").decode()
        assert "disk_state:ok" in info and "disk_total_bytes:67108864" in info, info
        deadline = time.monotonic() + 30
        number = 0
        while "disk_state:nearly full" not in connection.call("INFO", "persistence").decode():
            assert connection.call("SET", f"key:{number}", b"x" * 100_000) == "OK", "a write was refused before the disk was said to be full"
            number += 1
            time.sleep(0.02)
            assert time.monotonic() < deadline
        assert "event=disk_nearly_full" in server.read_log()
    return True


def main() -> None:
    saves = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory() as work:
        keys_stay(work)
        room_comes_back(work, saves)
        settings(work)
        disk = a_disk_that_is_nearly_full(work)
    print(f"history: keys stay, room comes back, settings, {'a disk nearly full' if disk else 'no file system to fill'}")


if __name__ == "__main__":
    main()
