# SPDX-License-Identifier: Apache-2.0
"""--numerics compat writes the files of msModelSlim 26.1 byte for byte; precise is never worse on any layer."""
from testlib import DATA, check, files_of, json, quant, report, run, temporary

GOLDEN = DATA / "msmodelslim"

for case in ("w8a8_dynamic_practice", "w8a8_dynamic_all", "w8a8_dynamic_braces"):
    with temporary() as folder:
        recipe = GOLDEN / case / "recipe.yaml"
        sqnr = {}
        for numerics in ("compat", "precise"):
            out = f"{folder}/{numerics}"
            quant(GOLDEN / "model", out, "--config_path", recipe, "--numerics", numerics)
            sqnr[numerics] = json.loads(run("verify", out, "--against", GOLDEN / "model", "--json")[0])["layers"]
        written = files_of(f"{folder}/compat")
        for name, content in files_of(GOLDEN / case / "output").items():
            check(written[name] == content, f"{case}/{name} is the reference's file")
        for layer, decibel in sqnr["compat"].items():
            check(sqnr["precise"][layer] >= decibel, f"{case}: {layer} is no worse in precise")

# Every other folder that the reference's README calls reproducible to the byte.
for case in ("mixed_mxfp8_mxfp4", "w4a4_mxfp4_ceil_x", "w4a4_mxfp4_ceil_x_search", "w4a4_mxfp4_dualscale",
             "w4a4_mxfp4_fouroversix", "w4a4_mxfp4_minmax", "w4a8", "w4a8_mx", "w8a16", "w8a8_mxfp8_minmax",
             "w8a8_mxfp8_mse_round", "wfp8afp8"):
    with temporary() as folder:
        quant(GOLDEN / "model", f"{folder}/out", "--config_path", GOLDEN / case / "recipe.yaml", "--numerics", "compat")
        written = files_of(f"{folder}/out")
        for name, content in files_of(GOLDEN / case / "output").items():
            check(written[name] == content, f"{case}/{name} is the reference's file")
report("golden")
