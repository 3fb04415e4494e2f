#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a GGUF of the text encoder with transformers' own loader and holds its forward against `wanslim module umt5` on the
float weights.
Usage: check_transformers.py WANSLIM OUTPUT_FOLDER FLOAT_CHECKPOINT
Needs torch, transformers, gguf and safetensors."""
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import UMT5EncoderModel


def main(wanslim, output, model):
    [file] = pathlib.Path(output).glob("*.gguf")
    net = UMT5EncoderModel.from_pretrained(output, gguf_file=file.name, dtype=torch.float32)
    words = net.config.vocab_size
    torch.manual_seed(1)
    ids = torch.randint(3, words, (1, 24), dtype=torch.int32)
    with tempfile.TemporaryDirectory() as folder:
        inputs, result = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
        save_file({"in.ids": ids, "in.mask": torch.ones_like(ids)}, inputs)
        subprocess.run([wanslim, "module", "umt5", "--model", model, "--in", inputs, "--out", result, "--compute", "f32"], check=True,
                       capture_output=True)
        ours = load_file(result)["out.0"]
    with torch.no_grad():
        theirs = net(input_ids=ids.long(), attention_mask=torch.ones_like(ids).long()).last_hidden_state[0]
    error = float((ours - theirs).norm() / ours.norm())
    if error > 0.05:
        sys.exit(f"{file.name}: the forward differs from the float model's by {error:.3f}")
    print(f"{file.name}: a forward differs from the float model's by {error:.2%} (transformers {transformers.__version__})")


if __name__ == "__main__":
    main(*sys.argv[1:])
