#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loads what wanslim writes with the code of the programs that read it, on the CPU. Opt-in: it installs Python packages
# from PyPI (about 2 GB, into build/consumers) and is no part of the tests.
#   scripts/check_consumers.sh                 checks that need packages alone
#   scripts/check_consumers.sh --sources DIR   and those that need a checkout: DIR/MindIE-SD, DIR/LightX2V, DIR/ComfyUI-GGUF
# WANSLIM names the program (default: build/release/wanslim). One line for each check: ok, FAILED or not run. What was
# run, and when, stands in docs/consumers.md.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=
if [ "${1:-}" = --sources ] && [ $# = 2 ]; then
  sources=$(realpath "$2")
elif [ $# != 0 ]; then
  echo "usage: scripts/check_consumers.sh [--sources DIR]" >&2
  exit 2
fi
wanslim=$(realpath "${WANSLIM:-build/release/wanslim}")
[ -x "$wanslim" ] || { echo "error: $wanslim is not there: cmake --preset release && cmake --build --preset release" >&2; exit 1; }

packages="torch==2.13.0 safetensors==0.8.0 gguf==0.19.0 comfy-kitchen==0.2.40 diffusers==0.42.1 transformers==5.24.0
  compressed-tensors==0.20.0 accelerate sentencepiece protobuf tqdm numpy<2.3"
venv=build/consumers
[ -x $venv/bin/python ] || python3 -m venv $venv
# shellcheck disable=SC2086
$venv/bin/pip install -q $packages 2>&1 | grep -v WARNING || true

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
official=$PWD/tests/data/official
text=$official/umt5/mini/models_t5_umt5-mini-enc-bf16
image=$official/clip/mini/models_clip_mini.pth
words=$official/tokenizer/nmt_nfkc_bytes

# quant name model option ...: an output in $work/name.
quant() {
  local name=$1 model=$2
  shift 2
  "$wanslim" quant --model_path "$model" --save_path "$work/$name" --model_type Wan2_1 "$@" >/dev/null 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
}

"$wanslim" synth tiny "$work/tiny" >/dev/null 2>&1
"$wanslim" synth t2v-1.3B "$work/wide" --layers 1 >/dev/null 2>&1
quant mindie "$work/tiny" --quant_type w8a8
quant ascendv1 "$work/tiny" --quant_type w8a8 --format ascendv1
for scheme in w8a8 fp8_scaled mxfp8 nvfp4; do quant "comfyui_$scheme" "$work/tiny" --quant_type $scheme --format comfyui; done
quant universal "$work/tiny" --quant_type w8a8 --format universal-int8
quant lightx2v "$work/tiny" --quant_type w8a8 --format lightx2v
quant compressed_w8a8 "$work/tiny" --quant_type w8a8 --format compressed-tensors
quant compressed_w4a16 "$work/tiny" --quant_type w4a16 --format compressed-tensors
for type in Q8_0 Q6_K Q5_K Q4_K Q4_0 Q3_K Q2_K; do quant "gguf_$type" "$work/wide" --format gguf --type $type; done
quant gguf_tiny "$work/tiny" --format gguf --type Q8_0
quant text_gguf "$text.pth" --format gguf --type Q8_0 --tokenizer "$words"
for scheme in w8a8 fp8; do
  quant "text_$scheme" "$text.pth" --format lightx2v --quant_type $scheme
  quant "image_$scheme" "$image" --format lightx2v --quant_type $scheme
done

failed=0
# check what needs script argument ...: one line. needs: "-", or a folder under --sources.
check() {
  local what=$1 needs=$2 script=$3 line status=0 arguments=()
  shift 3
  if [ "$needs" != - ]; then
    if [ ! -d "${sources:-/nowhere}/$needs" ]; then
      printf 'not run  %-18s needs a checkout of %s in --sources\n' "$what" "$needs"
      return
    fi
    arguments+=("$sources/$needs")
  fi
  line=$($venv/bin/python "tools/$script" "${arguments[@]}" "$@" 2>"$work/log" | tail -n 1) || status=$?
  if [ $status = 0 ]; then
    printf 'ok       %-18s %s\n' "$what" "$line"
  else
    failed=$((failed + 1))
    printf 'FAILED   %-18s %s\n' "$what" "$(grep -v '^ ' "$work/log" | tail -n 1)"
  fi
}

# Every consumer, one row a check.
check safetensors - check_safetensors.py "$work"/{mindie,ascendv1,universal,lightx2v,text_w8a8,image_fp8} "$work"/comfyui_*
for type in Q8_0 Q6_K Q5_K Q4_K Q4_0 Q3_K Q2_K; do
  check "gguf $type" - check_gguf.py "$work/gguf_$type"/*.gguf "$work/wide/diffusion_pytorch_model.safetensors"
done
check diffusers - check_diffusers.py "$wanslim" "$work/gguf_tiny" "$work/tiny"
check transformers - check_transformers.py "$wanslim" "$work/text_gguf" "$text.pth"
for scheme in w8a8 fp8_scaled mxfp8 nvfp4; do
  check "comfy-kitchen" - check_comfyui.py "$wanslim" "$work/comfyui_$scheme" "$work/tiny"
done
check comfy-kitchen - check_comfyui.py "$wanslim" "$work/universal" "$work/tiny"
for scheme in w8a8 w4a16; do
  check compressed-tensors - check_compressed_tensors.py "$work/compressed_$scheme" "$work/tiny/diffusion_pytorch_model.safetensors"
done
check MindIE-SD MindIE-SD check_mindie.py "$work/mindie" "$work/tiny"
check ComfyUI-GGUF ComfyUI-GGUF check_comfyui_gguf.py "$work/gguf_tiny" "$work/tiny" "$work/text_gguf" "$text.safetensors" "$words" "$wanslim"
for scheme in w8a8 fp8; do
  check LightX2V LightX2V check_lightx2v.py "$work/text_$scheme" "$text.safetensors" "$work/image_$scheme" "$image"
done
[ $failed = 0 ] || exit 1
