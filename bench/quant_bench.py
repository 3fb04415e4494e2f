#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of `wanslim quant` on checkpoints of real size, beside what the machine can do.

    bench/quant_bench.py build/release/wanslim /scratch/folder [--repeat 3] [--cases 1.3B-bf16,q4_k,...]

Each round reads the input (warm page cache) and writes as many bytes as the result has, with fsync, by plain calls
from page-aligned memory; then runs the program. `ratio` is program / (read + write), round by round, the median;
`of copy`: program / (reading the input and writing all of it, with fsync), which is what copying the checkpoint takes.
`limit` is what `ratio` may be at the most. Needs up to 20 GB of disk.

A virtual machine gives freed memory back to its host, and the first touch of a page then costs several times a copy.
So most of the free memory is touched and freed right before both: of less, the host had taken back what the program
got before it got it, and single rounds were 1.7 times the others.
"""
import argparse
import dataclasses
import mmap
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

PIECE = 8 << 20


@dataclasses.dataclass
class Case:
    model: str  # arguments of synth
    quant: str  # arguments of quant
    ratio: float | None = None  # at most, against reading the input and writing the result
    seconds: float | None = None
    memory: int = 300  # MB


BF16, F32 = "t2v-1.3B --dtype bf16", "t2v-1.3B --dtype f32"
FOUR_BLOCKS = "t2v-14B --dtype f32 --layers 4"
CASES = {
    "1.3B-bf16": Case(BF16, "--quant_type w8a8", 1.15),
    "1.3B-f32": Case(F32, "--quant_type w8a8", 1.15),
    "14B-f32": Case(FOUR_BLOCKS, "--quant_type w8a8", 1.15, memory=1500),
    "w8a16": Case(F32, "--quant_type w8a16", 1.2),
    "w8a8f8": Case(F32, "--quant_type w8a8f8 --format ascendv1 --part_file_size 0", 1.2),
    "fp8_scaled": Case(F32, "--quant_type fp8_scaled --format comfyui", 1.2),
    "mxfp8": Case(F32, "--quant_type mxfp8", 1.2),
    "mxfp4": Case(F32, "--quant_type mxfp4", 1.2),
    "mxfp4_dual": Case(F32, "--quant_type mxfp4_dualscale", 1.2),
    "nvfp4": Case(F32, "--quant_type nvfp4 --format comfyui", 6),  # searches six scales a block, as clip does
    "w4a4": Case(F32, "--quant_type w4a4 --format ascendv1 --part_file_size 0"),  # ssz, which has no limit
    "w4a16": Case(F32, "--quant_type w4a16"),
    "w4a16_g128": Case(F32, "--quant_type w4a16_g128 --format ascendv1 --part_file_size 0"),
    "w4a16_clip": Case(F32, "--config_path w4a16_clip.yaml", 6),
    "q8_0": Case(F32, "--format gguf --type Q8_0", 1.5),
    "q4_k": Case(F32, "--format gguf --type Q4_K", seconds=12),
}


def weights(folder):
    return sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix in (".safetensors", ".gguf"))


TOUCH = """
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_HUGEPAGE)
for at in range(0, len(memory), mmap.PAGESIZE):
    memory[at] = 1
