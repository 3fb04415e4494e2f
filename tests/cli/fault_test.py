# SPDX-License-Identifier: Apache-2.0
"""A run that is killed, interrupted or refused by the disk, at points spread over its file operations, loses nothing:
the next run goes on and ends with the bytes of an undisturbed one. WANSLIM_EVERY=1 tries every single point."""
import signal
import sys

from testlib import DATA, check, files_of, os, pathlib, quant, report, run, subprocess, temporary

LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"
MODEL = DATA / "msmodelslim" / "model"
EVERY = int(os.environ.get("WANSLIM_EVERY", "9"))
if not LIBRARY.exists():
    sys.exit(77)


def command(save, model):
    return [os.environ["WANSLIM"], "quant", "--model_path", model, "--save_path", save, "--model_type", "Wan2_1", "--quant_type", "w8a8"]


def environment(fault, at, on):
    env = {"LD_PRELOAD": str(LIBRARY), "FAULT": fault, "FAULT_AT": str(at), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    if on:
        env["FAULT_ON"] = on
    return {**os.environ, **env}


def faulty(save, fault, at, on=None, model=MODEL):
    return subprocess.run(command(save, model), env=environment(fault, at, on), capture_output=True, text=True, check=False)


def complete(folder, expected, what):
    found = files_of(folder)
    check(sorted(found) == sorted(expected), f"{what}: files {sorted(found)}")
    for name in expected:
        check(found[name] == expected[name], f"{what}: {name} has the bytes of an undisturbed run")
    check(not (pathlib.Path(folder) / ".wanslim").exists(), f"{what}: nothing unfinished is left")


def untouched(folder, what):
    names = [p.name for p in pathlib.Path(folder).glob("*")] if pathlib.Path(folder).exists() else []
    check([n for n in names if n != ".wanslim"] == [], f"{what}: nothing under a final name, found {names}")


def finish(folder, expected, what):
    """Runs undisturbed; a folder that was complete already says so."""
    done = pathlib.Path(folder) / "quant_model_description_w8a8_dynamic.json"
    if done.exists() and not (pathlib.Path(folder) / ".wanslim/journal").exists():
        _, errors = quant(MODEL, folder, "--quant_type", "w8a8", status=1)
        check("already holds" in errors, f"{what}: says that the result is there")
    else:
        quant(MODEL, folder, "--quant_type", "w8a8")
    complete(folder, expected, what)


def kill_everywhere(root, expected):
    at, points, twice = 1, 0, 0
    while True:
        folder = root / f"kill{at}"
        done = faulty(folder, "kill", at)
        if done.returncode == 0:
            break
        check(done.returncode == -9, f"killed at call {at}, got {done.returncode}: {done.stderr}")
        points += 1
        if points % 2 and "description" not in str(list(folder.glob("*"))):
            second = faulty(folder, "kill", 1 + at * 7 % 40)
            twice += second.returncode == -9
        finish(folder, expected, f"kill at call {at}")
        at += EVERY
    check(points >= 25, f"{points} kill points")
    check(twice >= 10, f"{twice} double kills")
    print(f"killed at {points} points, {twice} of them twice in a row")


def interrupts(root, expected):
    for fault, text in (("int", "Ctrl-C"), ("term", "SIGTERM")):
        folder = root / fault
        done = faulty(folder, fault, 30, on="pwrite")
        check(done.returncode == 130, f"{fault}: exit status {done.returncode}")
        check(text in done.stderr and "run the same command again" in done.stderr, f"{fault}: says how to go on: {done.stderr}")
        untouched(folder, fault)
        _, errors = quant(MODEL, folder, "--quant_type", "w8a8")
        check("going on from an unfinished run" in errors, f"{fault}: resumes")
        complete(folder, expected, fault)


def failing_disk(root, expected):
    for fault, on, at, text in (("enospc", "fallocate", 1, "No space left"), ("enospc", "pwrite", 40, "No space left"),
                                ("eio", "pwrite", 20, "Input/output error"), ("eio", "pread", 60, "Input/output error"),
                                ("eio", "fsync", 1, "Input/output error"), ("eio", "rename", 4, "Input/output error")):
        folder = root / f"{fault}_{on}"
        done = faulty(folder, fault, at, on=on)
        check(done.returncode == 1, f"{fault} in {on}: exit status {done.returncode} {done.stderr}")
        errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        check(len(errors) == 1 and text in errors[0], f"{fault} in {on}: one clear error, got {errors}")
        if on != "rename":
            untouched(folder, f"{fault} in {on}")
        finish(folder, expected, f"after {fault} in {on}")


def changed_input(root):
    model = root / "model"
    model.mkdir()
    for name, content in files_of(MODEL).items():
        (model / name).write_bytes(content)
    folder = root / "changed"
    check(faulty(folder, "kill", 60, on="pwrite", model=model).returncode == -9, "killed half-way")
    weights = model / "diffusion_pytorch_model.safetensors"
    os.utime(weights, ns=(1, 1))
    _, errors = quant(model, folder, "--quant_type", "w8a8", status=1)
    check("another input" in errors, f"an input changed between tries is named: {errors}")
    untouched(folder, "changed input")
    _, errors = quant(model, folder, "--quant_type", "w8a8", "--numerics", "compat", status=1)
    check("another numerics" in errors, f"another command is named: {errors}")
    quant(model, folder, "--quant_type", "w8a8", "--overwrite")
    run("verify", folder, "--against", model)


def changed_during_the_run(root):
    """Stops the run half-way, writes to a weight that it has not read yet or has read already, lets it go on."""
    for where in (0.5, 0.999):
        model, folder = root / f"model{where}", root / f"during{where}"
        model.mkdir()
        for name, content in files_of(MODEL).items():
            (model / name).write_bytes(content)
        with subprocess.Popen(command(folder, model), env=environment("stop", 60, "pread"), stderr=subprocess.PIPE, text=True) as process:
            check(os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]), "the run stops half-way")
            with open(model / "diffusion_pytorch_model.safetensors", "r+b") as file:
                file.seek(int(file.seek(0, 2) * where))
                file.write(b"changed")
            process.send_signal(signal.SIGCONT)
            errors = process.communicate()[1]
            check(process.returncode == 1 and "changed" in errors.splitlines()[-1], f"an input changed during the run: {errors}")
        untouched(folder, "changed during the run")
        quant(model, folder, "--quant_type", "w8a8")
        run("verify", folder, "--against", model)


