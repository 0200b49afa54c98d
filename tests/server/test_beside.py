#!/usr/bin/env python3
"""Commands beside the process that owns a directory: they answer what the owner answers, survive its end, and are for its user alone."""
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import servers
from resp import Connection


def run(*arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    done = subprocess.run([servers.CAIRN, *arguments], capture_output=True, text=True, check=False, timeout=60, **options)
    assert not check or done.returncode == 0, (arguments, done.stderr)
    return done


class Load:
    """Clients that save while the test asks; `stays`: keys that they leave alone."""

    def __init__(self, port: int):
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(port, i)) for i in range(2)]
        for thread in self.threads:
            thread.start()

    def write(self, port: int, number: int) -> None:
        try:
            connection = Connection(port)
            for i in range(10**9):
                if self.ended.is_set():
                    return
                connection.call("SET", f"load:{number}:{i % 1000}", "x" * 100)
        except (ConnectionError, OSError):
            pass  # The server was killed.

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()


def answers_are_equal(work: str) -> None:
    """Each call under load, beside the server and, once it has ended, on the database itself."""
    directory = f"{work}/equal"
    with servers.cairn(directory, "--durability", "kernel") as server:
        connection = Connection(server.port)
        for i in range(200):
            connection.call("SET", f"k:{i}", f"v{i}")
        connection.call("SET", "k:5", b"\xff\x00")
        connection.call("DEL", "k:6")
        for i in range(50):
            connection.call("TABLE.PUT", "t", f"r{i:02}", f"w{i}")
        time.sleep(0.01)
        moment = str(int(time.time() * 1000))
        time.sleep(0.01)
        calls = [
            ("table", "get", directory, "r07", "--table", "t"),
            ("table", "get", directory, "r07", "--table", "t", "--raw"),
            ("table", "get", directory, "none", "--table", "t", "--json"),
            ("table", "scan", directory, "--table", "t", "--prefix", "r1", "--limit", "5"),
            ("table", "scan", directory, "--table", "t", "--from", "r10", "--to", "r20", "--reverse"),
            ("table", "dump", directory, "--table", "t"),
            ("table", "get", directory, "k", "--table", "missing"),
            ("timeline", "get", directory, "k:7"),
            ("timeline", "get", directory, "k:5", "--json"),
            ("timeline", "get", directory, "k:6"),
            ("timeline", "get", directory, "k:7", "--at", moment),
            ("timeline", "keys", directory, "k:", "--to", moment),
            ("timeline", "keys", directory, "k:1", "--json"),
            ("timeline", "history", directory, "k:6"),
            ("timeline", "history", directory, "k:5"),
            ("timeline", "watch", directory, "k:", "--from", "2020-01-01T00:00:00Z", "--limit", "202"),
            ("timeline", "get", directory, "k", "--timeline", "missing"),
        ]
        load = Load(server.port)
        beside = [run(*call, check=False) for call in calls]
        assert run("timeline", "get", directory, input="k:1\nk:2\nnone\n", check=False).stdout == "v1\nv2\n"
        listed = json.loads(run("list", directory, "--json").stdout)
        assert [table["name"] for table in listed["tables"]] == ["t"] and listed["timelines"][0]["timeout_ms"] == 3_600_000, listed
        stats = json.loads(run("timeline", "stats", directory, "--json").stdout)
        assert stats["writes"] >= 202 and stats["policy"] == "persist"
        assert json.loads(run("table", "stats", directory, "--table", "t", "--json").stdout)["writes"] == 50
        verified = json.loads(run("verify", directory, "--json").stdout)
        assert verified["files"] > 1 and verified["damages"] == []
        run("checkpoint", directory, os.path.relpath(f"{work}/copy", work), cwd=work)
        load.end()
        again = run("checkpoint", directory, f"{work}/copy", check=False)
        assert again.returncode == 2 and "the directory is not empty" in again.stderr, again
        refused = run("timeline", "put", directory, "k", "v", check=False)
        assert refused.returncode == 3 and "held by cairn serve" in refused.stderr and "beside it work cairn list" in refused.stderr, refused.stderr
        assert server.stop() == 0
    assert not os.path.exists(f"{directory}/owner.socket")
    for call, before in zip(calls, beside):
        after = run(*call, check=False)
        assert (before.returncode, before.stdout, before.stderr) == (after.returncode, after.stdout, after.stderr), (call, before, after)
    assert run("timeline", "get", f"{work}/copy", "k:7").stdout == "v7\n" and not os.path.exists(f"{work}/copy/owner.socket")


