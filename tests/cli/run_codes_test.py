# SPDX-License-Identifier: Apache-2.0
"""Every scheme from every format that holds it runs in the transformer: as far from float as the scheme is, and the
same from every format. One row a scheme: bounds of the relative error in float arithmetic, and who holds it."""
import array

from testlib import DATA, check, floats, json, pathlib, quant, relative, report, run, struct, temporary, write_tensors

TABLE = {
    #              from     to    formats
    "w8a8":       (0.002, 0.020, ("mindie", "ascendv1", "comfyui", "lightx2v", "universal-int8")),
    "w8a16":      (0.001, 0.015, ("mindie", "ascendv1", "comfyui")),
    "w4a16":      (0.020, 0.300, ("mindie", "ascendv1")),
    "w4a16_g32":  (0.020, 0.200, ("ascendv1",)),
    "w4a8":       (0.020, 0.300, ("ascendv1",)),
    "w4a4":       (0.040, 0.400, ("ascendv1",)),
    "fp8":        (0.005, 0.080, ("ascendv1", "lightx2v")),
    "fp8_scaled": (0.005, 0.060, ("comfyui",)),
    "mxfp8":      (0.005, 0.080, ("mindie", "ascendv1", "comfyui")),
    "mxfp4":      (0.010, 0.400, ("mindie", "ascendv1")),
    "nvfp4":      (0.020, 0.300, ("comfyui",)),
    "q8_0":       (0.001, 0.020, ("gguf",)),
    "q4_0":       (0.020, 0.300, ("gguf",)),
}


def write_inputs(path):
    """Two inputs of different timestep and length of text, for the tiny model."""
    state = 7
    def numbers(count):
        nonlocal state
        out = []
        for _ in range(count):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            out.append((state >> 40) / 2**23 - 1)
        return out
    tensors = {}
    for name, shape in (("in.x.0", (16, 2, 6, 4)), ("in.x.1", (16, 2, 6, 4)), ("in.context.0", (5, 64)), ("in.context.1", (16, 64))):
        count = 1
        for extent in shape:
            count *= extent
        tensors[name] = ("F32", shape, array.array("f", numbers(count)).tobytes())
    tensors["in.t"] = ("I64", (2,), struct.pack("<2q", 999, 250))
    write_tensors(path, tensors)


def forward(model, inputs, out, *more):
    run("module", "dit", "--model", model, "--in", inputs, "--out", out, *more)
    values = floats(out)
    return [*values["out.0"], *values["out.1"]]


with temporary() as folder:
    root = pathlib.Path(folder)
    inputs, out = root / "in.safetensors", root / "out.safetensors"
    write_inputs(inputs)
    for scheme, (least, most, formats) in TABLE.items():
        model = root / f"model_{'6' if scheme == 'mxfp4' else '2'}"
        if not model.exists():
            run("synth", "tiny", model, "--layers", model.name[-1], "--parts", "transformer")
        exact = {compute: forward(model, inputs, out, "--compute", compute) for compute in ("f32", "bf16")}
        noise = relative(exact["bf16"], exact["f32"])
        results = {}
        for name in formats:
            codes = root / f"{scheme}_{name}"
            layers = json.loads(quant(model, codes, "--quant_type", scheme, "--format", name, "--json")[0])["layers"]
            got = forward(model, inputs, out, "--compute", "f32", "--quantized", codes)
            error = relative(got, exact["f32"])
            check(least < error < most, f"{scheme} as {name} is {error} from float, expected {least} to {most}")
            # In bf16 the runtimes' roundings of biases and scales are made whatever the file has.
            got = forward(model, inputs, out, "--compute", "bf16", "--quantized", codes)
            mixed = relative(got, exact["f32"])
            check(mixed < most + 2 * noise, f"{scheme} as {name} in bf16 is {mixed} from float")
            same = results.setdefault(layers.get("FLOAT", 0), got)
            check(same == got, f"{scheme} as {name} is executed as from the other formats")
            again = forward(model, inputs, out, "--compute", "bf16", "--quantized", codes, "--threads", 1, "--memory", "125MB")
            check(again == got, f"{scheme} as {name}: the same with one thread and with a limit of memory")
            print(f"{scheme:11} {name:15} {error:.5f} {mixed:.5f}")
    # Schemes that no practice has.
    model = DATA / "msmodelslim" / "model"
    exact = forward(model, inputs, out, "--compute", "f32")
    for case in ("w4a8_mx", "w4a4_mxfp4_dualscale"):
        quant(model, root / case, "--config_path", DATA / "msmodelslim" / case / "recipe.yaml")
        for compute in ("f32", "bf16"):
            error = relative(forward(model, inputs, out, "--compute", compute, "--quantized", root / case), exact)
            check(0.01 < error < 0.4, f"{case} in {compute} is {error} from float")
    # The block formats of 256 inputs need a wider model; its ffn.2 has 96.
    model = DATA / "official" / "dit" / "t2v"
    case = model / "multi.safetensors"
    golden = floats(case)["f32.out.0"]
    for scheme, most in {"q6_k": 0.03, "q5_k": 0.06, "q4_k": 0.12, "q3_k": 0.25, "q2_k": 0.6}.items():
        recipe = root / "recipe.yaml"
        recipe.write_text(run("practices", f"wan2_1_{scheme}")[0].replace("exclude: []", "exclude: ['*ffn.2']"))
        quant(model, root / scheme, "--config_path", recipe, "--format", "gguf")
        for compute in ("f32", "bf16"):
            run("module", "dit", "--model", model, "--in", case, "--out", out, "--compute", compute, "--quantized", root / scheme)
            error = relative(floats(out)["out.0"], golden)
            check(most / 20 < error < most, f"{scheme} in {compute} is {error} from float, expected less than {most}")
report("run codes")
