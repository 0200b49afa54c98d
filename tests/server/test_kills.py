#!/usr/bin/env python3
"""Linearizability across SIGKILL: clients read and write a few keys at once while the server is killed and started again; what each
call saw is checked against registers (Wing and Gong's search with Lowe's cache of visited states).

test_kills.py [KILLS] [SEED]. With durability disk nothing that was acknowledged is lost, and nothing that was read is taken back.
"""
import collections
import random
import sys
import tempfile
import threading
import time

import servers
from resp import Connection, ReplyError

KEYS = 4
CLIENTS = 6


class Call:
    """One call of one client on one key. `end` is None if nobody knows whether it took place."""

    __slots__ = ("kind", "argument", "result", "begin", "end")

    def __init__(self, kind: str, argument, begin: int):
        self.kind, self.argument, self.result, self.begin, self.end = kind, argument, None, begin, None


class History:
    def __init__(self):
        self.calls: dict[str, list[Call]] = collections.defaultdict(list)
        self.clock = 0
        self.lock = threading.Lock()
        self.acknowledged = 0

    def begin(self, key: str, kind: str, argument) -> Call:
        with self.lock:
            self.clock += 1
            call = Call(kind, argument, self.clock)
            self.calls[key].append(call)
            return call

    def end(self, call: Call, result) -> None:
        with self.lock:
            self.clock += 1
            call.result, call.end = result, self.clock
            self.acknowledged += 1


def apply(call: Call, state):
    """The state after the call; the reply it would give."""
    if call.kind == "get":
        return state, state
    if call.kind == "set":
        return call.argument, "OK"
    if call.kind == "del":
        return None, 0 if state is None else 1
    if call.kind == "setnx":
        return (call.argument, 1) if state is None else (state, 0)
    if call.kind == "append":
        state = (state or b"") + call.argument
        return state, len(state)
    if call.kind == "exec":  # SET x; APPEND x y; GET x
        state = call.argument + b"+"
        return state, state
    raise ValueError(call.kind)


def linearizable(calls: list[Call]) -> bool:
    """Whether there is an order of the calls, each between its begin and end, in which every reply is a register's. Calls whose end
    nobody knows may have taken place at any time from their begin on, or never."""
    calls = [call for call in calls if call.end is not None or call.kind != "get"]
    calls.sort(key=lambda call: call.begin)
    # Depth-first over (which calls took place, value). Calls that took place are the first `low` and some behind them.
    stack = [(0, frozenset(), None)]
    seen = set()
    while stack:
        low, extra, state = stack.pop()
        while low in extra:
            extra = extra - {low}
            low += 1
        if (low, extra, state) in seen:
            continue
        seen.add((low, extra, state))
        first_end = None  # Of those that did not take place yet; who began later cannot end sooner.
        for i in range(low, len(calls)):
            if first_end is not None and calls[i].begin > first_end:
                break
            if i not in extra and calls[i].end is not None:
                first_end = calls[i].end if first_end is None else min(first_end, calls[i].end)
        if first_end is None:
            return True
        for i in range(low, len(calls)):
            call = calls[i]
            if call.begin > first_end:
                break
            if i in extra:
                continue
            after, reply = apply(call, state)
            if call.end is None or reply == call.result:
                stack.append((low, extra | {i}, after))
        # A call that nobody knows the end of may never have taken place.
        if calls[low].end is None:
            stack.append((low + 1, extra, state))
    return False


def check_checker() -> None:
    """It tells a history that cannot be from one that can."""

    def history(*rows) -> list[Call]:
        calls = []
        for kind, argument, result, begin, end in rows:
            call = Call(kind, argument, begin)
            call.result, call.end = result, end
            calls.append(call)
        return calls

    overlapping = [("set", b"1", "OK", 1, 4), ("get", None, b"1", 2, 3), ("get", None, b"1", 5, 6)]
    assert linearizable(history(*overlapping))
    assert not linearizable(history(*overlapping, ("get", None, None, 7, 8))), "lost"
    assert not linearizable(history(("set", b"1", "OK", 1, 6), ("get", None, b"1", 2, 3), ("get", None, None, 4, 5))), "taken back"
    unknown = ("set", b"1", None, 1, None)
    assert linearizable(history(unknown, ("get", None, None, 2, 3), ("get", None, b"1", 4, 5)))
    assert not linearizable(history(unknown, ("get", None, b"1", 2, 3), ("get", None, None, 4, 5)))
    assert not linearizable(history(("setnx", b"1", 1, 1, 2), ("setnx", b"2", 1, 3, 4)))


class Client(threading.Thread):
    def __init__(self, number: int, port: list[int], history: History, stop: threading.Event, seed: int):
        super().__init__(daemon=True)
        self.number, self.port, self.history, self.stop, self.random = number, port, history, stop, random.Random(seed)
        self.errors: list[str] = []
        self.count = 0

    def run(self) -> None:
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = Connection(self.port[0], timeout=10)
                self.call(connection)
            except (OSError, ConnectionError):
                connection = None
                time.sleep(0.002)

    def call(self, connection: Connection) -> None:
        key = f"k{self.random.randrange(KEYS)}"
        kind = self.random.choice(["get", "get", "get", "set", "set", "del", "setnx", "append", "exec"])
        self.count += 1
        value = b"%d.%d" % (self.number, self.count)
        call = self.history.begin(key, kind, value)
        if kind == "exec":
            connection.send(["MULTI"], ["SET", key, value], ["APPEND", key, "+"], ["GET", key], ["EXEC"])
            replies = [connection.read() for _ in range(5)]
            result = replies[4][2] if isinstance(replies[4], list) else replies[4]
        else:
            result = connection.call(kind.upper(), key, *([value] if kind in ("set", "setnx", "append") else []))
        if isinstance(result, ReplyError):
            self.errors.append(str(result))
            return
        self.history.end(call, result)


def run(kills: int, seed: int, durability: str) -> int:
    chance = random.Random(seed)
    total = 0
    with tempfile.TemporaryDirectory() as work:
        history = History()
        stop = threading.Event()
        port = [0]
        server = servers.cairn(f"{work}/data", "--durability", durability)
        port[0] = server.port
        clients = [Client(i, port, history, stop, seed * 100 + i) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 0.25))
            server.kill()
            server.__exit__()
            server = servers.cairn(f"{work}/data", "--durability", durability)
            port[0] = server.port
        time.sleep(0.1)
        stop.set()
        for client in clients:
            client.join(15)
        # What is there in the end was seen by somebody who came last.
        last = Connection(server.port)
        for number in range(KEYS):
            call = history.begin(f"k{number}", "get", None)
            history.end(call, last.call("GET", f"k{number}"))
        total = history.acknowledged
        errors = [error for client in clients for error in client.errors]
        assert not errors, errors[:3]
        assert server.stop() == 0
        server.__exit__()
    sys.setrecursionlimit(10_000)
    for key, calls in history.calls.items():
        if not linearizable(calls):
            print(f"{key}: no order of its {len(calls)} calls explains what they saw; seed {seed}")
            return 1
    print(f"{kills} kills, durability {durability}: {total} acknowledged calls are linearizable, none was lost or taken back")
    return 0


if __name__ == "__main__":
    KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    check_checker()
    sys.exit(run(KILLS, SEED, "disk") or run(max(KILLS // 5, 2), SEED + 1, "kernel"))
