#!/usr/bin/env python3
"""Runs cairn-bench workload by workload, the engines of a row one after the other, round by round, and writes what came out: the runs as
JSON, a table of ratios between marks in docs/benchmarks.md, and plots of cost against size.

    tools/bench_table.py [--n 2000000] [--rounds 3] [--rows REGEX] [--engines a,b,…] [--json FILE] [--no-docs]
    tools/bench_table.py --growth 2000000,10000000,40000000 [--memory-mb M] [--resume]
    tools/bench_table.py --shapes [--n N] [--engines a,b,…]
    tools/bench_table.py --tail SECONDS [--n N] [--engines a,b,…]
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "build/release/bin/cairn-bench"
DOCS = ROOT / "docs/benchmarks.md"
ENGINES = ["cairn", "rocksdb", "leveldb", "lmdb", "wiredtiger", "tkrzw-hash", "tkrzw-tree", "sqlite"]
ORDERED = [engine for engine in ENGINES if engine != "tkrzw-hash"]
NEAREST = ["cairn", "rocksdb", "leveldb", "lmdb"]  # The others take part in the first round alone, unless a target names them.
DURABLE = [engine for engine in ENGINES if not engine.startswith("tkrzw")]


class Row:
    """`share`: of the records asked for, or `records` of them. `targets`: what Cairn's ratio over an engine must reach; `at_most`: what its
    own figure must not exceed, for sizes a factor of keys and values as they are. `metric`: of the bench's figures."""

    def __init__(self, name, options, share=1.0, engines=None, targets=None, metric="ops_per_s", less_is_more=False, records=None, at_most=None):
        self.name, self.options, self.share, self.records = name, options, share, records
        self.engines, self.targets, self.at_most = engines or ENGINES, targets or {}, at_most
        self.metric, self.less_is_more = metric, less_is_more

    def count(self, n):
        return self.records or max(int(n * self.share), 100)


ROWS = [
    Row("fillseq", "--workload fillseq", targets={"lmdb": 2, "rocksdb": 6}),
    Row("fillrandom", "--workload fillrandom", targets={"lmdb": 2.5, "rocksdb": 7}),
    Row("fillrandom, batches of 1,000", "--workload fillrandom --batch 1000", engines=DURABLE, targets={"leveldb": 3}),
    Row("fillrandom, 10 M", "--workload fillrandom", records=10_000_000, engines=NEAREST, targets={"lmdb": 2, "rocksdb": 5}),
    Row("overwrite", "--workload overwrite", targets={"lmdb": 4}),
    Row("readrandom", "--workload readrandom", targets={"lmdb": 1.4, "rocksdb": 4.5}),
    Row("readrandom, 2 threads", "--workload readrandom --threads 2", targets={"lmdb": 1.3}),
    Row("readrandom, 10 M", "--workload readrandom", records=10_000_000, engines=NEAREST, targets={"lmdb": 1.5}),
    # 1.3 x RocksDB with mmap, which was 1.16 x RocksDB without on the machine the targets come from.
    Row("readmissing", "--workload readmissing", targets={"rocksdb": 1.5}),
    Row("seekrandom (11 entries)", "--workload seekrandom", 0.5, ORDERED, {"lmdb": 1}),
    Row("scan", "--workload scan", engines=ORDERED, targets={"lmdb": 1}),
    Row("readwhilewriting, reads", "--workload readwhilewriting", 0.25, targets={"lmdb": 1.2}),
    Row("readwhilewriting, writes", "--workload readwhilewriting", 0.25, targets={"lmdb": 3}, metric="writes_per_s"),
    Row("fillsync", "--workload fillsync", 0.0015, targets={"wiredtiger": 1.2}),
    Row("fillsync, 8 threads", "--workload fillsync --threads 8", 0.006, targets={"leveldb": 1.5}),
    Row("values of 4 KiB, put", "--workload fillrandom --value-bytes 4096", 0.1, targets={"tkrzw-hash": 2}),
    Row("values of 4 KiB, get", "--workload readrandom --value-bytes 4096", 0.1, targets={"lmdb": 1}),
    Row("reopen after a kill, ms", "--workload reopen", metric="open_ms", less_is_more=True, engines=DURABLE),
    # 64 MiB of log, which is what a memtable takes, and a quarter of it.
    Row("the same, 430,000 records: a full memtable", "--workload reopen", records=430_000, metric="open_ms", less_is_more=True, engines=DURABLE, at_most=100),
    Row("the same, 107,000 records: a quarter", "--workload reopen", records=107_000, metric="open_ms", less_is_more=True, engines=DURABLE, at_most=30),
    Row("disk after fillrandom and compaction, MB", "--workload fillrandom --settled", metric="disk_bytes", less_is_more=True, at_most=310 / 221),
    Row("the same with lz4", "--workload fillrandom --settled --compression lz4", metric="disk_bytes", less_is_more=True, engines=["cairn", "rocksdb"], at_most=190 / 221),
]
RECORD_BYTES = 16 + 100

