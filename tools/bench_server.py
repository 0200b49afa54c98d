#!/usr/bin/env python3
"""The server beside redis-server on the same machine: redis-benchmark's SET and GET, memory, idle connections, time to be ready.

bench_server.py [--rounds N] [--requests N] [--read-threads N] [--only load|memory|idle|ready]
Each round has a server of each kind, one after the other and never both at once; figures are medians, ratios are of pairs of one
round. The benchmark is a process of one thread on the same machine: of two cores it takes one, so that by default one thread serves.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/server"))
import servers  # noqa: E402
from resp import Connection  # noqa: E402

QUIET_S = 6  # Between saves and lookups: what a server does behind saves is over then.
PAIRS = {"kernel": ["--appendonly", "no"], "interval:1000": ["--appendonly", "yes", "--appendfsync", "everysec"], "disk": ["--appendonly", "yes", "--appendfsync", "always"]}


def benchmark(port: int, test: str, pipeline: int, requests: int) -> tuple[float, float]:
    """Requests per second, and p99 in ms."""
    done = subprocess.run(["redis-benchmark", "-p", str(port), "-t", test, "-c", "50", "-P", str(pipeline), "-n", str(requests), "-r", "1000000", "-d", "100", "--csv"],
                          capture_output=True, text=True, check=True)
    row = done.stdout.strip().splitlines()[-1].replace('"', "").split(",")
    return float(row[1]), float(row[6])


def load(rounds: int, requests: int, read_threads: int) -> None:
    print("| durability | | pipeline | Cairn /s | Redis /s | ratio (spread) | p99 ms Cairn | Redis |\n|---|---|---|---|---|---|---|---|")
    for durability, redis_options in PAIRS.items():
        results: dict[tuple, list] = {}
        for _ in range(rounds):
            starts = [lambda work: servers.redis(work, *redis_options),
                      lambda work: servers.cairn(f"{work}/data", "--durability", durability, "--read-threads", str(read_threads))]
            for which, start in enumerate(starts):
                with tempfile.TemporaryDirectory(dir=ROOT / "build") as work, start(work) as server:
                    for test in ("set", "get"):
                        for pipeline in (1, 16, 64):
                            pairs = results.setdefault((test, pipeline), [])
                            if which == 0:
                                pairs.append([])
                            pairs[-1].append(benchmark(server.port, test, pipeline, requests if pipeline > 1 else requests // 10))
                        time.sleep(QUIET_S)
        for (test, pipeline), pairs in results.items():
            ratios = [ours[0] / theirs[0] for theirs, ours in pairs]
            middle = [statistics.median(pair[i][j] for pair in pairs) for i in (1, 0) for j in (0, 1)]
            print(f"| {durability} | {test.upper()} | {pipeline} | {middle[0]:,.0f} | {middle[2]:,.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
                  f"{middle[1]:.2f} | {middle[3]:.2f} |", flush=True)


def status(pid: int, name: str) -> float:
    """In KiB."""
    return next(float(re.findall(r"\d+", line)[0]) for line in open(f"/proc/{pid}/status", encoding="ascii") if line.startswith(name))


def fill(port: int, keys: int) -> None:
    connection = Connection(port, timeout=120)
    value = b"v" * 100
    for begin in range(0, keys, 1000):
        connection.send(*(["SET", f"key:{i:012}", value] for i in range(begin, begin + 1000)))
        for _ in range(1000):
            connection.read()


def memory() -> None:
    keys = 1_000_000
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as work, servers.cairn(f"{work}/data", "--durability", "kernel") as ours, servers.redis(work) as theirs:
        used = []
        for server in (ours, theirs):
            before = status(server.process.pid, "RssAnon")
            fill(server.port, keys)
            time.sleep(3)
            used.append((status(server.process.pid, "RssAnon") - before) / 1024)
    print(f"anonymous memory of {keys:,} keys with 100 bytes: Cairn {used[0]:.0f} MiB, Redis {used[1]:.0f} MiB, ratio {used[0] / used[1]:.2f}")


def idle() -> None:
    count = 10_000
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as work, servers.cairn(f"{work}/data", "--durability", "kernel", "--maxclients", "20000") as server:
        first = Connection(server.port)
        first.call("SET", "a", "1")
        before = status(server.process.pid, "RssAnon")
        # Half of all files a process may have are this program's.
        connections = [Connection(server.port) for _ in range(count)]
        for connection in connections:
            assert connection.call("GET", "a") == b"1"
        used = (status(server.process.pid, "RssAnon") - before) / count
        print(f"{count:,} idle connections: {used:.1f} KiB of anonymous memory each")


def ready() -> None:
    keys = 10_000_000
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as work:
        with servers.cairn(f"{work}/data", "--durability", "kernel") as server:
            fill(server.port, keys)
            server.stop(120)
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            with servers.cairn(f"{work}/data", "--durability", "kernel") as server:
                assert Connection(server.port).call("GET", f"key:{keys // 2:012}") is not None
                times.append((time.perf_counter() - begin) * 1000)
                server.stop()
    print(f"a store of {keys:,} keys answers {statistics.median(times):.0f} ms after its start ({min(times):.0f} to {max(times):.0f}), warm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--read-threads", type=int, default=1)
    parser.add_argument("--only", choices=["load", "memory", "idle", "ready"])
    given = parser.parse_args()
    if given.only in (None, "load"):
        load(given.rounds, given.requests, given.read_threads)
    for name, run in (("memory", memory), ("idle", idle), ("ready", ready)):
        if given.only in (None, name):
            run()


if __name__ == "__main__":
    main()
