#!/usr/bin/env bash
# The documentation is true: every C++ example in README and docs compiles, every file and link it names exists.
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
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target and not (page.parent / target).exists():
            problems.append(f"{page}: links to {target}, which is not there")
    for path in re.findall(r"`((?:src|docs|tools|tests|include|examples|bench|cmake)/[A-Za-z0-9_./-]+)`", text):
        if not pathlib.Path(path).exists():
            problems.append(f"{page}: names {path}, which is not there")
print("\n".join(problems), end="\n" if problems else "")
sys.exit(1 if problems else 0)
PYTHON
for example in "$work"/*.cc; do
  [ -f "$example" ] || continue
  clang++-19 -std=c++23 -Wall -Werror -Wno-unused-variable -fsyntax-only -Iinclude "$example" || { head -1 "$example"; exit 1; }
done
echo "docs: $(find "$work" -name '*.cc' | wc -l) examples compile, links and paths exist"
