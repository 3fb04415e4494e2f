#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the includes of src/ against the layer(name dep ...) lines of CMakeLists.txt.

A dep must be declared above the line that names it, so there are no cycles; test files obey the same lines as the
code beside them. Also refuses SIMD dispatch outside kernels/ and dnnl, fyaml, CLI11 outside their one layer.
"""
import pathlib
import re
import sys

WRAPPED = {  # header pattern -> the layers that may include it
    r"hwy/": {"kernels"}, r"(oneapi/)?dnnl": {"kernels"}, r"(lapacke|cblas)": {"kernels"},
    r"libfyaml": {"config"}, r"CLI/": {"cli"}, r"nlohmann/": {"base"}, r"xxhash": {"base"},
    r"(png\.h|libav|libsw)": {"io"}, r"mpi\.h": {"dist"}, r"kainjow": {"eval"},
}


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    allowed: dict[str, set[str]] = {}
    for name, rest in re.findall(r"^layer\((\w+)([^)]*)\)", (root / "CMakeLists.txt").read_text(), re.M):
        allowed[name] = set(rest.split())
        if late := allowed[name] - allowed.keys():
            sys.exit(f"layer({name}): declare {sorted(late)} above it")
    bad = 0
    for path in sorted((root / "src").rglob("*.[hc]*")):
        layer = path.relative_to(root / "src").parts[0]
        if layer not in allowed:
            sys.exit(f"src/{layer} has no layer() line")
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not match:
                continue
            folder = match[1].split("/")[0]
            if folder in allowed and folder != layer and folder not in allowed[layer]:
                print(f"{path}:{number}: {layer} may not include {folder}")
                bad = 1
            for pattern, owners in WRAPPED.items():
                if re.match(pattern, match[1]) and layer not in owners:
                    print(f"{path}:{number}: <{match[1]}> belongs to {sorted(owners)}")
                    bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
