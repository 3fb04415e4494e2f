#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wanslim compare: videos, latents and folders; pictures; refusals."""
import struct
import sys

from testlib import DATA, check, json, pathlib, report, run, temporary

images = DATA / "images"
if "this build cannot" in run("compare", images / "rgb8.png", images / "rgb8.png", status=None)[1]:
    sys.exit(77)  # built without libpng


def npy(path, shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(values)}f", *values))


with temporary() as folder:
    folder = pathlib.Path(folder)

    out, _ = run("compare", images / "rgb8.png", images / "rgba8.png")
    check(out == "1 frames, identical\n", "the same pixels in two files")

    out, _ = run("compare", images / "rgb8.png", images / "palette.png", "--json", "--side_by_side", folder / "s.png",
                 "--contact-sheet", folder / "c.png")
    item = json.loads(out)["items"][0]
    check(item["kind"] == "video" and item["frames"] == 1 and item["width"] == 9, "size in the report")
    check(0 < item["total"]["psnr_db"] < 30 and item["per_frame"][0]["temporal_difference"] is None, "numbers")
    check(item["total"]["ssim"] is None, "no SSIM below 11 x 11 pixels")
    for name in ("s.png", "c.png"):
        check((folder / name).read_bytes().startswith(b"\x89PNG"), f"{name} is a picture")
    out, _ = run("compare", folder / "s.png", folder / "s.png", "--side_by_side", folder / "s.gif")
    check((folder / "s.gif").read_bytes().startswith(b"GIF89a"), "a GIF")

    npy(folder / "a.npy", (1, 2, 1, 2), [1, 2, 3, 4])
    npy(folder / "b.npy", (1, 2, 1, 2), [1, 2, 3, 5])
    out, _ = run("compare", folder / "a.npy", folder / "b.npy", "--json")
    item = json.loads(out)["items"][0]
    check(item["kind"] == "tensor" and item["shape"] == [1, 2, 1, 2], "latents")
    check(abs(item["total"]["rel_l2"] - (1 / 30) ** 0.5) < 1e-12, "rel_l2")
    check(item["per_frame"][0]["identical"] and item["per_frame"][1]["max_abs"] == 1, "per latent frame")

    for run_name, source in (("x", "a.npy"), ("y", "b.npy")):
        (folder / run_name).mkdir()
        (folder / run_name / "latents.npy").write_bytes((folder / source).read_bytes())
    (folder / "x" / "more.npy").write_bytes((folder / "a.npy").read_bytes())
    out, _ = run("compare", folder / "x", folder / "y")
    check(out.startswith("latents.npy: [1, 2, 1, 2], rel_l2 1.826e-01") and "only in A: more.npy" in out, "folders")

    _, err = run("compare", folder / "a.npy", images / "rgb8.png", status=2)
    check("cannot compare" in err, "different kinds")
    _, err = run("compare", folder / "a.npy", folder / "none.npy", status=1)
    check("none.npy" in err, "a missing file")
    _, err = run("compare", folder / "a.npy", folder / "b.npy", "--contact_sheet", folder / "n.png", status=2)
    check("no video" in err and not (folder / "n.png").exists(), "no picture of latents")
    run("compare", images / "rgb8.png", images / "rgb8.png", "--contact_sheet", folder / "n.xyz", status=2)
    (folder / "bad.png").write_bytes((images / "rgb8.png").read_bytes()[:100])
    _, err = run("compare", folder / "bad.png", images / "rgb8.png", status=1)
    check("broken PNG" in err, "a truncated picture")

report("compare")
