#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decompresses a compressed-tensors folder with the package's own code and compares it with a float checkpoint of the
same tensors under official names (`wanslim convert DIR FILE --to float --dtype f32`).
Usage: check_compressed_tensors.py DIR REFERENCE.safetensors [--exact]
Needs the packages compressed-tensors, torch (a CPU is enough) and transformers. Prints the worst SQNR of each format;
with --exact every dequantized weight must be the same float."""
import json
import pathlib
import sys

import compressed_tensors
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.entrypoints.convert.converters.ct_dequantizer import CompressedTensorsDequantizer
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

# Ends of diffusers module names and of the official ones.
NAMES = {"attn1.to_q": "self_attn.q", "attn1.to_k": "self_attn.k", "attn1.to_v": "self_attn.v",
         "attn1.to_out.0": "self_attn.o", "attn2.to_q": "cross_attn.q", "attn2.to_k": "cross_attn.k",
         "attn2.to_v": "cross_attn.v", "attn2.to_out.0": "cross_attn.o", "attn2.add_k_proj": "cross_attn.k_img",
         "attn2.add_v_proj": "cross_attn.v_img", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"}


def official(module):
    """Official path of a Linear of a block."""
    block, rest = module.split(".", 2)[:2], module.split(".", 2)[2]
    return ".".join([*block, NAMES[rest]])


def main(folder, reference, exact):
    folder = pathlib.Path(folder)
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    quantization = json.loads((folder / "config.json").read_text())["quantization_config"]
    declared = QuantizationConfig.model_validate(quantization)
    # The package's own way from a checkpoint to float weights: groups, ignore list and compressor are its business.
    reader = CompressedTensorsDequantizer(str(folder), dtype=torch.float32)
    for name, scheme in reader.quant_config.config_groups.items():
        if declared.config_groups[name].format != scheme.format:
            sys.exit(f"{name}: the file says {declared.config_groups[name].format}, the package takes it for {scheme.format}")
        BaseCompressor.get_value_from_registry(declared.config_groups[name].format)
    before = {name.rpartition(".")[0] for name in tensors if name.endswith(".weight_scale")}
    values = reader.validate(dict(tensors))
    expected = load_file(reference)
    worst = float("inf")
    for module in sorted(before):
        weight, float_weight = values[module + ".weight"], expected[official(module) + ".weight"].float()
        if weight.shape != float_weight.shape:
            sys.exit(f"{module}: {tuple(weight.shape)}, expected {tuple(float_weight.shape)}")
        if exact and not torch.equal(weight, float_weight):
            sys.exit(f"{module}: {int((weight != float_weight).sum())} values differ")
        noise = (weight.double() - float_weight.double()).square().sum()
        if noise > 0:
            worst = min(worst, float(10 * torch.log10(float_weight.double().square().sum() / noise)))
    if not before:
        sys.exit("no quantized layer")
    print(f"compressed-tensors {compressed_tensors.__version__}, {quantization['format']}: {len(before)} Linears"
          f"{', the same values' if exact else ''}; worst SQNR {worst:.2f} dB")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "--exact" in sys.argv)
