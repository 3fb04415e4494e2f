# SPDX-License-Identifier: Apache-2.0
"""The encoders beside the transformer: quant reads them from the published .pth and writes what LightX2V and the readers of
llama.cpp's t5encoder files load; what a runtime cannot load is refused by name."""
import signal
import struct

from testlib import DATA, WANSLIM, check, files_of, json, os, pathlib, quant, report, run, subprocess, temporary

TEXT = DATA / "official/umt5/mini/models_t5_umt5-mini-enc-bf16.pth"
TEXT_SAFE = TEXT.with_suffix(".safetensors")
IMAGE = DATA / "official/clip/mini/models_clip_mini.pth"
WORDS = DATA / "official/tokenizer/nmt_nfkc_bytes"
LIBRARY = pathlib.Path(os.environ.get("BUILD", ".")) / "libfault.so"

TEXT_LINEARS = {f"blocks.{n}.{m}" for n in range(2) for m in ("attn.q", "attn.k", "attn.v", "attn.o", "ffn.gate.0", "ffn.fc1", "ffn.fc2")}
IMAGE_LINEARS = {f"visual.transformer.{n}.{m}" for n in range(3) for m in ("attn.to_qkv", "attn.proj", "mlp.0", "mlp.2")}


def header(path):
    """name -> (dtype, shape) and the bytes of a safetensors file."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    entries = {k: v for k, v in json.loads(content[8:8 + size]).items() if k != "__metadata__"}
    return ({k: (v["dtype"], v["shape"]) for k, v in entries.items()},
            {k: content[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]] for k, v in entries.items()})


class Gguf:
    """Reads what stands before the data, as ggml does."""

    def __init__(self, path):
        self.bytes, self.at, self.pairs, self.tensors = path.read_bytes(), 8, {}, {}
        check(self.bytes[:8] == b"GGUF\3\0\0\0", "GGUF version 3")
        tensors, pairs = self.take("<QQ")
        for _ in range(pairs):
            key = self.text()
            self.pairs[key] = self.value(self.take("<I")[0])
        for _ in range(tensors):
            name, (rank,) = self.text(), self.take("<I")
            extents = self.take(f"<{rank}Q")
            kind, offset = self.take("<IQ")
            self.tensors[name] = kind, list(reversed(extents)), offset
        self.data = (self.at + 31) // 32 * 32

    def take(self, layout):
        out = struct.unpack_from(layout, self.bytes, self.at)
        self.at += struct.calcsize(layout)
        return out

    def text(self):
        (size,) = self.take("<Q")
        self.at += size
        return self.bytes[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.take("<IQ")
            return [self.value(kind) for _ in range(count)]
        return self.take("<" + {0: "B", 4: "I", 5: "i", 6: "f", 7: "?"}[kind])[0]


def lightx2v(root):
    """Names, dtypes and shapes of LightX2V's q_linear modules; all else as in the checkpoint, to the byte."""
    floats, values = header(TEXT_SAFE)
    for part, model, linears, biased, keeps in (("t5", TEXT, TEXT_LINEARS, False, "BF16"), ("clip", IMAGE, IMAGE_LINEARS, True, "F16")):
        for scheme, code, kernel, least in (("w8a8", "I8", "int8-vllm", 43), ("fp8", "F8_E4M3", "fp8-sgl", 31)):
            out = root / f"{part}_{scheme}"
            written = json.loads(quant(model, out, "--format", "lightx2v", "--quant_type", scheme, "--json")[0])
            [file] = out.glob("*.safetensors")
            config = json.loads((out / "lightx2v_config.json").read_text())
            check(config == {f"{part}_quantized": True, f"{part}_quant_scheme": kernel, f"{part}_quantized_ckpt": file.name}, f"{out.name}: {config}")
            tensors, content = header(file)
            check({n.removesuffix(".weight_scale") for n in tensors if n.endswith("_scale") and n != "log_scale"} == linears, f"{out.name}: its Linears")
            for layer in linears:
                kind, (rows, _) = tensors[layer + ".weight"]
                check(kind == code and tensors[layer + ".weight_scale"] == ("F32", [rows, 1]), f"{out.name}: {layer}")
                check(tensors.get(layer + ".bias") == ((keeps, [rows]) if biased else None), f"{out.name}: bias of {layer}")
            for name, entry in tensors.items():
                if name.removesuffix(".weight").removesuffix(".bias").removesuffix(".weight_scale") in linears:
                    continue
                check(entry[0] == keeps, f"{out.name}: {name} is {entry}")
                if part == "t5":
                    check(entry == floats[name] and content[name] == values[name], f"{out.name}: {name} as it was")
            check(part != "t5" or tensors.keys() == floats.keys() | {layer + ".weight_scale" for layer in linears}, "every tensor is there")
            check(part != "clip" or ({"visual.head", "visual.post_norm.weight", "log_scale"} < tensors.keys()
                                     and not any(n.startswith("textual") for n in tensors)), "the visual tower and log_scale")
            seen = json.loads(run("verify", out, "--against", model, "--json")[0])
            check(seen["ok"] and seen["layers"].keys() == linears and seen["worst"]["sqnr_db"] > least, f"{out.name}: {seen['worst']}")
            kinds = {".".join("*" if part.isdigit() and i < 3 else part for i, part in enumerate(layer.split("."))) for layer in linears}
            check(seen["kinds"].keys() == kinds, f"{out.name}: the kinds of layers: {seen['kinds']}")
            known = json.loads(run("inspect", out, "--json")[0])
            check(known["format"] == "lightx2v" and known["manifest"]["variant"] == written["variant"], f"{out.name}: inspect")
    quant(TEXT_SAFE, root / "safe", "--format", "lightx2v", "--quant_type", "w8a8")
    check(next((root / "safe").glob("*.safetensors")).read_bytes() == next((root / "t5_w8a8").glob("*.safetensors")).read_bytes(),
          "the same bytes from .pth and from safetensors")
    quant(IMAGE, root / "kernel", "--format", "lightx2v", "--quant_type", "fp8", "--format_option", "kernel=vllm")
    check("fp8-vllm" in (root / "kernel" / "lightx2v_config.json").read_text(), "the kernel that was asked for")
    run("verify", root / "kernel")


