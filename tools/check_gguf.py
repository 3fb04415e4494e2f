#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes a GGUF file with the `gguf` package and compares it with a safetensors checkpoint of the same tensors.
Usage: check_gguf.py FILE.gguf REFERENCE.safetensors [--exact]
Prints the worst SQNR of each type; with --exact every value must be the same float."""
import json
import struct
import sys

import gguf
import numpy as np
from gguf.quants import dequantize


def tensors_of(path):
    """name -> float array of a safetensors file."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        for name, entry in json.loads(file.read(size)).items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            raw = np.memmap(path, np.uint8, "r", 8 + size + begin, end - begin).tobytes()
            kind = entry["dtype"]
            if kind == "BF16":
                values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(raw, {"F32": np.float32, "F16": np.float16}[kind]).astype(np.float32)
            yield name, values.reshape(entry["shape"])


def main(path, reference, exact):
    found = {t.name: t for t in gguf.GGUFReader(path).tensors}
    worst = {}
    count = 0
    for name, expected in tensors_of(reference):
        tensor = found.pop(name)
        shape = tuple(int(extent) for extent in reversed(tensor.shape))
        if shape != expected.shape:
            sys.exit(f"{name}: shape {shape}, expected {expected.shape}")
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(shape)
        if exact and not np.array_equal(values, expected):
            sys.exit(f"{name}: {np.count_nonzero(values != expected)} values differ")
        noise = np.square(values.astype(np.float64) - expected).sum()
        ratio = 10 * np.log10(np.square(expected.astype(np.float64)).sum() / noise) if noise else np.inf
        kind = tensor.tensor_type.name
        worst[kind] = min(worst.get(kind, np.inf), ratio)
        count += 1
    if found:
        sys.exit(f"not in the reference: {sorted(found)}")
    print(f"{count} tensors{', the same values' if exact else ''}; worst SQNR in dB: "
          + ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in sorted(worst.items())))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "--exact" in sys.argv)