SHAPES = [
    Row("keys user000000012345, fillrandom", "--workload fillrandom --keys user12"),
    Row("keys user000000012345, readrandom", "--workload readrandom --keys user12"),
    Row("in order behind a full table", "--workload append"),
    Row("a queue", "--workload queue --seconds 60", 2, ORDERED),
    Row("a hot key, overwritten", "--workload hotkey --seconds 60"),
    Row("one value in 100 of 64 KiB", "--workload fillrandom --large-value-bytes 65536", 0.2),
    Row("overwrite under a held scan", "--workload heldscan --seconds 60", engines=ORDERED),
]


def in_cgroup(memory_mb):
    """What a child does to run with so little memory, its page cache included (cgroup v2 or v1)."""
    if not memory_mb:
        return None
    base = pathlib.Path("/sys/fs/cgroup")
    unified = (base / "cgroup.controllers").exists()
    group = (base if unified else base / "memory") / "cairn-bench"
    group.mkdir(exist_ok=True)
    (group / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(memory_mb << 20))
    return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))


def run(options, engine, records, memory_mb):
    command = [str(BENCH), "table", "--engine", engine, "--n", str(records), "--dir", str(ROOT / "build/bench"), *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=in_cgroup(memory_mb))
    if done.returncode != 0:
        print(f"  {' '.join(command[1:])}: {done.stderr.strip() or done.returncode}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def measure(rows, engines, n, rounds):
    """After each round {row name: {engine: [figures of each round]}}; rows that are one workload share its runs."""
    shared = {}
    for number in range(rounds):
        for row in rows:
            for engine in [e for e in row.engines if e in engines and (number == 0 or e in NEAREST or e in row.targets)]:
                runs = shared.setdefault((row.options, row.count(n)), {}).setdefault(engine, [])
                if len(runs) > number:
                    continue
                runs.append(run(row.options, engine, row.count(n), 0))
                print(f"round {number + 1}: {row.name}, {engine}: {runs[-1] and runs[-1].get(row.metric)}", file=sys.stderr)
        yield {row.name: {e: [r for r in runs if r] for e, runs in shared[(row.options, row.count(n))].items()} for row in rows}


def middle(runs, metric):
    return statistics.median(run[metric] for run in runs)


def spread(runs, metric):
    values = [run[metric] for run in runs]
    return (max(values) - min(values)) / statistics.median(values) if len(values) > 1 else 0


def number(value, row):
    if row.metric == "disk_bytes":
        return f"{value / 1e6:,.0f}"
    return f"{value:,.1f}" if row.metric == "open_ms" else f"{value / 1e3:,.0f} k" if value >= 1e4 else f"{value:,.0f}"


def within(row, n, ours):
    """What its own figure must not exceed, and whether it does not."""
    raw = row.count(n) * RECORD_BYTES if row.metric == "disk_bytes" else 1
    said = f"at most {row.at_most:.2f} x raw" if row.metric == "disk_bytes" else f"at most {row.at_most}"
    return said + (": met" if ours <= row.at_most * raw else "")


def table(rows, results, engines, n):
    peers = [engine for engine in engines if engine != "cairn"]
    lines = ["| workload | Cairn | " + " | ".join(peers) + " | must reach | written, MB | disk, MB | resident, MB | of it anonymous |",
             "|---|---|" + "---|" * len(peers) + "---|---|---|---|---|"]
    for row in rows:
        of = results[row.name]
        if not of.get("cairn"):
            continue
        ours = middle(of["cairn"], row.metric)
        cells = [row.name, f"{number(ours, row)} ±{spread(of['cairn'], row.metric) * 50:.0f} %"]
        ratios = {}
        for peer in peers:
            if not of.get(peer):
                cells.append("")
                continue
            theirs = middle(of[peer], row.metric)
            ratios[peer] = theirs / ours if row.less_is_more else ours / theirs if theirs else 0
            cells.append(f"{ratios[peer]:.2f} x" + (f" ±{spread(of[peer], row.metric) * 50:.0f} %" if len(of[peer]) > 1 else ""))
        wanted = [f"{factor} x {peer}{': met' if ratios[peer] >= factor else ''}" for peer, factor in row.targets.items() if peer in ratios]
        if row.at_most:
            wanted.append(within(row, n, ours))
        last = of["cairn"][-1]
        cells += [", ".join(wanted), *(f"{last[name] / 1e6:,.0f}" for name in ("written_bytes", "disk_bytes", "peak_rss_bytes", "anonymous_bytes"))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def into_docs(mark, text):
    """Puts `text` between the marks of that name."""
    begin, end = f"<!-- {mark}: written by tools -->", f"<!-- end of {mark} -->"
    docs = DOCS.read_text()
    if begin not in docs:
        sys.exit(f"{DOCS} has no mark '{begin}'")
    head, rest = docs.split(begin, 1)
    DOCS.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])


