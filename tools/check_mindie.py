#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads a folder of `wanslim quant --format mindie` with MindIE-SD's own quantize() and runs the Linears that it puts in place.
The two NPU functions that they call are computed here in plain torch: the loader is MindIE-SD's, the arithmetic is not.
Usage: check_mindie.py MINDIE_SD_CHECKOUT OUTPUT_FOLDER FLOAT_MODEL_FOLDER
Needs torch and safetensors."""
import pathlib
import subprocess
import sys
import types

import torch
from safetensors.torch import load_file


def dynamic_quant(x, **_):
    scale = x.float().abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return (x.float() / scale).round().clamp(-128, 127).to(torch.int8), scale.squeeze(-1)


def quant_matmul(codes, weight, scale, *, pertoken_scale=None, bias=None, output_dtype=torch.bfloat16, **_):
    sums = codes.double() @ weight.double()
    out = sums * scale.double() * pertoken_scale.double()[..., None] + (0 if bias is None else bias.double())
    return out.to(output_dtype)


def stub_npu():
    npu = types.ModuleType("torch_npu")
    npu.npu_dynamic_quant, npu.npu_quant_matmul = dynamic_quant, quant_matmul
    npu.npu_format_cast = lambda tensor, _: tensor
    sys.modules["torch_npu"] = npu
    torch.npu = types.SimpleNamespace(empty_cache=lambda: None, is_available=lambda: False)


def quantizer(checkout):
    """mindiesd.quantize without the package's other parts, which want compiled operators."""
    for name in ("mindiesd", "mindiesd.quantization"):
        package = types.ModuleType(name)
        package.__path__ = [str(pathlib.Path(checkout) / name.replace(".", "/"))]
        sys.modules[name] = package
    from mindiesd.quantization.quantize import quantize
    return quantize


def model_of(tensors):
    """Modules under the official names, with nn.Linear where the weight is a matrix."""
    root = torch.nn.Module()
    for name, weight in tensors.items():
        if not name.endswith(".weight") or weight.dim() != 2:
            continue
        *path, last = name.removesuffix(".weight").split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        bias = tensors.get(name.removesuffix("weight") + "bias")
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.bfloat16)
        linear.weight.data.copy_(weight)
        if bias is not None:
            linear.bias.data.copy_(bias)
        module.add_module(last, linear)
    return root


def main(checkout, output, model):
    stub_npu()
    quantize = quantizer(checkout)
    tensors = {}
    for file in pathlib.Path(model).glob("*.safetensors"):
        tensors |= load_file(file)
    net, before = model_of(tensors), model_of(tensors)
    [description] = pathlib.Path(output).resolve().glob("quant_model_description*.json")
    quantize(net, str(description), dtype=torch.bfloat16, use_nz=False)
    torch.manual_seed(1)
    replaced, worst = 0, 0.0
    for (name, new), (_, old) in zip(net.named_modules(), before.named_modules(), strict=True):
        if not isinstance(old, torch.nn.Linear) or isinstance(new, torch.nn.Linear):
            continue
        x = torch.randn(8, old.in_features, dtype=torch.bfloat16)
        with torch.no_grad():
            want, got = old(x).float(), new(x).float()
        error = float((got - want).norm() / want.norm())
        if error > 0.03:
            sys.exit(f"{name}: the output differs by {error:.3f}")
        replaced, worst = replaced + 1, max(worst, error)
    if replaced == 0:
        sys.exit("no Linear was replaced")
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{description.name}: {replaced} Linears replaced, outputs within {worst:.1%} of the float ones (MindIE-SD {commit}, torch_npu stubbed)")


if __name__ == "__main__":
    main(*sys.argv[1:])
