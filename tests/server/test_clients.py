#!/usr/bin/env python3
"""Clients that others wrote: redis-cli, redis-py, hiredis, ioredis and node-redis. Each sends every command (commands.json), many
at once, a transaction that goes through and one that a watched key stops, and goes on after its connection was cut."""
import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios

import redis

import servers
from resp import Connection
from script import SCRIPT, check, check_all_named

HERE = pathlib.Path(__file__).resolve().parent
BUILD = servers.ROOT / "build"
HOST = "127.0.0.1"  # A machine need not know "localhost".


def plain(value):
    """As JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return [each for pair in value.items() for each in map(plain, pair)]
    if isinstance(value, redis.ResponseError):
        return {"error": str(value)}
    return value


def redis_py(port: int) -> None:
    connection = redis.connection.Connection(host=HOST, port=port)
    replies = []
    for command, _ in SCRIPT:
        connection.send_command(*command)
        try:
            replies.append(plain(connection.read_response()))
        except redis.ResponseError as error:
            code = "" if str(error).startswith("NOTBUSY") else "ERR "  # redis-py takes that code off.
            replies.append({"error": f"{code}{error}"})
    check("redis-py", replies)
    connection.disconnect()
    client = redis.Redis(host=HOST, port=port, decode_responses=True)
    with client.pipeline(transaction=False) as pipeline:
        for i in range(1000):
            pipeline.set(f"many:{i}", i)
        for i in range(1000):
            pipeline.get(f"many:{i}")
        assert pipeline.execute()[1000:] == [str(i) for i in range(1000)]
    assert sorted(client.scan_iter("many:*", count=7)) == sorted(f"many:{i}" for i in range(1000))
    for key in client.scan_iter("many:*", count=10):
        client.set(key, "again")  # What is saved while it is scanned does not make a scan go on for ever.
    with client.pipeline() as pipeline:
        pipeline.watch("many:1")
        pipeline.multi()
        pipeline.incr("counter")
        pipeline.incr("counter")
        assert pipeline.execute() == [1, 2]
        pipeline.watch("many:1")
        client.set("many:1", "changed")
        pipeline.multi()
        pipeline.set("many:1", "lost")
        try:
            pipeline.execute()
            raise AssertionError("the transaction went through")
        except redis.WatchError:
            pass
    assert client.get("many:1") == "changed"
    client.connection_pool.disconnect()
    other = redis.Redis(host=HOST, port=port)
    client.client_setname("victim")
    victim = next(each for each in other.client_list() if each["name"] == "victim")
    assert other.client_kill_filter(_id=victim["id"]) == 1
    assert client.get("counter") == "2"  # By a new connection.
    lock = client.lock("a lock", timeout=10)
    assert lock.acquire(blocking=False) and not client.lock("a lock", timeout=10).acquire(blocking=False)
    lock.extend(10)
    lock.release()
    with client.lock("a lock", timeout=10) as held:
        assert held.reacquire()
    assert client.get("a lock") is None
    double = client.register_script("return 2 * redis.call('incrby', KEYS[1], ARGV[1])")
    assert double(["scripted by redis-py"], [4]) == 8
    client.script_flush()
    assert double(["scripted by redis-py"], [1]) == 10  # It is loaded again.


def redis_cli(port: int) -> None:
    def run(arguments: list[str], text: str | None = None) -> str:
        done = subprocess.run(["redis-cli", "-p", str(port), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout
    assert run(["SET", "cli", "1"]) == "OK\n" and run(["GET", "cli"]) == "1\n"
    lines = "".join(" ".join(json.dumps(word) for word in command) + "\n" for command, _ in SCRIPT)
    for mode in (["-2"], ["-3"]):
        # What a person sees, one reply behind the other; replies over several lines are those of other clients' checks.
        shown = run([*mode, "--no-raw"], lines)
        assert shown.count("ERR unknown command") == 1 and '"123"' in shown and "(integer) 124" in shown, shown[:2000]
    assert run([], "MULTI\nSET cli 2\nINCR cli\nEXEC\n").split() == ["OK", "QUEUED", "QUEUED", "OK", "3"]
    many = "".join(f"SET pipe:{i} {i}\r\n" for i in range(1000))
    assert "errors: 0, replies: 1000" in run(["--pipe"], many)
    assert run(["--scan", "--pattern", "pipe:*"]).count("pipe:") == 1000
    assert run(["--json", "-3", "MGET", "pipe:1", "pipe:2"]) == '["1","2"]\n'
    typed(port, run)


def typed(port: int, run) -> None:
    """At a terminal it connects again by itself."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    with subprocess.Popen(["redis-cli", "-p", str(port)], stdin=its, stdout=its, stderr=its, close_fds=True) as terminal:
        os.close(its)

        seen = ""

        def shows(*texts: str) -> None:
            """One after the other. What is typed before the prompt is there gets lost."""
            nonlocal seen
            for text in texts:
                while text not in seen:
                    assert select.select([ours], [], [], 20)[0], f"redis-cli shows {seen!r}, not {text!r}"
                    seen += os.read(ours, 4096).decode(errors="replace")
                seen = seen.split(text, 1)[1]

        try:
            shows("> ")
            os.write(ours, b"GET cli\r")
            shows('"3"', "> ")
            assert int(run(["CLIENT", "KILL", "TYPE", "normal"])) == 1
            os.write(ours, b"GET cli\r")
            shows("not connected> ")
            os.write(ours, b"GET cli\r")
            shows('"3"', "> ")
            os.write(ours, b"HELP TL.GETAT\r")
            shows("value a key had at a time")
        finally:
            terminal.kill()
    os.close(ours)


def other_program(name: str, command: list[str], port: int) -> None:
    done = subprocess.run([*command, str(port), str(HERE / "commands.json")], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    check(name, json.loads(done.stdout))


def node(port: int) -> None:
    work = BUILD / "node"
    work.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "node").iterdir():
        shutil.copy(file, work)
    if not (work / "node_modules" / "redis").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, check=True, capture_output=True)
    other_program("ioredis", ["node", str(work / "ioredis.js")], port)
    other_program("node-redis", ["node", str(work / "node_redis.js")], port)


def main() -> None:
    clients = {"redis-py": redis_py, "redis-cli": redis_cli,
               "hiredis": lambda port: other_program("hiredis", [str(BUILD / "release/bin/hiredis_client")], port), "ioredis and node-redis": node}
    for name, run in clients.items():
        with tempfile.TemporaryDirectory() as work, servers.cairn(f"{work}/data", "--timeline-timeout", "never") as server:
            if name == "redis-py":
                check_all_named([each.decode() for each in Connection(server.port).call("COMMAND", "LIST")])
            run(server.port)
            assert server.stop() == 0, server.read_log()
        print(f"{name}: every command, many at once, transactions, a connection that is cut")


if __name__ == "__main__":
    os.chdir(HERE)
    sys.exit(main())
