# SPDX-License-Identifier: Apache-2.0
"""convert: the same codes and scales under another format, bit for bit; back to float; refusals; resume after a kill."""
from testlib import DATA, WANSLIM, check, files_of, json, os, pathlib, quant, report, run, struct, subprocess, temporary

LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"
SHARDLESS = "diffusion_pytorch_model.safetensors"


def tensors_of(folder):
    """name -> (dtype, shape, bytes) of a folder's safetensors files."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        content = path.read_bytes()
        (size,) = struct.unpack_from("<Q", content)
        for name, entry in json.loads(content[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + offset for offset in entry["data_offsets"])
                found[name] = (entry["dtype"], entry["shape"], content[begin:end])
    return found


def same_as_quant(root, model):
    """What convert makes of one format is what quant writes in the other."""
    for scheme, source, target in (("w8a8", "mindie", "vllm-omni"), ("w8a8", "vllm-omni", "compressed-tensors"),
                                   ("w4a16_g32", "ascendv1", "compressed-tensors"), ("w8a16", "compressed-tensors", "comfyui"),
                                   ("w4a16", "compressed-tensors", "ascendv1"), ("fp8", "compressed-tensors", "lightx2v"),
                                   ("mxfp8", "mindie", "comfyui")):
        what = f"{scheme} from {source} to {target}"
        name = f"{scheme}_{source}_{target}"
        direct, first, second = root / f"{name}_direct", root / f"{name}_first", root / f"{name}_second"
        # A practice widens itself for LightX2V, so that is where its layers come from.
        quant(model, direct, "--quant_type", scheme, "--format", target)
        quant(model, first, "--config_path", direct / "Wan2_1_best_practice.yaml", "--format", source, "--part_file_size", 0)
        run("convert", first, second, "--format", target)
        wanted, got = tensors_of(direct), tensors_of(second)
        check(wanted.keys() == got.keys(), f"{what}: {sorted(wanted.keys() ^ got.keys())[:4]}")
        coded = [key for key, value in wanted.items() if value[0] in ("I8", "U8", "I32", "I64", "F8_E4M3") or key.endswith("weight_scale")]
        check(len(coded) > 20, f"{what}: {len(coded)} tensors of codes and scales")
        for key, value in wanted.items():
            check(got[key] == value if key in coded else got[key][1] == value[1], f"{what}: {key}")
        verified = json.loads(run("verify", second, "--against", model, "--json")[0])
        check(verified["ok"] and verified["format"] == target, f"{what}: {verified['problems']}")
        check("manifest" in json.loads(run("inspect", second, "--json")[0]), f"{what}: has a manifest")


def there_and_back(root, model):
    quant(model, root / "npu", "--quant_type", "w8a8")
    run("convert", root / "npu", root / "omni", "--format", "vllm-omni")
    run("convert", root / "omni", root / "back", "--format", "mindie")
    before, after = tensors_of(root / "npu"), tensors_of(root / "back")
    check(before.keys() == after.keys(), "the same tensors come back")
    coded = [name for name in before if name.endswith(".weight_scale") or before[name][0] == "I8"]
    check(len(coded) > 20 and all(before[name] == after[name] for name in coded), "codes and scales are bit-equal")
    check(files_of(root / "omni").keys() >= {"config.json", "Wan2_1_best_practice.yaml"}, "the recipe goes along")
    run("convert", root / "npu", root / "omni1", "--format", "vllm-omni", "--threads", 1)
    check(files_of(root / "omni1") == files_of(root / "omni"), "one thread gives the same bytes")


def to_float(root, model):
    quant(model, root / "packed", "--quant_type", "w4a16_g32", "--format", "compressed-tensors")
    for dtype, least in (("f32", None), ("bf16", 40), ("f16", 50)):
        out = root / f"float_{dtype}"
        run("convert", root / "packed", out, "--to", "float", "--dtype", dtype)
        check({entry[0] for entry in tensors_of(out).values()} == {dtype.upper()}, f"all tensors are {dtype}")
        seen = json.loads(run("inspect", out, "--json")[0])
        check(seen["variant"] == "tiny" and seen["naming"] == "official", f"{dtype}: an ordinary checkpoint: {seen['odd']}")
        # The codes against the weights that were made from them: nothing is lost in F32.
        worst = json.loads(run("verify", root / "packed", "--against", out, "--json", status=None)[0])["worst"]["sqnr_db"]
        check(worst is None if least is None else worst > least, f"{dtype}: {worst} dB")
    run("convert", root / "packed", root / "default", "--to", "float")
    check(files_of(root / "default")[SHARDLESS] == files_of(root / "float_bf16")[SHARDLESS], "bf16 is the default")
    quant(root / "float_f32", root / "again", "--quant_type", "w8a8")


def slim(root, model):
    quant(model, root / "slim", "--quant_type", "w8a8", "--slim")
    _, errors = run("convert", root / "slim", root / "slim_float", "--to", "float", status=1)
    check("--against" in errors, f"says what is missing: {errors}")
    check(not (root / "slim_float").exists(), "nothing is written")
    run("convert", root / "slim", root / "slim_float", "--to", "float", "--against", model)
    run("convert", root / "npu", root / "whole_float", "--to", "float")
    check(tensors_of(root / "slim_float") == tensors_of(root / "whole_float"), "the float model completes it")


def refusals(root, model):
    quant(model, root / "w8a16", "--quant_type", "w8a16", "--format", "compressed-tensors")
    for source, arguments, status, words in (
            ("w8a16", ("--format", "vllm-omni"), 1, "blocks.0.self_attn.q: the format vllm-omni cannot hold this scheme"),
            ("w8a16", ("--format", "gguf"), 1, "GGUF holds the types"),
            ("npu", ("--format", "lightx2v"), 1, "wants every Linear of the blocks quantized"),
            ("npu", (), 2, "one of --format and --to float"),
            ("npu", ("--format", "comfyui", "--to", "float"), 2, "one of --format and --to float"),
            ("npu", ("--format", "comfyui", "--dtype", "f32"), 2, "--dtype is for --to float"),
            ("npu", ("--format", "comfyui", "--part_file_size", 1), 2, "loads one file and no shards"),
            ("npu", ("--format", "vllm_omni"), 2, "did you mean \"vllm-omni\""),
            ("model", ("--format", "comfyui"), 1, "this is no output that wanslim knows")):
        _, errors = run("convert", root / source, root / "refused", *arguments, status=status)
        check(words in errors, f"{source} {arguments}: \"{words}\" in: {errors}")
        check(not (root / "refused").exists(), f"{source} {arguments}: nothing is written")
    # What a format would not execute is seen before anything is written; as float it is no matter.
    reference = DATA / "msmodelslim"
    quant(reference / "model", root / "svd", "--config_path", reference / "svd_res_w8a8" / "recipe.yaml", "--format", "ascendv1")
    _, errors = run("convert", root / "svd", root / "refused", "--format", "comfyui", status=1)
    check("a low-rank pair" in errors and "blocks.0.self_attn.q" in errors and not (root / "refused").exists(), f"svd_res: {errors}")
    run("convert", root / "svd", root / "svd_float", "--to", "float", "--dtype", "f32")
    _, errors = run("convert", root / "npu", root / "npu", "--format", "vllm-omni", "--overwrite", status=2)
    check("the same folder" in errors, f"never onto itself: {errors}")
    _, errors = run("convert", root / "npu", root / "omni", "--format", "vllm-omni", status=1)
    check("already holds" in errors, f"a result is not replaced unasked: {errors}")


def resume(root):
    if not LIBRARY.exists():
        return
    killed = 0
    for at in range(5, 200, 17):
        folder = root / f"kill{at}"
        env = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAULT": "kill", "FAULT_AT": str(at), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        command = [WANSLIM, "convert", root / "npu", folder, "--format", "vllm-omni"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        killed += 1
        check("config.json" not in [p.name for p in folder.glob("*")] or not (folder / ".wanslim/journal").exists(), f"kill at {at}")
        if not (folder / "config.json").exists():
            run(*command[1:])
        check(files_of(folder) == files_of(root / "omni"), f"kill at {at}: the bytes of an undisturbed run")
    check(killed > 5, f"{killed} kill points")


with temporary() as name:
    base = pathlib.Path(name)
    run("synth", "tiny", base / "model")
    there_and_back(base, base / "model")
    same_as_quant(base, base / "model")
    to_float(base, base / "model")
    slim(base, base / "model")
    refusals(base, base / "model")
    resume(base)
report("convert")
