# SPDX-License-Identifier: Apache-2.0
"""Steps that change a weight before it is rounded: quant -> verify --against -> what it gained, or refused by name."""
from testlib import DATA, check, floats, json, pathlib, quant, relative, report, run, temporary

RECIPE = """
apiversion: multimodal_sd_modelslim_v1
spec:
  process:
%s
    - type: linear_quant
      qconfig:
        act: {scope: per_token, dtype: int8, symmetric: True, method: minmax}
        weight: {scope: per_channel, dtype: int8, symmetric: True, method: minmax}
      include: ["*"]
      exclude: ["*cross_attn*"]
  save: [{type: %s, part_file_size: 0}]
  multimodal_sd_config:
    dump_config: {enable_dump: False}
    inference_config: {prompt: none}
"""


def recipe_in(root, name, steps, saver="comfyui_saver"):
    path = root / f"{name}.yaml"
    path.write_text(RECIPE % ("\n".join(f"    - {step}" for step in steps), saver))
    return path


def sqnr(out, model):
    return json.loads(run("verify", out, "--against", model, "--json")[0])


with temporary() as folder:
    root = pathlib.Path(folder)
    model = root / "model"
    run("synth", "tiny", model)

    # convrot: heavy columns are spread; cross attention, float here, is left as it is.
    found = {}
    for name, steps in (("plain", []), ("convrot", ["{type: convrot, group_size: 64}"])):
        recipe = recipe_in(root, name, steps)
        quant(model, root / name, "--config_path", recipe)
        found[name] = sqnr(root / name, model)
        check(found[name]["ok"] and found[name]["format"] == "comfyui", f"{name}: {found[name]['problems']}")
    check(found["convrot"]["sqnr_db"] > found["plain"]["sqnr_db"] + 0.5,
          f"rotated {found['convrot']['sqnr_db']:.2f} dB, plain {found['plain']['sqnr_db']:.2f} dB")
    check(found["convrot"]["layers"].keys() == found["plain"]["layers"].keys(), "the same layers come back")
    for name in ("mindie", "ascendv1", "lightx2v", "universal-int8"):
        _, errors = quant(model, root / "wrong", "--config_path", root / "convrot.yaml", "--format", name, "--part_file_size", "0", status=1)
        check("does not rotate the inputs" in errors and "blocks.0." in errors, f"{name}: {errors}")
    _, errors = quant(model, root / "wrong", "--config_path", root / "convrot.yaml", "--numerics", "compat", status=1)
    check("no convrot to be compatible with" in errors and "convrot.yaml:5:7" in errors, errors)
    _, errors = quant(model, root / "wrong", "--quant_type", "w8a8_convrot", status=1)
    check("128 inputs do not divide into groups of 256" in errors, errors)
    _, errors = quant(model, root / "wrong", "--config_path", recipe_in(root, "odd", ["{type: convrot, group_size: 128}"]), status=1)
    check("power of four" in errors and "odd.yaml:5:35" in errors, errors)

    # rotate_vo: in every format, and verify compares with the rotated model.
    recipe = recipe_in(root, "vo", ["{type: rotate_vo}"])
    recipe.write_text(recipe.read_text().replace('exclude: ["*cross_attn*"]', "exclude: []"))
    plain = recipe_in(root, "all", [])
    plain.write_text(plain.read_text().replace('exclude: ["*cross_attn*"]', "exclude: []"))
    for name in ("mindie", "ascendv1", "comfyui", "lightx2v", "universal-int8"):
        quant(model, root / f"vo_{name}", "--config_path", recipe, "--format", name)
        got = sqnr(root / f"vo_{name}", model)
        check(got["ok"] and got["worst"]["sqnr_db"] > 33, f"{name}: {got['problems']} {got['worst']}")
    quant(model, root / "all_mindie", "--config_path", plain, "--format", "mindie")
    before, after = sqnr(root / "all_mindie", model)["layers"], sqnr(root / "vo_mindie", model)["layers"]
    for layer, decibel in after.items():
        rotated = layer.endswith((".v", ".o"))
        check((decibel != before[layer]) == rotated, f"{layer} is rotated: {rotated}")
    run("convert", root / "vo_mindie", root / "vo_converted", "--format", "comfyui")
    check(sqnr(root / "vo_converted", model)["layers"] == after, "convert carries the rotation along")
    manifest = root / "vo_mindie" / "wanslim_manifest.json"
    check(json.loads(manifest.read_text())["rotated_outputs"]["blocks.0.self_attn.v"] == 128, "the manifest says it")
    manifest.write_text(manifest.read_text().replace('"rotated_outputs"', '"rotated"').replace('"rotated_inputs"', '"other"'))
    unknown = json.loads(run("verify", root / "vo_mindie", "--against", model, "--json", status=1)[0])
    check(any("self_attn.v has nothing in common" in line for line in unknown["problems"]), "without it the layers are others")

    # The forward of each is near the float one; the rotation of v and o alone costs nothing.
    dit = DATA / "official" / "dit" / "t2v"
    golden, out = floats(dit / "multi.safetensors")["f32.out.0"], root / "out.safetensors"
    for name, steps in (("dit", []), ("dit_vo", ["{type: rotate_vo}"]), ("dit_convrot", ["{type: convrot, group_size: 16}"]),
                        ("dit_svd", ["{type: svd_res, rank: 8}"])):
        recipe = recipe_in(root, name, steps, "ascendv1_saver" if "svd" in name else "comfyui_saver")
        recipe.write_text(recipe.read_text().replace('exclude: ["*cross_attn*"]', "exclude: []"))
        quant(dit, root / name, "--config_path", recipe)
        run("module", "dit", "--model", dit, "--in", dit / "multi.safetensors", "--out", out, "--compute", "f32", "--quantized", root / name)
        error = relative(floats(out)["out.0"], golden)
        check(0.0005 < error < 0.012, f"{name}: the forward is off by {error}")
report("preparation")