"""


def touch_memory():
    """Makes the next pages that the kernel hands out pages that the host has given already."""
    free = next(line for line in open("/proc/meminfo", encoding="ascii") if line.startswith("MemFree"))
    size = int(free.split()[1]) * 1024 // 10 * 8
    # In a process of its own: the peak of this one would be counted for the program that it starts.
    subprocess.run([sys.executable, "-c", TOUCH, str(size)], check=True)


def read_all(paths):
    with mmap.mmap(-1, PIECE) as buffer:
        begin = time.perf_counter()
        for path in paths:
            with open(path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        return time.perf_counter() - begin


def write_all(path, size):
    with mmap.mmap(-1, PIECE) as piece, memoryview(piece) as view:
        piece.write(os.urandom(PIECE))
        begin = time.perf_counter()
        with open(path, "wb", buffering=0) as file:
            for at in range(0, size, PIECE):
                file.write(view[: min(PIECE, size - at)])
            os.fsync(file.fileno())
        seconds = time.perf_counter() - begin
    os.unlink(path)
    return seconds


def copy_rate():
    with mmap.mmap(-1, 64 << 20) as source, mmap.mmap(-1, 64 << 20) as target:
        source.write(os.urandom(64 << 20))
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
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors}")
    return seconds, usage.ru_maxrss / 1024


COPIES = {}


def copy_seconds(model, scratch, repeat):
    """What copying the checkpoint takes, measured once a model."""
    if model not in COPIES:
        rounds = []
        for _ in range(repeat):
            os.sync()
            touch_memory()
            size = sum(p.stat().st_size for p in weights(model))
            rounds.append(read_all(weights(model)) + write_all(scratch / "plain", size))
        COPIES[model] = statistics.median(rounds)
    return COPIES[model]


def measure(program, scratch, name, repeat):
    case = CASES[name]
    model, out = scratch / case.model.replace(" ", "_"), scratch / "out"
    if not model.exists():
        variant, *rest = case.model.split()
        run_program([program, "synth", variant, model, *rest])
    shutil.rmtree(out, ignore_errors=True)
    quant = [program, "quant", "--model_path", model, "--save_path", out, "--device", "npu", "--model_type", "Wan2_1"]
    quant += case.quant.replace("w4a16_clip.yaml", str(scratch / "w4a16_clip.yaml")).split()
    run_program(quant)  # warms the cache and tells the size of the result
    input_bytes = sum(p.stat().st_size for p in weights(model))
    output_bytes = sum(p.stat().st_size for p in weights(out))
    copy = copy_seconds(model, scratch, repeat)
    rounds = []
    for _ in range(repeat):
        shutil.rmtree(out)
        os.sync()
        touch_memory()
        read = read_all(weights(model))
        write = write_all(scratch / "plain", output_bytes)
        os.sync()
        touch_memory()
        seconds, memory = run_program(quant)
        rounds.append((read, write, seconds, seconds / (read + write), memory))
    read, write, seconds, ratio, memory = (statistics.median(column) for column in zip(*rounds))
    limit = f"{case.ratio:.2f}" if case.ratio else f"{case.seconds} s" if case.seconds else "-"
    held = ratio <= (case.ratio or ratio) and seconds <= (case.seconds or seconds)
    print(f"{name:<10} {input_bytes / 1e9:6.2f} {output_bytes / 1e9:6.2f} {read:7.2f} {write:7.2f} {seconds:8.2f} {ratio:6.2f} "
          f"{limit:>6} {seconds / copy:7.2f} {input_bytes / read / 1e9:6.2f} {output_bytes / write / 1e9:6.2f} {memory:7.0f} {case.memory:6d}"
          f"{'' if held and memory <= case.memory else '  MISSED'}", flush=True)
    shutil.rmtree(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cases", default=",".join(CASES))
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    recipe = subprocess.run([args.program, "practices", "w4a16"], capture_output=True, text=True, check=True).stdout
    (args.scratch / "w4a16_clip.yaml").write_text(recipe.replace("method: ssz", "method: clip"), encoding="utf-8")
    flags = next((line for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("flags")), "")
    simd = "AVX-512 with VNNI and BF16" if "avx512_bf16" in flags else "AVX2" if "avx2" in flags else platform.machine()
    print(f"{os.cpu_count()} cores, {simd}; memory copy {copy_rate():.1f} GB/s; medians of {args.repeat} rounds, warm page cache")
    print(f"{'case':<10} {'GB in':>6} {'GB out':>6} {'read s':>7} {'write s':>7} {'quant s':>8} {'ratio':>6} {'limit':>6} {'of copy':>7} "
          f"{'r GB/s':>6} {'w GB/s':>6} {'RSS MB':>7} {'limit':>6}")
    for name in args.cases.split(","):
        measure(args.program, args.scratch, name, args.repeat)


if __name__ == "__main__":
    main()
