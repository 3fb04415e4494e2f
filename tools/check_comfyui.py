#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a file of `wanslim quant --format comfyui` or universal-int8 with comfy-kitchen, the library that executes
ComfyUI's quantized layers, as comfy/ops.py does, and holds the dequantized weights against what `wanslim verify` says.
Usage: check_comfyui.py WANSLIM OUTPUT_FOLDER FLOAT_MODEL_FOLDER
Needs torch, safetensors and comfy-kitchen (checked with 0.2.40 on a CPU)."""
import json
import pathlib
import subprocess
import sys

import torch
from comfy_kitchen.tensor import (QuantizedTensor, TensorCoreFP8Layout, TensorCoreMXFP8Layout, TensorCoreNVFP4Layout,
                                  TensorWiseINT8Layout)
from safetensors.torch import load_file

LAYOUTS = {"int8_tensorwise": TensorWiseINT8Layout, "float8_e4m3fn": TensorCoreFP8Layout,
           "mxfp8": TensorCoreMXFP8Layout, "nvfp4": TensorCoreNVFP4Layout}


def marks_of(tensors):
    """layer -> mark, after ComfyUI's convert_old_quants."""
    marks = {}
    if "scaled_fp8" in tensors:
        full = tensors.pop("scaled_fp8").nelement() == 2
        for name in [n for n in tensors if n.endswith(".scale_weight")]:
            layer = name.removesuffix(".scale_weight")
            tensors[f"{layer}.weight_scale"] = tensors.pop(name)
            marks[layer] = {"format": "float8_e4m3fn", "full_precision_matrix_mult": full}
    for name in [n for n in tensors if n.endswith(".comfy_quant")]:
        marks[name.removesuffix(".comfy_quant")] = json.loads(tensors.pop(name).numpy().tobytes())
    return marks


def dequantize(tensors, layer, mark, shape):
    kind, scale = mark["format"], tensors[f"{layer}.weight_scale"]
    if kind == "mxfp8":
        fields = {"scale": scale.view(torch.float8_e8m0fnu)}
    elif kind == "nvfp4":
        fields = {"scale": tensors[f"{layer}.weight_scale_2"], "block_scale": scale.view(torch.float8_e4m3fn)}
    elif mark.get("convrot"):
        fields = {"scale": scale, "convrot": True, "convrot_groupsize": mark["convrot_groupsize"]}
    else:
        fields = {"scale": scale}
    layout = LAYOUTS[kind]
    params = layout.Params(**fields, orig_dtype=torch.float32, orig_shape=tuple(shape))
    return QuantizedTensor(tensors[f"{layer}.weight"], layout.__name__, params).dequantize()


def main(wanslim, output, model):
    said = json.loads(subprocess.run([wanslim, "verify", output, "--against", model, "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    [path] = pathlib.Path(output).glob("*.safetensors")
    tensors, floats = load_file(path), load_file(next(pathlib.Path(model).glob("*.safetensors")))
    marks = marks_of(tensors)
    if marks.keys() != said["layers"].keys():
        sys.exit(f"marked layers differ: {marks.keys() ^ said['layers'].keys()}")
    for layer, mark in marks.items():
        weight = floats[f"{layer}.weight"].double()
        noise = (dequantize(tensors, layer, mark, weight.shape).double() - weight).square().sum()
        decibel = float(10 * torch.log10(weight.square().sum() / noise))
        if abs(decibel - said["layers"][layer]) > 0.01:
            sys.exit(f"{layer}: {decibel:.3f} dB, wanslim says {said['layers'][layer]:.3f}")
    print(f"{path.name}: {len(marks)} layers as wanslim reads them, worst {said['worst']['sqnr_db']:.2f} dB")


if __name__ == "__main__":
    main(*sys.argv[1:])
