#!/usr/bin/env python3
"""The Debian package index as lines for `cairn table load`: the package name, a TAB, and the stanza as a JSON object.

    apt-cache dumpavail | examples/package_index.py | cairn table load DIR -
"""
import json
import sys


def stanzas(lines):
    """Yields each stanza as a dict; a continued line is joined to its field by a line feed."""
    stanza, field = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            yield stanza
            stanza, field = {}, None
        elif line[0] in " \t":
            if field is not None:
                stanza[field] += "\n" + line[1:]
        elif ":" in line:
            field, value = line.split(":", 1)
            stanza[field] = value.lstrip(" ")
    yield stanza


sys.stdin.reconfigure(errors="replace")
for each in stanzas(sys.stdin):
    if "Package" in each:
        print(each["Package"] + "\t" + json.dumps(each, ensure_ascii=False, separators=(",", ":")))
