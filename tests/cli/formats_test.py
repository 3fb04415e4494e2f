# SPDX-License-Identifier: Apache-2.0
"""Every scheme in every format: quant -> verify --against -> inspect, with a bound on the weight error, or refused by
name with the reason. One row a scheme: what of it must come back (dB), and for each format None or why not."""
import concurrent.futures

from testlib import check, files_of, json, pathlib, quant, report, run, temporary

DUAL = """
apiversion: multimodal_sd_modelslim_v1
spec:
  process:
    - type: linear_quant
      qconfig:
        act: {scope: dual_scale, dtype: mxfp4, symmetric: True, method: dualscale, ext: {dual_block_size: 512}}
        weight: {scope: dual_scale, dtype: mxfp4, symmetric: True, method: dualscale, ext: {dual_block_size: 512}}
      include: ["*ffn.2"]
  save: [{type: mindie_format_saver, part_file_size: 0}]
  multimodal_sd_config:
    dump_config: {enable_dump: False, capture_mode: args, dump_data_dir: ""}
    inference_config: {prompt: none}
"""

# Blocks 0 to 4 of the mxfp4 practice are MXFP8, so its model has one more.
MODELS = {"mxfp4": 6}

# Why not.
NONE, NOT_RUN, NO_BIAS, GROUPS = "has no type", "does not execute", "drops the bias", "would ignore groups"
INT4, TENSOR, NO_MX4, TO_GGUF = "no plain int4", "one scale a tensor", "no MXFP4", "--format gguf"
MARLIN, ORDER, INPUTS, OTHER = "Marlin kernel", "kernel's own", "a scale of the inputs", "one scale a channel"
COMMON, GGUF = "W8A8 per channel and token alone", "GGUF holds the types"
INPUTS_TOO, INT4_INPUTS, OWN = "quantizes the inputs too", "int4 inputs", "layouts of their own"

FORMATS = ("mindie", "ascendv1", "comfyui", "lightx2v", "universal-int8", "gguf", "vllm-omni", "compressed-tensors")
# A scheme in a format with an option of it.
OPTIONS = [
    ("w8a8", 38, "lightx2v", ["layout=blocks", "kernel=npu"]),
    ("fp8", 31, "lightx2v", ["layout=blocks"]),
    ("fp8_scaled", 31, "comfyui", ["markers=scaled_fp8"]),
]
TABLE = {
    #              dB  mindie     ascendv1 comfyui lightx2v universal gguf vllm-omni   compressed-tensors
    "w8a8":       (38, None,      None, None,    None,     None,   GGUF, None,       None),
    "w8a16":      (38, None,      None, None,    "inputs", COMMON, GGUF, INPUTS_TOO, None),
    "w4a16":      (14, None,      None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     None),
    "w4a16_g128": (14, GROUPS,    None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     None),
    "w4a16_g64":  (16, GROUPS,    None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     None),
    "w4a16_g32":  (18, GROUPS,    None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     None),
    "w4a8":       (14, NOT_RUN,   None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     None),
    "w4a4":       (14, NO_BIAS,   None, INT4,    MARLIN,   COMMON, GGUF, COMMON,     INT4_INPUTS),
    "fp8":        (31, NOT_RUN,   None, TENSOR,  None,     COMMON, GGUF, COMMON,     None),
    "fp8_scaled": (31, NONE,      NONE, None,    "inputs", COMMON, GGUF, COMMON,     None),
    "mxfp8":      (31, None,      None, None,    ORDER,    COMMON, GGUF, COMMON,     OWN),
    "mxfp4":      (17, None,      None, NO_MX4,  ORDER,    COMMON, GGUF, COMMON,     OWN),
    "dual":       (17, None,      None, NO_MX4,  ORDER,    COMMON, GGUF, COMMON,     OWN),
    "nvfp4":      (19, NONE,      NONE, None,    INPUTS,   COMMON, GGUF, COMMON,     OWN),
    "q8_0":       (42, NONE,      NONE, TO_GGUF, OTHER,    COMMON, None, COMMON,     TO_GGUF),
    "q4_0":       (17, NONE,      NONE, TO_GGUF, OTHER,    COMMON, None, COMMON,     TO_GGUF),
}


