#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a GGUF of a transformer and one of the text encoder with ComfyUI-GGUF's own loader and holds the dequantized weights
against the float ones. ComfyUI itself is replaced by what the loader touches of it: names of classes.
Usage: check_comfyui_gguf.py CHECKOUT TRANSFORMER_FOLDER FLOAT_MODEL TEXT_FOLDER TEXT_SAFETENSORS [TOKENIZER_FOLDER WANSLIM]
With the tokenizer: the SentencePiece model that the loader rebuilds from the file cuts a prompt as `wanslim` does.
Needs torch, gguf, safetensors, tqdm, sentencepiece and protobuf."""
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import types

import torch
from safetensors.torch import load_file

PROMPTS = ["a cat on a table", "two dogs, running fast"]
# By transformers' names, which the loader gives.
BACK = {"shared": "token_embedding", "encoder.final_layer_norm": "norm", "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
        "layer.0.SelfAttention": "attn", "layer.0.layer_norm": "norm1", "layer.1.layer_norm": "norm2", "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
        "layer.1.DenseReluDense.wi_1": "ffn.fc1", "layer.1.DenseReluDense.wo": "ffn.fc2", "encoder.block": "blocks"}


def stub_comfy():
    ops = types.ModuleType("comfy.ops")
    ops.manual_cast = type("manual_cast", (), {n: getattr(torch.nn, n) for n in ("Linear", "Conv2d", "Embedding", "LayerNorm", "GroupNorm")})
    comfy = types.ModuleType("comfy")
    for name in ("lora", "model_management"):
        module = types.ModuleType(f"comfy.{name}")
        sys.modules[f"comfy.{name}"] = module
        setattr(comfy, name, module)
    comfy.ops = ops
    sys.modules |= {"comfy": comfy, "comfy.ops": ops}


def loader_of(checkout):
    package = types.ModuleType("comfyui_gguf")
    package.__path__ = [checkout]
    sys.modules["comfyui_gguf"] = package
    return importlib.import_module("comfyui_gguf.loader")


def compare(loader, loaded, floats, rename=lambda name: name):
    """Worst SQNR in dB of the tensors in blocks; the others must be the rounded float ones."""
    worst, count = float("inf"), 0
    for name, tensor in loaded.items():
        want = floats[rename(name)].float()
        values = loader.dequantize_tensor(tensor, dtype=torch.float32).reshape(want.shape)
        noise = float((values - want).square().sum())
        decibel = float("inf") if noise == 0 else float(10 * torch.log10(want.square().sum() / noise))
        if loader.is_quantized(tensor):
            worst, count = min(worst, decibel), count + 1
        elif decibel < 60:
            sys.exit(f"{name}: {decibel:.1f} dB")
    return worst, count


def official(name):
    for theirs, ours in BACK.items():
        name = name.replace(theirs, ours)
    return name


def check_words(loader, file, folder, wanslim):
    import sentencepiece
    model = bytes(loader.gguf_tokenizer_loader(str(file), (256384, 4096)).tolist())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    with tempfile.TemporaryDirectory() as scratch:
        prompts, ids = pathlib.Path(scratch) / "in.json", pathlib.Path(scratch) / "out.json"
        prompts.write_text(json.dumps(PROMPTS))
        subprocess.run([wanslim, "module", "tokenize", "--model", folder, "--in", prompts, "--out", ids], check=True, capture_output=True)
        ours = json.loads(ids.read_text())
    for prompt, want in zip(PROMPTS, ours, strict=True):
        got = pieces.encode(prompt)
        if got != want[:-1]:
            sys.exit(f"\"{prompt}\": {got}, wanslim {want}")


def main(checkout, transformer, model, text, text_floats, tokenizer=None, wanslim=None):
    stub_comfy()
    loader = loader_of(checkout)
    [file] = pathlib.Path(transformer).glob("*.gguf")
    worst, count = compare(loader, loader.gguf_sd_loader(str(file)), load_file(next(pathlib.Path(model).glob("*.safetensors"))))
    print(f"{file.name}: {count} weights in blocks, worst {worst:.2f} dB")
    [file] = pathlib.Path(text).glob("*.gguf")
    worst, count = compare(loader, loader.gguf_clip_loader(str(file)), load_file(text_floats), official)
    words = ""
    if tokenizer:
        check_words(loader, file, tokenizer, wanslim)
        words = ", its vocabulary cuts prompts as wanslim does"
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{file.name}: {count} weights in blocks, worst {worst:.2f} dB{words} (ComfyUI-GGUF {commit}, comfy stubbed)")


if __name__ == "__main__":
    main(*sys.argv[1:])
