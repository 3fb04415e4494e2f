#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of `wanslim quant` on checkpoints of real size, beside what the machine can do.

    bench/quant_bench.py build/release/wanslim /scratch/folder [--repeat 3] [--cases 1.3B-bf16,1.3B-f32,14B-f32]

Each round reads the input (warm page cache) and writes as many bytes as the result has, with fsync, by plain calls;
then runs the program. `ratio` is program / (read + write), round by round, the median. Needs up to 20 GB of disk.
"""
import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

CASES = {  # name: synth arguments, limit of memory in MB
    "1.3B-bf16": (["t2v-1.3B", "--dtype", "bf16"], 300),
    "1.3B-f32": (["t2v-1.3B", "--dtype", "f32"], 300),
    "14B-f32": (["t2v-14B", "--dtype", "f32", "--layers", "4"], 1500),
}
PIECE = 8 << 20


def weights(folder):
    return sorted(pathlib.Path(folder).glob("*.safetensors"))


def read_all(paths):
    buffer = bytearray(PIECE)
    begin = time.perf_counter()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - begin


def write_all(path, size):
    piece = os.urandom(PIECE)
    begin = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for at in range(0, size, PIECE):
            file.write(piece[: min(PIECE, size - at)])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begin
    os.unlink(path)
    return seconds


def copy_rate():
    source = bytearray(os.urandom(64 << 20))
    target = bytearray(len(source))
    best = min(_timed(lambda: target.__setitem__(slice(None), source)) for _ in range(5))
    return len(source) / best / 1e9


def _timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def run_program(command):
    """(seconds, peak memory in MB) of a process."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    errors = process.stderr.read().decode()
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors}")
    return seconds, usage.ru_maxrss / 1024


def measure(program, scratch, name, repeat):
    arguments, limit = CASES[name]
    model, out = scratch / f"model-{name}", scratch / f"out-{name}"
    if not model.exists():
        run_program([program, "synth", arguments[0], model, *arguments[1:]])
    shutil.rmtree(out, ignore_errors=True)
    quant = [program, "quant", "--model_path", model, "--save_path", out, "--device", "npu", "--model_type", "Wan2_1",
             "--quant_type", "w8a8"]
    run_program(quant)  # warms the cache and tells the size of the result
    input_bytes = sum(p.stat().st_size for p in weights(model))
    output_bytes = sum(p.stat().st_size for p in weights(out))
    rounds = []
    for _ in range(repeat):
        shutil.rmtree(out)
        os.sync()
        read = read_all(weights(model))
        write = write_all(scratch / "plain", output_bytes)
        os.sync()
        seconds, memory = run_program(quant)
        rounds.append((read, write, seconds, seconds / (read + write), memory))
    read, write, seconds, ratio, memory = (statistics.median(column) for column in zip(*rounds))
    print(f"{name:<10} {input_bytes / 1e9:6.2f} {output_bytes / 1e9:6.2f} {read:7.2f} {write:7.2f} {seconds:8.2f} {ratio:6.2f} "
          f"{input_bytes / read / 1e9:6.2f} {output_bytes / write / 1e9:6.2f} {memory:7.0f} {limit:6d}", flush=True)
    shutil.rmtree(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", default=",".join(CASES))
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    flags = next((line for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("flags")), "")
    simd = "AVX-512 with VNNI and BF16" if "avx512_bf16" in flags else "AVX2" if "avx2" in flags else platform.machine()
    print(f"{os.cpu_count()} cores, {simd}; memory copy {copy_rate():.1f} GB/s; medians of {args.repeat} rounds, warm page cache")
    print(f"{'case':<10} {'GB in':>6} {'GB out':>6} {'read s':>7} {'write s':>7} {'quant s':>8} {'ratio':>6} "
          f"{'r GB/s':>6} {'w GB/s':>6} {'RSS MB':>7} {'limit':>6}")
    for name in args.cases.split(","):
        measure(args.program, args.scratch, name, args.repeat)


if __name__ == "__main__":
    main()