def cell(root, scheme, name, decibel, refusal, options=()):
    """Runs one cell; returns what to check, as (good, what)."""
    model = root / f"model{MODELS.get(scheme, 2)}"
    out = root / "_".join([scheme, name, *options])
    recipe = ("--config_path", root / "dual.yaml") if scheme == "dual" else ("--quant_type", scheme)
    found = []
    written, errors = quant(model, out, *recipe, "--format", name, "--json",
                            *(part for option in options for part in ("--format_option", option)),
                            status=1 if refusal else 0)
    at = f"{scheme} as {name} {' '.join(options)}"
    if refusal:
        found.append((refusal in errors and "blocks." in errors, f"{at}: \"{refusal}\" in: {errors}"))
        found.append((not out.exists() or not any(out.iterdir()), f"{at}: nothing is written"))
        return found
    verified = json.loads(run("verify", out, "--against", model, "--json")[0])
    found.append((verified["ok"] and verified["format"] == name, f"{at}: {verified['problems']}"))
    found.append((verified["worst"]["sqnr_db"] > decibel, f"{at}: {verified['worst']} above {decibel} dB"))
    count = sum(v for k, v in json.loads(written)["layers"].items() if k != "FLOAT")
    found.append((len(verified["layers"]) == count, f"{at}: all {count} quantized Linears come back"))
    seen = json.loads(run("inspect", out, "--json")[0])
    found.append((seen["format"] == name and seen["manifest"]["schemes"], f"{at}: inspect knows it"))
    return found


with temporary() as folder:
    root = pathlib.Path(folder)
    (root / "dual.yaml").write_text(DUAL)
    for layers in sorted({2, *MODELS.values()}):
        run("synth", "tiny", root / f"model{layers}", "--layers", layers)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        cells = [pool.submit(cell, root, scheme, name, row[0], refusal)
                 for scheme, row in TABLE.items() for name, refusal in zip(FORMATS, row[1:], strict=True)]
        cells += [pool.submit(cell, root, scheme, name, decibel, None, options) for scheme, decibel, name, options in OPTIONS]
        for done in cells:
            for good, what in done.result():
                check(good, what)
    # A practice takes what the runtime wants; a recipe of the user is refused.
    for name in ("lightx2v", "universal-int8"):
        _, told = quant(root / "model2", root / f"widened_{name}", "--quant_type", "w8a8", "--format", name)
        check("*ffn.2* is quantized too" in told, f"{name} says that ffn.2 is quantized too: {told}")
        recipe = root / f"widened_{name}" / "Wan2_1_best_practice.yaml"
        check("ffn.2" not in recipe.read_text(), "the recipe that is kept is the widened one")
        quant(root / "model2", root / f"again_{name}", "--config_path", recipe, "--format", name)
        check(files_of(root / f"again_{name}").keys() == files_of(root / f"widened_{name}").keys(), "it can be run again")
        narrow = root / "narrow.yaml"
        narrow.write_text(recipe.read_text().replace("exclude: []", "exclude: ['*ffn.2']"))
        _, errors = quant(root / "model2", root / "wrong", "--config_path", narrow, "--format", name, status=1)
        check("blocks.0.ffn.2" in errors and "every Linear" in errors, f"{name} refuses a float Linear: {errors}")
    # What vLLM's modules run in float is left out of a practice.
    run("synth", "vace-1.3B", root / "vace", "--layers", 2, "--dtype", "bf16")
    for name in ("vllm-omni", "compressed-tensors"):
        quant(root / "vace", root / f"vace_{name}", "--quant_type", "w8a8", "--format", name)
        verified = json.loads(run("verify", root / f"vace_{name}", "--against", root / "vace", "--json")[0])
        layers = verified["layers"]
        check(verified["ok"] and any("vace_blocks" in layer for layer in layers), f"{name}: {verified['problems']}")
        check(not any("before_proj" in layer or "after_proj" in layer for layer in layers), f"{name}: {list(layers)}")
    # What the command line says of formats.
    for arguments, status, words in (
            (("--format", "mindi"), 2, "did you mean \"mindie\""),
            (("--format", "mindie", "--format_option", "layout=blocks"), 2, "has no option"),
            (("--format", "mindie", "--format_option", "layout"), 2, "is not name=value"),
            (("--format", "mindie", "--part_file_size", "4"), 1, "loads one file and no shards"),
            (("--format", "ascendv1", "--slim"), 2, "none can be left out"),
            (("--format", "comfyui", "--format_option", "markers=scaled_fp"), 2, "did you mean \"scaled_fp8\""),
            (("--format", "comfyui", "--format_option", "markers=scaled_fp8"), 1, "is for FP8")):
        _, errors = quant(root / "model2", root / "wrong", "--quant_type", "w8a8", *arguments, status=status)
        check(words in errors, f"{arguments}: \"{words}\" in: {errors}")
report("formats")
