#!/usr/bin/env python3
"""Runs units of Redis 7.0's own test suite against `cairn serve`, each against a fresh server, and says what passed.

redis_suite.py CHECKOUT [UNIT...]

CHECKOUT: the unpacked source of Redis 7.0 (`apt-get source redis`), of which the directory tests/ is copied and, where its code
expects a whole Redis, changed (CHANGES). Needs tclsh. redis_suite_known.txt names the tests that cannot pass, with the reason:
they are skipped. Exit code 1: another test failed.
"""
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import servers

UNITS = """unit/type/string unit/type/incr unit/expire unit/keyspace unit/scan unit/multi unit/protocol unit/other unit/introspection
unit/introspection-2 unit/info unit/querybuf unit/bitops unit/bitfield unit/dump unit/slowlog
unit/scripting""".split()
#: Tests that need what only a whole Redis has are skipped by their tags.
TAGS = "-needs:debug -needs:repl -needs:save -needs:config-maxmemory"
#: (file, pattern, by what it is replaced): commands outside of any test end a unit if the server does not know them.
CHANGES = [
    ("support/server.tcl", r"(?m)^(\s*)(r function flush)$", r"\1catch {\2}"),
    ("support/server.tcl", r"(?m)^(\s*)(r config set \$param \$val)$", r"\1catch {\2}"),
    # The connection of a test that failed may be within MULTI.
    ("support/test.tcl", r"(?m)^(\s*)(set msg \[string range \$error 10 end\])$", r"\1\2; if {$::external} {catch {reconnect}}"),
    # The test of streams before it, which is skipped, empties the database for it.
    ("unit/keyspace.tcl", r"(?m)^(\s*)(test \{MOVE basic usage\} \{)$", r"\1r flushdb\n\1\2"),
    # Scripts by EVAL, not by FUNCTION.
    ("unit/scripting.tcl", r"foreach is_eval \{0 1\}", "foreach is_eval {1}"),
    # A machine may not know the name.
    ("test_helper.tcl", r"\[socket localhost ", "[socket 127.0.0.1 "),
]
KNOWN = pathlib.Path(__file__).parent / "redis_suite_known.txt"


def prepare(checkout: pathlib.Path, to: pathlib.Path) -> None:
    shutil.copytree(checkout / "tests", to / "tests", ignore=shutil.ignore_patterns("tmp", "modules"))
    (to / "tests/tmp").mkdir()
    for file, pattern, by in CHANGES:
        path = to / "tests" / file
        text, count = re.subn(pattern, by, path.read_text(encoding="latin-1"))
        if count == 0:
            sys.exit(f"{path}: nothing matches {pattern!r}; is it Redis 7.0?")
        path.write_text(text, encoding="latin-1")


def known_of(unit: str) -> list[str]:
    lines = (line.split(" | ") for line in KNOWN.read_text().splitlines() if line and not line.startswith("#"))
    return [name for of, name, _reason in lines if of == unit]


def run(unit: str, work: pathlib.Path) -> dict[str, list[str]]:
    """The names of the tests by what became of them: ok, err, skip (by name), ignore (by tag), exception."""
    skipped = work / "skip"
    skipped.write_text("".join(name + "\n" for name in known_of(unit)))
    with tempfile.TemporaryDirectory(dir=work) as data, servers.cairn(data, "--durability", "kernel") as server:
        command = ["tclsh", "tests/test_helper.tcl", "--host", "127.0.0.1", "--port", str(server.port), "--baseport", str(servers.free_port() // 2 + 5000), "--single", unit, "--durable",
                   "--ignore-encoding", "--ignore-digest", "--no-latency", "--timeout", "300", "--tags", TAGS, "--skipfile", str(skipped)]
        suite = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "TERM": "dumb", "LC_ALL": "C"})
        try:
            output = suite.communicate(timeout=900)[0].decode("latin-1")
        finally:
            try:
                os.killpg(suite.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        assert server.process.poll() is None, f"{unit}: the server has ended:\n{server.read_log()}"
    found = collections.defaultdict(list)
    for kind, name in re.findall(r"(?m)^\[(ok|err|skip|ignore|exception)\]: (.*)$", output):
        found[kind].append(re.sub(r" \(\d+ ms\)$| in tests/\S+\.tcl$", "", name))
    return found


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        prepare(pathlib.Path(sys.argv[1]), work)
        print("| unit | passed | failed | skipped by name | skipped by tag |\n|---|---|---|---|---|")
        for unit in sys.argv[2:] or UNITS:
            found = run(unit, work)
            bad = found["err"] + found["exception"]
            failed += len(bad)
            print(f"| {unit} | {len(found['ok'])} | {len(bad)} | {len(found['skip'])} | {len(found['ignore'])} |", flush=True)
            for name in bad:
                print(f"  failed: {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