def gguf(root):
    """llama.cpp's names and keys; the vocabulary with one entry a row of the embedding."""
    beside = root / "checkpoint"
    (beside / "google").mkdir(parents=True)
    (beside / TEXT.name).symlink_to(TEXT)
    (beside / "google" / "umt5-xxl").symlink_to(WORDS)
    out = root / "gguf"
    quant(beside / TEXT.name, out, "--format", "gguf", "--type", "Q8_0")
    seen = json.loads(run("verify", out, "--against", TEXT, "--json")[0])
    check(seen["ok"] and seen["layers"].keys() == TEXT_LINEARS and seen["worst"]["sqnr_db"] > 45, f"{seen['worst']}")
    file = Gguf(out / "umt5-custom-Q8_0.gguf")
    expected = {"token_embd.weight": (1, [1664, 128]), "enc.output_norm.weight": (0, [128])}
    for n in range(2):
        expected |= {f"enc.blk.{n}.{m}.weight": (kind, shape) for m, kind, shape in (
            ("attn_norm", 0, [128]), ("attn_q", 8, [128, 128]), ("attn_k", 8, [128, 128]), ("attn_v", 8, [128, 128]), ("attn_o", 8, [128, 128]),
            ("attn_rel_b", 0, [32, 2]), ("ffn_norm", 0, [128]), ("ffn_gate", 8, [160, 128]), ("ffn_up", 8, [160, 128]), ("ffn_down", 8, [128, 160]))}
    check({k: v[:2] for k, v in file.tensors.items()} == expected, "names, types and shapes")
    _, values = header(TEXT_SAFE)
    offset = file.data + file.tensors["enc.blk.1.attn_rel_b.weight"][2]
    bits = struct.unpack("<64H", values["blocks.1.pos_embedding.embedding.weight"])
    check(struct.unpack_from("<64I", file.bytes, offset) == tuple(b << 16 for b in bits), "relative positions, in F32")
    p = {k.replace("tokenizer.ggml.", "t.").replace("t5encoder.", "e."): v for k, v in file.pairs.items()}
    check([p[f"general.{k}"] for k in ("architecture", "name", "file_type", "quantization_version")] == ["t5encoder", "umt5-custom", 7, 2], "general keys")
    sizes = [p[f"e.{k}"] for k in ("context_length", "embedding_length", "feed_forward_length", "block_count", "vocab_size", "attention.head_count",
                                   "attention.key_length", "attention.value_length", "attention.relative_buckets_count")]
    check(sizes == [512, 128, 160, 2, 1664, 2, 64, 64, 32], f"sizes: {sizes}")
    check(all(abs(p[f"e.attention.layer_norm_{k}"] - 1e-6) < 1e-12 for k in ("epsilon", "rms_epsilon")), "eps under both keys")
    words = json.loads((WORDS / "tokenizer.json").read_text())
    pieces = words["model"]["vocab"]
    check([len(p[f"t.{k}"]) for k in ("tokens", "scores", "token_type")] == [1664] * 3, "one entry a row")
    check(p["t.tokens"][:len(pieces)] == [text for text, _ in pieces], "the pieces by id")
    check(all(abs(a - b[1]) < 1e-5 * max(1, abs(b[1])) for a, b in zip(p["t.scores"], pieces, strict=False)), "their scores")
    kinds = dict(zip(p["t.tokens"], p["t.token_type"], strict=True))
    check((kinds["<pad>"], kinds["</s>"], kinds["<unk>"], kinds["<0x41>"], kinds["\u2581"]) == (3, 3, 2, 6, 1), "what kind each is")
    check(p["t.tokens"][-1] == "[PAD1663]" and p["t.token_type"][-1] == 5, "rows without a word are unused")
    ids = p["t.tokens"].index("<pad>"), p["t.tokens"].index("</s>"), p["t.tokens"].index("<unk>")
    check((p["t.padding_token_id"], p["t.eos_token_id"], p["t.unknown_token_id"]) == ids, "special ids")
    check((p["t.model"], p["t.pre"], p["t.add_space_prefix"], p["t.remove_extra_whitespaces"], p["t.add_eos_token"], p["t.add_bos_token"]) ==
          ("t5", "default", True, True, True, False), "how text is cut")
    check(len(p["t.precompiled_charsmap"]) > 100, "the charsmap")
    quant(TEXT, root / "named", "--format", "gguf", "--type", "Q8_0", "--tokenizer", WORDS / "spiece.model")
    other = Gguf(root / "named" / "umt5-custom-Q8_0.gguf")
    check(other.pairs["tokenizer.ggml.tokens"][:len(pieces)] == p["t.tokens"][:len(pieces)], "the same pieces from spiece.model")
    quant(TEXT, root / "four", "--format", "gguf", "--type", "Q4_0", "--tokenizer", WORDS)
    check(json.loads(run("verify", root / "four", "--against", TEXT, "--json")[0])["worst"]["sqnr_db"] > 20, "Q4_0")
    return out


