#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: update_man.py [--check] PROGRAM. Writes the commands and options that PROGRAM's --help tells of into
docs/man/wanslim.1, between its two marks; with --check only says whether they are there already."""
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs/man/wanslim.1"
BEGIN, END = '.\\" begin: tools/update_man.py\n', '.\\" end\n'


def help_of(program: str, *command: str) -> str:
    return subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True).stdout


def entries(text: str, section: str) -> list[tuple[str, str]]:
    """(name and type, description) of each line of a section of the help."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if line and not line.startswith(" "):
            inside = line.startswith(section)
        elif inside and re.match(r"  \S", line):
            name, _, tale = line.strip().partition("  ")
            found.append([name, tale.strip()])
        elif inside and line.strip():
            found[-1][1] = (found[-1][1] + " " + line.strip()).strip()
    return [(name, tale) for name, tale in found]


def escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def arguments(kind: str) -> tuple[str, str]:
    """("Ar TEXT", "Default: npu.") of "TEXT=npu"."""
    kind, _, default = kind.partition("=")
    kind = kind.replace("REQUIRED", "").strip()
    shown = kind.strip("{}").replace(",", " | ") if kind.startswith("{") else kind
    return (f" Ar {escaped(shown)}" if shown else ""), (f"Default: {escaped(default)}." if default else "")


def command_part(program: str, name: str, summary: str) -> str:
    text = help_of(program, name)
    out = f".Ss {name}\n{escaped(summary[:1].upper() + summary[1:])}.\n.Bl -tag -width Ds\n"
    for row, tale in entries(text, "Positionals"):
        word, _, _ = row.partition(" ")
        out += f".It Ar {escaped(word)}\n{escaped(tale)}.\n"
    for row, tale in entries(text, "Options"):
        names, _, kind = row.partition(" ")
        option = names.split(",")[0]
        if option == "-h":
            continue
        kind, default = arguments(kind)
        out += f".It Fl \\-{option[2:]}{kind}\n{escaped(tale)}.\n" + (default + "\n" if default else "")
    return out + ".El\n"


def main() -> int:
    check = "--check" in sys.argv[1:]
    program = [a for a in sys.argv[1:] if a != "--check"][0]
    commands = entries(help_of(program), "Subcommands")
    made = "".join(command_part(program, name, summary) for name, summary in commands)
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    tail = rest.split(END, 1)[1]
    fresh = head + BEGIN + made + END + tail
    if check and fresh != page:
        print(f"{PAGE.name} is out of date: run tools/update_man.py {program}")
        return 1
    if not check:
        PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
