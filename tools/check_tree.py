#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tracked files against the rules that no compiler checks: length, licence line, unfinished work, paths of
one machine. Prints every breach as file:line and exits 1 if there is one."""
import pathlib
import re
import subprocess
import sys

MAX_LINES = 500  # src/, one concept a file
LICENCE = "SPDX-License-Identifier: Apache-2.0"
SOURCES = {".h", ".cc", ".py", ".sh", ".cmake"}
# Spelled in parts, so that this file does not report itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "not " "implemented", "place" "holder"]) + r")s?\b", re.I)
MACHINE_PATH = re.compile(r"/(work|root|home)/")


def breaches(path: pathlib.Path, text: str):
    lines = text.splitlines()
    if path.parts[0] == "src" and len(lines) > MAX_LINES:
        yield len(lines), f"longer than {MAX_LINES} lines"
    if path.suffix in SOURCES and not any(LICENCE in line for line in lines[:2]):
        yield 1, f"lacks '{LICENCE}' in its first two lines"
    for number, line in enumerate(lines, 1):
        for pattern, what in ((UNFINISHED, "a word of unfinished work"), (MACHINE_PATH, "a path of one machine")):
            if match := pattern.search(line):
                yield number, f"{what}: {match[0]}"


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout.decode()
    bad = 0
    for name in filter(None, names.split("\0")):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, what in breaches(pathlib.Path(name), content.decode(errors="replace")):
            print(f"{name}:{number}: {what}")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