def plot(path, title, series):
    """Lines of cost (microseconds an operation) against records, both on logarithmic axes, as SVG."""
    import math

    width, height, left, bottom = 640, 360, 60, 40
    points = [point for line in series.values() for point in line]
    x0, x1 = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points) * 1.01)
    y0, y1 = math.log10(min(y for _, y in points) / 1.3), math.log10(max(y for _, y in points) * 1.3)

    def place(x, y):
        return (left + (math.log10(x) - x0) / (x1 - x0) * (width - left - 120), height - bottom - (math.log10(y) - y0) / (y1 - y0) * (height - bottom - 30))

    colours = ["#0b6", "#c33", "#36c", "#b70", "#777", "#909", "#099", "#550"]
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#fff"/><text x="{left}" y="18">{title}: µs an operation, by records</text>']
    for x in sorted({x for x, _ in points}):
        at, _ = place(x, points[0][1])
        svg.append(f'<line x1="{at:.0f}" y1="30" x2="{at:.0f}" y2="{height - bottom}" stroke="#eee"/><text x="{at:.0f}" y="{height - 20}" text-anchor="middle">{x / 1e6:g} M</text>')
    for exponent in range(math.floor(y0 * 3), math.ceil(y1 * 3) + 1):
        y = 10 ** (exponent / 3)
        if not y0 <= math.log10(y) <= y1:
            continue
        _, at = place(points[0][0], y)
        svg.append(f'<line x1="{left}" y1="{at:.0f}" x2="{width - 120}" y2="{at:.0f}" stroke="#eee"/><text x="{left - 6}" y="{at + 4:.0f}" text-anchor="end">{y:.2g}</text>')
    for i, (name, line) in enumerate(series.items()):
        places = [place(x, y) for x, y in sorted(line)]
        path_of = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        svg.append(f'<polyline points="{path_of}" fill="none" stroke="{colours[i]}" stroke-width="2"/>')
        svg.append(f'<text x="{places[-1][0] + 6:.0f}" y="{places[-1][1] + 4:.0f}" fill="{colours[i]}">{name}</text>')
    path.write_text("\n".join([*svg, "</svg>", ""]))


GROWTH = [("fill", "random puts"), ("get", "random gets"), ("seek", "a seek and ten nexts")]


def grow(sizes, engines, memory_mb, docs, resume):
    """What random puts, gets and seeks cost at each of the sizes; gets and seeks for 20 s each. Hours, so what was measured is kept as
    it comes, and to `resume` is to measure what is not; what failed or is null there counts as measured."""
    series = {kind: {} for kind, _ in GROWTH}
    kept_in = ROOT / f"build/bench-growth{'-memory' if memory_mb else ''}.json"
    kept = json.loads(kept_in.read_text()) if resume and kept_in.exists() else {}
    limit = f" --memory-bytes {memory_mb << 20}" if memory_mb else ""
    for size in sizes:
        for engine in engines:
            name = f"{size} {engine} {memory_mb}"
            if name not in kept:
                kept[name] = run("--workload growth --seconds 20" + limit, engine, size, memory_mb)
                kept_in.write_text(json.dumps(kept, indent=1))
            figures = kept[name]
            for kind, _ in GROWTH if figures else []:
                series[kind].setdefault(engine, []).append((size, 1e6 / figures[f"{kind}_ops_per_s"]))
            print(f"{size}, {engine}: {figures and [figures[f'{kind}_ops_per_s'] for kind, _ in GROWTH]}", file=sys.stderr)
    text = []
    for kind, title in GROWTH:
        name = f"growth-{kind}{'-memory' if memory_mb else ''}.svg"
        title += f", {memory_mb} MiB of memory" if memory_mb else ""
        if docs:
            plot(ROOT / "docs" / name, title, series[kind])
        text += [f"![{title}]({name})", "", f"| {title}, records | " + " | ".join(series[kind]) + " |", "|---|" + "---|" * len(series[kind])]
        for size in sizes:
            costs = [next((f"{y:.2f} µs" for x, y in line if x == size), "") for line in series[kind].values()]
            text.append(f"| {size:,} | " + " | ".join(costs) + " |")
        text.append("")
    print("\n".join(text))
    if docs:
        into_docs("growth in little memory" if memory_mb else "growth", "\n".join(text).rstrip())


