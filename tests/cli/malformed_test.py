# SPDX-License-Identifier: Apache-2.0
"""Malformed checkpoints, indexes, configs and recipes: exit status 1, one error that names the place, nothing written."""
import re
import struct

from testlib import DATA, check, files_of, json, pathlib, quant, report, temporary

MODEL = DATA / "msmodelslim" / "model"
WEIGHTS = "diffusion_pytorch_model.safetensors"
ORIGINAL = files_of(MODEL)
SIZE = struct.unpack("<Q", ORIGINAL[WEIGHTS][:8])[0]
HEADER = json.loads(ORIGINAL[WEIGHTS][8:8 + SIZE])
BODY = ORIGINAL[WEIGHTS][8 + SIZE:]
Q = "blocks.1.self_attn.q.weight"
cases = 0


def safetensors(header, body=BODY):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def refused(root, what, files, *words, arguments=("--quant_type", "w8a8")):
    """Puts the files (name -> bytes, None removes) beside the good ones and expects the words in one error line."""
    global cases
    cases += 1
    model, out = root / f"m{cases}", root / f"out{cases}"
    model.mkdir()
    for name, content in {**ORIGINAL, **files}.items():
        if content is not None:
            (model / name).write_bytes(content)
    arguments = [str(a).replace("MODEL", str(model)) for a in arguments]
    _, errors = quant(model, out, *arguments, status=1)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    check(len(lines) == 1, f"{what}: one error, got {errors}")
    for word in words:
        check(word in lines[0], f"{what}: \"{word}\" in: {lines[0]}")
    check(not out.exists() or not any(out.iterdir()), f"{what}: nothing is written")


def edited(name=Q, **changes):
    header = {k: dict(v) if isinstance(v, dict) else v for k, v in HEADER.items()}
    header[name].update(changes)
    return {WEIGHTS: safetensors(header)}


def without(*names):
    """The checkpoint less some tensors, consistent as a container."""
    header, body, at = {}, b"", 0
    for name, entry in HEADER.items():
        if name in names:
            continue
        begin, end = entry["data_offsets"]
        header[name] = {**entry, "data_offsets": [at, at + end - begin]}
        body += BODY[begin:end]
        at += end - begin
    return header, body


def renamed(pairs):
    return {WEIGHTS: safetensors({pairs.get(k, k): v for k, v in HEADER.items()})}


def poked(name, index, value):
    begin = HEADER[name]["data_offsets"][0] + 4 * index
    return {WEIGHTS: safetensors(HEADER, BODY[:begin] + struct.pack("<f", value) + BODY[begin + 4:])}


