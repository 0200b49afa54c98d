#!/usr/bin/env bash
# ./dev check, after the clang build (which is the thread-safety analysis): format, structure, clang-tidy, docs, fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

git ls-files '*.cc' '*.h' | xargs clang-format-19 --dry-run -Werror
echo "format: clang-format-19 has nothing to change"
python3 tools/structure.py

shellcheck -S warning dev .ci/run tools/*.sh tests/packaging/*.sh packaging/completion/cairn.bash
echo "shellcheck: nothing found"

# clang-tidy: what the last commit or the work tree changed; everything with CAIRN_TIDY=all.
if [ "${CAIRN_TIDY:-changed}" = all ] || ! base=$(git rev-parse -q --verify "${CAIRN_TIDY_BASE:-HEAD~1}"); then
  changed=$(git ls-files 'src/*.cc')
else
  changed=$({ git diff --name-only --diff-filter=d "$base"; } | grep -E '^src/.*\.(cc|h)$' | sed 's/\.h$/.cc/' | sort -u || true)
  changed=$(for file in $changed; do [ ! -f "$file" ] || echo "$file"; done)
fi
if [ -n "$changed" ]; then
  # shellcheck disable=SC2086
  printf '%s\n' $changed | sed '/simulated/d' | xargs -r -P 2 -n 1 clang-tidy-19 -p build/clang --quiet 2>/dev/null
fi
echo "clang-tidy: $(echo "$changed" | wc -w) files, nothing found"

# Dropping the answer of a call that can fail is a warning of both compilers without any flag.
for compiler in g++-12 clang++-19; do
  seen=$("$compiler" -std=c++23 -Iinclude -fsyntax-only tests/compile/dropped_result.cc 2>&1 | grep -c 'warning:.*nodiscard' || true)
  [ "$seen" = "$(grep -c '// dropped$' tests/compile/dropped_result.cc)" ] || {
    echo "tests/compile/dropped_result.cc: $compiler warns of $seen lines, not of each that is marked"; exit 1; }
  ! "$compiler" -std=c++23 -Iinclude -Werror -fsyntax-only tests/compile/dropped_result.cc 2>/dev/null || {
    echo "tests/compile/dropped_result.cc compiles with $compiler -Werror"; exit 1; }
done
echo "dropped results: refused by both compilers"
tools/check_docs.sh
tools/fuzz.sh 20
