#!/usr/bin/env python3
"""Writes the manual pages cairn.1 and cairn.toml.5: make_manual.py COMMAND DIRECTORY.

Both are made from what the command says of itself: --help of each subcommand, and the table of settings.
"""
import pathlib
import re
import subprocess
import sys

command, directory = sys.argv[1], pathlib.Path(sys.argv[2])


def run(*arguments):
    return subprocess.run([command, *arguments], check=True, capture_output=True, text=True).stdout


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in text.split("\n"))


def subcommands(help_text):
    section = help_text.partition("\nSubcommands:\n")[2]
    return re.findall(r"^  ([a-z][a-z-]*) ", section, re.M)


def section_of(path):
    """The help of `cairn PATH` and of its subcommands, each as it is printed."""
    help_text = run(*path, "--help").replace(command, "cairn")
    below = subcommands(help_text)
    if below:
        return "".join(section_of(path + [name]) for name in below)
    return f".SS \"cairn {escaped(' '.join(path))}\"\n.nf\n{escaped(help_text.strip())}\n.fi\n"


version = run("--version").strip()
overview = run("--help").replace(command, "cairn").strip()
directory.mkdir(parents=True, exist_ok=True)
(directory / "cairn.1").write_text(
    f".TH CAIRN 1 \"\" \"cairn {version}\"\n.SH NAME\ncairn \\- storage engine with time travel: command and server\n"
    f".SH SYNOPSIS\n.B cairn\n.I SUBCOMMAND\n[\n.I OPTIONS\n]\n.SH DESCRIPTION\n.nf\n{escaped(overview)}\n.fi\n.SH COMMANDS\n"
    + "".join(section_of([name]) for name in subcommands(run("--help")) if name != "help") +
    ".SH EXIT STATUS\n0: success. 1: not found. 2: usage or bad input. 3: another process owns the database. 4: I/O error, no "
    "space, or lease lost. 5: damaged files.\n.SH FILES\n.I /etc/cairn/cairn.toml\n, settings of cairn.service.\n.br\n"
    ".I /var/lib/cairn\n, its data.\n.SH SEE ALSO\n.BR cairn.toml (5)\n")
rows = [[cell.strip().strip("`") for cell in line.strip("|\n").split("|")] for line in run("serve", "--print-settings").splitlines()[2:]]
(directory / "cairn.toml.5").write_text(
    f".TH CAIRN.TOML 5 \"\" \"cairn {version}\"\n.SH NAME\ncairn.toml \\- settings of cairn serve\n.SH DESCRIPTION\nA TOML file. Each "
    "setting can also be given as a flag, with \\- for _. A flag overrides the file.\n.SH SETTINGS\n"
    + "".join(f".TP\n.B {escaped(name)}\n{escaped(meaning)}. Values: {escaped(values)}. Default: {escaped(default)}.\n"
              for name, default, values, meaning in rows)
    + ".SH SEE ALSO\n.BR cairn (1)\n")
