# SPDX-License-Identifier: Apache-2.0
"""One model gives the same files whatever the threads, the SIMD target, the machine, the shards and the names."""
import hashlib
import shutil

from testlib import WANSLIM, check, files_of, os, quant, report, run, subprocess, temporary

# practice -> digest of weights and description: every machine must come to these bytes. Numerics that change on
# purpose change them here.
PRACTICES = {
    "w8a8": "c6ac522fefa2b74a",
    "w4a16": "39eb1aa8a7f3e5a3",
    "mxfp4": "58830728cf2483ce",
}
# What of AVX-512, AVX2 and SSE2 a processor has, as QEMU emulates it.
PROCESSORS = {"AVX2": "Haswell", "SSE2": "Nehalem"}


def weights_of(folder):
    return {name: content for name, content in files_of(folder).items() if name.startswith("quant_model_")}


def digest(files):
    return hashlib.sha256(b"".join(name.encode() + b"\0" + content for name, content in files.items())).hexdigest()[:16]


def native_x86():
    """QEMU has no room for the shadow memory of sanitizers."""
    with open(os.path.realpath(WANSLIM), "rb") as file:
        program = file.read()
    return program[:4] == b"\x7fELF" and program[18] == 62 and b"__asan_init" not in program


with temporary() as folder:
    official = f"{folder}/official"
    run("synth", "tiny", official, "--seed", 3, "--layers", 6)
    inputs = {"official": official}
    for name, options in {"shards": ("--shards", 3), "diffusers": ("--naming", "diffusers"), "comfyui": ("--naming", "comfyui")}.items():
        inputs[name] = f"{folder}/{name}"
        run("synth", "tiny", inputs[name], "--seed", 3, "--layers", 6, *options)

    for practice, expected in PRACTICES.items():
        out = f"{folder}/{practice}"
        quant(official, out, "--quant_type", practice)
        whole, weights = files_of(out), weights_of(out)
        check(digest(weights) == expected, f"{practice}: digest {digest(weights)}, expected {expected}")
        for name, options in {"1 thread": ("--threads", 1), "5 threads": ("--threads", 5)}.items():
            quant(official, out + name, "--quant_type", practice, *options)
            check(files_of(out + name) == whole, f"{practice} with {name}")
        for name, model in inputs.items():
            quant(model, out + name, "--quant_type", practice)
            check(weights_of(out + name) == weights, f"{practice} from {name}")
        for name, processor in PROCESSORS.items():
            if not native_x86() or not shutil.which("qemu-x86_64"):
                continue
            subprocess.run(["qemu-x86_64", "-cpu", processor, WANSLIM, "quant", "--model_path", official, "--save_path", out + name,
                            "--model_type", "Wan2_1", "--quant_type", practice], check=True, capture_output=True)
            check(files_of(out + name) == whole, f"{practice} with {name}")
report("same bytes")
