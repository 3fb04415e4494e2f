# SPDX-License-Identifier: Apache-2.0
"""For the tests that run the program as a user does."""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

WANSLIM = os.environ.get("WANSLIM", "wanslim")
DATA = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).parents[2])) / "tests" / "data"
checks = 0


def run(*args, env=None, status=0, stdin=""):
    """Runs the program, checks its exit status, returns (stdout, stderr)."""
    done = subprocess.run([WANSLIM, *map(str, args)], input=stdin, capture_output=True, text=True, check=False,
                          env={**os.environ, **(env or {})})
    if status is not None and done.returncode != status:
        sys.exit(f"wanslim {' '.join(map(str, args))}: exit status {done.returncode}, expected {status}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def quant(model, save, *more, **keywords):
    return run("quant", "--model_path", model, "--save_path", save, "--device", "npu", "--model_type", "Wan2_1", *more, **keywords)


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def files_of(folder):
    """name -> bytes of a folder's files."""
    return {p.name: p.read_bytes() for p in sorted(pathlib.Path(folder).iterdir()) if p.is_file()}


def floats(path):
    """name -> floats, of the F32 tensors of a safetensors file."""
    content = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    tensors = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = struct.unpack_from(f"<{(end - begin) // 4}f", content, 8 + size + begin)
    return tensors


def write_tensors(path, tensors):
    """Writes {name: (dtype, shape, bytes)} as safetensors."""
    head, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": (len(data), len(data) + len(raw))}
        data += raw
    text = json.dumps(head).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def relative(got, want):
    """Relative L2 distance."""
    assert len(got) == len(want), (len(got), len(want))
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(got, want)) / sum(b * b for b in want))


def temporary():
    return tempfile.TemporaryDirectory(prefix="wanslim_cli_")


def report(name):
    print(f"{name}: {checks} checks passed")


__all__ = ["DATA", "WANSLIM", "check", "files_of", "floats", "json", "os", "pathlib", "quant", "relative", "report", "run", "struct", "subprocess", "temporary", "write_tensors"]
