#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands that the pages show and follows their links, so that no page tells what is not so.

A ```console block after a line `<!-- test -->` is run in a fresh folder (one a page, blocks in order): lines after
"$ " are typed, each line below must occur in the output ("..." stands for anything) and the status must be 0, or N
after `<!-- test: exit N -->`. "/path/to/" in a command stands for that fresh folder."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["SOURCE"])
BLOCK = re.compile(r"<!-- test(?:: exit (\d+))? -->\n+```console\n(.*?)```", re.S)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def steps(block: str):
    """(command, expected output lines) of one console block; a backslash goes on with the next line."""
    found = []
    continued = False
    for line in block.splitlines():
        if continued:
            found[-1][0] += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            found.append([line[2:], []])
        elif line.strip() and line.strip() != "...":
            found[-1][1].append(line.strip())
        continued = line.endswith("\\") and not found[-1][1]
    return found


def run_page(page: pathlib.Path, text: str, folder: pathlib.Path, env: dict) -> int:
    bad = 0
    for match in BLOCK.finditer(text):
        wanted = int(match[1] or 0)
        for command, lines in steps(match[2]):
            command = command.replace("/path/to/", "")
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
            missing = [line for line in lines if not all(part in done.stdout for part in line.split("..."))]
            if done.returncode != wanted or missing:
                bad += 1
                print(f"{page}: $ {command}\nstatus {done.returncode}, wanted {wanted}; not in the output: {missing}")
                print(done.stdout)
    return bad


def main() -> int:
    pages = sorted([*SOURCE.glob("*.md"), *SOURCE.glob("docs/**/*.md")])
    bad = ran = 0
    for page in pages:
        text = page.read_text()
        for target in LINK.findall(text):
            if "://" not in target and not (page.parent / target).exists():
                print(f"{page}: dead link {target}")
                bad += 1
        with tempfile.TemporaryDirectory() as scratch:
            programs = pathlib.Path(scratch, "bin")
            programs.mkdir()
            for name in ("wanslim", "msmodelslim"):
                (programs / name).symlink_to(os.environ["WANSLIM"])
            folder = pathlib.Path(scratch, "run")
            folder.mkdir()
            bad += run_page(page, text, folder, {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"})
            ran += len(BLOCK.findall(text))
    if ran == 0:
        print("no page shows a tested command")
    return int(bad > 0 or ran == 0)


if __name__ == "__main__":
    sys.exit(main())
