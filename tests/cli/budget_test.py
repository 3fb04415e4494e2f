# SPDX-License-Identifier: Apache-2.0
"""quant --target_size and --target_bits: within the size, better than one scheme for all, and the recipe that is kept
gives the same files again."""
import re

from testlib import check, files_of, json, pathlib, quant, report, run, temporary

WEIGHTS = 128 * 128 * 8 + 128 * 512 * 2  # of a block of synth tiny


def verified(out, model):
    return json.loads(run("verify", out, "--against", model, "--json")[0])


def bytes_of_weights(folder):
    return sum(p.stat().st_size for p in pathlib.Path(folder).iterdir() if p.suffix in (".gguf", ".safetensors"))


with temporary() as folder:
    root = pathlib.Path(folder)
    model = root / "model"
    run("synth", "tiny", model, "--layers", 9)
    uniform = {}
    for scheme in ("q8_0", "q4_0"):
        quant(model, root / scheme, "--quant_type", scheme, "--format", "gguf")
        uniform[scheme] = verified(root / scheme, model)["sqnr_db"], bytes_of_weights(root / scheme)

    # Bits: K-quants do not fit 128 inputs and are left out of the choice.
    _, told = quant(model, root / "bits", "--format", "gguf", "--target_bits", 6)
    bits, error, bound, gap = map(float, re.search(
        r"([\d.]+) bits a weight in the blocks; error ([\d.e-]+) .* below ([\d.e-]+) \(gap ([\d.]+) %\)", told).groups())
    check(5.9 < bits <= 6, f"{bits} bits")
    check(bound <= error and abs(100 * (error / bound - 1) - gap) < 0.01 and gap < 2, f"{error}, not below {bound}, gap {gap} %")
    check("Q4_0" in told and "Q8_0" in told, told)
    found = verified(root / "bits", model)
    check(found["ok"] and len(found["layers"]) == 90, f"{found['problems']}")
    check(uniform["q4_0"][0] + 1 < found["sqnr_db"] < uniform["q8_0"][0], f"{found['sqnr_db']} dB between {uniform}")
    stored = bytes_of_weights(root / "bits") - uniform["q4_0"][1]  # what the choice added to Q4_0's 4.5 bits
    check(stored * 8 <= 9 * WEIGHTS * (6 - 4.5), f"{stored} bytes above Q4_0")

    # The recipe gives the same folder, any number of threads too.
    recipe = root / "bits" / "Wan2_1_best_practice.yaml"
    quant(model, root / "again", "--config_path", recipe, "--threads", 1)
    check(files_of(root / "again") == files_of(root / "bits"), "the kept recipe gives the same files")
    quant(model, root / "threads", "--format", "gguf", "--target_bits", 6, "--threads", 3)
    check(files_of(root / "threads") == files_of(root / "bits"), "the plan does not depend on threads")

    # Size: of the whole file, filled as far as whole layers allow.
    target = (uniform["q8_0"][1] + uniform["q4_0"][1]) // 2
    quant(model, root / "size", "--format", "gguf", "--target_size", target)
    check(target - 9000 < bytes_of_weights(root / "size") <= target, f"{bytes_of_weights(root / 'size')} for {target}")

    # Other formats, schemes by name, activations of --quant_type.
    for case, name, more, wanted in (
            ("w16", "ascendv1", ["--target_bits", 7], {"W8A16", "W4A16"}),
            ("w8", "ascendv1", ["--quant_type", "w8a8", "--target_bits", 10], {"W8A8_DYNAMIC", "W4A8_DYNAMIC"}),
            ("comfy", "comfyui", ["--candidates", "w8a16", "--candidates", "nvfp4", "--target_bits", 7], {"W8A16", "NVFP4"}),
            ("mindie", "mindie", ["--target_bits", 12], {"W8A16", "FLOAT"})):
        written = json.loads(quant(model, root / case, "--format", name, *more, "--json")[0])
        check(wanted <= written["layers"].keys(), f"{case}: {written['layers']}")
        check(verified(root / case, model)["ok"], f"{case} is right")
    check(not any(layer.endswith("ffn.2") for layer in verified(root / "w8", model)["layers"]),
          "what a practice leaves in float stays so: ffn.2 with integer activations")
    plan = run("quant", "--model_path", model, "--save_path", root / "dry", "--model_type", "Wan2_1", "--format", "gguf",
               "--target_bits", 6, "--dry-run")[0]
    check("Q4_0" in plan and "Q8_0" in plan and not (root / "dry").exists(), f"the plan alone: {plan}")

    for arguments, words in (
            (["--format", "gguf", "--target_bits", 3], "bits a weight), more than"),
            (["--format", "gguf", "--target_size", "100KB"], "takes"),
            (["--format", "gguf", "--target_size", "1GB"], "the float model is within the target"),
            (["--format", "gguf", "--target_size", "6 Gb/s"], "--target_size"),
            (["--format", "gguf", "--target_bits", 0.5], "0.5 bits a weight"),
            (["--format", "gguf", "--target_bits", 5, "--target_size", "1GB"], "only one of"),
            (["--target_bits", 5], "a target needs --format"),
            (["--format", "gguf", "--candidates", "q8_0"], "--candidates are for"),
            (["--format", "gguf", "--target_bits", 5, "--candidates", "q8_1"], "did you mean \"q8_0\""),
            (["--config_path", recipe, "--target_bits", 5], "not with a recipe"),
            (["--format", "lightx2v", "--target_bits", 5], "all Linears of the blocks in one scheme")):
        _, errors = quant(model, root / "wrong", *arguments, status=2)
        check(words in errors, f"{arguments}: \"{words}\" in: {errors}")
        check(not (root / "wrong").exists(), f"{arguments}: nothing is written")
    _, errors = quant(model, root / "wrong", "--format", "gguf", "--target_bits", 5, "--candidates", "w8a8", status=1)
    check("GGUF holds the types" in errors, errors)
report("budget")
