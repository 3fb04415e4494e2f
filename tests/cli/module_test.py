#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The modules beside the transformer give the reference tensors within the tolerances of case.json."""
from testlib import DATA, check, floats, json, pathlib, relative, report, run, temporary

OFFICIAL = DATA / "official"


def module(name, model, case, out, *more, **keywords):
    return run("module", name, "--model", model, "--in", case, "--out", out, *more, **keywords)


def same_bytes(name, model, case, out, *more):
    plain = out.read_bytes()
    module(name, model, case, out, *more, "--threads", 1)
    check(out.read_bytes() == plain, f"{name}: the same bytes with one thread")


with temporary() as folder:
    out = pathlib.Path(folder, "out.safetensors")

    umt5 = OFFICIAL / "umt5" / "mini"
    encoder = umt5 / "models_t5_umt5-mini-enc-bf16.pth"
    cases = json.loads((umt5 / "case.json").read_text())
    for name, case in cases["cases"].items():
        golden = floats(umt5 / f"{name}.safetensors")
        for compute in ("f32", "bf16"):
            module("umt5", encoder, umt5 / f"{name}.safetensors", out, "--compute", compute)
            got = floats(out)
            check(len(got) == len(case["valid_lengths"]), f"umt5 {name}: an output for each prompt")
            for item, values in got.items():
                want = golden["f32." + item]
                if len(want) < len(values):  # every fourth row was kept
                    values = [v for row in range(0, len(values) // 128, 4) for v in values[row * 128:row * 128 + 128]]
                noise = case["noise"][item]["bf16_vs_f32"]["rel_l2"]
                bound = cases["tolerance"]["f32_impl"]["rel_l2"] if compute == "f32" else 1.5 * noise
                check(relative(values, want) <= bound, f"umt5 {name} {item} in {compute}")
    same_bytes("umt5", encoder, umt5 / "short_mid.safetensors", out, "--compute", "bf16", "--repeat", 2)
    same_bytes("umt5", encoder.with_suffix(".safetensors"), umt5 / "short_mid.safetensors", out)

    vae = OFFICIAL / "vae" / "mini"
    cases = json.loads((vae / "case.json").read_text())
    for name, case in cases["cases"].items():
        kind, output = ("vae-encode", "latent") if case["kind"] == "encode" else ("vae-decode", "video_unclamped")
        for model in (vae, OFFICIAL / "vae" / "mini_diffusers"):
            module(kind, model, vae / f"{name}.safetensors", out)
            error = relative(floats(out)[output], floats(vae / f"{name}.safetensors")["f32." + output])
            check(error <= cases["tolerance"]["f32_impl"]["rel_l2"], f"{kind} {name}: {error}")
        module(kind, vae, vae / f"{name}.safetensors", out, "--compute", "bf16")
        error = relative(floats(out)[output], floats(vae / f"{name}.safetensors")["f32." + output])
        check(error < 0.02, f"{kind} {name} in bf16: {error}")
        module(kind, vae, vae / f"{name}.safetensors", out)
        same_bytes(kind, vae, vae / f"{name}.safetensors", out)

    clip = OFFICIAL / "clip" / "mini"
    cases = json.loads((clip / "case.json").read_text())
    weights = clip / "models_clip_mini.pth"
    for name, case in cases["cases"].items():
        want = floats(clip / f"{name}.safetensors")["f32.out"]
        for more in (("--compute", "f32"), ()):
            module("clip", weights, clip / f"{name}.safetensors", out, *more)
            values = floats(out)["out"]
            if len(want) < len(values):
                values = [v for row in range(0, 257, 4) for v in values[row * 160:row * 160 + 160]]
            bound = cases["tolerance"]["f32_impl"]["rel_l2"] if more else 1.5 * case["noise"]["fp16_vs_f32"]["rel_l2"]
            check(relative(values, want) <= bound, f"clip {name} {more}")
    same_bytes("clip", weights, clip / f"{name}.safetensors", out)

    prompts, ids = pathlib.Path(folder, "prompts.json"), pathlib.Path(folder, "ids.json")
    for name in ("nmt_nfkc_bytes", "nmt_nfkc_nobytes", "identity_nobytes"):
        tokenizer = OFFICIAL / "tokenizer" / name
        golden = json.loads((tokenizer / "golden.json").read_text())["cases"]
        prompts.write_text(json.dumps([case["text"] for case in golden]))
        module("tokenize", tokenizer, prompts, ids)
        check(json.loads(ids.read_text()) == [case["ids"] for case in golden], f"tokenize {name}")

    prompts.write_text('["a", 3]')
    check("item 1 is not a string" in module("tokenize", tokenizer, prompts, ids, status=1)[1], "prompts are strings")
    prompts.write_text('{"a": "b"}')
    check("JSON list" in module("tokenize", tokenizer, prompts, ids, status=1)[1], "prompts are a list")
    error = module("umt5", encoder, vae / "dec1.safetensors", out, status=1)[1]
    check("in.ids" in error and "dec1.safetensors" in error, "inputs of another module are refused")
    error = module("vae-decode", umt5, vae / "dec1.safetensors", out, status=1)[1]
    check("VAE" in error, "a folder without the VAE is refused")
    error = module("clip", weights, vae / "dec1.safetensors", out, "--quantized", umt5, status=2)[1]
    check("--quantized" in error, "codes are for the transformer")
    times = json.loads(module("vae-decode", vae, vae / "dec1.safetensors", out, "--repeat", 2, "--json")[0])
    check(len(times["seconds"]) == 2 and times["seconds_per_forward"] > 0 and times["weight_bytes"] > 0, "JSON")
report("module")
