#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# synth and inspect as a user runs them: what synth writes, inspect knows again; mistakes are told with status 2 or 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# expect STATUS TEXT command...: the status, and the text somewhere in what it says.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >out 2>&1 || status=$?
  if [ "$status" != "$wanted" ] || ! grep -qF -e "$text" out; then
    echo "FAILED: $*: status $status, wanted $wanted and \"$text\""
    cat out
    exit 1
  fi
}
field() { python3 -c 'import json,sys; d = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): d = d[key]
print(d)' "$@"; }

for naming in official diffusers comfyui; do
  expect 0 "tiny with 2 blocks" "$WANSLIM" synth tiny "$naming" --naming "$naming" --seed 5
  "$WANSLIM" inspect "$naming" --scan --json >"$naming.json"
  for check in variant=tiny naming=$naming tensors=69 geometry.blocks=2 block_linears.count=20 'odd=[]' 'non_finite=[]'; do
    got=$(field "$naming.json" "${check%%=*}")
    [ "$got" = "${check#*=}" ] || { echo "FAILED: $naming: $check, got $got"; exit 1; }
  done
  expect 0 "all values are finite" "$WANSLIM" inspect "$naming" --scan
done

expect 0 "in 4 files" "$WANSLIM" synth tiny shards --shards 4 --seed 5 --dtype mixed --layers 1
expect 0 "blocks: 1 here, 2 in tiny" "$WANSLIM" inspect shards
[ "$(find shards -type f | wc -l)" = 9 ] # four shards, the index, config.json, text encoder, VAE, tokenizer
[ "$(stat -c %a shards/config.json)" = 640 ]
expect 0 "in 1 file" "$WANSLIM" synth tiny again --seed 5
cmp official/diffusion_pytorch_model.safetensors again/diffusion_pytorch_model.safetensors

expect 0 "in 1 file" "$WANSLIM" synth tiny bare --parts transformer
[ "$(find bare -type f | wc -l)" = 2 ]
expect 2 "official names" "$WANSLIM" synth tiny x --parts all --naming diffusers

expect 2 'did you mean "t2v-14B"' "$WANSLIM" synth t2v-14b x
expect 2 'did you mean "f32"' "$WANSLIM" synth tiny x --dtype fp32
expect 2 "expected 1 to" "$WANSLIM" synth tiny x --layers -1
expect 2 "70 shards for 69 tensors" "$WANSLIM" synth tiny x --shards 70
expect 1 "the folder is not empty" "$WANSLIM" synth tiny again
expect 0 "in 1 file" "$WANSLIM" synth tiny again --overwrite
[ ! -e x ]

head -c 100000 official/diffusion_pytorch_model.safetensors >cut.safetensors
expect 1 "cut.safetensors" "$WANSLIM" inspect cut.safetensors
expect 1 "no such file or folder" "$WANSLIM" inspect nowhere

expect 0 "" "$WANSLIM" quant --model_path official --save_path quantized --device cpu --model_type Wan2_1 \
  --quant_type w8a8 --trust_remote_code True
expect 0 "18 Linears W8A8_DYNAMIC" "$WANSLIM" inspect quantized
"$WANSLIM" inspect quantized --json >quantized.json
[ "$(field quantized.json manifest.variant)" = tiny ]
[ "$(field quantized.json format)" = mindie ]