def small_disk(root, expected):
    """A tmpfs that is too small by a little: refused before anything is read; one that is large enough is not."""
    needed = sum(len(content) for content in expected.values())
    for size, status in ((needed - (1 << 20), 1), (needed + (4 << 20), 0)):
        disk = root / f"disk{status}"
        disk.mkdir()
        script = 'mount -t tmpfs -o size=$1 tmpfs "$2" || exit 77; shift; disk=$1; shift; "$@"; s=$?; ls -A "$disk/out"; exit $s'
        done = subprocess.run(["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", script, "sh", str(size), disk,
                               *command(disk / "out", MODEL)], capture_output=True, text=True, check=False)
        if done.returncode == 77 or "unshare" in done.stderr:
            print("a small disk is not tested: this user may not mount one")
            return
        check(done.returncode == status, f"a disk of {size} bytes: exit status {done.returncode} {done.stderr}")
        check(status == 0 or ("bytes free" in done.stderr and "quant_model" not in done.stdout), f"what is said of it: {done.stderr}")


def second_run(root):
    folder = root / "locked"
    (folder / ".wanslim").mkdir(parents=True)
    import fcntl
    with open(folder / ".wanslim/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, errors = quant(MODEL, folder, "--quant_type", "w8a8", status=1)
        check("another run is writing" in errors, f"a second run is refused: {errors}")
    quant(MODEL, folder, "--quant_type", "w8a8")


with temporary() as name:
    base = pathlib.Path(name)
    quant(MODEL, base / "whole", "--quant_type", "w8a8")
    whole = files_of(base / "whole")
    kill_everywhere(base, whole)
    interrupts(base, whole)
    failing_disk(base, whole)
    changed_input(base)
    changed_during_the_run(base)
    small_disk(base, whole)
    second_run(base)
report("fault")
