# SPDX-License-Identifier: Apache-2.0
"""--lora: what a file says in any dialect is in the weights before they are quantized, as if the model had been merged by
another program; it is streamed, resumed, the same for any threads, and named in plan, manifest and reports."""
import array
import hashlib
import signal
import struct

from testlib import WANSLIM, check, files_of, json, os, pathlib, quant, report, run, subprocess, temporary

LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"
RANK, LAYER, OTHER = 4, "blocks.0.self_attn.q", "blocks.1.ffn.0"


def write(path, tensors):
    """name -> (shape, floats)"""
    header, data = {}, b""
    for name, (shape, values) in sorted(tensors.items()):
        body = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def read(path):
    """name -> (shape, floats) of an F32 safetensors file."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    out = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name == "__metadata__":
            continue
        check(entry["dtype"] == "F32", f"{name} is F32")
        values = array.array("f")
        values.frombytes(content[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
        out[name] = (tuple(entry["shape"]), values)
    return out


def small(shape, seed):
    """Multiples of 1/64: sums and products of few of them are exact in float."""
    count = 1
    for extent in shape:
        count *= extent
    digest = b"".join(hashlib.sha256(f"{seed}{i}".encode()).digest() for i in range(count // 32 + 1))
    return tuple(shape), [(x - 128) / 64 for x in digest[:count]]


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def merged(weight, down, up, factor):
    """W + factor * up * down; the sum over the rank is exact here, the rest rounded once or twice."""
    (out, width), values = weight
    result = array.array("f", values)
    for o in range(out):
        for i in range(width):
            total = sum(up[1][o * RANK + r] * down[1][r * width + i] for r in range(RANK))
            result[o * width + i] = single(values[o * width + i] + factor * total)
    return (out, width), result


def official(layer, down, up, **more):
    return {f"diffusion_model.{layer}.lora_down.weight": down, f"diffusion_model.{layer}.lora_up.weight": up,
            **{f"diffusion_model.{layer}.{key}": value for key, value in more.items()}}


def same_as_merged(root, name, tensors, weights, *loras):
    """quant --lora on the model gives the weights of quant on the model merged here."""
    model = root / f"{name}_model"
    model.mkdir()
    for file, content in files_of(root / "model").items():
        (model / file).write_bytes(content)
    write(model / "diffusion_pytorch_model.safetensors", {**weights, **tensors})
    quant(model, root / f"{name}_expected", "--quant_type", "w8a8")
    quant(root / "model", root / f"{name}_got", "--quant_type", "w8a8", *(part for lora in loras for part in ("--lora", lora)))
    got, want = (files_of(root / f"{name}_{kind}")["quant_model_weight_w8a8_dynamic.safetensors"] for kind in ("got", "expected"))
    check(got == want, f"{name}: the weights of the merged model")
    check(want != files_of(root / "plain")["quant_model_weight_w8a8_dynamic.safetensors"], f"{name}: it changes something")
    run("verify", root / f"{name}_got", "--against", root / "model", *(part for lora in loras for part in ("--lora", lora)))


def dialects(root, weights):
    """One update as five tools write it."""
    down, up = small((RANK, weights[LAYER + ".weight"][0][1]), 1), small((weights[LAYER + ".weight"][0][0], RANK), 2)
    alpha = ((), [2.0])
    plain, halved = (merged(weights[LAYER + ".weight"], down, up, factor) for factor in (1, 2.0 / RANK))
    kohya = "lora_unet_" + LAYER.replace(".", "_")
    for name, tensors, want in (
            ("official", official(LAYER, down, up), plain),
            ("alpha", official(LAYER, down, up, alpha=alpha), halved),
            ("kohya", {f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up, f"{kohya}.alpha": alpha}, halved),
            ("peft", {"base_model.model.blocks.0.self_attn.q.lora_A.weight": down,
                      "base_model.model.blocks.0.self_attn.q.lora_B.weight": up}, plain),
            ("diffusers", {"transformer.blocks.0.attn1.to_q.lora_A.weight": down,
                           "transformer.blocks.0.attn1.to_q.lora_B.weight": up}, plain)):
        same_as_merged(root, name, {LAYER + ".weight": want}, weights, write(root / f"{name}.safetensors", tensors))
    return down, up


def differences(root, weights):
    """lightx2v: whole differences of weights, biases, norms and modulations."""
    keys = {OTHER + ".weight": "diff", OTHER + ".bias": "diff_b", "blocks.0.norm3.bias": "diff_b", "blocks.1.self_attn.norm_q.weight": "diff"}
    lora, want = {}, {}
    for name, ending in keys.items():
        shape, values = weights[name]
        diff = small(shape, name)
        lora[f"diffusion_model.{name.rsplit('.', 1)[0]}.{ending}"] = diff
        want[name] = shape, [single(a + single(0.5 * b)) for a, b in zip(values, diff[1], strict=True)]
    same_as_merged(root, "lightx2v", want, weights, f"{write(root / 'lightx2v.safetensors', lora)}:0.5")


def dora(root, weights, down, up):
    """The rows of W + BA at the lengths that the file gives; compared through the weight error."""
    magnitude = (weights[LAYER + ".weight"][0][0], 1), [3.0] * weights[LAYER + ".weight"][0][0]
    file = write(root / "dora.safetensors", official(LAYER, down, up, dora_scale=magnitude))
    out = root / "dora"
    quant(root / "model", out, "--quant_type", "w8a8", "--lora", file)
    run("verify", out, "--against", root / "model", "--lora", file)
    shape, values = merged(weights[LAYER + ".weight"], down, up, 1)
    scaled = array.array("f")
    for o in range(shape[0]):
        row = values[o * shape[1]:(o + 1) * shape[1]]
        length = sum(x * x for x in row) ** 0.5
        scaled.extend(single(3.0 * x / length) for x in row)
    model = root / "dora_model"
    model.mkdir()
    for name, content in files_of(root / "model").items():
        (model / name).write_bytes(content)
    write(model / "diffusion_pytorch_model.safetensors", {**weights, LAYER + ".weight": (shape, scaled)})
    seen = json.loads(run("verify", out, "--against", model, "--json", status=1)[0])
    check(seen["layers"][LAYER] > 38, f"dora: {seen['layers'][LAYER]} dB to the weights with magnitudes 3")
    check(any("other LoRAs" in p or "names" in p for p in seen["problems"]), f"the manifest tells: {seen['problems']}")


def two_and_resume(root, weights, down, up):
    """Two files, in order; killed half-way; any threads."""
    shape = weights[OTHER + ".weight"][0]
    wide, tall = small((RANK, shape[1]), 3), small((shape[0], RANK), 4)
    first = write(root / "first.safetensors", official(LAYER, down, up))
    second = write(root / "second.safetensors", {**official(OTHER, wide, tall), **official(LAYER, up_down(down), up_down(up))})
    step = merged(weights[LAYER + ".weight"], down, up, 1)
    same_as_merged(root, "two", {LAYER + ".weight": merged(step, up_down(down), up_down(up), 0.25),
                                 OTHER + ".weight": merged(weights[OTHER + ".weight"], wide, tall, 0.25)},
                   weights, first, f"{second}:0.25")
    whole = files_of(root / "two_got")
    loras = ("--lora", first, "--lora", f"{second}:0.25")
    manifest = json.loads(whole["wanslim_manifest.json"])
    check([(x["file"], x["strength"]) for x in manifest["loras"]] == [("first.safetensors", 1), ("second.safetensors", 0.25)],
          f"the manifest names both: {manifest['loras']}")
    for threads in (1, 3):
        quant(root / "model", root / f"threads{threads}", "--quant_type", "w8a8", *loras, "--threads", threads)
        check(files_of(root / f"threads{threads}") == whole, f"the same bytes with {threads} threads")
    if not LIBRARY.exists():
        print("resume is not tested: this build has no fault library")
        return
    save = root / "killed"
    command = [WANSLIM, "quant", "--model_path", root / "model", "--save_path", save, "--model_type", "Wan2_1", "--quant_type", "w8a8"]
    for at in (40, 90):
        env = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAULT": "kill", "FAULT_AT": str(at), "FAULT_ON": "pwrite",
               "ASAN_OPTIONS": "verify_asan_link_order=0"}
        done = subprocess.run([*command, *loras], env=env, capture_output=True, text=True, check=False)
        check(done.returncode == -signal.SIGKILL, f"killed at write {at}: {done.stderr}")
    for other in ((), ("--lora", first), ("--lora", first, "--lora", f"{second}:0.5")):
        _, errors = quant(root / "model", save, "--quant_type", "w8a8", *other, status=1)
        check("another lora" in errors, f"another set of LoRAs does not go on: {errors}")
    _, told = quant(root / "model", save, "--quant_type", "w8a8", *loras)
    check("going on from an unfinished run" in told, f"it resumes: {told}")
    check(files_of(save) == whole, "the bytes of an undisturbed run")


def up_down(tensor):
    return tensor[0], list(reversed(tensor[1]))


def what_is_told(root, weights, down, up):
    """Plan, warnings, inspect, and a checkpoint in bf16."""
    file = write(root / "told.safetensors", {**official(LAYER, down, up), "lora_te_text_model_layers_0.lora_down.weight": small((2, 3), 7),
                                             **{"diffusion_model.blocks.9.self_attn.q.diff_b": small((4,), 8)}})
    text, errors = quant(root / "model", root / "dry", "--quant_type", "w8a8", "--lora", f"{file}:0.5", "--dry-run")
    check("told.safetensors at 0.5: 1 low-rank update (rank 4, no alpha)" in text, f"the plan names the LoRA: {text}")
    check("blocks.*.self_attn.q " in text and "LoRA merged" in text, f"the plan says what is merged: {text}")
    check("2 keys of no tensor" in errors and "lora_te_text" in errors and "blocks.9" in errors, f"unmatched keys are named: {errors}")
    plan = json.loads(quant(root / "model", root / "dry", "--quant_type", "w8a8", "--lora", file, "--dry-run", "--json")[0])
    check([x["name"] for x in plan["layers"] if "LoRA" in x["why"]] == [LAYER] and len(plan["loras"]) == 1, "and as JSON")
    seen = json.loads(run("inspect", file, "--json")[0])
    check(seen["lora"]["fits"] == ["tiny"] and "1 low-rank update" in seen["lora"]["contents"], f"inspect knows a LoRA: {seen}")
    check("LoRA for tiny" in run("inspect", file)[0], "and says so")
    check("merged LoRA first.safetensors at 1" in run("inspect", root / "two_got")[0], "inspect tells what was merged")
    _, errors = run("verify", root / "two_got", "--against", root / "model", status=1)
    text = run("verify", root / "two_got", "--against", root / "model", status=1)[0]
    check("compare with --lora first.safetensors:1 --lora second.safetensors:0.25" in text, f"verify asks for the LoRAs: {text}")
    text = run("verify", root / "plain", "--against", root / "model", "--lora", file, status=1)[0]
    check("names no LoRA" in text, f"verify knows of none: {text}")
    run("synth", "tiny", root / "bf16", "--layers", 2, "--dtype", "bf16")
    for kind in ("mindie", "comfyui", "gguf"):
        scheme = "q8_0" if kind == "gguf" else "w8a8"
        quant(root / "bf16", root / f"bf16_{kind}", "--quant_type", scheme, "--format", kind, "--lora", file)
        seen = json.loads(run("verify", root / f"bf16_{kind}", "--against", root / "bf16", "--lora", file, "--json")[0])
        check(seen["layers"][LAYER] > 38, f"bf16 as {kind}: {seen['layers'][LAYER]} dB to the merged weight")


def refused(root, down, up):
    good = write(root / "good.safetensors", official(LAYER, down, up))
    nan = write(root / "nan.safetensors", official(LAYER, down, (up[0], [float("nan"), *up[1][1:]])))
    cases = (
        ((f"{good}:x",), 2, "is no strength"),
        ((good, good), 2, "stands twice"),
        ((root / "absent.safetensors",), 1, "absent.safetensors"),
        ((root / "model" / "diffusion_pytorch_model.safetensors",), 1, "none of its"),
        ((write(root / "foreign.safetensors", official("unet.mid", down, up)),), 1, "none of its 2 tensors"),
        ((write(root / "shape.safetensors", official(OTHER, down, (up[0], up[1]))),), 1, "do not make " + OTHER),
        ((write(root / "half.safetensors", {"diffusion_model.blocks.0.ffn.0.lora_up.weight": up}),), 1, "down weight is missing"),
        ((write(root / "loha.safetensors", {f"diffusion_model.{LAYER}.hada_w1_a": down}),), 1, "this is LoHa"),
        ((nan,), 1, "element 0 is nan"))
    for loras, status, words in cases:
        save = root / "refused"
        _, errors = quant(root / "model", save, "--quant_type", "w8a8", *(part for lora in loras for part in ("--lora", lora)), status=status)
        check(words in errors, f"{loras}: \"{words}\" in: {errors}")
        check(not save.exists() or not list(save.iterdir()), f"{loras}: nothing is written")
    (root / "cut.safetensors").write_bytes(good.read_bytes()[:-10])
    _, errors = quant(root / "model", root / "refused", "--quant_type", "w8a8", "--lora", root / "cut.safetensors", status=1)
    check("cut.safetensors" in errors, f"a damaged file is named: {errors}")
    _, errors = run("verify", root / "plain", "--lora", good, status=2)
    check("--against" in errors, f"verify wants a model to merge into: {errors}")
    _, errors = run("generate", "--task", "t2v-1.3B", "--ckpt_dir", root / "model", "--prompt", "x", "--quantized", root / "plain", "--lora", good,
                    status=2)
    check("beside --quantized" in errors, f"generate does not merge into codes: {errors}")


with temporary() as folder:
    base = pathlib.Path(folder)
    run("synth", "tiny", base / "model", "--layers", 2, "--dtype", "f32")
    quant(base / "model", base / "plain", "--quant_type", "w8a8")
    tensors = read(base / "model" / "diffusion_pytorch_model.safetensors")
    a, b = dialects(base, tensors)
    differences(base, tensors)
    dora(base, tensors, a, b)
    two_and_resume(base, tensors, a, b)
    what_is_told(base, tensors, a, b)
    refused(base, a, b)
report("lora")
