#!/usr/bin/env bash
# Runs each fuzz target over the corpus: fuzz.sh SECONDS. Finds go to build/fuzz/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
for name in segment sealed ingest manifest json_term resp rdb forks owner; do
  work=build/fuzz/$name
  mkdir -p "$work"
  build/clang/bin/fuzz_$name -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$work/found-" "$work" "tests/fuzz/corpus/$name" >"build/fuzz/$name.log" 2>&1 || {
    tail -30 "build/fuzz/$name.log"; echo "fuzzing $name failed; the input is in $work/"; exit 1; }
  echo "fuzz $name: $(sed -n 's/.*number_of_executed_units: *//p' "build/fuzz/$name.log") inputs in $seconds s, no failure"
done
