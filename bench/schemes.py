#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the table of docs/which-scheme.md: for each scheme the size of the files of the published models and the weight SQNR
for each kind of layer.
    bench/schemes.py [WANSLIM]        default: build/release/wanslim; about 10 minutes on two cores, 3 GB of disk
SQNR: quant and `verify --against` of a `synth t2v-1.3B` checkpoint of six blocks in bf16. Sizes: `quant --dry_run` on the
headers of whole checkpoints, whose files are empty space."""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORDS = ROOT / "tests/data/official/tokenizer/nmt_nfkc_bytes"
# --quant_type, --format, name in the table
SCHEMES = (("w8a8", "mindie", "W8A8, ffn.2 float"), ("w8a8", "lightx2v", "W8A8"), ("w8a8", "comfyui", "W8A8, ffn.2 float"), ("w8a16", "mindie", "W8A16"),
           ("fp8", "lightx2v", "FP8 per channel"), ("fp8_scaled", "comfyui", "FP8 per tensor"), ("mxfp8", "comfyui", "MXFP8"),
           ("mxfp4", "mindie", "MXFP4 (shown), blocks 0-4 MXFP8"), ("nvfp4", "comfyui", "NVFP4"), ("w4a16", "mindie", "W4A16"),
           ("w4a16_g128", "ascendv1", "W4A16, groups of 128"), ("w4a16_g32", "ascendv1", "W4A16, groups of 32"), ("q8_0", "gguf", "Q8_0"),
           ("q6_k", "gguf", "Q6_K"), ("q5_k", "gguf", "Q5_K"), ("q4_k", "gguf", "Q4_K"), ("q4_0", "gguf", "Q4_0"), ("q3_k", "gguf", "Q3_K"),
           ("q2_k", "gguf", "Q2_K"))
TEXT = (("w8a8", "lightx2v", "W8A8"), ("fp8", "lightx2v", "FP8 per channel"), ("q8_0", "gguf", "Q8_0"), ("q4_k", "gguf", "Q4_K"))


def run(*arguments):
    done = subprocess.run([WANSLIM, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def quant(model, out, scheme, form, *more):
    return run("quant", "--model_path", model, "--save_path", out, "--model_type", "Wan2_1", "--quant_type", scheme, "--format", form, *more)


def hollow(path, shapes):
    """A bf16 checkpoint whose values are a hole in the file."""
    entries, at = {}, 0
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return at


def whole_transformer(folder, variant, blocks):
    """The shapes of a published transformer from those of its first block."""
    run("synth", variant, folder / "one", "--layers", 1, "--dtype", "bf16")
    with open(folder / "one" / "diffusion_pytorch_model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    shapes = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        for block in range(blocks if name.startswith("blocks.0.") else 1):
            shapes[name.replace("blocks.0.", f"blocks.{block}.")] = entry["shape"]
    model = folder / "model"
    model.mkdir()
    config = json.loads((folder / "one" / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_layers": blocks}))
    return model, hollow(model / "diffusion_pytorch_model.safetensors", shapes)


def text_encoder(path):
    shapes = {"token_embedding.weight": [256384, 4096], "norm.weight": [4096]}
    for n in range(24):
        at = f"blocks.{n}."
        shapes |= {at + f"{m}.weight": [4096] for m in ("norm1", "norm2")}
        shapes |= {at + f"attn.{m}.weight": [4096, 4096] for m in "qkvo"}
        shapes |= {at + "ffn.gate.0.weight": [10240, 4096], at + "ffn.fc1.weight": [10240, 4096], at + "ffn.fc2.weight": [4096, 10240],
                   at + "pos_embedding.embedding.weight": [32, 64]}
    return hollow(path, shapes)


def gigabytes(size):
    return f"{size / 1e9:.2f}"


def decibels(kinds, *parts):
    """The worst kind of those that are quantized."""
    found = [value for kind, value in kinds.items() if any(part in kind for part in parts)]
    return f"{min(found):.1f}" if found else "float"


def main(folder):
    sizes = {}
    for variant, blocks in (("t2v-1.3B", 30), ("t2v-14B", 40)):
        place = folder / variant
        place.mkdir()
        sizes[variant] = whole_transformer(place, variant, blocks)
    run("synth", "t2v-1.3B", folder / "six", "--layers", 6, "--dtype", "bf16")
    print("| scheme | `--quant_type`, `--format` | 1.3B, GB | 14B, GB | self_attn | cross_attn | ffn.0 | ffn.2 | all |")
    print("|---|---|---|---|---|---|---|---|---|")
    print(f"| float, bf16 | | {gigabytes(sizes['t2v-1.3B'][1])} | {gigabytes(sizes['t2v-14B'][1])} | | | | | |")
    for scheme, form, name in SCHEMES:
        dry = [json.loads(quant(model, folder / "dry", scheme, form, "--dry_run", "--json"))["write_bytes"] for model, _ in sizes.values()]
        out = folder / "out"
        quant(folder / "six", out, scheme, form, "--overwrite")
        seen = json.loads(run("verify", out, "--against", folder / "six", "--json"))
        kinds, total = seen["kinds"], f"{seen['sqnr_db']:.1f}"
        if scheme == "mxfp4":  # blocks 0 to 4 are MXFP8
            kinds, total = {layer: value for layer, value in seen["layers"].items() if layer.startswith("blocks.5.")}, ""
        print(f"| {name} | `{scheme}`, `{form}` | {gigabytes(dry[0])} | {gigabytes(dry[1])} | {decibels(kinds, 'self_attn')} | "
              f"{decibels(kinds, 'cross_attn')} | {decibels(kinds, 'ffn.0')} | {decibels(kinds, 'ffn.2')} | {total} |", flush=True)
        subprocess.run(["rm", "-rf", out], check=True)
    text = folder / "umt5.safetensors"
    print("\n| umT5-xxl | `--quant_type`, `--format` | GB |\n|---|---|---|")
    print(f"| float, bf16 | | {gigabytes(text_encoder(text))} |")
    for scheme, form, name in TEXT:
        more = ("--tokenizer", WORDS) if form == "gguf" else ()
        plan = json.loads(quant(text, folder / "dry", scheme, form, "--dry_run", "--json", *more))
        print(f"| {name} | `{scheme}`, `{form}` | {gigabytes(plan['write_bytes'])} |")


if __name__ == "__main__":
    WANSLIM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/release/wanslim")
    with tempfile.TemporaryDirectory(prefix="wanslim_schemes_") as scratch:
        main(pathlib.Path(scratch))
