#!/usr/bin/env bash
# The documentation is true: every C++ example compiles without warnings, every file and link that it names exists, sessions
# print what is shown, and configurations can be used.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work" <<'PYTHON'
import pathlib, re, sys
work = pathlib.Path(sys.argv[1])
count = 0
problems = []
for page in [pathlib.Path("README.md"), pathlib.Path("CONTRIBUTING.md"), *sorted(pathlib.Path("docs").rglob("*.md"))]:
    text = page.read_text()
    for body in re.findall(r"```cpp\n(.*?)```", text, re.S):
        if "#include" not in body:
            body = "#include <cairn/cairn.h>\ncairn::Result<void> example() {\n" + body + "\nreturn {};\n}\n"
        (work / f"example{count}.cc").write_text(f"// {page}\n" + body)
        count += 1
    prose = re.sub(r"```.*?```", "", text, flags=re.S)  # In code, [](T x) is a function.
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if "://" not in target and not (page.parent / target).exists():
            problems.append(f"{page}: links to {target}, which is not there")
    for path in re.findall(r"`((?:src|docs|tools|tests|include|examples|bench|cmake)/[A-Za-z0-9_./-]+)`", text):
        if not pathlib.Path(path).exists():
            problems.append(f"{page}: names {path}, which is not there")
print("\n".join(problems), end="\n" if problems else "")
sys.exit(1 if problems else 0)
PYTHON
flags=(-std=c++23 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only -Iinclude)
for example in "$work"/*.cc; do
  [ -f "$example" ] || continue
  for compiler in g++-12 clang++-19; do
    "$compiler" "${flags[@]}" "$example" || { head -1 "$example"; exit 1; }
  done
done
echo "docs: $(find "$work" -name '*.cc' | wc -l) examples compile with GCC 12 and clang 19, links and paths exist"
[ -n "${CAIRN_DOCS_COMMAND:-}" ] || CAIRN_DOCS_COMMAND=build/clang/bin/cairn
tools/run_docs.py "$CAIRN_DOCS_COMMAND"
