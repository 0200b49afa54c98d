#!/usr/bin/env python3
"""Whether a timeline that a git history was loaded into says what git says: the state of every path at random times, and what changed
in random windows, in order.

    tools/test_git_history.py [REPOSITORY…]    # without any: one made for the test, and this one
"""
import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAIRN = ROOT / "build/release/bin/cairn"
TIMES = 50


def git(repository, *arguments, **options):
    return subprocess.run(["git", "-C", str(repository), *arguments], stdout=subprocess.PIPE, check=True, **options).stdout


def make_repository(path):
    """Times that tie and step back, a merge, erased paths that come again, a rename, a link, an empty file, bytes that are no text."""
    git(".", "init", "-q", "-b", "main", str(path))
    chance = random.Random(5)
    names = ["README.md", "src/a.c", "src/b.c", "src.c", "a/b/c/deep", "empty", "bytes.bin", "größe", "with space"]

    def commit(message, time):
        env = {**os.environ, "GIT_COMMITTER_DATE": f"{time} +0000", "GIT_AUTHOR_DATE": f"{time} +0000"}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "somebody", f"GIT_{who}_EMAIL": "somebody@example.org"}
        git(path, "add", "-A")
        git(path, "commit", "-q", "--allow-empty", "-m", message, env=env)

    time = 1_600_000_000
    for number in range(60):
        time += chance.choice([0, 0, 1, 5, 600, -300, 40_000])
        for name in chance.sample(names, chance.randint(0, 3)):
            file = path / name
            if file.exists() and chance.random() < 0.3:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            content = {"empty": b"", "bytes.bin": bytes(chance.randrange(256) for _ in range(50))}.get(name, f"{name} {number}\n".encode())
            file.write_bytes(content)
        if number == 20:
            (path / "link").symlink_to("README.md")
            git(path, "checkout", "-q", "-b", "side")
            (path / "of-the-side").write_text("side")
            commit("on the side", time + 10)
            git(path, "checkout", "-q", "main")
            (path / "link").symlink_to("README.md")
            commit("link", time)
            git(path, "-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "merge", "-q", "--no-ff", "-m", "merge", "side",
                env={**os.environ, "GIT_COMMITTER_DATE": f"{time + 20} +0000"})
        if number == 40 and (path / "src/a.c").exists():
            git(path, "mv", "src/a.c", "src/renamed.c")
        commit(f"commit {number}", time)


class History:
    """What git says, asked commit by commit."""

    def __init__(self, repository):
        log = git(repository, "log", "--first-parent", "--reverse", "--format=%H %ct").split()
        self.commits = []  # (time in ms, {path: blob})
        self.changes = []  # (time in ms, path, whether it is there), in the order in which they are saved
        time, before = 0, {}
        for sha, committed in zip(log[::2], log[1::2]):
            time = max(time, int(committed) * 1000)
            tree = {}
            for entry in git(repository, "ls-tree", "-r", "-z", sha.decode()).split(b"\0")[:-1]:
                about, path = entry.split(b"\t", 1)
                mode, _, blob = about.split(b" ")
                if mode != b"160000":
                    tree[path] = (mode, blob)
            for path in sorted(before.keys() | tree.keys()):
                if before.get(path) != tree.get(path):
                    self.changes.append((time, path, path in tree))
            self.commits.append((time, tree))
            before = tree
        self.paths = sorted({path for _, path, _ in self.changes})
        self.blobs = {}
        names = sorted({blob for _, tree in self.commits for _, blob in tree.values()})
        out = git(repository, "cat-file", "--batch", input=b"\n".join(names) + b"\n")
        for name in names:
            head, _, out = out.partition(b"\n")
            size = int(head.split()[2])
            self.blobs[name], out = out[:size], out[size + 1:]

    def at(self, time):
        trees = [tree for when, tree in self.commits if when <= time]
        return {path: self.blobs[blob] for path, (_, blob) in (trees[-1] if trees else {}).items()}

    def changed(self, begin, end):
        last = {}
        for number, (time, path, there) in enumerate(self.changes):
            if begin <= time < end:
                last[path] = (number, time, there)
        return [(time, path) for path, (number, time, there) in sorted(last.items(), key=lambda item: item[1][0]) if there]


def bytes_of(line, name):
    return base64.b64decode(line[name + "64"]) if name + "64" in line else line[name].encode()


def cairn(*arguments, **options):
    done = subprocess.run([str(CAIRN), "timeline", *map(str, arguments), "--json"], stdout=subprocess.PIPE, check=False, **options)
    if done.returncode not in (0, 1):
        sys.exit(f"cairn timeline {arguments[0]} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(repository, work):
    history = History(repository)
    db = pathlib.Path(work) / "data"
    lines = subprocess.run([sys.executable, str(ROOT / "examples/git_history.py"), str(repository)], stdout=subprocess.PIPE, check=True).stdout
    cairn("load", db, "-", input=lines)
    chance = random.Random(7)
    first, last = history.commits[0][0], history.commits[-1][0]
    some_time = lambda: chance.choice([chance.randint(first - 1000, last + 1000), chance.choice(history.commits)[0] + chance.randint(-1, 1)])
    for _ in range(TIMES):
        time = max(some_time(), 0)
        expected = history.at(time)
        found = cairn("get", db, "--at", time, input=b"\n".join(history.paths) + b"\n")
        for path, line in zip(history.paths, found, strict=True):
            value = None if line.get("value", "") is None else bytes_of(line, "value")
            if value != expected.get(path):
                sys.exit(f"{repository}: {path} at {time}: not what git says")
    for _ in range(TIMES):
        begin, end = sorted((max(some_time(), 0), max(some_time(), 0)))
        found = [(line["time"], bytes_of(line, "key")) for line in cairn("keys", db, "", "--from", begin, "--to", end)]
        if found != history.changed(begin, end):
            sys.exit(f"{repository}: keys from {begin} to {end}: not what git says")
    print(f"git history: {len(history.commits)} commits, {len(history.changes)} saves, {len(history.paths)} paths; "
          f"{TIMES} times and {TIMES} windows are as git says")


def main():
    with tempfile.TemporaryDirectory(prefix="cairn-git-") as work:
        repositories = [pathlib.Path(given) for given in sys.argv[1:]]
        if not repositories:
            made = pathlib.Path(work) / "made"
            make_repository(made)
            repositories = [made]
            if (ROOT / ".git").exists():
                repositories.append(ROOT)
        for number, repository in enumerate(repositories):
            with tempfile.TemporaryDirectory(prefix=f"{number}-", dir=work) as each:
                check(repository, each)


main()
