#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads every safetensors file of the folders with the safetensors package and holds the names against the manifest.
Usage: check_safetensors.py OUTPUT_FOLDER ...
Needs safetensors and torch."""
import json
import pathlib
import sys

import safetensors
from safetensors.torch import load_file


def main(folders):
    files = tensors = 0
    for folder in map(pathlib.Path, folders):
        wanted = set(json.loads((folder / "wanslim_manifest.json").read_text())["tensors"])
        for file in folder.glob("*.safetensors"):
            loaded = load_file(file)
            files, tensors, wanted = files + 1, tensors + len(loaded), wanted - loaded.keys()
        if wanted:
            sys.exit(f"{folder}: not in its files: {sorted(wanted)}")
    print(f"{files} files of {len(folders)} outputs, {tensors} tensors (safetensors {safetensors.__version__})")


if __name__ == "__main__":
    main(sys.argv[1:])
