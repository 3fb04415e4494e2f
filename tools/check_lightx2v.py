#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads the encoders of `wanslim quant --format lightx2v` into LightX2V's own modules (T5Encoder, XLMRobertaCLIP) with their
strict load_state_dict and holds codes times scales against the float weights. Its kernels, which want a GPU, are not run.
Usage: check_lightx2v.py LIGHTX2V_CHECKOUT T5_OUTPUT T5_SAFETENSORS CLIP_OUTPUT CLIP_PTH
Needs torch and safetensors."""
import importlib.abc
import importlib.machinery
import json
import pathlib
import subprocess
import sys
import types
from unittest.mock import MagicMock

import torch
from safetensors.torch import load_file

# What of LightX2V is read from the checkout; every other module that these import is a stub.
REAL = {"lightx2v", "lightx2v.models", "lightx2v.models.input_encoders", "lightx2v.models.input_encoders.hf",
        "lightx2v.models.input_encoders.hf.q_linear", "lightx2v.models.input_encoders.hf.wan", "lightx2v.models.input_encoders.hf.wan.t5",
        "lightx2v.models.input_encoders.hf.wan.t5.model", "lightx2v.models.input_encoders.hf.wan.xlm_roberta",
        "lightx2v.models.input_encoders.hf.wan.xlm_roberta.model"}


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        mine = name.split(".")[0] in ("lightx2v", "lightx2v_platform", "loguru", "torchvision", "vllm", "sgl_kernel", "torchao", "q8_kernels")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if mine and name not in REAL else None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.__all__, module.__spec__ = [], [], spec
        return module

    def exec_module(self, module):
        pass


def modules_of(checkout):
    sys.meta_path.insert(0, Stubs())
    for name in REAL:
        if name.endswith((".model", ".q_linear")):
            continue
        package = types.ModuleType(name)
        package.__path__ = [f"{checkout}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    return (importlib.import_module("lightx2v.models.input_encoders.hf.wan.t5.model"),
            importlib.import_module("lightx2v.models.input_encoders.hf.wan.xlm_roberta.model"))


def opened(output, key):
    config = json.loads((pathlib.Path(output) / "lightx2v_config.json").read_text())
    return load_file(pathlib.Path(output) / config[f"{key}_quantized_ckpt"]), config[f"{key}_quant_scheme"]


def worst_of(net, floats):
    """(Linears with codes, worst SQNR in dB)"""
    count, worst = 0, float("inf")
    for name, module in net.named_modules():
        if not isinstance(getattr(module, "weight_scale", None), torch.Tensor):
            continue
        want = floats[f"{name}.weight"].double()
        noise = (module.weight.double() * module.weight_scale.double() - want).square().sum()
        count, worst = count + 1, min(worst, float(10 * torch.log10(want.square().sum() / noise)))
    return count, worst


def main(checkout, text, text_floats, image, image_floats):
    t5, clip = modules_of(checkout)
    tensors, scheme = opened(text, "t5")
    vocab, dim = tensors["token_embedding.weight"].shape
    buckets, heads = tensors["blocks.0.pos_embedding.embedding.weight"].shape
    net = t5.T5Encoder(torch.bfloat16, vocab, dim, tensors["blocks.0.attn.q.weight"].shape[0], tensors["blocks.0.ffn.fc1.weight"].shape[0],
                       heads, sum(n.endswith(".norm1.weight") for n in tensors), buckets, shared_pos=False, quantized=True, quant_scheme=scheme)
    net.load_state_dict(tensors)
    count, worst = worst_of(net, load_file(text_floats))
    print(f"T5Encoder, {scheme}: {count} Linears, worst {worst:.2f} dB")
    tensors, scheme = opened(image, "clip")
    dim, _, patch, _ = tensors["visual.patch_embedding.weight"].shape
    side = int((tensors["visual.pos_embedding"].shape[1] - 1) ** 0.5) * patch
    net = clip.XLMRobertaCLIP(torch.float16, embed_dim=tensors["visual.head"].shape[1], image_size=side, patch_size=patch, vision_dim=dim,
                              vision_mlp_ratio=tensors["visual.transformer.0.mlp.0.weight"].shape[0] / dim, vision_heads=dim // 80,
                              vision_layers=sum(n.endswith(".norm1.weight") for n in tensors), quantized=True, quant_scheme=scheme)
    net.load_state_dict(tensors)
    count, worst = worst_of(net, torch.load(image_floats, weights_only=True))
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"XLMRobertaCLIP, {scheme}: {count} Linears, worst {worst:.2f} dB (LightX2V {commit}, kernels not run)")


if __name__ == "__main__":
    main(*sys.argv[1:])