def tenths(row, of):
    """How a workload's throughput went along, engine by engine."""
    lines = [f"{engine}: " + ", ".join(f"{figure / 1e3:,.0f}" for figure in runs[-1]["tenths_ops_per_s"]) for engine, runs in of.items() if runs and runs[-1]["tenths_ops_per_s"]]
    return f"*{row.name}*, thousand operations per second in each tenth: " + "; ".join(lines) + "."


def tail(seconds, n, engines, docs):
    """Random puts at 70 % of what each engine sustains, and the first of them at the others' rate too; a latency counts from when its put
    should have begun."""
    lines = [f"{n:,} keys, {seconds} s.", "", "| | sustained, puts/s | puts/s | p50 | p99 | p99.9 | longest | disk, MB |", "|---|---|---|---|---|---|---|---|"]
    rates = {}

    def paced(engine, name, sustained, rate):
        figures = run(f"--workload overwrite --seconds {seconds} --rate {rate}", engine, n, 0)
        if figures:
            us = [f"{figures[each] / 1e3:,.1f} µs" for each in ("p50_ns", "p99_ns", "p999_ns")]
            lines.append(f"| {name} | {sustained} | {rate:,} | " + " | ".join(us) + f" | {figures['max_ns'] / 1e6:,.0f} ms | {figures['disk_bytes'] / 1e6:,.0f} |")
            print(lines[-1], file=sys.stderr)

    for engine in engines:
        sustained = run(f"--workload overwrite --seconds {max(seconds // 5, 10)}", engine, n, 0)
        if sustained:
            rates[engine] = int(sustained["ops_per_s"] * 0.7)
            paced(engine, engine, f"{sustained['ops_per_s']:,}", rates[engine])
    others = [rate for engine, rate in rates.items() if engine != engines[0]]
    if engines[0] in rates and others:
        paced(engines[0], f"{engines[0]}, at the others' rate", "", max(others))
    text = "\n".join(lines)
    print(text)
    if docs:
        into_docs("tail", text)


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("--n", type=int, default=2_000_000)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--rows", default="")
    # SQLite's puts take 0.1 ms in a table of this size.
    parse.add_argument("--engines", default=",".join(engine for engine in ENGINES if engine != "sqlite"))
    parse.add_argument("--json", default=str(ROOT / "build/bench-table.json"))
    parse.add_argument("--no-docs", action="store_true")
    parse.add_argument("--growth", default="")
    parse.add_argument("--memory-mb", type=int, default=0)
    parse.add_argument("--resume", action="store_true")
    parse.add_argument("--shapes", action="store_true")
    parse.add_argument("--tail", type=int, default=0)
    said = parse.parse_args()
    engines = said.engines.split(",")
    if said.growth:
        return grow([int(size) for size in said.growth.split(",")], engines, said.memory_mb, not said.no_docs, said.resume)
    if said.memory_mb or said.resume:
        parse.error("--memory-mb and --resume go with --growth")
    if said.tail:
        return tail(said.tail, said.n, engines, not said.no_docs)
    rows = [row for row in (SHAPES if said.shapes else ROWS) if re.search(said.rows, row.name)]
    for rounds, results in enumerate(measure(rows, engines, said.n, said.rounds), 1):
        kept = {row.name: {"metric": row.metric, "less_is_more": row.less_is_more, "engines": results[row.name]} for row in rows}
        pathlib.Path(said.json).write_text(json.dumps({"n": said.n, "rounds": rounds, "rows": kept}, indent=1))
    text = f"{said.n:,} records, {rounds} rounds; ± is half of the range of the rounds.\n\n" + table(rows, results, engines, said.n)
    if said.shapes:
        text += "\n\n" + "\n".join(tenths(row, results[row.name]) for row in rows if "tenths_ops_per_s" in results[row.name]["cairn"][-1])
    print(text)
    if not said.no_docs and not said.rows:  # Some rows are no table.
        into_docs("shapes" if said.shapes else "table", text)


if __name__ == "__main__":
    main()
