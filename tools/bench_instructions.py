#!/usr/bin/env python3
"""Counts the instructions of a put, a get, a get of an absent key and a step of a scan with callgrind, in the caller's thread, and fails when one takes
more than 5 % more than bench/instructions.json says. --write makes the counts of this build the ones to keep, there and in docs/benchmarks.md.
"""
import json
import re
import subprocess
import sys

from bench_table import BENCH, ROOT, into_docs

RECORDS = 20_000
COUNTED = {
    "put": ("fillrandom", "put"),
    "get, settled": ("readrandom --settled", "get"),
    "get, in the memtable": ("readrandom", "get"),
    "get of an absent key": ("readmissing --settled", "get"),
    "next, settled": ("scan --settled", "walk"),
    "next, in the memtable": ("scan", "walk"),
}
GROWTH_MAX = 1.05
KEPT = ROOT / "bench/instructions.json"


def count(workload, function):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--toggle-collect=*CairnSession::{function}(*", str(BENCH),
               "table", "--engine", "cairn", "--n", str(RECORDS), "--dir", str(ROOT / "build/bench"), "--workload", *workload.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not collected:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return round(int(collected[1]) / RECORDS)


def main():
    now = {name: count(*what) for name, what in COUNTED.items()}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, instructions in now.items():
        print(f"{name}: {instructions}" + (f", kept {kept[name]}" if name in kept else ""))
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(now, indent=1) + "\n")
        into_docs("instructions", "| | instructions |\n|---|---|\n" + "\n".join(f"| {name} | {instructions:,} |" for name, instructions in now.items()))
        return
    grown = [name for name, instructions in now.items() if name in kept and instructions > kept[name] * GROWTH_MAX]
    if grown:
        sys.exit(f"more than {GROWTH_MAX} times as many as were kept: {', '.join(grown)}")


if __name__ == "__main__":
    main()