def damaged(root, whole):
    """What a reader would stumble over is a problem of verify."""
    content = (whole / "umt5-custom-Q8_0.gguf").read_bytes()
    for old, new, words in ((b"enc.blk.1.attn_k.weight", b"enc.blk.1.attn_x.weight", "attn.k.weight is missing"),
                            (b"t5encoder.block_count\4\0\0\0\2", b"t5encoder.block_count\4\0\0\0\3", "block_count is 3"),
                            (b"tokenizer.ggml.scores", b"tokenizer.ggml.scoret", "scores is missing"),
                            (b"tokenizer.ggml.model\x08\0\0\0\2\0\0\0\0\0\0\0t5", b"tokenizer.ggml.model\x08\0\0\0\2\0\0\0\0\0\0\0t6", "expected t5")):
        check(content.count(old) == 1, f"{old} is there")
        (root / "damaged.gguf").write_bytes(content.replace(old, new))
        text = run("verify", root / "damaged.gguf", status=1)[0]
        check(words in text, f"{words}: {text}")
    folder = root / "t5_w8a8"
    config = (folder / "lightx2v_config.json").read_text()
    for old, new, words in (("int8-vllm", "int8-npu", "does not run these weights"), ("true", "false", "is not true")):
        (folder / "lightx2v_config.json").write_text(config.replace(old, new))
        check(words in run("verify", folder, status=1)[0], words)
    (folder / "lightx2v_config.json").write_text(config)


