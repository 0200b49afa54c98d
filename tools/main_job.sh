#!/usr/bin/env bash
# The main job, on real data: the package index of this machine in a table (load, get, scan, find, snapshot, kill, reopen,
# compact, verify, checkpoint, repair), the history of this repository in a timeline, the index as a ledger over forks, and the
# timeline behind a Redis-compatible server. At a terminal the server then runs until Ctrl-C; with --once, or without a
# terminal, redis-cli tries it and the job ends. It exits with a code other than 0 if anything is not as it must be.
set -euo pipefail
cd "$(dirname "$0")/.."
once=${1:-}
[ -t 0 ] && [ -t 1 ] || once=--once
bin=build/release/bin
work=build/run
db=$work/data
rm -rf "$work"
mkdir -p "$work"
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
wrong() { echo "WRONG: $*"; exit 1; }
ms() { date +%s%3N; }

step "Reading the package index of this machine"
if [ -z "$(apt-cache dumpavail 2>/dev/null | head -c 1)" ]; then
  { if [ "$(id -u)" = 0 ]; then apt-get update; else sudo apt-get update; fi; } >/dev/null 2>&1 || true
fi
apt-cache dumpavail >"$work/index" 2>/dev/null || true
source_name="apt-cache dumpavail"
if [ ! -s "$work/index" ]; then cp /var/lib/dpkg/status "$work/index"; source_name=/var/lib/dpkg/status; fi
examples/package_index.py <"$work/index" >"$work/packages.tsv"
lines=$(wc -l <"$work/packages.tsv")
bytes=$(stat -c %s "$work/packages.tsv")
echo "$source_name: $lines packages, $((bytes / 1048576)) MiB; each is a line of name, TAB and JSON:"
head -c 150 "$work/packages.tsv"; echo " …"

step "Loading them into a table, durably"
$bin/cairn table create "$db" --index section:24:json:/Section
begin=$(ms)
$bin/cairn table load "$db" "$work/packages.tsv"
load_ms=$(($(ms) - begin))
echo "$((lines * 1000 / (load_ms + 1))) packages per second; each batch was on the device before the next began"

step "Reading: get, prefix scan, term index, snapshot"
key=$(head -1 "$work/packages.tsv" | cut -f 1)
$bin/cairn table get "$db" "$key" | head -c 200; echo " …"
echo "packages whose name begins with 'lib': $($bin/cairn table scan "$db" --prefix lib | wc -l); the first three:"
$bin/cairn table scan "$db" --prefix lib --limit 3 | cut -c1-100
section=$($bin/cairn table get "$db" "$key" | sed 's/.*"Section":"\([^"]*\)".*/\1/')
in_section=$($bin/cairn table find "$db" section "$section" | wc -l)
echo "the term index finds $in_section packages in section '$section'"
[ "$in_section" = "$(grep -cF '"Section":"'"$section"'"' "$work/packages.tsv")" ] || wrong "the input has another number of them"
$bin/cairn table apply "$db" - <<OPERATIONS | cut -c1-100
snapshot before
put "$key" "changed"
get "$key"
get "$key" @before
OPERATIONS

step "Crash safety: a second load is killed (kill -9) half-way"
half=$((lines / 2))
: >"$work/acknowledged"
$bin/cairn table load "$db" "$work/packages.tsv" --table second --ack >"$work/acknowledged" 2>"$work/load.log" &
loader=$!
while [ "$(wc -l <"$work/acknowledged")" -lt "$half" ] && kill -0 $loader 2>/dev/null; do sleep 0.02; done
{ kill -9 $loader || true; wait $loader || true; } 2>/dev/null
# The kill may have cut the last line off; the lines before it are complete acknowledgements.
head -n "$(wc -l <"$work/acknowledged")" "$work/acknowledged" | sed 's/^"\(.*\)"$/\1/' >"$work/keys"
acknowledged=$(wc -l <"$work/keys")
begin=$(ms)
$bin/cairn table get "$db" --table second <"$work/keys" >"$work/found" 2>"$work/reopen.log" || {
  wrong "an acknowledged key is lost"; }
reopen_ms=$(($(ms) - begin))
cat "$work/reopen.log"
found=$(wc -l <"$work/found")
echo "$acknowledged keys were acknowledged before the kill; after the reopen $found of them are found"
[ "$found" = "$acknowledged" ]

step "Compacting and verifying"
$bin/cairn table compact "$db"
$bin/cairn table compact "$db" --table second
$bin/cairn verify "$db"
$bin/cairn table stats "$db"

step "A checkpoint taken while another database is loaded"
$bin/checkpoint_while_loading "$work/loading" "$work/checkpoint" "$work/packages.tsv"
$bin/cairn verify "$work/checkpoint"

step "Repair: the manifest of a copy is deleted"
cp -r "$db" "$work/damaged"
rm "$work"/damaged/manifest-*
$bin/cairn repair "$work/damaged" "$work/repaired" || [ $? = 5 ]  # Exit code 5: the repair found damage.
repaired=$($bin/cairn table scan "$work/repaired" | wc -l)
echo "the repaired table has $repaired of $lines packages"
[ "$repaired" = "$lines" ]

