#!/usr/bin/env python3
"""Checks what README.md and docs/ show: run_docs.py COMMAND, with the path of the built `cairn`.

A block below <!-- run --> is a session: each line after "$ " is run by one bash in an empty directory, and the lines below it must be
its output ("…" stands for anything). <!-- run: config --> and <!-- run: users --> are checked by `cairn serve --check-config`. Blocks
marked <!-- run: root --> are run by tests/packaging. ```json blocks must parse. The table of settings must be that of the command;
--write puts it there.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BEGIN, END = "<!-- settings: written by `cairn serve --print-settings` -->\n", "<!-- end of settings -->"
command = os.path.abspath(sys.argv[1])
environment = dict(os.environ, PATH=os.path.dirname(command) + ":" + os.environ["PATH"])
problems = []


def run_session(where, text):
    """Runs the commands of a session and compares what each prints."""
    if subprocess.run(["redis-cli", "-p", "7379", "PING"], capture_output=True, check=False).returncode == 0:
        sys.exit("port 7379 is in use: the sessions of the documentation would change the data of that server")
    steps = [step.split("\n", 1) for step in re.split(r"^\$ ", text, flags=re.M)[1:]]
    script = "".join(f"{step[0]}\necho\necho '@@@'\n" + ("for i in {1..100}; do redis-cli -p 7379 PING >/dev/null 2>&1 && break; sleep 0.1; done\n"
                     if step[0].endswith("&") else "") for step in steps)
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(["bash", "-c", script + "kill $(jobs -p) 2>/dev/null; wait"], cwd=work, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=120)
    printed = done.stdout.split("\n@@@\n")
    for step, output in zip(steps, printed):
        wanted = step[1].strip() if len(step) > 1 else ""
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        if not re.fullmatch(pattern, output.strip(), flags=re.S):
            problems.append(f"{where}: `{step[0]}` printed {output.strip()!r}, not {wanted!r}")
    return len(steps)


def check_config(where, kind, text):
    with tempfile.TemporaryDirectory() as work:
        config, users = f"{work}/cairn.toml", f"{work}/users.toml"
        if kind == "users":
            pathlib.Path(users).write_text(text)
            text = f'dir = "{work}/data"\nusers_file = "{users}"\n'
        pathlib.Path(config).write_text(text)
        done = subprocess.run([command, "serve", "--check-config", "--config", config], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            problems.append(f"{where}: {done.stderr.strip()}")


sessions = configs = 0
for page in [pathlib.Path("README.md"), *sorted(pathlib.Path("docs").glob("*.md"))]:
    text = page.read_text()
    for marker, kind, language, body in re.findall(r"(<!-- run(?:: (\w+))? -->\n)?```(\w+)\n(.*?)```", text, re.S):
        if language == "json":
            json.loads(body)
        elif kind in ("config", "users"):
            check_config(page, kind, body)
            configs += 1
        elif marker and language == "console":
            sessions += run_session(page, body)
page = pathlib.Path("docs/server.md")
text = page.read_text()
table = subprocess.run([command, "serve", "--print-settings"], capture_output=True, text=True, check=True).stdout
begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
if "--write" in sys.argv:
    page.write_text(text[:begin] + table + text[end:])
elif text[begin:end] != table:
    problems.append(f"{page}: the table of settings is not what `cairn serve --print-settings` prints: tools/run_docs.py {sys.argv[1]} --write")
print("\n".join(problems) if problems else f"docs: {sessions} commands print what is shown, {configs} configurations can be used")
sys.exit(1 if problems else 0)
