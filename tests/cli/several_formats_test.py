# SPDX-License-Identifier: Apache-2.0
"""Several --format in one pass: each folder has the bytes of a run of its own, the weights are quantized once, and a
kill at any point, also between two folders, loses nothing."""
from testlib import WANSLIM, check, files_of, json, os, pathlib, quant, report, run, subprocess, temporary

LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"
FORMATS = ("mindie", "comfyui", "vllm-omni")
CHOSEN = [part for name in FORMATS for part in ("--format", name)]


def same(folder, alone, what):
    check(sorted(p.name for p in folder.iterdir()) == sorted(FORMATS), f"{what}: one folder a format and nothing else")
    for name in FORMATS:
        check(files_of(folder / name) == alone[name], f"{what}: {name} has the bytes of a run of its own")
        check(not (folder / name / ".wanslim").exists(), f"{what}: nothing unfinished is left")


def killed(root, model, alone):
    points = between = 0
    for at in range(3, 900, 13):
        folder = root / f"kill{at}"
        command = ["quant", "--model_path", model, "--save_path", folder, "--model_type", "Wan2_1", "--quant_type", "w8a8", *CHOSEN]
        env = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAULT": "kill", "FAULT_AT": str(at), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        done = subprocess.run([WANSLIM, *map(str, command)], env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        check(done.returncode == -9, f"kill at {at}: {done.stderr}")
        points += 1
        work = [(folder / name / ".wanslim" / "journal").exists() for name in FORMATS]
        if not any(work) and (folder / FORMATS[-1] / "config.json").exists():
            same(folder, alone, f"kill at {at}, after the last rename")
            continue
        _, errors = run(*command)
        between += "is finished already" in errors
        same(folder, alone, f"kill at {at}")
    check(points > 10 and between > 0, f"{points} kill points, {between} of them between two folders")


with temporary() as name:
    base = pathlib.Path(name)
    run("synth", "tiny", base / "model")
    expected = {}
    for chosen in FORMATS:
        quant(base / "model", base / chosen, "--quant_type", "w8a8", "--format", chosen)
        expected[chosen] = files_of(base / chosen)
    out, told = quant(base / "model", base / "all", "--quant_type", "w8a8", *CHOSEN, "--json")
    same(base / "all", expected, "one pass")
    check([entry["format"] for entry in json.loads(out)] == list(FORMATS), f"the report has each: {out}")
    check(told.count("quantizing") == 1, f"quantized once: {told}")
    _, told = quant(base / "model", base / "all", "--quant_type", "w8a8", *CHOSEN, status=1)
    check("already holds" in told, f"results are not replaced unasked: {told}")
    for arguments, status, words in ((("--format", "mindie", "--format", "mindie"), 2, "stands twice"),
                                     (("--format", "mindie", "--format", "minde"), 2, "did you mean"),
                                     (("--format", "mindie", "--format", "gguf"), 1, "GGUF holds the types")):
        _, told = quant(base / "model", base / "refused", "--quant_type", "w8a8", *arguments, status=status)
        check(words in told, f"{arguments}: \"{words}\" in: {told}")
        check(not (base / "refused").exists(), f"{arguments}: nothing is written for any of them")
    if LIBRARY.exists():
        killed(base, base / "model", expected)
report("several formats")