def watching(work: str) -> None:
    with servers.cairn(f"{work}/watched", "--durability", "kernel") as server:
        connection = Connection(server.port)
        connection.call("SET", "a", "before")
        watcher = subprocess.Popen([servers.CAIRN, "timeline", "watch", f"{work}/watched", "a", "--limit", "4"], stdout=subprocess.PIPE, text=True)
        assert json.loads(watcher.stdout.readline())["value"] == "before"
        for value in ("1", "2"):
            connection.call("SET", "a", value)
            assert json.loads(watcher.stdout.readline())["value"] == value
        connection.call("DEL", "a")
        assert json.loads(watcher.stdout.readline())["erased"] is True
        assert watcher.wait(10) == 0
        left = subprocess.Popen([servers.CAIRN, "timeline", "watch", f"{work}/watched", ""], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        assert server.stop() == 0  # In good time, though somebody watches.
        assert left.wait(10) == 4 and "ended before it had answered" in left.stderr.read()


def many_callers(work: str) -> None:
    with servers.cairn(f"{work}/many", "--durability", "kernel") as server:
        connection = Connection(server.port)
        connection.call("MSET", *(word for i in range(100) for word in (f"k{i}", f"v{i}")))
        load = Load(server.port)
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda i: run("timeline", "get", f"{work}/many", f"k{i}").stdout, range(100)))
        assert answers == [f"v{i}\n" for i in range(100)]
        # One that says nothing, and one that says something else, are in nobody's way.
        silent, hostile = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        silent.connect(f"{work}/many/owner.socket")
        for _ in range(200):
            hostile = socket.socket(socket.AF_UNIX)
            hostile.connect(f"{work}/many/owner.socket")
            hostile.sendall(b"\x02" + random.randbytes(random.choice([0, 1, 8, 30])))
            hostile.close()
        hostile = socket.socket(socket.AF_UNIX)
        hostile.connect(f"{work}/many/owner.socket")
        hostile.sendall(b"\x02" + (2**40).to_bytes(8, "little"))
        assert run("timeline", "get", f"{work}/many", "k1").stdout == "v1\n"
        load.end()
        assert server.stop() == 0, server.read_log()


def kills(work: str) -> None:
    """SIGKILL of either side: no caller hangs or reads half an answer, and the next owner answers."""
    directory = f"{work}/killed"
    chance = random.Random(1)
    calls = (("timeline", "history", directory, "big"), ("verify", directory), ("timeline", "get", directory, "big"))
    for turn in range(30):
        with servers.cairn(directory, "--durability", "kernel") as server:
            connection = Connection(server.port)
            connection.call("SET", "big", "x" * 1_000_000)
            load = Load(server.port)
            callers = [subprocess.Popen([servers.CAIRN, *call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for call in calls * 2]
            time.sleep(chance.random() * 0.05)
            if turn % 2 == 0:
                server.kill()
            else:
                for caller in callers:
                    caller.send_signal(signal.SIGKILL)
            load.end()
            for call, caller in zip(calls * 2, callers):
                out, errors = caller.communicate(timeout=60)
                assert caller.returncode in (0, 3, 4, -signal.SIGKILL), (caller.returncode, errors)
                if caller.returncode == 0 and "get" in call:
                    assert out == "x" * 1_000_000 + "\n"
            if turn % 2 == 1:
                assert run("timeline", "get", directory, "big").stdout == "x" * 1_000_000 + "\n"
                assert server.stop() == 0, server.read_log()
    assert run("verify", directory).returncode == 0


def long_path(work: str) -> None:
    directory = f"{work}/" + "/".join(["d" * 100] * 5)
    os.makedirs(os.path.dirname(directory))
    with servers.cairn(directory) as server:
        Connection(server.port).call("SET", "k", "v")
        assert run("timeline", "get", directory, "k").stdout == "v\n"
        assert oct(os.stat(f"{directory}/owner.socket").st_mode & 0o777) == "0o600"


def other_users(work: str) -> bool:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    os.chmod(work, 0o755)
    with servers.cairn(f"{work}/mine", "--file-mode", "0644") as server:
        Connection(server.port).call("SET", "k", "v")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", servers.CAIRN, "timeline", "get", f"{work}/mine", "k"]
        os.chmod(f"{work}/mine", 0o777)
        for mode in (0o600, 0o777):
            os.chmod(f"{work}/mine/owner.socket", mode)
            tried = subprocess.run(nobody, capture_output=True, text=True, check=False, timeout=60)
            assert tried.returncode == 4 and "user" in tried.stderr and tried.stdout == "", (mode, tried)
        assert run("timeline", "get", f"{work}/mine", "k").stdout == "v\n"
    return True


def a_name_that_is_taken(work: str) -> None:
    """Where no socket is possible the server runs all the same, and says so."""
    directory = f"{work}/taken"
    run("timeline", "create", directory)
    os.mkdir(f"{directory}/owner.socket")
    pathlib.Path(f"{directory}/owner.socket/file").write_text("")
    with servers.cairn(directory) as server:
        Connection(server.port).call("SET", "k", "v")
        assert "commands cannot be answered beside this process" in server.read_log()
        tried = run("timeline", "get", directory, "k", check=False)
        assert tried.returncode == 3 and "held by cairn serve" in tried.stderr, tried


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        answers_are_equal(work)
        watching(work)
        many_callers(work)
        kills(work)
        long_path(work)
        users = other_users(work)
        a_name_that_is_taken(work)
    print(f"beside: equal answers, watching, 100 callers, 30 kills, a long path, {'other users' if users else 'no other user'}, no socket")


if __name__ == "__main__":
    main()
