#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows the main job from nothing: installs what is missing, builds, makes a small Wan2.1 checkpoint, quantizes it with
# the command of the msModelSlim guide, checks the result. Needs Debian 12 and about two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

say() { printf '\n%s\n' "$*"; }
# Shows a command, then runs it.
run() {
  printf '$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

say "1. Packages and build"
need build
mkdir -p build
if ! { cmake --preset release && cmake --build --preset release &&
  cmake --install build/release --prefix build/demo; } >build/demo.log 2>&1; then
  tail -n 40 build/demo.log
  echo "error: the build failed; the whole log is build/demo.log" >&2
  exit 1
fi
cd build/demo
export PATH=$PWD/bin:$PATH
rm -rf float quantized
echo "The program is build/demo/bin/wanslim, and msmodelslim beside it is the same program."

say "2. A checkpoint to work on: the structure of Wan2.1 in small, with random weights that look trained"
run wanslim synth tiny float

say "3. Quantize it: the command of the msModelSlim guide as it stands there"
run msmodelslim quant \
  --model_path float \
  --save_path quantized \
  --device npu \
  --model_type Wan2_1 \
  --quant_type w8a8 \
  --trust_remote_code True

say "4. Check the folder as MindIE-SD's loader reads it, and the weights against the float ones"
run wanslim verify quantized --against float

say "5. What is in it"
run wanslim inspect quantized

say "Done: build/demo/float was quantized to int8 weights, and the folder for MindIE-SD is build/demo/quantized:"
ls -l quantized