def refused(root):
    cases = (
        ((IMAGE, "--format", "gguf", "--type", "Q8_0"), 2, "loads no quantized CLIP image encoder"),
        ((TEXT, "--format", "mindie", "--quant_type", "w8a8"), 2, "formats that hold it: lightx2v, gguf"),
        ((TEXT, "--quant_type", "w8a8"), 2, "mindie loads no quantized umT5"),
        ((TEXT, "--format", "comfyui", "--quant_type", "w8a8"), 2, "comfyui loads no quantized umT5"),
        ((TEXT, "--format", "universal-int8", "--quant_type", "w8a8"), 2, "universal-int8 loads no"),
        ((TEXT, "--format", "gguf", "--type", "Q8_0"), 1, "carries its vocabulary"),
        ((TEXT, "--format", "gguf", "--type", "Q4_K", "--tokenizer", WORDS), 1, "blocks.0.attn.q: 128 inputs"),
        ((TEXT, "--format", "gguf", "--type", "Q8_0", "--tokenizer", root), 1, "neither tokenizer.json nor spiece.model"),
        ((TEXT, "--format", "lightx2v", "--quant_type", "w8a8", "--format_option", "kernel=npu"), 2, "no such kernel for int8"),
        ((TEXT, "--format", "lightx2v", "--quant_type", "fp8", "--format_option", "kernel=vllm"), 2, "it has sgl, q8f"),
        ((TEXT, "--format", "lightx2v", "--quant_type", "w8a8", "--format_option", "layout=blocks"), 2, "from one file"),
        ((TEXT, "--format", "lightx2v", "--quant_type", "w8a16"), 1, "quantizes the inputs"),
        ((TEXT, "--format", "lightx2v", "--quant_type", "w8a8", "--lora", TEXT), 2, "merged into a transformer"))
    for (model, *arguments), status, words in cases:
        _, errors = quant(model, root / "refused", *arguments, status=status)
        check(words in errors, f"{arguments}: \"{words}\" in: {errors}")
        check(not (root / "refused").exists(), f"{arguments}: nothing is written")
    # Checkpoints that are no encoder, or a damaged one.
    tensors, content = header(TEXT_SAFE)

    def edited(name, drop=(), **more):
        entries, data = {}, b""
        for key, (kind, shape) in ({k: v for k, v in tensors.items() if k not in drop} | more).items():
            body = content.get(key, bytes(2 * int(shape[0])))
            entries[key] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(body)]}
            data += body
        text = json.dumps(entries).encode()
        path = root / name
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)
        return path

    for path, words in ((edited("lost.safetensors", drop=("blocks.1.ffn.fc2.weight",)), "blocks.1.ffn.fc2.weight"),
                        (edited("gap.safetensors", drop=("blocks.1.norm1.weight",)), "blocks.1."),
                        (edited("more.safetensors", **{"decoder.x": ("BF16", [4])}), "decoder.x"),
                        (next((root / "t5_w8a8").glob("*.safetensors")), "I8"),
                        (DATA / "official/pth/mixed/plain_dict.pth", "no Wan2.1 transformer")):
        _, errors = quant(path, root / "refused", "--format", "lightx2v", "--quant_type", "w8a8", status=1)
        check(words in errors and errors.count("\n") <= 2, f"{words}: {errors}")
    cut = root / "cut.pth"
    cut.write_bytes(TEXT.read_bytes()[:-2000])
    _, errors = quant(cut, root / "refused", "--format", "lightx2v", "--quant_type", "w8a8", status=1)
    check("cut.pth" in errors, f"a damaged .pth is named: {errors}")
    check(not (root / "refused").exists(), "nothing is written")


def not_converted(root, whole):
    for arguments in (("--to", "float"), ("--format", "lightx2v")):
        _, errors = run("convert", whole, root / "converted", *arguments, status=1)
        check("this is a umT5 text encoder" in errors and not (root / "converted").exists(), f"convert {arguments}: {errors}")


def resumed(root, whole):
    for threads in (1, 3):
        quant(TEXT, root / f"threads{threads}", "--format", "gguf", "--type", "Q8_0", "--tokenizer", WORDS, "--threads", threads)
        check(files_of(root / f"threads{threads}") == files_of(whole), f"the same bytes with {threads} threads")
    if not LIBRARY.exists():
        return
    save, arguments = root / "killed", ("--format", "gguf", "--type", "Q8_0", "--tokenizer", WORDS)
    env = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAULT": "kill", "FAULT_AT": "12", "FAULT_ON": "pwrite", "ASAN_OPTIONS": "verify_asan_link_order=0"}
    done = subprocess.run([WANSLIM, "quant", "--model_path", TEXT, "--save_path", save, "--model_type", "Wan2_1", *arguments], env=env, check=False,
                          capture_output=True, text=True)
    check(done.returncode == -signal.SIGKILL, f"killed: {done.stderr}")
    _, errors = quant(TEXT, save, *arguments[:-1], WORDS.parent / "identity_nobytes", status=1)
    check("another tokenizer" in errors, f"another tokenizer does not go on: {errors}")
    _, told = quant(TEXT, save, *arguments)
    check("going on from an unfinished run" in told and files_of(save) == files_of(whole), f"it resumes: {told}")


with temporary() as folder:
    base = pathlib.Path(folder)
    seen = [json.loads(run("inspect", path, "--json")[0]) for path in (TEXT, IMAGE)]
    check([(s["model_type"], s["variant"], s["block_linears"]["count"], s["odd"]) for s in seen] ==
          [("umT5 text encoder", "umt5-custom", 14, []), ("CLIP image encoder", "clip-custom", 12, [])], f"inspect: {seen}")
    lightx2v(base)
    made = gguf(base)
    damaged(base, made)
    refused(base)
    not_converted(base, made)
    resumed(base, made)
report("encoder")
