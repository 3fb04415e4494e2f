#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's time for the rows of nn_bench, on this machine's CPU; needs pip install torch==2.13.0 diffusers transformers.

    bench/torch_bench.py torch.json [--threads N] [--repeat N] [--cpu] && build/bench/nn_bench --torch torch.json

Each row takes the faster of what PyTorch has for it: float32, or bfloat16 (autocast for whole models, as the official
pipeline does it). Published sizes, random weights."""
import argparse
import json
import statistics
import time

import torch


cpu_time = False  # processor time by the number of threads, as nn_bench --cpu 1 has it


def seconds(repeat, call):
    clock, share = (time.process_time, torch.get_num_threads()) if cpu_time else (time.perf_counter, 1)
    call()
    times = []
    for _ in range(repeat):
        begin = clock()
        call()
        times.append((clock() - begin) / share)
    return statistics.median(times)


def products(rows, repeat):
    for name, n, k in (("1536 -> 1536", 1536, 1536), ("1536 -> 8960", 8960, 1536), ("8960 -> 1536", 1536, 8960)):
        for dtype, kind in ((torch.float32, "float"), (torch.bfloat16, "bf16")):
            a, w = torch.rand(1280, k, dtype=dtype), torch.rand(n, k, dtype=dtype)
            rows[f"product, {kind}, 1280 x {name}"] = seconds(repeat, lambda a=a, w=w: torch.nn.functional.linear(a, w))


def attentions(rows, repeat):
    for queries, keys in ((1280, 1280), (960, 32760)):
        for dtype, kind in ((torch.float32, "float"), (torch.bfloat16, "bf16")):
            q, k, v = (torch.rand(1, 12, count, 128, dtype=dtype) for count in (queries, keys, keys))
            rows[f"attention, {kind}, {queries} queries of {keys} keys"] = seconds(
                repeat, lambda q=q, k=k, v=v: torch.nn.functional.scaled_dot_product_attention(q, k, v))


def transformer(rows, repeat):
    from diffusers import WanTransformer3DModel
    model = WanTransformer3DModel(num_layers=2, num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, text_dim=4096).eval()
    latent, text = torch.rand(1, 16, 5, 32, 32), torch.rand(1, 512, 4096)
    step = torch.tensor([500])
    float_seconds = seconds(repeat, lambda: model(latent, step, text))
    with torch.autocast("cpu", torch.bfloat16):
        bf16_seconds = seconds(repeat, lambda: model(latent, step, text))
    print(f"transformer: float {float_seconds:.3f} s, bf16 {bf16_seconds:.3f} s")
    for kind in ("float", "bf16", "W8A8, ffn.2 bf16", "W8A8, every Linear"):
        rows[f"transformer, {kind}, 2 blocks of 1.3B"] = min(float_seconds, bf16_seconds)


def vae(rows, repeat):
    from diffusers import AutoencoderKLWan
    model = AutoencoderKLWan().eval()
    latent = torch.rand(1, 16, 2, 32, 32)
    rows["VAE, decoding 5 frames of 256 x 256"] = seconds(repeat, lambda: model.decode(latent))


def umt5(rows, repeat):
    from transformers import UMT5Config, UMT5EncoderModel
    config = UMT5Config(vocab_size=8192, d_model=4096, d_kv=64, d_ff=10240, num_layers=2, num_heads=64,
                        relative_attention_num_buckets=32, feed_forward_proj="gated-gelu")
    ids = torch.arange(512)[None]
    times = []
    for dtype in (torch.bfloat16, torch.float32):
        model = UMT5EncoderModel(config).to(dtype).eval()
        times.append(seconds(repeat, lambda model=model: model(ids)))
        print(f"umT5: {dtype} {times[-1]:.3f} s")
    for tokens in (512, 128):  # the official pipeline pads every prompt to 512
        rows[f"umT5-xxl, 2 of 24 blocks, {tokens} tokens"] = min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="processor time: for a machine that others use too")
    args = parser.parse_args()
    globals()["cpu_time"] = args.cpu
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = {}
    with torch.no_grad():
        for part in (products, attentions, transformer, vae, umt5):
            part(rows, args.repeat)
            with open(args.out, "w", encoding="ascii") as file:
                json.dump(rows, file, indent=2)
    for name, value in rows.items():
        print(f"{name:<48} {value * 1e3:10.2f} ms")


if __name__ == "__main__":
    main()