def containers(root):
    whole = ORIGINAL[WEIGHTS]
    for what, content, words in (
            ("empty file", b"", ["has 0 bytes"]),
            ("seven bytes", whole[:7], ["has 7 bytes"]),
            ("git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", []),
            ("html page", b"<!DOCTYPE html><html><body>404</body></html>", []),
            ("header cut off", whole[:SIZE // 2], ["header claims"]),
            ("one byte short", whole[:-1], ["lie outside"]),
            ("half of it", whole[:len(whole) // 2], ["lie outside"]),
            ("one byte more", whole + b"\0", ["the file has"]),
            ("huge header", struct.pack("<Q", 1 << 60) + whole[8:], ["header claims"]),
            ("zero header", struct.pack("<Q", 0) + whole[8:], ["not a JSON object"]),
            ("header is an array", safetensors(b"[]"), ["not a JSON object"]),
            ("header is text", safetensors(b"hello"), ["not a JSON object"]),
            ("header is broken JSON", safetensors(b"{\"a\":"), ["invalid JSON"]),
            ("duplicate tensor", safetensors(b"{\"a\":{},\"a\":{}}"), ["stands twice"]),
            ("invalid UTF-8", safetensors(b"{\"\xff\":{}}"), ["invalid JSON"]),
            ("nested 1000 deep", safetensors(b"{\"a\":" + b"[" * 1000 + b"]" * 1000 + b"}"), ["deeper"]),
            ("metadata is a list", safetensors({**HEADER, "__metadata__": []}), ["__metadata__"])):
        refused(root, what, {WEIGHTS: content}, WEIGHTS, *words)
    for what, changes, words in (
            ("dtype unknown", {"dtype": "F31"}, ["unknown dtype"]),
            ("dtype number", {"dtype": 7}, ["unknown dtype"]),
            ("shape negative", {"shape": [-1, 128]}, ["non-negative"]),
            ("shape float", {"shape": [128.0, 128]}, ["non-negative"]),
            ("shape huge", {"shape": [1 << 62, 4]}, ["not possible"]),
            ("shape string", {"shape": "128"}, ["shape"]),
            ("shape of other size", {"shape": [127, 128]}, ["needs"]),
            ("offsets reversed", {"data_offsets": [128, 0]}, ["lie outside"]),
            ("offsets too far", {"data_offsets": [0, 1 << 50]}, ["lie outside"]),
            ("offsets of another", {"data_offsets": HEADER["blocks.0.self_attn.q.weight"]["data_offsets"]}, ["starts at"]),
            ("offsets missing", {"data_offsets": None}, ["pair"]),
            ("extra key", {"note": "x"}, ["expected an object"])):
        refused(root, what, edited(**changes), WEIGHTS, *words)


def tensors(root):
    refused(root, "no tensors", {WEIGHTS: safetensors({}, b"")}, "this is no Wan2.1 transformer")
    for name in (Q, "blocks.0.modulation", "head.head.bias", "patch_embedding.weight", "blocks.1.norm3.weight"):
        refused(root, f"{name} missing", {WEIGHTS: safetensors(*without(name))}, name)
    refused(root, "a whole block missing", {WEIGHTS: safetensors(*without(*[n for n in HEADER if n.startswith("blocks.1.")]))}, "num_layers", "2", "1")
    refused(root, "misspelt", renamed({Q: "blocks.1.self_attn.qq.weight"}), "blocks.1.self_attn.qq.weight")
    refused(root, "unexpected", renamed({"head.head.bias": "head.tail.bias"}), "head.tail.bias")
    refused(root, "absurd block number", renamed({Q: "blocks.99999999999999999999.self_attn.q.weight"}), "99999999999")
    refused(root, "misshapen", edited(shape=[64, 256]), Q, "[64, 256]", "[128, 128]")
    refused(root, "one dimension too many", edited(shape=[1, 128, 128]), Q)
    refused(root, "int32 weight", edited(dtype="I32"), Q)
    refused(root, "control characters", renamed({Q: "blocks.1.\x1b[31mq"}), "blocks.1.")
    for name, index, value, where in ((Q, 5 * 128 + 7, float("nan"), "[5, 7]"), (Q, 0, float("inf"), "[0, 0]"),
                                      (Q, 128 * 128 - 1, float("-inf"), "[127, 127]"), ("blocks.0.modulation", 130, float("nan"), "[0, 1, 2]"),
                                      ("blocks.0.ffn.0.bias", 3, float("nan"), "[3]"), ("blocks.1.ffn.2.weight", 513, float("nan"), "[1, 1]"),
                                      ("head.head.weight", 1, float("inf"), "[0, 1]")):
        refused(root, f"{value} in {name}", poked(name, index, value), name + where)


def indexes(root):
    index = WEIGHTS + ".index.json"
    good = {name: WEIGHTS for name in HEADER}
    for what, content, words in (
            ("empty", b"", ["invalid JSON"]), ("list", b"[]", ["expected a JSON object"]), ("no map", b"{}", ["weight_map"]),
            ("map is a list", b"{\"weight_map\":[]}", ["weight_map"]), ("cut off", b"{\"weight_map\":{\"a\"", ["invalid JSON"]),
            ("file missing", json.dumps({"weight_map": {**good, Q: "gone.safetensors"}}).encode(), ["gone.safetensors"]),
            ("path upwards", json.dumps({"weight_map": {**good, Q: "../x.safetensors"}}).encode(), ["../x.safetensors"]),
            ("number", json.dumps({"weight_map": {**good, Q: 1}}).encode(), [Q]),
            ("tensor not in the file", json.dumps({"weight_map": {**good, "extra": WEIGHTS}}).encode(), ["extra"]),
            ("tensor not in the index", json.dumps({"weight_map": {k: v for k, v in good.items() if k != Q}}).encode(), [Q])):
        refused(root, f"index {what}", {index: content}, index, *words)


def configs(root):
    good = json.loads(ORIGINAL["config.json"])
    for what, content, words in (
            ("empty", b"", []), ("broken", b"{\"dim\": 128,", []), ("list", b"[1]", []),
            ("dim is text", json.dumps({**good, "dim": "128"}).encode(), ["dim"]),
            ("dim negative", json.dumps({**good, "dim": -128}).encode(), ["dim"]),
            ("dim contradicts", json.dumps({**good, "dim": 256}).encode(), ["dim", "256", "128"]),
            ("layers contradict", json.dumps({**good, "num_layers": 3}).encode(), ["num_layers"]),
            ("ffn contradicts", json.dumps({**good, "ffn_dim": 100}).encode(), ["ffn_dim"]),
            ("heads zero", json.dumps({**good, "num_heads": 0}).encode(), ["num_heads"]),
            ("duplicate key", b"{\"dim\":128,\"dim\":128}", ["dim"]),
            ("huge number", json.dumps({**good, "num_layers": 10**30}).encode(), ["num_layers"])):
        refused(root, f"config {what}", {"config.json": content}, "config.json", *words)


def recipes(root):
    good = (DATA / "msmodelslim/w8a8_dynamic_practice/recipe.yaml").read_text()
    for what, text, words in (
            ("empty", "", []), ("text", "hello", []), ("list", "- 1\n", []), ("tab", "spec:\n\tprocess: []\n", [":2"]),
            ("unclosed", "spec: [1, 2\n", []), ("unknown version", good.replace("multimodal_sd_modelslim_v1", "multimodal_sd_modelslim_v2"), ["multimodal_sd_modelslim_v1"]),
            ("dtype", good.replace("dtype: int8", "dtype: int7", 1), ["int7", "int8"]), ("scope", good.replace("per_token", "per_tokn"), ["per_tokn", "per_token"]),
            ("method", good.replace("method: minmax", "method: minmx"), ["minmx"]), ("key", good.replace("symmetric:", "symetric:", 1), ["symetric"]),
            ("type", good.replace("linear_quant", "linear_qant"), ["linear_qant", "linear_quant"]), ("duplicate", good + "apiversion: x\n", ["apiversion"]),
            ("not a list", re.sub(r"include:\n    - '\*'", "include: '*'", good), ["include"]), ("bomb", "a: &a [x,x]\nb: &b [*a,*a]\n" + "".join(
                f"k{i}: &k{i} [*{'b' if i == 0 else f'k{i - 1}'},*{'b' if i == 0 else f'k{i - 1}'}]\n" for i in range(40)), []),
            ("braces", good.replace("'*'", "'{0..9999}{0..9999}'"), []), ("NUL", "a: \"\0\"\n", []),
            ("shards", good.replace("part_file_size: 0", "part_file_size: 4"), ["part_file_size"]),
            ("static", good.replace("per_token", "per_tensor"), ["calibration"]), ("smoothing", good.replace("type: linear_quant", "type: iter_smooth"), []),
            ("nothing selected", good.replace("'*'", "ffn.2"), ["nothing to quantize"])):
        refused(root, f"recipe {what}", {"r.yaml": text.encode()}, *words, arguments=("--config_path", "MODEL/r.yaml"))


with temporary() as name:
    base = pathlib.Path(name)
    containers(base)
    tensors(base)
    indexes(base)
    configs(base)
    recipes(base)
check(cases >= 80, f"{cases} cases")
print(f"{cases} malformed inputs")
report("malformed")
