#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a GGUF of `wanslim quant --format gguf` with diffusers' own loader, runs a forward there, and holds it against
`wanslim module dit` on the same file.
Usage: check_diffusers.py WANSLIM OUTPUT_FOLDER FLOAT_MODEL_FOLDER
Needs torch, diffusers, gguf and accelerate."""
import json
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import torch
from diffusers import GGUFQuantizationConfig, WanTransformer3DModel
from safetensors.torch import load_file, save_file


def config_of(model):
    """diffusers' config.json for the official one."""
    c = json.loads((pathlib.Path(model) / "config.json").read_text())
    weights = load_file(next(pathlib.Path(model).glob("*.safetensors")))
    text_dim = weights["text_embedding.0.weight"].shape[1]
    image = c["model_type"] in ("i2v", "flf2v")
    return {"_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2], "num_attention_heads": c["num_heads"],
            "attention_head_dim": c["dim"] // c["num_heads"], "in_channels": c["in_dim"], "out_channels": c["out_dim"],
            "text_dim": text_dim, "freq_dim": c["freq_dim"], "ffn_dim": c["ffn_dim"], "num_layers": c["num_layers"],
            "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": c["eps"], "image_dim": 1280 if image else None,
            "added_kv_proj_dim": c["dim"] if image else None, "rope_max_seq_len": 1024}, c.get("text_len", 512)


def main(wanslim, output, model):
    [file] = pathlib.Path(output).glob("*.gguf")
    config, rows = config_of(model)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        net = WanTransformer3DModel.from_single_file(str(file), config=folder, torch_dtype=torch.float32,
                                                     quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32))
        torch.manual_seed(1)
        x, text = torch.randn(config["in_channels"], 2, 8, 12), torch.randn(rows - 3, config["text_dim"])
        inputs, result = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
        save_file({"in.x.0": x, "in.t": torch.tensor([500.0]), "in.context.0": text}, inputs)
        subprocess.run([wanslim, "module", "dit", "--model", model, "--quantized", output, "--in", inputs, "--out", result, "--compute", "f32"],
                       check=True, capture_output=True)
        ours = load_file(result)["out.0"]
    padded = torch.cat([text, torch.zeros(3, text.shape[1])])
    with torch.no_grad():
        theirs = net(x[None], torch.tensor([500.0]), padded[None], return_dict=False)[0][0]
    error = float((ours - theirs).norm() / theirs.norm())
    blocks = sum(type(m).__name__ == "GGUFLinear" for m in net.modules())
    if error > 1e-3:
        sys.exit(f"{file.name}: the forwards differ by {error:.2e}")
    print(f"{file.name}: {blocks} GGUF Linears, a forward differs from wanslim's by {error:.1e} (diffusers {diffusers.__version__})")


if __name__ == "__main__":
    main(*sys.argv[1:])
