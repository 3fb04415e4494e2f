# SPDX-License-Identifier: Apache-2.0
"""svd_res: the tensors of the reference's run on the same weights, an error that is never above it, and no format that
its runtime would misread."""
from testlib import DATA, check, files_of, json, pathlib, quant, report, run, struct, temporary

GOLDEN = DATA / "msmodelslim"
RECIPE = GOLDEN / "svd_res_w8a8" / "recipe.yaml"
WEIGHTS = "quant_model_weight_w8a8_dynamic.safetensors"


def header(content):
    (size,) = struct.unpack_from("<Q", content)
    tensors = json.loads(content[8:8 + size])
    return {name: (entry["dtype"], entry["shape"]) for name, entry in tensors.items()}, tensors, content[8 + size:]


with temporary() as folder:
    root = pathlib.Path(folder)
    quant(GOLDEN / "model", root / "compat", "--config_path", RECIPE, "--numerics", "compat")
    ours, theirs = files_of(root / "compat"), files_of(GOLDEN / "svd_res_w8a8" / "output")
    for name, content in theirs.items():
        if name != WEIGHTS:
            check(ours[name] == content, f"{name} is the reference's file")
    (shapes, places, data), (want_shapes, want_places, want_data) = header(ours[WEIGHTS]), header(theirs[WEIGHTS])
    check(shapes == want_shapes and list(shapes) == list(want_shapes), "names, dtypes, shapes and order are the reference's")
    for name, entry in places.items():
        if ".self_attn." in name and "norm" not in name and not name.endswith((".bias", ".weight_offset")):
            continue  # what depends on the decomposition
        begin, end = entry["data_offsets"]
        check(data[begin:end] == want_data[begin:end], f"{name} has the reference's bytes")

    # The error against the float model, layer by layer.
    reference = json.loads(run("verify", GOLDEN / "svd_res_w8a8" / "output", "--against", GOLDEN / "model", "--json", status=1)[0])
    quant(GOLDEN / "model", root / "precise", "--config_path", RECIPE, "--format", "ascendv1")
    precise = json.loads(run("verify", root / "precise", "--against", GOLDEN / "model", "--json")[0])
    check(precise["ok"], f"ascendv1 holds the branch: {precise['problems']}")
    compat = json.loads(run("verify", root / "compat", "--against", GOLDEN / "model", "--json", status=1)[0])
    check(any("which MindIE-SD does not execute" in line for line in compat["problems"]), "verify tells what the runtime does")
    for layer, decibel in reference["layers"].items():
        print(layer, f"reference {decibel:.3f}, compat {compat['layers'][layer]:.3f}, precise {precise['layers'][layer]:.3f} dB")
        check(precise["layers"][layer] >= decibel, f"precise: the error of {layer} is not above the reference's")
        check(compat["layers"][layer] >= decibel, f"compat: the error of {layer} is not above the reference's")

    for name, words in (("mindie", "MindIE-SD executes no layer with a low-rank branch"), ("comfyui", "no low-rank branch"),
                        ("lightx2v", "no low-rank branch"), ("universal-int8", "no low-rank branch")):
        _, errors = quant(GOLDEN / "model", root / "wrong", "--config_path", RECIPE, "--format", name, status=1)
        check(words in errors and "blocks.0.self_attn.q" in errors, f"{name}: {errors}")
    for threads in (1, 3):
        quant(GOLDEN / "model", root / f"threads{threads}", "--config_path", RECIPE, "--format", "ascendv1", "--threads", threads)
        check(files_of(root / f"threads{threads}") == files_of(root / "precise"), f"the same bytes with {threads} threads")
report("svd_res")
