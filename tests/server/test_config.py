#!/usr/bin/env python3
"""Wrong configurations and command lines of the server (tests/cli/mistakes.txt has those of other commands): each message, as it was when a person last read it, stands in wrong_input.txt.

    tests/server/test_config.py [--write]     --write makes wrong_input.txt anew, to be read before it is committed
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import servers

GOLDEN = pathlib.Path(__file__).parent / "wrong_input.txt"
# Files for --config; DIR is the directory of the test.
FILES = [
    'prot = 1',
    'Port = 1',
    'port = 70000',
    'port = "7379"',
    'port = 7379.5',
    'port = ',
    'port 7379',
    'port = 1\nport = 2',
    'read_threads = 0',
    'log_level = "verbose"',
    'log_level = 3',
    'durability = "interval:0"',
    'durability = disk',
    'allow_flush = "no"',
    'timeline_timeout = "1 hour"',
    'timeline_timeout = 3600',
    'timeline_timeout = "1h,16=1d"',
    'timeline_policy = "persist,persist"',
    'backup_every = "1d"',
    'backup_every = "daily"',
    'backup_directory = "/nowhere"',
    'allow_flush = 2',
    'file_mode = "0400"',
    'bind = "127.0.0.1"',
    'bind = []',
    'bind = ["localhost"]',
    'bind = ["0.0.0.0"]',
    'http_hosts = ["http://cairn.example"]',
    '[server]\nport = 1',
    'tls_certificate = "cert.pem"',
    'tls_client_authority = "ca.pem"',
    'users_file = "DIR/missing.toml"',
    'dir = ""',
    'bind = ["127.0.0.1"',
    'log_level = "info',
    'file_mode = 0600',
    'maxclients = 5',
    'port = 7380\nhttp_port = 7380',
    'bind = ["::1", "::1"]',
    'dir = "/etc/passwd"',
    'log_level = "\\u0000"',
    'password: hunter2',
    'http_hosts = 5',
]
# Nested without bound, behind strings and comments that hide it; too long to be shown.
DEEP = ['x=' + '["]",' * 100_000, '# ' + ']' * 100_000 + '\nx=' + '[' * 100_000, 'a.' * 100_000 + 'a = 1', 'x=' + '{a=' * 100_000,
        "x=" + "'" * 3 + "\n]]]]" + "'" * 3 + "\ny=" + '[' * 100_000, 'x = "\\"]]]"\ny=' + '[' * 100_000,
        "x=[" + "'" * 3 + "a" + "'" * 4 + ", " + "[" * 100_000, 'x=[' + '"' * 3 + 'a' + '"' * 5 + ', ' + '[' * 100_000]
USERS = [
    '',
    '[[users]]\nname = "a"',
    '[[user]]\nname = "a"',
    '[[user]]\nname = "a"\npassword = "secret"',
    '[[user]]\nname = "a"\npassword = "HASH"\nrights = ["reed"]',
    '[[user]]\nname = "a"\npassword = "HASH"\nright = ["read"]',
    '[[user]]\nname = "a"\npassword = "HASH"\nrights = "read"',
    '[[user]]\nname = "a"\npassword = "HASH"\n[[user]]\nname = "a"\npassword = "HASH"',
]
COMMANDS = [
    "serve",
    "serve DIR/data --port 70000",
    "serve DIR/data --port x",
    "serve DIR/data --durability maybe",
    "serve DIR/data --log-level loud",
    "serve DIR/data --prot 1",
    "serve --config DIR/missing.toml",
    "sreve DIR/data",
    "serve --config DIR DIR/data",
    "serve --config /proc/self/mem DIR/data",
    "serve --config /dev/zero DIR/data",
    "serve --bind 127.0.0.1 --bind 127.0.0.1 DIR/data --check-config",
    "serve DIR/data --port",
    "serve DIR/data --port 1 --port 2",
]
HASH = "scrypt:16384:8:1:" + "00" * 16 + ":" + "00" * 32


def run(arguments: list[str], work: str) -> str:
    done = subprocess.run([servers.CAIRN, *arguments], capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode != 0, arguments
    return f"exit {done.returncode}: {(done.stdout + done.stderr).strip().replace(work, 'DIR').replace(servers.CAIRN, 'cairn')}"


def main() -> int:
    said = []
    with tempfile.TemporaryDirectory() as work:
        config, users = os.path.join(work, "cairn.toml"), os.path.join(work, "users.toml")
        def check(text: str) -> str:
            pathlib.Path(config).write_text(text, encoding="utf-8")
            return run(["serve", "--check-config", "--config", config], work)
        for text in FILES:
            given = text.replace("DIR", work)
            if not given.startswith("dir ="):
                given = f'dir = "{work}/data"\n' + given
            said.append(f"--- cairn.toml\n{text}\n=> {check(given)}")
        for text in DEEP:
            assert "nested more than 32 deep" in check(text), text[:40]
        pathlib.Path(config).write_text("# " + "[" * 40 + "\nlog_level = 'info' # ]\n", encoding="utf-8")
        fine = subprocess.run([servers.CAIRN, "serve", f"{work}/data", "--check-config", "--config", config], capture_output=True, text=True, check=False)
        assert fine.returncode == 0, fine.stderr
        pathlib.Path(config).write_bytes(b"# \xff\n")
        said.append("--- cairn.toml with a byte 0xff\n=> " + run(["serve", "--check-config", "--config", config], work))
        for text in USERS:
            pathlib.Path(users).write_text(text.replace("HASH", HASH), encoding="utf-8")
            said.append(f"--- users.toml\n{text}\n=> " + check(f'dir = "{work}/data"\nusers_file = "{users}"\n'))
        for line in COMMANDS:
            said.append(f"--- cairn {line}\n=> " + run(line.replace("DIR", work).split(), work))
    text = "\n".join(said) + "\n"
    if "--write" in sys.argv:
        GOLDEN.write_text(text, encoding="utf-8")
    elif text != GOLDEN.read_text(encoding="utf-8"):
        print(text)
        print(f"this is not what {GOLDEN} says; if it is better, run {sys.argv[0]} --write")
        return 1
    print(f"config: {len(said)} wrong inputs give the messages of wrong_input.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
