#!/usr/bin/env python3
"""A git history as lines for `cairn timeline load`: key = path, time = commit time, value = content; a deletion erases.

    examples/git_history.py REPOSITORY | cairn timeline load DIR -

The history is that of the first parents, oldest first. Committer times that lie before those of the parent are raised to them.
"""
import argparse
import base64
import json
import subprocess
import sys


class Blobs:
    """Reads objects from one `git cat-file --batch`."""

    def __init__(self, repository):
        self.git = subprocess.Popen(["git", "-C", repository, "cat-file", "--batch"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, name):
        self.git.stdin.write(name + b"\n")
        self.git.stdin.flush()
        size = int(self.git.stdout.readline().split()[2])
        content = self.git.stdout.read(size)
        self.git.stdout.read(1)
        return content


def put_bytes(line, name, content):
    try:
        line[name] = content.decode("utf-8")
    except UnicodeDecodeError:
        line[name + "64"] = base64.b64encode(content).decode("ascii")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository")
    parser.add_argument("revision", nargs="?", default="HEAD")
    arguments = parser.parse_args()
    blobs = Blobs(arguments.repository)
    # -z: paths as they are. A commit is "commit TIME", then for each path ":modes blobs status" and the path.
    log = subprocess.run(["git", "-C", arguments.repository, "log", "-z", "--first-parent", "-m", "--reverse", "--raw", "--no-renames",
                          "--no-abbrev", "--format=commit %ct", arguments.revision], stdout=subprocess.PIPE, check=True).stdout
    time_ms = 0
    parts = iter(log.split(b"\0"))
    for part in parts:
        part = part.lstrip(b"\n")
        if part.startswith(b"commit "):
            head, _, part = part.partition(b"\n")
            time_ms = max(time_ms, int(head.split()[1]) * 1000)
            part = part.lstrip(b"\n")
        if not part:
            continue
        _, new_mode, _, blob, status = part.lstrip(b":").split(b" ")
        line = {"time": time_ms}
        put_bytes(line, "key", next(parts))
        if new_mode == b"160000":
            continue  # Another repository.
        if status == b"D":
            line["erased"] = True
        else:
            put_bytes(line, "value", blobs.read(blob))
        sys.stdout.write(json.dumps(line) + "\n")


main()
