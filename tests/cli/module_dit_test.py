# SPDX-License-Identifier: Apache-2.0
"""module dit gives the reference tensors within the tolerances of case.json, float and mixed, streamed and quantized."""
from testlib import DATA, check, floats, json, pathlib, quant, relative, report, run, struct, temporary

DIT = DATA / "official" / "dit"


def module(model, case, out, *more, **keywords):
    return run("module", "dit", "--model", model, "--in", case, "--out", out, *more, **keywords)


with temporary() as folder:
    out = pathlib.Path(folder, "out.safetensors")
    for model in ("t2v", "i2v", "flf2v", "vace", "t2v_comfyui", "t2v_diffusers"):
        cases = json.loads((DIT / model / "case.json").read_text())
        path = DIT / model / ("wan_mini_t2v_fp32.safetensors" if model == "t2v_comfyui" else "")
        for name, case in cases["cases"].items():
            file = DIT / model / f"{name}.safetensors"
            golden = floats(file)
            for compute in ("f32", "bf16"):
                module(path, file, out, "--compute", compute, "--vace_scale", case.get("scale", 1.0))
                for item, values in floats(out).items():
                    noise = case["noise"].get(item, case["noise"])["bf16_vs_f32"]["rel_l2"]
                    bound = cases["tolerance"]["f32_impl"]["rel_l2"] if compute == "f32" else 1.5 * noise
                    check(relative(values, golden["f32." + item]) <= bound, f"{model} {name} {item} in {compute}")

    model, case = DIT / "t2v", DIT / "t2v" / "multi.safetensors"
    module(model, case, out)
    plain = out.read_bytes()
    times = json.loads(module(model, case, out, "--repeat", 3, "--json")[0])
    check(len(times["seconds"]) == 3 and times["seconds_per_forward"] > 0, "JSON has the seconds of each forward")
    for more in (("--threads", 1), ("--threads", 3), ("--memory", "140MB"), ("--repeat", 2)):
        module(model, case, out, *more)
        check(out.read_bytes() == plain, f"the same bytes with {more}")
    profile = json.loads(module(model, case, out, "--profile", "--json")[0])["profile"]
    kinds = {row["kind"]: row for row in profile}
    check(kinds["Linear, bf16"]["gflops_per_second"] > 0 and kinds["attention"]["calls"] == 4, f"time by kind of work: {profile}")
    check("together" in module(model, case, out, "--profile")[0], "as a table")
    error = module(model, case, out, "--memory", "1MB", status=2)[1]
    check("--memory" in error and "GB" in error, "says how much memory is needed")

    quant(model, f"{folder}/w8a8", "--quant_type", "w8a8")
    golden = floats(case)["f32.out.0"]
    for compute in ("f32", "bf16"):
        module(model, case, out, "--compute", compute, "--quantized", f"{folder}/w8a8")
        error = relative(floats(out)["out.0"], golden)
        check(0.003 < error < 0.05, f"W8A8 is near the float result, and not it: {error}")
    error = module(DIT / "t2v_diffusers", DIT / "t2v_diffusers" / "multi.safetensors", out,
                   "--quantized", f"{folder}/w8a8", status=1)[1]
    check("another model" in error, "codes of another model are refused")

    # A damaged weight is found: the first layer whose result is not finite.
    damaged = pathlib.Path(folder, "damaged")
    damaged.mkdir()
    content = bytearray((model / "diffusion_pytorch_model.safetensors").read_bytes())
    (size,) = struct.unpack_from("<Q", content)
    begin = json.loads(content[8:8 + size])["blocks.1.ffn.0.bias"]["data_offsets"][0]
    struct.pack_into("<f", content, 8 + size + begin, float("nan"))
    (damaged / "diffusion_pytorch_model.safetensors").write_bytes(content)
    (damaged / "config.json").write_bytes((model / "config.json").read_bytes())
    for compute in ("f32", "bf16"):
        error = module(damaged, case, out, "--compute", compute, status=1)[1]
        check("no longer finite" in error and "blocks.1.ffn.0" in error, f"located: {error}")

    error = module(model, DIT / "i2v" / "multi.safetensors", out, status=1)[1]
    check("takes no images" in error, "inputs of another model are refused")
    error = module(model, model / "diffusion_pytorch_model.safetensors", out, status=1)[1]
    check("in.t" in error, "a file without inputs is refused")
    check("dit" in run("module", "dti", "--model", model, "--in", case, "--out", out, status=2)[1], "spelling")
report("module dit")
