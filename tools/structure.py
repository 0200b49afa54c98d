#!/usr/bin/env python3
"""The structure of the house, checked: rooms include only from floors below, functions and files stay short.

Floors are those of CONTRIBUTING.md. A ratchet, not a ruler: what is longer today stands in EXCEPTIONS with its length and
may only shrink.
"""
import pathlib
import re
import sys

FLOOR = {"base": 0, "storage": 1, "segment": 2, "sealed": 2, "directory": 3, "table": 4, "timeline": 4, "forks": 4, "database": 5, "objects": 6, "text": 6, "server": 7, "cli": 8}
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70
EXCEPTIONS: dict[str, int] = {}

problems = []
root = pathlib.Path(__file__).resolve().parent.parent


def check_includes(path: pathlib.Path, room: str) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'#include "([a-z]+)/', line)
        if not found or found[1] in (room, "cairn"):
            continue
        other = found[1]
        if other not in FLOOR:
            problems.append(f"{path}:{number}: includes from an unknown room '{other}'")
        elif FLOOR[other] >= FLOOR[room]:
            problems.append(f"{path}:{number}: {room} (floor {FLOOR[room]}) includes from {other} (floor {FLOOR[other]})")


def check_lengths(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    if len(lines) > EXCEPTIONS.get(str(path), FILE_LINES_MAX):
        problems.append(f"{path}: {len(lines)} lines, more than {FILE_LINES_MAX}")
    # A function body: from a line that ends in "{" and is indented by 0 or 2, to the "}" of the same indentation.
    opened = None
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if indent > 2:
            continue
        if re.search(r"\)[^;]*\{$", line) and not line.lstrip().startswith(("namespace", "class", "struct", "enum", "#", "if", "for", "while")):
            opened = (number, indent)
        elif opened and line.strip() in ("}", "};") and indent == opened[1]:
            length = number - opened[0] + 1
            name = f"{path}:{opened[0]}"
            if length > EXCEPTIONS.get(name, FUNCTION_LINES_MAX):
                problems.append(f"{name}: a function of {length} lines, more than {FUNCTION_LINES_MAX}")
            opened = None


def check_discards(path: pathlib.Path) -> None:
    """A Result that is dropped says why, on the line or in the comment above the statements it stands among."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if re.search(r"\(void\)\s*[\w(*:]", line):
            problems.append(f"{path}:{number}: '(void)' drops an answer: handle it, or ignore_error() with a comment that says why")
        if ".ignore_error()" in line and not any("//" in near for near in lines[max(0, number - 6):number]):
            problems.append(f"{path}:{number}: ignore_error() without a comment that says why")


for folder in ("src", "include", "tests", "bench", "examples"):
    for path in sorted((root / folder).rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        relative = path.relative_to(root)
        check_lengths(relative if pathlib.Path.cwd() == root else path)
        if folder == "src":
            check_includes(relative, relative.parts[1])
            check_discards(relative)

for path in sorted((root / "include").rglob("*.h")):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith('#include "') and not line.startswith('#include "cairn/'):
            problems.append(f"{path.relative_to(root)}:{number}: a public header includes from src")

print("\n".join(problems) if problems else "structure: floors, file and function lengths hold; no answer is dropped without a reason")
sys.exit(1 if problems else 0)
