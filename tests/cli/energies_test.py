# SPDX-License-Identifier: Apache-2.0
"""Channel energies of a file weight the clip search; what is wrong with the file is told before anything is written."""
from testlib import check, files_of, json, pathlib, quant, report, run, struct, temporary

RECIPE = """
apiversion: multimodal_sd_modelslim_v1
spec:
  process:
    - type: linear_quant
      qconfig:
        weight: {scope: per_channel, dtype: int4, symmetric: True, method: clip%s}
      include: ["*"]
  save: [{type: ascendv1_saver, part_file_size: 0}]
  multimodal_sd_config:
    dump_config: {enable_dump: False}
    inference_config: {prompt: none}
"""


def write_energies(path, tensors):
    header, body = {}, b""
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(body), len(body) + 4 * len(values)]}
        body += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


with temporary() as folder:
    root = pathlib.Path(folder)
    model = root / "model"
    run("synth", "tiny", model)
    energies = root / "energies.safetensors"
    (root / "plain.yaml").write_text(RECIPE % "")
    (root / "weighted.yaml").write_text(RECIPE % f', ext: {{energies: "{energies}"}}')
    quant(model, root / "plain", "--config_path", root / "plain.yaml")
    layers = list(json.loads(run("verify", root / "plain", "--against", model, "--json")[0])["layers"])
    check(len(layers) == 20, "all Linears of the blocks")

    def weights_with(name, energy):
        write_energies(energies, {f"{layer}.energy": [energy(i) for i in range(512 if layer.endswith("ffn.2") else 128)] for layer in layers})
        quant(model, root / name, "--config_path", root / "weighted.yaml")
        check(json.loads(run("verify", root / name, "--against", model, "--json")[0])["ok"], f"{name} is right")
        return files_of(root / name)["quant_model_weights.safetensors"]

    plain = files_of(root / "plain")["quant_model_weights.safetensors"]
    check(weights_with("same", lambda i: 3.5) == plain, "energies that are all the same change nothing")
    check(weights_with("skewed", lambda i: 1e4 if i % 16 == 0 else 1e-3) != plain, "others do")

    write_energies(energies, {"blocks.0.self_attn.q.energy": [1.0] * 128})
    _, errors = quant(model, root / "wrong", "--config_path", root / "weighted.yaml", status=1)
    check("no energies \"blocks.0.self_attn.k.energy\"" in errors and not (root / "wrong").exists(), errors)
    (root / "minmax.yaml").write_text((RECIPE % ", ext: {energies: x}").replace("clip", "minmax"))
    _, errors = quant(model, root / "wrong", "--config_path", root / "minmax.yaml", status=1)
    check("is no option of method \"minmax\"" in errors, errors)
report("energies")
