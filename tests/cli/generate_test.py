# SPDX-License-Identifier: Apache-2.0
"""wanslim generate on small whole models: every task, the reference loops, resuming, quantized weights, refusals."""
import struct
import sys
import zlib

from testlib import DATA, check, floats, json, os, pathlib, quant, relative, report, run, subprocess, temporary, write_tensors

OFFICIAL = DATA / "official"
LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"
STATE = ".state.safetensors"


def make_model(folder, dit):
    """The layout of a published checkpoint, from the small reference models."""
    (folder / "google").mkdir(parents=True)
    for file in (OFFICIAL / "dit" / dit).glob("diffusion_pytorch_model*"):
        (folder / file.name).symlink_to(file)
    (folder / "config.json").symlink_to(OFFICIAL / "dit" / dit / "config.json")
    (folder / "Wan2.1_VAE.pth").symlink_to(OFFICIAL / "vae" / "mini" / "Wan2.1_VAE.pth")
    (folder / "models_t5_umt5-xxl-enc-bf16.pth").symlink_to(OFFICIAL / "umt5" / "mini" / "models_t5_umt5-mini-enc-bf16.pth")
    (folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth").symlink_to(OFFICIAL / "clip" / "mini" / "models_clip_mini.pth")
    (folder / "google" / "umt5-xxl").symlink_to(OFFICIAL / "tokenizer" / "nmt_nfkc_bytes")
    return folder


def png(path, height, width, rgb):
    """Writes 8-bit RGB rows."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(rgb[y * width * 3:(y + 1) * width * 3]) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def picture_of(file):
    """in.image_u8 of a reference file as PNG pixels: (height, width, rgb)."""
    content = file.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    entry = json.loads(content[8:8 + size])["in.image_u8"]
    _, height, width = entry["shape"]
    planes = content[8 + size + entry["data_offsets"][0]:][:3 * height * width]
    return height, width, [planes[c * height * width + i] for i in range(height * width) for c in range(3)]


def video_size(file):
    """Height and width of f32.video in a reference file."""
    content = file.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    return json.loads(content[8:8 + size])["f32.video"]["shape"][-2:]


def generate(model, save, *more, **keywords):
    return run("generate", "--ckpt_dir", model, "--save_file", save, "--any_size", *more, **keywords)


def reference_loops(root, models):
    """The recorded sampling loops, from noise and embeddings to latents, picture and video."""
    height, width, rgb = picture_of(OFFICIAL / "loops" / "i2v" / "inputs.safetensors")
    png(root / "image.png", height, width, rgb)
    runs = {"t2v": ("t2v-1.3B", "t2v", "32*48", 5), "t2i": ("t2i-14B", "t2v", "48*64", 1), "i2v": ("i2v-14B", "i2v", "80*48", 5)}
    for name, (task, model, size, frames) in runs.items():
        loop = OFFICIAL / "loops" / name
        inputs = loop / "inputs.safetensors"
        info = json.loads((loop / "case.json").read_text())
        for case, settings in info["cases"].items():
            for compute in ("f32", "bf16"):
                save = root / f"{name}_{case}_{compute}{'.png' if frames == 1 else '.gif'}"
                generate(models[model], save, "--task", task, "--size", size, "--frame_num", frames, "--compute", compute,
                         "--prompt_embeddings", inputs, "--noise", inputs, "--sample_solver", settings["solver"],
                         "--sample_steps", settings["steps"], "--sample_shift", settings["shift"],
                         "--sample_guide_scale", settings["guide_scale"], "--save_latents",
                         *(["--image", root / "image.png"] if name == "i2v" else []))
                got = floats(f"{save}.latents.safetensors")["latent"]
                golden = floats(loop / f"{case}.safetensors")
                noise = settings["noise"]["bf16_vs_f32_final"]["rel_l2"]
                bound = info["tolerance"]["f32_impl"]["rel_l2_final"] if compute == "f32" else 1.5 * noise
                error = relative(got, golden["f32.latents"][-len(got):])
                check(error <= bound, f"{name} {case} {compute}: {error}")
                check(not pathlib.Path(str(save) + STATE).exists(), "no state is left")
                # The video of these latents, before it becomes 8-bit pixels.
                if compute == "bf16":
                    continue
                time, high, wide = (frames - 1) // 4 + 1, *video_size(loop / f"{case}.safetensors")
                write_tensors(root / "in.safetensors", {"in.latent": ("F32", (16, time, high // 8, wide // 8), struct.pack(f"<{len(got)}f", *got))})
                run("module", "vae-decode", "--model", models[model], "--in", root / "in.safetensors", "--out", root / "out.safetensors")
                video = [min(1, max(-1, v)) for v in floats(root / "out.safetensors")["video_unclamped"]]
                error = relative(video, golden["f32.video"])
                check(error <= 1e-4, f"{name} {case}: the video is {error} from the reference's")
    golden = floats(OFFICIAL / "loops" / "t2i" / "unipc.safetensors")["f32.video"]
    area = 64 * 48
    png(root / "golden.png", 64, 48, [min(255, int((min(1, max(-1, golden[c * area + i])) + 1) / 2 * 255 + 0.5))
                                      for i in range(area) for c in range(3)])
    psnr = json.loads(run("compare", root / "golden.png", root / "t2i_unipc_f32.png", "--json")[0])["items"][0]["total"]["psnr_db"]
    check(psnr is None or psnr > 60, f"the picture is that of the reference: {psnr} dB")


def tasks(root, models):
    """Every task from a prompt: the same bytes for any number of threads and any memory limit."""
    small = ("--sample_steps", 3, "--prompt", "two cats & a <b>dog</b>", "--size", "32*48", "--save_latents")
    picture, source = DATA / "images" / "rgb8.png", root / "t2v_unipc_bf16.gif"
    cases = {"t2v": ("t2v-1.3B", ("--frame_num", 5)), "i2v": ("i2v-14B", ("--frame_num", 5, "--image", picture)),
             "flf2v": ("flf2v-14B", ("--frame_num", 9, "--first_frame", picture, "--last_frame", DATA / "images" / "smooth.jpg")),
             "vace": ("vace-1.3B", ("--src_video", source, "--src_mask", source, "--src_ref_images", f"{picture},{picture}"))}
    for name, (task, more) in cases.items():
        save = root / f"{name}.gif"
        report_1 = json.loads(generate(models[name], save, "--task", task, *small, *more, "--base_seed", 7, "--json")[0])
        check(report_1["seed"] == 7 and report_1["peak_memory"] > 0 and report_1["seconds_per_step"] > 0, "the report")
        bytes_1 = save.read_bytes(), pathlib.Path(f"{save}.latents.safetensors").read_bytes()
        for again in (("--threads", 1), ("--threads", 3, "--memory", "135MB")):
            generate(models[name], save, "--task", task, *small, *more, "--base_seed", 7, "--overwrite", *again)
            check((save.read_bytes(), pathlib.Path(f"{save}.latents.safetensors").read_bytes()) == bytes_1, f"{name} {again}")
        generate(models[name], save, "--task", task, *small, *more, "--overwrite", "--base_seed", 8)
        check(save.read_bytes() != bytes_1[0], f"{name}: another seed, another result")
    png(root / "wide.png", 16, 640, [i * i % 251 for i in range(16 * 640 * 3)])
    wide = ("--prompt", "x", "--size", "640*16", "--frame_num", 5, "--sample_steps", 1, "--base_seed", 1, "--json")
    for name, task, key, *more in (("t2v", "t2v-1.3B", "decode"), ("i2v", "i2v-14B", "encode", "--image", root / "wide.png")):
        plans = [json.loads(generate(models[name], root / f"{name}_{of}.gif", "--task", task, *wide, *more, *limit)[0])
                 for of, limit in (("one", ()), ("strips", ("--memory", "131MB")))]
        check(plans[0][f"vae_{key}_strips"] == 1 < plans[1][f"vae_{key}_strips"], f"a limit cuts {name} into strips")
        check((root / f"{name}_one.gif").read_bytes() == (root / f"{name}_strips.gif").read_bytes(), f"{name}: the same video in strips")
    placed = ("--offload_model", "True", "--t5_cpu", "--t5_fsdp", "--dit_fsdp", "--ulysses_size", 8, "--ring_size", 1)
    _, told = generate(models["t2v"], root / "placed.gif", "--task", "t2v-1.3B", *small, "--frame_num", 1, "--base_seed", 7, *placed)
    check("mean nothing here" in told, f"it says that GPUs play no part: {told}")
    generate(models["vace"], root / "no_source.gif", "--task", "vace-1.3B", *small, "--frame_num", 5)
    generate(models["t2v"], root / "mp4.mp4", "--task", "t2v-1.3B", *small, "--frame_num", 5)
    check(b"ftyp" in (root / "mp4.mp4").read_bytes()[:12], "an MP4")


def merged(root, models):
    """generate --lora shows as strongly as it is asked to; at strength 0 not at all."""
    lora, asked = root / "lora.safetensors", ("--task", "t2v-1.3B", "--size", "32*48", "--frame_num", 1, "--sample_steps", 2,
                                              "--prompt", "a cat", "--base_seed", 3)
    diff = struct.pack("<64f", *([0.5] * 64))
    head = json.dumps({"diffusion_model.head.head.diff_b": {"dtype": "F32", "shape": [64], "data_offsets": [0, len(diff)]}}).encode()
    lora.write_bytes(struct.pack("<Q", len(head)) + head + diff)
    generate(models["t2v"], root / "without.gif", *asked)
    without = (root / "without.gif").read_bytes()
    for strength in (0, 0.5):
        save = root / f"lora{strength}.gif"
        _, told = generate(models["t2v"], save, *asked, "--lora", f"{lora}:{strength}")
        check("1 difference" in told, f"it says what the LoRA holds: {told}")
        check((save.read_bytes() == without) == (strength == 0), f"the LoRA at {strength}")


def resuming(root, models):
    """Stopped after any step, in two ways: the next run goes on to the same bytes."""
    if not LIBRARY.exists():
        return
    asked = ("generate", "--ckpt_dir", models["t2v"], "--task", "t2v-1.3B", "--any_size", "--size", "32*48", "--frame_num", 5,
             "--sample_steps", 5, "--prompt", "a cat", "--save_latents")
    run(*asked, "--save_file", root / "whole.gif", "--base_seed", 3)
    whole = (root / "whole.gif").read_bytes()
    for fault, status in (("int", 130), ("term", 130), ("kill", -9)):
        for step in (1, 3, 5):
            save = root / f"{fault}{step}.gif"
            # Renaming the state is the first file operation under a final name in each step.
            env = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAULT": fault, "FAULT_AT": str(step), "FAULT_ON": "rename",
                   "ASAN_OPTIONS": "verify_asan_link_order=0"}
            done = subprocess.run([os.environ["WANSLIM"], *map(str, asked), "--save_file", save, "--base_seed", "3"], env=env,
                                  capture_output=True, text=True, check=False)
            check(done.returncode == status, f"{fault} at step {step}: status {done.returncode} {done.stderr}")
            check(not save.exists(), "nothing under the final name")
            if fault != "kill":
                check("run the same command again" in done.stderr, "it says how to go on")
                other = run(*asked, "--save_file", save, "--base_seed", 4, status=1)[1]
                check("seed 3, here 4" in other and "--overwrite" in other, "latents of other settings are not used")
                run(*asked, "--save_file", save, "--resume", "--dry_run")
            if fault == "int" and step == 5:  # the latents were written, the video was not
                latents = pathlib.Path(f"{save}.latents.safetensors")
                own = latents.read_bytes()
                latents.write_bytes((root / "whole.gif.latents.safetensors").read_bytes()[:-4] + b"\0\0\0\0")
                other = run(*asked, "--save_file", save, status=1)[1]
                check("other latents" in other and not save.exists(), "a file of somebody else stays")
                latents.write_bytes(own)
            _, errors = run(*asked, "--save_file", save)  # without a seed it takes that of the latents
            if fault != "kill":
                check(f"going on after step {step}" in errors, "it says where it goes on")
            if fault != "kill" or step > 1:
                check(save.read_bytes() == whole, f"{fault} at step {step}: the bytes of an undisturbed run")
            check(not pathlib.Path(str(save) + STATE).exists(), "the latents are gone")
    error = run(*asked, "--save_file", root / "none.gif", "--resume", status=1)[1]
    check("nothing to go on from" in error, "--resume without latents")
    (root / f"bad.gif{STATE}").write_bytes((OFFICIAL / "loops" / "t2i" / "inputs.safetensors").read_bytes())
    error = run(*asked, "--save_file", root / "bad.gif", status=1)[1]
    check("another program" in error, "a file that is no state")


def quantized(root, models):
    quant(models["t2v"], root / "w8a8", "--quant_type", "w8a8")
    asked = ("--task", "t2v-1.3B", "--size", "32*48", "--frame_num", 5, "--sample_steps", 3, "--prompt", "a cat", "--base_seed", 3,
             "--save_latents")
    generate(models["t2v"], root / "float.gif", *asked)
    generate(models["t2v"], root / "codes.gif", *asked, "--quantized", root / "w8a8")
    error = relative(floats(root / "codes.gif.latents.safetensors")["latent"], floats(root / "float.gif.latents.safetensors")["latent"])
    check(0.001 < error < 0.2, f"W8A8 is near the float result, and not it: {error}")
    items = json.loads(run("compare", root / "float.gif", root / "codes.gif", "--json")[0])["items"]
    check(items[0]["total"]["psnr_db"] > 20, "compare takes the pair")


def synthetic(root):
    """From nothing to a comparison: a made-up checkpoint has all that a prompt needs."""
    run("synth", "tiny", root / "made_up")
    quant(root / "made_up", root / "made_up_w8a8", "--quant_type", "w8a8")
    asked = ("--task", "t2v-1.3B", "--prompt", "a white cat, 静止", "--size", "32*48", "--frame_num", 5, "--sample_steps", 3,
             "--base_seed", 1)
    generate(root / "made_up", root / "float.mp4", *asked)
    generate(root / "made_up", root / "codes.mp4", *asked, "--quantized", root / "made_up_w8a8")
    item = json.loads(run("compare", root / "float.mp4", root / "codes.mp4", "--json")[0])["items"][0]
    check(item["frames"] == 5 and 10 < item["total"]["psnr_db"] < 60, f"the pair is compared: {item['total']}")


def refusals(root, models):
    t2v = ("--task", "t2v-1.3B", "--prompt", "a cat")
    new = root / "new.gif"

    def refused(what, *more, status=2, model="t2v", dry="--dry_run"):
        _, error = run("generate", "--ckpt_dir", models[model], "--save_file", new, dry, *more, status=status)
        check(what in error and error.count("\n") <= 2, f"{what}: {error}")
        check(not new.exists(), "no output")

    refused("among those of task", *t2v, "--size", "64*64")
    refused("multiples of 16", *t2v, "--size", "60*64", "--any_size")
    refused("4n + 1", *t2v, "--frame_num", 6)
    refused("did you mean \"t2v-1.3B\"", "--task", "t2v-1.3b", "--prompt", "x")
    refused("--prompt", "--task", "t2v-1.3B")
    refused("--image", *t2v, "--image", DATA / "images" / "rgb8.png")
    refused("--image", "--task", "i2v-14B", "--prompt", "x", model="i2v")
    refused("needs a i2v model", "--task", "i2v-14B", "--prompt", "x", "--image", DATA / "images" / "rgb8.png")
    refused("unknown solver", *t2v, "--sample_solver", "unipcc")
    refused("--memory", *t2v, "--memory", "1MB")
    refused("the VAE takes", *t2v, "--memory", "150MB", "--size", "832*480", "--frame_num", 5)
    refused("--src_video", "--task", "vace-1.3B", "--prompt", "x", "--src_mask", new, model="vace")
    refused("no such file", *t2v, "--vae", root / "none.pth", status=1)
    refused("VAE", *t2v, "--vae", models["t2v"] / "models_t5_umt5-xxl-enc-bf16.pth", status=1)
    refused("tokenizer", *t2v, "--tokenizer", root, status=1)
    # Parts of another model: the made-up one is narrower.
    other = root / "made_up"
    refused("text encoder gives 64 features, the transformer takes 128", *t2v, "--text_encoder",
            other / "models_t5_umt5-xxl-enc-bf16.safetensors", status=1)
    refused("text encoder gives 128 features, the transformer takes 64", *t2v, "--text_encoder",
            models["t2v"] / "models_t5_umt5-xxl-enc-bf16.pth", model="made_up", status=1)
    refused("no .safetensors file", *t2v, model="images", status=1)
    refused("noise has shape", *t2v, "--noise", OFFICIAL / "loops" / "t2v" / "inputs.safetensors", status=1)
    refused("context", "--task", "t2v-1.3B", "--prompt_embeddings", OFFICIAL / "vae" / "mini" / "dec1.safetensors", status=1)
    refused("no such folder", *t2v, "--save_latents", root / "none" / "x.safetensors", status=1)
    quant(models["i2v"], root / "w8a8_i2v", "--quant_type", "w8a8")
    refused("another model", *t2v, "--quantized", root / "w8a8_i2v", status=1)
    error = generate(models["t2v"], root / "new.png", *t2v, "--frame_num", 5, status=None)[1]
    check("holds one frame" in error, "a PNG holds no video")
    (root / "there.gif").write_bytes(b"mine")
    error = generate(models["t2v"], root / "there.gif", *t2v, status=1)[1]
    check("exists" in error and (root / "there.gif").read_bytes() == b"mine", "a file that exists stays")


with temporary() as folder:
    folder = pathlib.Path(folder)
    if "this build cannot" in run("compare", DATA / "images" / "smooth.jpg", DATA / "images" / "smooth.jpg", status=None)[1]:
        sys.exit(77)  # built without libpng or FFmpeg's libraries
    whole = {name: make_model(folder / name, name) for name in ("t2v", "i2v", "flf2v", "vace")}
    reference_loops(folder, whole)
    tasks(folder, whole)
    merged(folder, whole)
    resuming(folder, whole)
    quantized(folder, whole)
    synthetic(folder)
    refusals(folder, {**whole, "made_up": folder / "made_up", "images": DATA / "images"})
report("generate")