step "Time travel: the history of this repository in a timeline"
history=$work/history
saves=0
if git rev-parse --git-dir >/dev/null 2>&1; then
  examples/git_history.py . >"$work/history.jsonl"
  $bin/cairn timeline load "$history" "$work/history.jsonl"
  saves=$(wc -l <"$work/history.jsonl")
  mapfile -t times < <(git log --first-parent --reverse --format=%ct -- README.md)
  for at in "${times[0]}" "${times[$((${#times[@]} / 2))]}" "${times[-1]}"; do
    when=$(date -u -d "@$at" +%Y-%m-%dT%H:%M:%SZ)
    echo "README.md at $when: $($bin/cairn timeline get "$history" README.md --at "$when" | wc) (lines, words, bytes)"
  done
  end=${times[-1]}
  echo "files changed in the week before that: $($bin/cairn timeline keys "$history" "" --from $(((end - 604800) * 1000)) --to $((end * 1000)) | wc -l); the first three:"
  # In a clone with one commit there is no other change.
  $bin/cairn timeline keys "$history" "" --from $(((end - 604800) * 1000)) --to $((end * 1000)) --limit 3 || [ $? = 1 ]
  echo "saves of README.md: $($bin/cairn timeline history "$history" README.md | wc -l)"
  before=$($bin/cairn timeline keys "$history" "" | wc -l)
  $bin/cairn timeline rollback "$history" $((times[0] * 1000))
  echo "files now, and after a rollback to the first README.md: $before, $($bin/cairn timeline keys "$history" "" | wc -l)"
  $bin/cairn timeline undo "$history"
  after=$($bin/cairn timeline keys "$history" "" | wc -l)
  echo "after the undo: $after"
  [ "$after" = "$before" ] || {  wrong "the undo did not bring everything back"; }
  $bin/cairn timeline stats "$history"
else
  echo "this directory is not a git repository: no history to load"
fi

step "Forks: the package index as a ledger of payments, in blocks that compete"
$bin/ledger "$work/ledger" "$work/snapshot" "$work/restarted" <"$work/index" >"$work/ledger.log" || { cat "$work/ledger.log"; exit 1; }
cat "$work/ledger.log"
grep -q "^WRONG" "$work/ledger.log" && exit 1
$bin/cairn forks stats "$work/restarted" --forks ledger
$bin/cairn verify "$work/restarted"

stored=$(du -sb "$db" | cut -f1)
step "Summary"
printf '  %-34s %s\n' "packages loaded" "$lines in $load_ms ms" \
  "acknowledged before the kill" "$acknowledged" "found after it" "$found (open and $found gets: $reopen_ms ms)" \
  "packages after repair" "$repaired" "saves in the timeline" "$saves" \
  "input / on disk" "$((bytes / 1048576)) MiB / $((stored / 1048576)) MiB" "damage" "none"
step "Serving the timeline to Redis clients and over HTTP"
port=7379
http=7380
if [ "$once" = --once ]; then
  read -r port http < <(python3 -c 'import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])')
fi
$bin/cairn serve "$history" --port $port --http-port $http 2>"$work/serve.log" &
server=$!
end_server() { kill -TERM $server 2>/dev/null || true; wait $server 2>/dev/null || true; }
trap 'end_server; rm -rf "$work"' EXIT
for _ in $(seq 200); do redis-cli -p $port PING >/dev/null 2>&1 && break; sleep 0.05; done
redis-cli -p $port PING >/dev/null || { cat "$work/serve.log"; exit 1; }
if [ "$once" != --once ]; then
  cat <<LINES
Cairn listens on 127.0.0.1:$port (Redis) and 127.0.0.1:$http (HTTP). Paste into another terminal:
  redis-cli -p $port SET greeting hello
  then=\$(date +%s%3N)
  redis-cli -p $port FLUSHALL
  redis-cli -p $port TL.ROLLBACK \$then
  redis-cli -p $port GET greeting
  redis-cli -p $port TL.HISTORY README.md
  curl http://127.0.0.1:$http/api/v1/stats

The data is in $db and $history until you press Ctrl-C.
LINES
  trap 'exit 0' INT TERM
  wait $server || { cat "$work/serve.log"; exit 1; }
  exit 0
fi
ask() { redis-cli -p $port "$@"; }
expect() { [ "$1" = "$2" ] || wrong "$3 gave '$1', not '$2'"; }
expect "$(ask SET greeting hello)" OK "SET"
expect "$(ask SET greeting goodbye)" OK "SET"
expect "$(ask TL.HISTORY greeting | grep -c .)" 4 "TL.HISTORY"
then=$(ask TL.HISTORY greeting | head -1)
expect "$(ask TL.GETAT greeting "$then")" hello "TL.GETAT"
expect "$(printf 'MULTI\nINCR visits\nINCR visits\nEXEC\n' | ask | tail -1)" 2 "EXEC"
expect "$(ask TL.ROLLBACK "$then" | cut -d" " -f1)" OK "TL.ROLLBACK"
expect "$(ask GET greeting)" hello "GET after the rollback"
expect "$(ask TL.UNDO)" OK "TL.UNDO"
expect "$(ask GET greeting)" goodbye "GET after the undo"
expect "$(python3 -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$http/healthz').read().decode().strip())")" ok "/healthz"
if [ "$saves" != 0 ]; then echo "saves of README.md, over the network: $(ask TL.HISTORY README.md | grep -cE '^[0-9]+-[0-9]+$')"; fi
end_server
echo "redis-cli stored, read the past, rolled back and undid; the server ended: $(tail -1 "$work/serve.log" | sed 's/^[^ ]* //')"
